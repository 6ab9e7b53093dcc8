"""The paper's numbers of parameters, exactly. Built without memory: only shapes count."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.model.backbones import BackboneFPN
from torch import nn
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

# Setup: SlowFast module, trained in the unsupervised stage, all.
COUNTS = {
    (1, 1): (1_499_456, 18_028_620, 45_421_851),
    (3, 3): (2_476_352, 19_005_516, 46_398_747),
    (7, 7): (4_485_440, 21_014_604, 48_407_835),
    (1, 7): (1_696_064, 18_225_228, 45_618_459),
    (3, 7): (2_648_384, 19_177_548, 46_570_779),
}
MASK_RCNN = {
    "backbone.body": 23_454_912,
    "backbone.fpn": 3_344_384,
    "rpn": 593_935,
    "roi_heads.box_head": 13_895_680,
    "roi_heads.box_predictor": 10_250,
    "roi_heads.mask_head": 2_360_320,
    "roi_heads.mask_predictor": 262_914,
}


def count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def paper_network(slow: int, fast: int) -> SlowFastMaskRCNN:
    with torch.device("meta"):
        return SlowFastMaskRCNN(slow, fast)


@pytest.mark.parametrize(("setup", "counts"), COUNTS.items(), ids=lambda value: str(value))
def test_parameters_are_the_papers(setup: tuple[int, int], counts: tuple[int, int, int]) -> None:
    model = paper_network(*setup)
    slow_fast, trained, total = counts
    assert count(model.slow_fast.parameters()) == slow_fast
    assert count(model.parameters()) == total
    model.freeze(("backbone", "rpn"))
    assert count(p for p in model.parameters() if p.requires_grad) == trained


def test_mask_rcnn_alone_has_the_papers_parts() -> None:
    maskrcnn = paper_network(3, 7).maskrcnn_model
    assert {name: count(maskrcnn.get_submodule(name).parameters()) for name in MASK_RCNN} == MASK_RCNN
    assert count(maskrcnn.parameters()) == sum(MASK_RCNN.values()) == 43_922_395


def test_the_defaults_are_the_papers() -> None:
    model = paper_network(3, 7)
    maskrcnn = model.maskrcnn_model
    heads, transform, rpn = maskrcnn.roi_heads, maskrcnn.transform, maskrcnn.rpn
    assert (transform.min_size, transform.max_size, transform.size_divisible) == ((800,), 1333, 32)
    assert transform.image_mean == [0.485, 0.456, 0.406]
    assert transform.image_std == [0.229, 0.224, 0.225]
    assert (heads.score_thresh, heads.nms_thresh, heads.detections_per_img) == (0.05, 0.5, 10)
    assert heads.box_roi_pool.featmap_names == heads.mask_roi_pool.featmap_names == ["0", "1", "2", "3"]
    assert rpn.nms_thresh == 0.7
    assert rpn._post_nms_top_n == {"training": 2000, "testing": 1000}
    assert rpn.anchor_generator.sizes == ((32,), (64,), (128,), (256,), (512,))
    assert model.border == "zeros"


def test_names_are_torchvisions_and_the_authors() -> None:
    names = set(paper_network(3, 7).state_dict())
    with torch.device("meta"):
        from torchvision.models.detection import maskrcnn_resnet50_fpn

        theirs = set(maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict())
    assert {name.removeprefix("maskrcnn_model.") for name in names if name.startswith("maskrcnn_model.")} == {
        name for name in theirs if not name.endswith("num_batches_tracked")
    }
    layers = {name.split(".")[1] for name in names if name.startswith("slow_fast.")}
    assert layers == {
        *(f"{pathway}_conv{layer}" for pathway in ("fast", "slow") for layer in (1, 2, 3)),
        *(f"bn_{pathway}{layer}" for pathway in ("f", "s") for layer in (1, 2, 3)),
        *(f"{kind}_f2s{layer}" for kind in ("conv", "bn") for layer in (1, 2)),
    }


@pytest.mark.parametrize("layers", range(6))
def test_the_resnet_is_torchvisions_and_trains_the_same_layers(layers: int) -> None:
    torch.manual_seed(0)
    theirs = resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=layers)
    torch.manual_seed(0)
    ours = BackboneFPN("resnet18", 256, layers, "fp32", 0.0)
    assert list(ours.state_dict()) == list(theirs.state_dict())  # no batch norm that trains
    for parameter, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert parameter.requires_grad == other.requires_grad
        assert torch.equal(parameter, other)
