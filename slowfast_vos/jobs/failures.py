"""Why a job failed, in one line that says what to do."""

from __future__ import annotations

import logging

import torch

from slowfast_vos.errors import UserError
from slowfast_vos.training.loop import DivergedError

log = logging.getLogger(__name__)
LOWER = (
    "lower model.max_size or model.chunk_length; in training also detector.batch_size, parent.frames_per_step or "
    "parent.feature_cache_gib"
)


def failure_of_configuration(error: Exception) -> str:
    """What the record of a failed configuration says; what is no matter of the configuration is raised again.

    Raises:
        Exception: `error` itself, where data are at fault, or a GPU that no further configuration could use.
    """
    if isinstance(error, torch.OutOfMemoryError):
        torch.cuda.empty_cache()
        reason = out_of_memory(error)
    elif isinstance(error, DivergedError):
        reason = str(error)
    elif isinstance(error, UserError) or "CUDA error" in str(error):
        raise error
    else:
        log.exception("the configuration crashed")
        reason = f"{type(error).__name__}: {error}"
    reason = " ".join(reason.split())
    log.warning("failed: %s", reason)
    return reason


def out_of_memory(error: torch.OutOfMemoryError) -> str:
    """What torch says, and what to lower."""
    return f"out of GPU memory ({str(error).split('. ')[0]}); {LOWER}"
