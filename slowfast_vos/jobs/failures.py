"""Why a job failed, in one line that says what to do; a configuration's failure or crash is its own."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from slowfast_vos.errors import LostError, UserError
from slowfast_vos.files import read_json, write_json
from slowfast_vos.measuring.devices import is_out_of_memory
from slowfast_vos.training.loop import DivergedError

log = logging.getLogger(__name__)
# As often as the cluster's profile retries a job.
MAX_CRASHES = 2
LOWER = (
    "lower model.max_size or take precision: bf16, in inference model.chunk_length, in the parents' training "
    "parent.feature_cache_gib or parent.frames_per_step, in the detector's detector.batch_size"
)


class CrashedError(UserError):
    """Every process that has tried this so far crashed (see `counted_crashes`)."""


def is_lost(error: BaseException) -> bool:
    """Whether this process can compute nothing more, since its GPU is gone."""
    return isinstance(error, LostError) or ("CUDA error" in str(error) and not is_out_of_memory(error))


@contextmanager
def explained() -> Iterator[None]:
    """Put torch's errors about a full GPU (UserError) or a lost one (LostError) into one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise UserError(out_of_memory(error)) from error
        if is_lost(error):
            log.error("%s", "".join(traceback.format_exception(error)).rstrip())
            raise LostError(f"{type(error).__name__}: {error}") from error
        raise


def failure_of_configuration(error: Exception) -> str:
    """The line for a failed configuration's record; what is at fault in the data or the machine is raised again."""
    if is_out_of_memory(error):
        traceback.clear_frames(error.__traceback__)  # they hold the network and its graph
        torch.cuda.empty_cache()
        reason = out_of_memory(error)
    elif isinstance(error, DivergedError | CrashedError):
        reason = str(error)
    elif isinstance(error, UserError) or is_lost(error):
        raise error
    else:
        log.warning("the configuration crashed\n%s", "".join(traceback.format_exception(error)).rstrip())
        reason = f"{type(error).__name__}: {error}"
    reason = " ".join(reason.split())
    log.warning("failed: %s", reason)
    return reason


def out_of_memory(error: BaseException) -> str:
    """What torch says, and what to lower."""
    return f"out of GPU memory ({' '.join(str(error).split('. ')[0].split())}); {LOWER}"


@contextmanager
def counted_crashes(folder: Path) -> Iterator[None]:
    """Count the crashes of the process that computes a configuration, so that not every retry crashes again.

    A crash is a kill, a full host memory or a lost GPU with no training state saved since the crash before. An error
    of the configuration's own does not count, nor does a request to stop.

    Args:
        folder: where the training states of the configuration (`*.pt`) are saved, and the count.

    Raises:
        CrashedError: it crashed `MAX_CRASHES` times; the count starts again.
    """
    path = folder / "crashes.json"
    saved = sorted(f"{state.name} {state.stat().st_mtime_ns}" for state in folder.glob("[!.]*.pt"))
    before = read_json(path) if path.is_file() else {}
    crashes = before["crashes"] if before.get("saved") == saved else 0
    if crashes >= MAX_CRASHES:
        path.unlink()
        causes = "killed, the host's memory full, or a CUDA error"
        raise CrashedError(f"its process died {crashes} times without getting further ({causes})")
    write_json(path, {"crashes": crashes + 1, "saved": saved})
    try:
        yield
    except BaseException as error:
        if not is_lost(error):
            path.unlink()
        raise
    path.unlink()
