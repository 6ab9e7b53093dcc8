"""Mask R-CNN with two classes (background, object), the network that the SlowFast module is put into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNN, MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import AnchorGenerator

from slowfast_vos.errors import UserError
from slowfast_vos.model.backbones import FPN_CHANNELS, build_backbone

CLASSES = 2
ROI_SIZE = 7
ASPECT_RATIOS = (0.5, 1.0, 2.0)


def build_detector(
    *,
    backbone: str = "resnet50",
    fpn_channels: int = FPN_CHANNELS,
    box_hidden: int = 1024,
    mask_channels: Sequence[int] = (256, 256, 256, 256),
    mask_hidden: int = 256,
    anchor_sizes: Sequence[int] = (32, 64, 128, 256, 512),
    box_detections_per_img: int = 10,
    **torchvision_options: Any,
) -> MaskRCNN:
    """Build a randomly initialised Mask R-CNN; the defaults are the paper's `maskrcnn_resnet50_fpn`.

    Args:
        backbone: name as in `build_backbone`.
        fpn_channels: channels of every FPN level.
        box_hidden: width of the box head's two layers.
        mask_channels: channels of the mask head's convolutions.
        mask_hidden: channels of the mask predictor.
        anchor_sizes: side of the anchors in pixels, one for each of the five levels.
        box_detections_per_img: detections kept per frame.
        torchvision_options: further keywords of torchvision's `MaskRCNN` (min_size, box_score_thresh, …).

    Raises:
        UserError: no such backbone, or not five anchor sizes.
    """
    if len(anchor_sizes) != 5:
        raise UserError(f"model.anchor_sizes: found {len(anchor_sizes)} sizes; expected 5, one a level")
    anchors = AnchorGenerator(tuple((size,) for size in anchor_sizes), (ASPECT_RATIOS,) * 5)
    return MaskRCNN(
        build_backbone(backbone, fpn_channels),
        rpn_anchor_generator=anchors,
        box_head=TwoMLPHead(fpn_channels * ROI_SIZE**2, box_hidden),
        box_predictor=FastRCNNPredictor(box_hidden, CLASSES),
        mask_head=MaskRCNNHeads(fpn_channels, tuple(mask_channels), dilation=1),
        mask_predictor=MaskRCNNPredictor(mask_channels[-1], mask_hidden, CLASSES),
        box_detections_per_img=box_detections_per_img,
        **torchvision_options,
    )
