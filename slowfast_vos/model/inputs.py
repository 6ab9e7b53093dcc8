"""What a network is given: frames and targets, each refused by name where it cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

SLACK = 1e-3  # what a frame may lie beyond 0 and 1, as interpolation rounds
Target = dict[str, Tensor]


def check_clip(frames: Any, targets: Any = ()) -> None:
    """Raise ValueError unless frames can be iterated, and in training both are lists."""
    if not isinstance(frames, Iterable):
        raise ValueError(f"frames: found {type(frames).__name__}; expected a list of tensors")
    if not (targets is None or isinstance(targets, Sequence)):
        raise ValueError(f"targets: found {type(targets).__name__}; expected a list of targets, one or None per frame")


def check_frames(frames: Sequence[Any]) -> None:
    """Raise ValueError unless all frames are float32 tensors `[3, H, W]` of one size."""
    for frame in frames:
        if not isinstance(frame, Tensor) or frame.dtype != torch.float32:
            found = frame.dtype if isinstance(frame, Tensor) else type(frame).__name__
            raise ValueError(f"frames: found {found}; expected tensors of torch.float32")
        if frame.layout != torch.strided or frame.is_meta:
            found = "a tensor without values" if frame.is_meta else frame.layout
            raise ValueError(f"frames: found {found}; expected dense tensors")
    shapes = {tuple(frame.shape) for frame in frames}
    if len(shapes) != 1 or len(shape := next(iter(shapes))) != 3 or shape[0] != 3:
        raise ValueError(f"frames: found shapes {sorted(shapes)}; expected [3, H, W], one size for all")


def check_range(frames: Sequence[Tensor]) -> None:
    """Raise ValueError unless all values lie from 0 to 1."""
    least, most = zip(*(frame.aminmax() for frame in frames), strict=True)
    low, high = torch.stack([torch.stack(least).min(), torch.stack(most).max()]).tolist()  # NaN where any value is
    if not (low >= -SLACK and high <= 1 + SLACK):
        raise ValueError(f"frames: found values from {low:g} to {high:g}; expected 0 to 1")


def check_targets(targets: Sequence[Target | None], frames: Sequence[Tensor]) -> None:
    """Raise ValueError unless each target has finite boxes with a width and a height, labels 1, and a mask for each."""
    for index, (target, frame) in enumerate(zip(targets, frames, strict=True)):
        if target is not None:
            _check_target(f"targets[{index}]", target, frame)


def _check_target(name: str, target: Target, frame: Tensor) -> None:
    tensors = target if isinstance(target, Mapping) else {}
    if missing := [key for key in ("boxes", "labels", "masks") if not isinstance(tensors.get(key), Tensor)]:
        raise ValueError(f"{name}: found no tensor {missing[0]!r}; expected boxes, labels and masks")
    boxes, labels, masks = (target[key] for key in ("boxes", "labels", "masks"))
    for key in ("boxes", "labels", "masks"):
        if target[key].device != frame.device:
            raise ValueError(f"{name}: found {key} on {target[key].device}; expected {frame.device}, as its frame")
        if target[key].layout != torch.strided:
            raise ValueError(f"{name}: found {key} of {target[key].layout}; expected dense ones")
    count = len(boxes) if boxes.ndim else 0
    shapes = {"boxes": (count, 4), "labels": (count,), "masks": (count, *frame.shape[-2:])}
    for key, shape in shapes.items():
        if tuple(target[key].shape) != shape:
            raise ValueError(f"{name}: found {key} of shape {list(target[key].shape)}; expected {list(shape)}")
    if not boxes.is_floating_point() or labels.dtype != torch.int64:
        found = f"boxes of {boxes.dtype} and labels of {labels.dtype}"
        raise ValueError(f"{name}: found {found}; expected floating point and torch.int64")
    good = boxes.isfinite().all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)
    if not (good & (labels == 1)).all():
        what, values = ("box", boxes[~good]) if not good.all() else ("label", labels[labels != 1])
        expected = "finite [xmin, ymin, xmax, ymax], xmin < xmax, ymin < ymax" if what == "box" else "1 (the object)"
        raise ValueError(f"{name}: found {what} {values[0].tolist()}; expected {expected}")
    if masks.is_floating_point() and not masks.isfinite().all():
        raise ValueError(f"{name}: found masks that are not finite; expected 0 and 1")
