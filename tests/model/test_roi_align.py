"""RoIAlign as matrix products: the values and gradients of torchvision's."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from slowfast_vos.model import roi_align
from slowfast_vos.model.roi_align import SeparableRoIAlign
from torchvision.ops import MultiScaleRoIAlign

# Of a frame of 96×160 pixels: ordinary, the whole, smaller than a pixel of the map, at each edge, and beyond them.
BOXES = [
    [(10.5, 7.0, 80.2, 60.9), (0.0, 0.0, 160.0, 96.0), (31.0, 40.0, 31.5, 40.2), (150.0, 90.0, 160.0, 96.0)],
    [(0.0, 0.0, 3.0, 3.0), (-9.0, -9.0, 20.0, 30.0), (140.0, 80.0, 175.0, 110.0)],
]


def found_by(
    kind: type[MultiScaleRoIAlign], size: int, level: str, layout: torch.memory_format, boxes: list[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    stride = 4 * 2 ** int(level)
    maps = torch.randn(2, 8, 96 // stride, 160 // stride).contiguous(memory_format=layout).requires_grad_()
    rois = kind([level], size, sampling_ratio=2)({level: maps}, boxes, [(96, 160), (90, 150)])
    return rois, torch.autograd.grad(rois, maps, torch.randn(rois.shape))[0]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("size", "level"), [*product((7, 14), ("0", "1"))])
def test_values_and_gradients_are_torchvision_s(
    size: int, level: str, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = [torch.tensor(some) for some in BOXES]
    expected = found_by(MultiScaleRoIAlign, size, level, layout, boxes)
    monkeypatch.setattr(MultiScaleRoIAlign, "forward", None)
    found = found_by(SeparableRoIAlign, size, level, layout, boxes)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_the_scale_is_torchvision_s_for_frames_much_smaller_than_their_padding() -> None:
    torch.manual_seed(0)
    maps, boxes, sizes = torch.randn(1, 8, 24, 40).requires_grad_(), [torch.tensor(BOXES[0])], [(40, 160)]
    pools = [kind(["0"], 7, sampling_ratio=2) for kind in (MultiScaleRoIAlign, SeparableRoIAlign)]
    expected, found = (pool({"0": maps}, boxes, sizes) for pool in pools)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert pools[0].scales == pools[1].scales == [0.5]


def test_an_image_without_a_box_has_no_roi() -> None:
    boxes = [torch.tensor(BOXES[0]), torch.zeros(0, 4)]
    found, gradient = found_by(SeparableRoIAlign, 7, "0", torch.contiguous_format, boxes)
    assert len(found) == 4
    assert not gradient[1].any()


def test_large_maps_and_evaluation_are_torchvision_s(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [torch.tensor(some) for some in BOXES]
    monkeypatch.setattr(SeparableRoIAlign, "_align", None)
    with torch.no_grad():
        SeparableRoIAlign(["0"], 7, sampling_ratio=2)({"0": torch.randn(2, 8, 24, 40)}, boxes, [(96, 160)] * 2)
    monkeypatch.setattr(roi_align, "MOST_PIXELS", 24 * 40 - 1)
    found_by(SeparableRoIAlign, 7, "0", torch.contiguous_format, boxes)
