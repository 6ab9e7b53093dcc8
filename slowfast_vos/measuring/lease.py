"""A GPU of its own for every job: Snakemake counts GPUs but does not say which job has which.

One lock file per device. It names the process that holds it, and the kernel frees it when that process dies.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from slowfast_vos.errors import UserError
from slowfast_vos.locks import Lock, try_lock
from slowfast_vos.measuring.gpus import Gpu, list_gpus, visible_gpus

log = logging.getLogger(__name__)
VARIABLE = "CUDA_VISIBLE_DEVICES"
SECONDS_BETWEEN_TRIES = 1.0
SECONDS_BETWEEN_LINES = 60.0
_lease: Lock | None = None


def lease_gpu(device: str, gpus: Sequence[Gpu] | None = None, folder: Path | None = None) -> str | None:
    """Take a GPU that no other job of this user has, and show this process no other; wait while all are taken.

    Call it before CUDA starts. The lease lasts as long as the process; a second call keeps the first one's device.

    Args:
        device: "auto", "cpu" or "cuda"; "cpu" takes none.
        gpus: the machine's devices; NVML's list if None.
        folder: where the lock files lie; the user's own folder if None.

    Returns:
        the device's UUID; None where no GPU is to be seen.

    Raises:
        UserError: the folder of the lock files is not the user's own, or cannot be written.
    """
    global _lease
    if device == "cpu":
        return None
    names = os.environ.get(VARIABLE)
    if _lease:
        return names
    listed = list_gpus() if gpus is None else gpus
    candidates = visible_gpus(listed, names)
    if not candidates:
        if listed and names and names.strip() != "-1":
            log.warning("%s=%s: names no GPU that the driver lists, so none is reserved", VARIABLE, names)
        return None
    # Devices that other programs use come last: their users take no lock here.
    candidates.sort(key=lambda gpu: gpu.processes)
    folder = own_folder() if folder is None else folder
    places = {gpu: folder / f"{gpu.uuid.replace('/', '-')}.lock" for gpu in candidates}
    gpu, _lease = _wait(places)
    _lease.write(f"process {os.getpid()} ({' '.join(sys.argv[1:])[:120]})\n")
    os.environ[VARIABLE] = gpu.uuid
    log.info("runs on %s", gpu)
    return gpu.uuid


def release() -> None:
    """Give the device back; only a process that runs several jobs one after another needs it."""
    global _lease
    if _lease:
        _lease.release()
        _lease = None


def own_folder(base: Path = Path("/tmp")) -> Path:
    """The folder that all jobs of a user on this host share.

    Neither in $TMPDIR nor in $XDG_RUNTIME_DIR, which differ between a user's sessions, and a cluster's jobs.

    Raises:
        UserError: somebody else made a folder of this name.
    """
    folder = base / f"slowfast-vos-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); locks of GPUs lie there") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UserError(f"{folder}: found another user's; expected a folder of this user, for locks of GPUs")
    return folder


def _wait(places: dict[Gpu, Path]) -> tuple[Gpu, Lock]:
    said = None
    while True:
        for gpu, path in places.items():
            if lock := try_lock(path):
                return gpu, lock
        now = time.monotonic()
        if said is None or now - said >= SECONDS_BETWEEN_LINES:
            said = now
            holders = "; ".join(f"{gpu} is held by {_holder(path)}" for gpu, path in places.items())
            log.info("waits for a GPU: %s", holders)
        time.sleep(SECONDS_BETWEEN_TRIES)


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or "a process that just began"
    except OSError as error:
        return f"an unknown process ({error.strerror})"
