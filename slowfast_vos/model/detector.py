"""Mask R-CNN with two classes (background, object), the network that the SlowFast module is put into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from inspect import signature
from math import inf
from numbers import Integral, Real
from typing import Any, get_args

from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNN, MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import AnchorGenerator

from slowfast_vos.errors import UserError
from slowfast_vos.model.backbones import ALL_LAYERS, BackboneFPN, Precision
from slowfast_vos.model.roi_align import SeparableRoIAlign

# Torchvision's own constructor takes any other keyword in silence.
TORCHVISION_OPTIONS = frozenset({*signature(MaskRCNN).parameters, "size_divisible", "fixed_size"} - {"kwargs"})
CLASSES = 2
ROI_LEVELS = ("0", "1", "2", "3")
ROI_SIZE = 7
MASK_ROI_SIZE = 14
MOST = 65_536  # of any count or width


def build_detector(
    *,
    backbone: str = "resnet50",
    trainable_backbone_layers: int = ALL_LAYERS,
    fpn_channels: int = 256,
    box_hidden: int = 1024,
    mask_channels: Sequence[int] = (256, 256, 256, 256),
    mask_hidden: int = 256,
    anchor_sizes: Sequence[int] = (32, 64, 128, 256, 512),
    roi_levels: Sequence[str] = ROI_LEVELS,
    box_detections_per_img: int = 10,
    precision: Precision = "fp32",
    norm_eps: float = 0.0,
    **torchvision_options: Any,
) -> MaskRCNN:
    """Build a randomly initialised Mask R-CNN; the defaults are the paper's `maskrcnn_resnet50_fpn`.

    Args:
        backbone: name as in `BackboneFPN`.
        trainable_backbone_layers: how many of its five layers train; torchvision's own builders freeze the first two.
        fpn_channels: channels of every FPN level, a multiple of 8.
        box_hidden: width of the box head's two layers.
        mask_channels: channels of the mask head's convolutions.
        mask_hidden: channels of the mask predictor.
        anchor_sizes: side of the anchors in pixels, one for each of the five levels.
        roi_levels: FPN levels that RoIs are pooled from; the finest alone suits small frames.
        box_detections_per_img: detections kept per frame.
        precision: of backbone and FPN, "fp32" or "bf16"; RPN and RoI heads run in float32, since bfloat16 has steps of
            8 pixels at a coordinate of 1,333.
        norm_eps: what a ResNet's frozen batch norm adds to its variances: nothing in 2020, and with torchvision's COCO
            weights to this day; 1e-5 with ImageNet weights, some of whose variances are nearly 0.
        torchvision_options: further keywords of torchvision's `MaskRCNN` (min_size, box_score_thresh, …).

    Raises:
        UserError: no such option or backbone, not five anchor sizes, no such level or precision, or a width that
            cannot be divided.
    """
    _check_numbers(locals() | torchvision_options)
    if not isinstance(backbone, str):
        raise UserError(
            f"model.backbone: found {backbone!r}; expected the name of a torchvision ResNet or a timm model"
        )
    if fpn_channels % 8:
        raise UserError(f"model.fpn_channels: found {fpn_channels}; expected a multiple of 8, at least 8")
    if not isinstance(roi_levels, list | tuple) or not roi_levels or any(one not in ROI_LEVELS for one in roi_levels):
        raise UserError(f"model.roi_levels: found {roi_levels!r}; expected some of {list(ROI_LEVELS)}")
    if len(anchor_sizes) != 5:
        raise UserError(f"model.anchor_sizes: found {len(anchor_sizes)} sizes; expected 5, one a level")
    if precision not in get_args(Precision):
        raise UserError(f'precision: found {precision!r}; expected "fp32" or "bf16"')
    if unknown := sorted(set(torchvision_options) - TORCHVISION_OPTIONS):
        alike = get_close_matches(unknown[0], [*TORCHVISION_OPTIONS, *build_detector.__kwdefaults__], 1)
        expected = (
            f"did you mean {alike[0]}?" if alike else "expected those of build_detector and torchvision's MaskRCNN"
        )
        raise UserError(f"model.{unknown[0]}: unknown option; {expected}")
    return MaskRCNN(
        BackboneFPN(backbone, fpn_channels, trainable_backbone_layers, precision, norm_eps),
        rpn_anchor_generator=AnchorGenerator(tuple((size,) for size in anchor_sizes), ((0.5, 1.0, 2.0),) * 5),
        box_roi_pool=SeparableRoIAlign(list(roi_levels), ROI_SIZE, sampling_ratio=2),
        mask_roi_pool=SeparableRoIAlign(list(roi_levels), MASK_ROI_SIZE, sampling_ratio=2),
        box_head=TwoMLPHead(fpn_channels * ROI_SIZE**2, box_hidden),
        box_predictor=FastRCNNPredictor(box_hidden, CLASSES),
        mask_head=MaskRCNNHeads(fpn_channels, tuple(mask_channels), dilation=1),
        mask_predictor=MaskRCNNPredictor(mask_channels[-1], mask_hidden, CLASSES),
        box_detections_per_img=box_detections_per_img,
        **torchvision_options,
    )


def _check_numbers(options: Mapping[str, Any]) -> None:
    """Raise UserError for an option that is no number, or no list of them, where its default is."""
    defaults = {
        name: one.default for name, one in signature(MaskRCNN).parameters.items()
    } | build_detector.__kwdefaults__
    for name, value in options.items():
        default = defaults.get(name)
        least, most = (0, ALL_LAYERS) if name == "trainable_backbone_layers" else (1, MOST)
        if isinstance(default, float):
            fits, expected = isinstance(value, Real) and 0 <= value < inf, "a number ≥ 0"
        elif isinstance(default, int) or name in ("mask_channels", "anchor_sizes"):
            several = isinstance(value, list | tuple) and (isinstance(default, tuple) or name == "min_size")
            fits = bool(value) if several else not isinstance(default, tuple)
            fits &= all(isinstance(one, Integral) and least <= one <= most for one in (value if several else [value]))
            expected = f"{'whole numbers' if isinstance(default, tuple) else 'a whole number'} from {least} to {most:,}"
        else:
            continue
        if not fits or isinstance(value, bool):
            raise UserError(f"model.{name}: found {value!r}; expected {expected}")
