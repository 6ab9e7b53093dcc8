"""Why a job failed, in one line that says what to do."""

from __future__ import annotations

import logging
import traceback

import torch

from slowfast_vos.errors import LostError, UserError
from slowfast_vos.measuring.devices import is_out_of_memory
from slowfast_vos.training.loop import DivergedError

log = logging.getLogger(__name__)
LOWER = (
    "lower model.max_size or take precision: bf16, in inference model.chunk_length, in the parents' training "
    "parent.feature_cache_gib or parent.frames_per_step, in the detector's detector.batch_size"
)


class DiedError(UserError):
    """Every process that has tried this so far died of it (see `attempts.attempt`)."""


def takes_the_process(error: BaseException) -> bool:
    """Whether this process can compute nothing more, since its GPU is gone."""
    return isinstance(error, LostError) or ("CUDA error" in str(error) and not is_out_of_memory(error))


def failure_of_configuration(error: Exception) -> str:
    """What the record of a failed configuration says; what is no matter of the configuration is raised again.

    Raises:
        Exception: `error` itself, where data are at fault, or the process can go on with no other configuration (see
            `attempts.attempt`).
    """
    if is_out_of_memory(error):
        traceback.clear_frames(error.__traceback__)  # they hold the network and its graph
        torch.cuda.empty_cache()
        reason = out_of_memory(error)
    elif isinstance(error, DivergedError | DiedError):
        reason = str(error)
    elif isinstance(error, UserError) or takes_the_process(error):
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
