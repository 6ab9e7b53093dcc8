"""What tests of the model share: frames, targets, and weights under the names of 2020."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pytest
import torch
from slowfast_vos import SlowFastMaskRCNN
from torch import Tensor

Build = Callable[..., SlowFastMaskRCNN]
Target = dict[str, Tensor]


def clip(length: int, height: int = 48, width: int = 72) -> list[Tensor]:
    """Frames of a bright square that moves over noise."""
    frames = torch.rand((length, 3, height, width), generator=torch.Generator().manual_seed(0)) * 0.6
    for index, frame in enumerate(frames):
        frame[:, 8 : height // 2, 4 * index + 2 : 4 * index + 20] += 0.4
    return list(frames)


def target(left: int = 10, height: int = 48, width: int = 72) -> Target:
    """One object of 30 × 22 pixels."""
    masks = torch.zeros((1, height, width), dtype=torch.uint8)
    masks[0, 8:30, left : left + 30] = 1
    boxes = torch.tensor([[left, 8.0, left + 29, 29.0]])
    return {"boxes": boxes, "labels": torch.ones(1, dtype=torch.int64), "masks": masks}


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    """An error's text, which is one line."""
    text = str(error.value)
    assert len(text.splitlines()) == 1
    return text


def names_of_2020(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Mask R-CNN's tensors as torchvision named them in 2020, and names its COCO weights to this day."""
    old = {}
    for name, value in state.items():
        name = re.sub(r"((?:inner|layer)_blocks\.\d+)\.0\.", r"\1.", name)
        name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        name = re.sub(r"mask_head\.(\d+)\.0\.", lambda found: f"mask_head.mask_fcn{int(found[1]) + 1}.", name)
        old[name] = value
    assert len(old) == len(state)
    return old
