"""Weights on disk: our safetensors with their configuration inside, and what others publish."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from slowfast_vos.errors import UserError
from slowfast_vos.files import atomic_write


def save_checkpoint(path: str | PathLike[str], model: nn.Module, about: Mapping[str, Any]) -> None:
    """Save a state dict as safetensors, with `about` (JSON-like) in the file's header."""
    state = {name: value.detach().contiguous().cpu() for name, value in model.state_dict().items()}
    with atomic_write(path) as temporary:
        # Written by Python, whose errors say what is wrong with the disk.
        temporary.write_bytes(save(state, metadata={"about": json.dumps(about, sort_keys=True)}))


def read_checkpoint(path: str | PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_checkpoint` wrote: the tensors, and what they are about.

    Raises:
        UserError: the file is missing, or is not such a checkpoint.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: missing; expected a checkpoint (safetensors)")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            if not isinstance(about, dict):
                raise ValueError(f"found {type(about).__name__} in its header; expected keys and values")
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118
    except (SafetensorError, ValueError, RecursionError, OSError) as error:
        raise UserError(f"{path}: cannot be read; expected a safetensors checkpoint ({error})") from error


def read_torch_checkpoint(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Read a state dict saved by `torch.save`, on the CPU and without running code from the file.

    A training checkpoint that wraps its state dict (`model`, `state_dict`, …) is unwrapped.

    Raises:
        UserError: the file is missing, unreadable, or holds no state dict.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader raises nearly anything, depending on the bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "weights_only" in str(error):  # torch then advises to run the file's code
            reason = "it holds more than tensors, or is damaged"
        raise UserError(f"{path}: cannot be read; expected a checkpoint saved by torch ({reason})") from error
    for key in ("model_state_dict", "state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise UserError(f"{path}: found no state dict; expected tensors by name")
    return dict(loaded)


def load_state(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Load a state dict that fits exactly, under the names that torchvision gives its parts today or gave them in 2020.

    Raises:
        UserError: names every tensor that is missing, left over, or of another shape; or one that is not finite or not
            of floating point.
    """
    for name, value in state.items():
        if not value.is_floating_point() and not name.endswith("num_batches_tracked"):
            raise UserError(f"{source}: {name}: found {value.dtype}; expected weights of floating point")
        if not value.isfinite().all():
            raise UserError(f"{source}: {name}: found values that are not finite; expected finite weights")
    try:
        model.load_state_dict(state)  # torchvision's modules translate the names of 2020
    except RuntimeError as error:
        raise UserError(f"{source}: does not fit this model; {' '.join(str(error).split())}") from error
