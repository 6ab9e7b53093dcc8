"""What a network cannot be given is refused by name: options, frames, targets, parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from model_inputs import Build, clip, one_line, target
from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.errors import UserError

NAN, INF = torch.nan, torch.inf


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"box_score_tresh": 0.5}, "model.box_score_tresh: unknown option; did you mean box_score_thresh?"),
        ({"fpn_chanels": 16}, "model.fpn_chanels: unknown option; did you mean fpn_channels?"),
        ({"xyz": 1}, "model.xyz: unknown option; expected those of build_detector and torchvision's MaskRCNN"),
        ({"chunk_length": 2.5}, "chunk_length: found 2.5; expected at least 1 frame"),
        ({"slow": 1.0, "fast": 3.0}, "setup 1.0-3.0: found 1.0 frames; expected a whole number"),
        ({"control": None}, "setup 3-7: found control None; expected one of none, still, shuffled, strided, wide"),
        ({"backbone": None}, "model.backbone: found None; expected the name of a torchvision ResNet or a timm model"),
        ({"fpn_channels": "16"}, "model.fpn_channels: found '16'; expected a whole number from 1 to 65,536"),
        ({"fpn_channels": 12}, "model.fpn_channels: found 12; expected a multiple of 8, at least 8"),
        ({"box_hidden": 10**12}, "model.box_hidden: found 1000000000000; expected a whole number from 1 to 65,536"),
        ({"mask_hidden": True}, "model.mask_hidden: found True; expected a whole number from 1 to 65,536"),
        ({"mask_channels": []}, "model.mask_channels: found []; expected whole numbers from 1 to 65,536"),
        ({"mask_channels": [8, 0.5]}, "model.mask_channels: found [8, 0.5]; expected whole numbers from 1 to 65,536"),
        ({"anchor_sizes": None}, "model.anchor_sizes: found None; expected whole numbers from 1 to 65,536"),
        (
            {"trainable_backbone_layers": 6},
            "model.trainable_backbone_layers: found 6; expected a whole number from 0 to 5",
        ),
        ({"roi_levels": None}, "model.roi_levels: found None; expected some of ['0', '1', '2', '3']"),
        ({"norm_eps": NAN}, "model.norm_eps: found nan; expected a number ≥ 0"),
        ({"box_nms_thresh": "0.5"}, "model.box_nms_thresh: found '0.5'; expected a number ≥ 0"),
    ],
)
def test_options_that_no_part_knows_are_refused(
    network_options: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as error:
        SlowFastMaskRCNN(**network_options | options)
    assert str(error.value) == message


@pytest.mark.parametrize("parts", [["neck"], ["rpn", "neck"], "neck"])
def test_parts_that_are_none_are_not_frozen(network: Build, parts: list[str] | str) -> None:
    model = network()
    with pytest.raises(UserError, match=r"^freeze: found neck; expected some of backbone, rpn, slow_fast, roi_heads$"):
        model.freeze(parts)
    assert all(parameter.requires_grad for parameter in model.parameters())


def one_pixel(value: float) -> list[torch.Tensor]:
    frames = clip(3)
    frames[1][0, 5, 6] = value
    return frames


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("frames", "found"),
    [
        ([frame * 255 for frame in clip(3)], "values from 0"),
        *[(one_pixel(value), "values from ") for value in (-0.5, 1.5, NAN, INF, -INF)],
        *[([frame.to(kind) for frame in clip(3)], str(kind)) for kind in (torch.float64, torch.float16, torch.uint8)],
        ([np.zeros((3, 48, 72), np.float32)] * 3, "ndarray"),
        ([frame.to_sparse() for frame in clip(3)], "torch.sparse_coo"),
        ([frame.to("meta") for frame in clip(3)], "a tensor without values"),
    ],
)
def test_frames_are_float32_in_0_to_1(network: Build, frames: list[Any], found: str, training: bool) -> None:
    model = network().train(training)
    with pytest.raises(ValueError, match=rf"^frames: found {found}.*; expected ") as error:
        model(frames, [target(), None, None]) if training else model(frames)
    one_line(error)


@pytest.mark.parametrize("frames", [None, 5, torch.nn.Identity()])
def test_frames_and_targets_are_lists(network: Build, frames: Any) -> None:
    model = network()
    for call in (lambda: model(frames), lambda: model.train()(frames, [None])):
        with pytest.raises(ValueError, match=r"^frames: found \w+; expected a list of tensors$"):
            call()
    with pytest.raises(ValueError, match=r"^targets: found int; expected a list of targets, one or None per frame$"):
        model.train()(clip(1), 5)


def test_frames_that_interpolation_has_rounded_are_taken(network: Build) -> None:
    assert len(network()(one_pixel(1 + 1e-6))) == 3


def test_frames_have_one_size_in_all_chunks(network: Build) -> None:
    frames = [*clip(3), *clip(3, width=70)]
    with pytest.raises(ValueError, match=r"^frames: found \(48, 70\) after \(48, 72\); expected one size for all$"):
        network(chunk_length=3)(frames)


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in target().items() if name != key}


BOX, MASKS = r"finite \[xmin, ymin, xmax, ymax\]", r"\[1, 48, 72\]"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        *[(without(key), f"found no tensor '{key}'; expected boxes, labels and masks") for key in target()],
        ([1], "found no tensor 'boxes'"),
        ({**target(), "boxes": [[1, 2, 3, 4]]}, "found no tensor 'boxes'"),
        ({**target(), "boxes": torch.zeros(4)}, r"found boxes of shape \[4\]; expected \[4, 4\]"),
        ({**target(), "boxes": torch.zeros(1, 5)}, r"found boxes of shape \[1, 5\]; expected \[1, 4\]"),
        ({**target(), "labels": torch.ones(2, dtype=torch.int64)}, r"found labels of shape \[2\]; expected \[1\]"),
        ({**target(), "labels": torch.ones(1)}, "found boxes of torch.float32 and labels of torch.float32"),
        ({**target(), "labels": torch.tensor([2])}, r"found label 2; expected 1 \(the object\)"),
        ({**target(), "labels": torch.tensor([0])}, "found label 0"),
        ({**target(), "boxes": torch.tensor([[10, 8, 39, 29]])}, "found boxes of torch.int64"),
        *[
            ({**target(), "boxes": torch.tensor([box])}, rf"found box .*; expected {BOX}")
            for box in ([10.0, 8, 10, 29], [10.0, 30, 39, 29], [NAN, 8, 39, 29], [10, 8, INF, 29])
        ],
        ({**target(), "masks": target(width=70)["masks"]}, rf"found masks of shape .*; expected {MASKS}"),
        ({**target(), "masks": target()["masks"].repeat(2, 1, 1)}, rf"found masks of shape .*; expected {MASKS}"),
        ({**target(), "masks": target()["masks"] * NAN}, "found masks that are not finite"),
        ({**target(), "boxes": target()["boxes"].to("meta")}, "found boxes on meta; expected cpu, as its frame"),
        ({**target(), "masks": target()["masks"].to_sparse()}, "found masks of torch.sparse_coo; expected dense ones"),
    ],
)
def test_targets_are_complete_and_finite(network: Build, wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^targets\[1\]: {message}") as error:
        network().train()(clip(3), [None, wrong, target()])
    one_line(error)
