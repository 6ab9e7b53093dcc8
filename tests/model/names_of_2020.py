"""Mask R-CNN's tensors under the names that torchvision gave them in 2020, as its COCO weights still have them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor


def names_of_2020(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors; torchvision itself loads them (its modules of version 2 rename what is older)."""
    old = {}
    for name, value in state.items():
        name = re.sub(r"((?:inner|layer)_blocks\.\d+)\.0\.", r"\1.", name)
        name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        name = re.sub(r"mask_head\.(\d+)\.0\.", lambda found: f"mask_head.mask_fcn{int(found[1]) + 1}.", name)
        old[name] = value
    assert len(old) == len(state)
    return old
