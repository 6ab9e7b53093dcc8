"""The device that a job runs on, and the GPU's own view of it through NVML."""

from __future__ import annotations

import ctypes
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

import torch

from slowfast_vos.errors import LostError
from slowfast_vos.measuring.provenance import processor

log = logging.getLogger(__name__)
T = TypeVar("T")
MAPS_FROM, TRIMS_FROM = -3, -1  # what glibc's `mallopt` calls M_MMAP_THRESHOLD and M_TRIM_THRESHOLD
# What CUDA and its libraries say of a full GPU where torch's allocator was not the one to fail.
FULL = (
    "CUDA error: out of memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "unable to find an engine to execute this computation",
)


@dataclass(frozen=True)
class Device:
    """A torch device with the name and the driver that records show."""

    torch: torch.device
    name: str
    driver: str | None


def find_device(wanted: str) -> Device:
    """The device for "auto", "cpu" or "cuda".

    Raises:
        LostError: CUDA is asked for and there is none that this torch can use.
    """
    available = wanted != "cpu" and torch.cuda.is_available()
    if available and _has_kernels():
        driver = _ask(lambda nvml: nvml.nvmlSystemGetDriverVersion())
        return Device(torch.device("cuda"), torch.cuda.get_device_name(), driver)
    found = "no CUDA device"
    if available:
        found = f"{torch.cuda.get_device_name()}, for which torch {torch.__version__} has no kernels"
    if wanted == "cuda":
        raise LostError(f'device: found {found}; expected one that torch can use, or device "auto" or "cpu"')
    reserved = os.environ.get("CUDA_VISIBLE_DEVICES", "").startswith(("GPU-", "MIG-"))
    if available or (wanted == "auto" and reserved):
        log.warning("device auto: found %s; takes the CPU (`device: cpu` reserves no GPU)", found)
    return Device(torch.device("cpu"), processor(), None)


def _has_kernels() -> bool:
    """Whether this build of torch can run on the GPU: it drops old ones, and says so only in a warning."""
    own = torch.cuda.get_device_capability()
    found = [re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", arch) for arch in torch.cuda.get_arch_list()]
    built = [(one[1], (int(one[2]), int(one[3]))) for one in found if one]
    return any(arch <= own and (kind == "compute" or arch[0] == own[0]) for kind, arch in built)


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, where the C library is glibc.

    Else each map that is freed goes back to the kernel, and the next one's pages are faulted in again: a tenth of a
    small network's training.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(MAPS_FROM, 32 * 2**20)  # the most that it takes
        mallopt(TRIMS_FROM, 2**31 - 1)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU's memory was too small."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in FULL)


def process_gpu_bytes() -> int | None:
    """GPU memory of this process on the current device, as NVML reports it; None where NVML cannot tell."""
    used = {process.pid: process.usedGpuMemory for process in _ask(_processes) or ()}
    if len(used) == 1:  # in a container, NVML may know this process by the host's id
        return next(iter(used.values()))
    return used.get(os.getpid())


def _ask(question: Callable[[ModuleType], T]) -> T | None:
    """What NVML answers; None, and a warning, where it is missing or a container refuses the call."""
    try:
        import pynvml
    except ModuleNotFoundError as error:  # a machine that only measures may lack the package
        log.warning("NVML does not tell: %s", error)
        return None
    try:
        pynvml.nvmlInit()
        return question(pynvml)
    except pynvml.NVMLError as error:
        log.warning("NVML does not tell: %s", error)
        return None


def _processes(nvml: ModuleType) -> list[Any]:
    uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid).removeprefix("GPU-")
    try:
        device = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except nvml.NVMLError_NotFound:  # an instance of a GPU that MIG divides
        device = nvml.nvmlDeviceGetHandleByUUID(f"MIG-{uuid.removeprefix('MIG-')}")
    return nvml.nvmlDeviceGetComputeRunningProcesses(device)
