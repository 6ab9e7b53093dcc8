"""The GPUs of this machine, and a lock for each: Snakemake counts GPUs but does not say which job has which.

Needs no torch, since every parse of the Snakefile asks for the GPUs.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from slowfast_vos.errors import UserError
from slowfast_vos.jobs.runner import try_lock, wait_for

log = logging.getLogger(__name__)
VARIABLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Gpu:
    """A GPU: its UUID, its index as nvidia-smi counts, and how many processes of any user compute on it now."""

    uuid: str
    index: int
    processes: int = 0


def list_gpus() -> list[Gpu]:
    """Every GPU, in nvidia-smi's order; none where there is no driver that answers."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    found = []
    try:
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                processes = len(pynvml.nvmlDeviceGetComputeRunningProcesses(handle))
                found.append(Gpu(pynvml.nvmlDeviceGetUUID(handle), index, processes))
            except pynvml.NVMLError as error:  # lost, or not accessible
                log.warning("GPU %d is ignored: its driver says %s", index, error)
    finally:
        pynvml.nvmlShutdown()
    return found


def visible_gpus(gpus: Sequence[Gpu], names: str | None) -> list[Gpu]:
    """The GPUs that CUDA_VISIBLE_DEVICES lets a process see.

    Args:
        names: the variable's value: indices as nvidia-smi counts, UUIDs, or beginnings of UUIDs. As in CUDA, the first
            name that matches nothing (such as -1) ends the list. None (not set) means all.
    """
    if names is None:
        return list(gpus)
    found: list[Gpu] = []
    for name in map(str.strip, names.split(",")):
        matching = [gpu for gpu in gpus if name == str(gpu.index) or (name[:4] == "GPU-" and gpu.uuid.startswith(name))]
        if not matching:
            break
        found += [gpu for gpu in matching[:1] if gpu not in found]
    return found


def gpus_per_job(device: str) -> int:
    """GPUs that a training job asks for: one for "cuda", and for "auto" where there is one."""
    if device == "auto":
        return int(bool(visible_gpus(list_gpus(), os.environ.get(VARIABLE))))
    return int(device == "cuda")


@contextmanager
def gpu_lock(device: str) -> Iterator[str | None]:
    """Hold the lock of a GPU that no other job of this user has, and show this process no other GPU from now on.

    Enter it before CUDA starts; waits while all GPUs are taken. Yields the GPU's UUID; None where none is visible.

    Args:
        device: "auto", "cpu" or "cuda"; "cpu" takes none.

    Raises:
        UserError: the folder of the lock files is not the user's own, or cannot be written.
    """
    names = os.environ.get(VARIABLE)
    listed = [] if device == "cpu" else list_gpus()
    candidates = visible_gpus(listed, names)
    if not candidates:
        if listed and names and names.strip() != "-1":
            log.warning("%s=%s: names no GPU that the driver lists, so none is reserved", VARIABLE, names)
        yield None
        return
    # Devices that other programs use come last: their users take no lock here.
    candidates.sort(key=lambda gpu: gpu.processes)
    places = {gpu: own_folder() / f"{gpu.uuid}.lock" for gpu in candidates}

    def take_one() -> tuple[Gpu, FileLock] | None:
        for gpu, place in places.items():
            if lock := try_lock(place):
                return gpu, lock
        return None

    def holders() -> str:
        held = {gpu.index: place.read_text(encoding="utf-8").strip() for gpu, place in places.items()}
        return "; ".join(f"GPU {index} is held by {who or 'a process that just began'}" for index, who in held.items())

    gpu, lock = wait_for(take_one, holders)
    try:
        places[gpu].write_text(f"process {os.getpid()} ({' '.join(sys.argv[1:])[:120]})\n", encoding="utf-8")
        os.environ[VARIABLE] = gpu.uuid
        log.info("runs on GPU %d", gpu.index)
        yield gpu.uuid
    finally:
        lock.release()


def own_folder(base: Path = Path("/tmp")) -> Path:
    """The folder of lock files that all jobs of a user on this host share."""
    # Not in $TMPDIR or $XDG_RUNTIME_DIR, which differ between a user's sessions, and a cluster's jobs.
    folder = base / f"slowfast-vos-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise UserError(f"{folder}: found another user's; expected a folder of this user, for locks of GPUs")
    return folder
