"""Mixed precision: the parts that do nearly all operations run in bfloat16, and hand on float32.

Boxes are never decoded in bfloat16, whose steps are of 8 pixels at a coordinate of 1,333.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]


def mixed(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Within it, torch runs in bfloat16 what it may, if `precision` is "bf16"."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
