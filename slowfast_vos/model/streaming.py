"""Inference on a whole video: every frame is encoded once, and memory is bounded by the chunk, not the video.

The SlowFast module is a valid convolution over time, so one pass over `chunk + fast − 1` frames of features gives
what a window per frame gives, at a fraction of the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.mask_rcnn import MaskRCNN
from torchvision.models.detection.roi_heads import expand_boxes, expand_masks, paste_masks_in_image
from torchvision.models.detection.transform import resize_boxes

from slowfast_vos.model.inputs import check_frames, check_range
from slowfast_vos.setups import Setup

MASK_THRESHOLD = 0.5
Features = dict[str, Tensor]
T = TypeVar("T")


class Network(Protocol):
    """What streaming needs of a `SlowFastMaskRCNN`."""

    setup: Setup
    border: str
    chunk_length: int
    roi_levels: tuple[str, ...]
    maskrcnn_model: MaskRCNN
    slow_fast: nn.Module

    def encode(self, images: Tensor) -> Features: ...


class Chunk(NamedTuple):
    """Consecutive frames as the RoI heads need them; sizes are heights and widths."""

    features: Features  # FPN levels, each [T, C, h, w]
    proposals: list[Tensor]  # of each frame, [P, 4], in pixels of the resized frame
    image_size: tuple[int, int]  # of the resized frame
    original_size: tuple[int, int]


class Detection(NamedTuple):
    """Detections of one frame, masks still in their boxes."""

    boxes: Tensor  # [N, 4], in pixels of the frame itself
    labels: Tensor  # [N]
    scores: Tensor  # [N]
    masks: Tensor  # [N, 1, M, M], probabilities within the box
    size: tuple[int, int]  # height and width of the frame


def batches(items: Iterable[T], length: int) -> Iterator[list[T]]:
    """Runs of `length` items, the last one shorter."""
    items = iter(items)
    return iter(lambda: list(islice(items, length)), [])


@torch.inference_mode()
def encode_chunk(model: Network, frames: Sequence[Tensor]) -> Chunk:
    """Run backbone, FPN and RPN once on consecutive frames, each `[3, H, W]` in [0, 1]."""
    device = next(model.maskrcnn_model.parameters()).device
    check_frames(frames)
    frames = [frame.to(device, non_blocking=True) for frame in frames]
    check_range(frames)
    images = model.maskrcnn_model.transform(frames)[0]
    features = model.encode(images.tensors)
    proposals = model.maskrcnn_model.rpn(images, features)[0]
    used = {level: features[level] for level in model.roi_levels}
    return Chunk(used, proposals, images.image_sizes[0], tuple(frames[0].shape[-2:]))


def detect(model: Network, frames: Iterable[Tensor]) -> Iterator[Detection]:
    """Detect the objects of one video, frame by frame, holding about `chunk_length` + `fast` − 1 frames of features.

    Args:
        model: in evaluation mode.
        frames: consecutive frames, each `[3, H, W]` in [0, 1], of one size; may be a generator.
    """
    return detect_chunks(model, (encode_chunk(model, some) for some in batches(frames, model.chunk_length)))


def detect_chunks(model: Network, chunks: Iterable[Chunk]) -> Iterator[Detection]:
    """As `detect`, from frames that are already encoded."""
    before, after = model.setup.before, model.setup.after
    features: Features = {}
    waiting: list[Tensor] = []
    done = 0
    for chunk in chunks:
        if not features:
            features = {level: beyond(model.border, maps[:1], before) for level, maps in chunk.features.items()}
            sizes = chunk.image_size, chunk.original_size
        if chunk.original_size != sizes[1]:
            raise ValueError(f"frames: found {chunk.original_size} after {sizes[1]}; expected one size for all")
        features = {level: torch.cat([features[level], maps]) for level, maps in chunk.features.items()}
        waiting += chunk.proposals
        ready = len(next(iter(features.values()))) - before - after
        if ready > 0:
            yield from _detect_ready(model, features, waiting[:ready], sizes, done)
            done += ready
            features = {level: maps[ready:] for level, maps in features.items()}
            waiting = waiting[ready:]
    if waiting:
        features = {
            level: torch.cat([maps, beyond(model.border, maps[-1:], after)]) for level, maps in features.items()
        }
        yield from _detect_ready(model, features, waiting, sizes, done)


def beyond(border: str, end: Tensor, count: int) -> Tensor:
    """Features `[count, C, h, w]` of the frames beyond the video's first or last frame `[1, C, h, w]`."""
    end = torch.zeros_like(end) if border == "zeros" else end
    return end.expand(count, -1, -1, -1)


@torch.inference_mode()
def _detect_ready(
    model: Network,
    features: Features,
    proposals: list[Tensor],
    sizes: tuple[tuple[int, int], tuple[int, int]],
    first: int,
) -> list[Detection]:
    """RoI heads on the frames from `first` on whose whole window is there: the others of `features` are context."""
    # [T, C, h, w] → [1, C, T, h, w] → the module → [len(proposals), C, h, w]
    enhanced = {
        level: model.slow_fast(maps.transpose(0, 1)[None], first)[0].transpose(0, 1) for level, maps in features.items()
    }
    resized, original = sizes
    found, _ = model.maskrcnn_model.roi_heads(enhanced, proposals, [resized] * len(proposals))
    return [
        Detection(resize_boxes(one["boxes"], resized, original), one["labels"], one["scores"], one["masks"], original)
        for one in found
    ]


def paste(detection: Detection) -> dict[str, Tensor]:
    """torchvision's form of a detection: masks `[N, 1, H, W]`, probabilities at the frame's size."""
    masks = paste_masks_in_image(detection.masks, detection.boxes, detection.size)
    return {"boxes": detection.boxes, "labels": detection.labels, "scores": detection.scores, "masks": masks}


@torch.inference_mode()
def foreground(detection: Detection) -> Tensor:
    """All detections OR-ed into one mask, `[H, W]` bool: mask probability ≥ 0.5 (paper, section 4).

    Equal to thresholding `paste`, without a full-size canvas per detection.
    """
    canvas = torch.zeros(detection.size, dtype=torch.bool)
    for rows, columns, inside in _pasted(detection):
        canvas[rows, columns] |= inside
    return canvas


@torch.inference_mode()
def instances(detection: Detection) -> Tensor:
    """Which detection is on top, `[H, W]` uint8: 1 + its index, and the best score is on top; 0 is the ground.

    Raises:
        ValueError: there are more detections than 255.
    """
    if len(detection.scores) > 255:
        raise ValueError(f"found {len(detection.scores)} detections; expected 255 at most")
    canvas, pasted = torch.zeros(detection.size, dtype=torch.uint8), list(_pasted(detection))
    for index in detection.scores.argsort(stable=True).tolist():
        rows, columns, inside = pasted[index]
        canvas[rows, columns][inside] = 1 + index
    return canvas


def _pasted(detection: Detection) -> Iterator[tuple[slice, slice, Tensor]]:
    """Where each detection's box lies in the frame, and which pixels there are the object's, `[h, w]` bool."""
    height, width = detection.size
    if not len(detection.boxes):
        return
    masks, scale = expand_masks(detection.masks.float().cpu(), padding=1)
    boxes = expand_boxes(detection.boxes.float().cpu(), scale).to(torch.int64).tolist()
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        size = (max(y1 - y0 + 1, 1), max(x1 - x0 + 1, 1))
        pasted = F.interpolate(mask[None], size=size, mode="bilinear", align_corners=False)[0, 0]
        top, left = max(y0, 0), max(x0, 0)
        bottom, right = max(min(y1 + 1, height), top), max(min(x1 + 1, width), left)
        inside = pasted[top - y0 : bottom - y0, left - x0 : right - x0] >= MASK_THRESHOLD
        yield slice(top, bottom), slice(left, right), inside


def predict_masks(
    model: Network, frames: Iterable[Tensor], chunks: Iterable[Chunk] | None = None
) -> Iterable[np.ndarray]:
    """Foreground masks `[H, W]` uint8 of a video's frames, one at a time: 1 where any detection is.

    `frames` are as for `detect`, and not read where `chunks` hold them encoded by the same backbone and RPN.
    """
    detections = detect(model, frames) if chunks is None else detect_chunks(model, chunks)
    return (foreground(detection).numpy().astype(np.uint8) for detection in detections)
