"""Why a job failed, in one line that says what to do."""

from __future__ import annotations

import logging

import torch

from slowfast_vos.errors import UserError
from slowfast_vos.training.loop import DivergedError

log = logging.getLogger(__name__)
LOWER = (
    "lower model.max_size or take precision: bf16, in inference model.chunk_length, in the parents' training "
    "parent.feature_cache_gib or parent.frames_per_step, in the detector's detector.batch_size"
)
# What CUDA and its libraries say where torch's allocator was not the one to fail.
FULL = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU's memory was too small."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in FULL)


def failure_of_configuration(error: Exception) -> str:
    """What the record of a failed configuration says; what is no matter of the configuration is raised again.

    Raises:
        Exception: `error` itself, where data are at fault, or a GPU that no further configuration could use.
    """
    if is_out_of_memory(error):
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


def out_of_memory(error: BaseException) -> str:
    """What torch says, and what to lower."""
    return f"out of GPU memory ({' '.join(str(error).split('. ')[0].split())}); {LOWER}"
