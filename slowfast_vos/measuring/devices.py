"""The device that a job runs on, and the GPU's own view of it through NVML."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

import torch

from slowfast_vos.errors import UserError
from slowfast_vos.measuring.provenance import processor

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Device:
    """A torch device with the name and the driver that records show."""

    torch: torch.device
    name: str
    driver: str | None


def find_device(wanted: str) -> Device:
    """The device for "auto", "cpu" or "cuda".

    Raises:
        UserError: CUDA is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UserError('device: found no CUDA device; expected one, or device "auto" or "cpu"')
    if wanted == "cpu" or not available:
        return Device(torch.device("cpu"), processor(), None)
    return Device(torch.device("cuda"), torch.cuda.get_device_name(), _ask(_driver))


def process_gpu_bytes() -> int | None:
    """GPU memory of this process on the current device, as NVML reports it; None where NVML cannot tell.

    In a container NVML may list processes by the host's ids; then none is this one.
    """
    processes = _ask(_processes)
    if processes is None:
        return None
    own = [process.usedGpuMemory for process in processes if process.pid == os.getpid()]
    if not own and len(processes) == 1:
        own = [processes[0].usedGpuMemory]
    return own[0] if own else None


def _ask(question: Callable[[ModuleType], T]) -> T | None:
    """What NVML answers; None, and a warning, where it is missing or a container refuses the call."""
    try:
        import pynvml
    except ModuleNotFoundError as error:  # a machine that only measures may lack the package
        log.warning("NVML does not tell: %s", error)
        return None
    try:
        pynvml.nvmlInit()
        try:
            return question(pynvml)
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        log.warning("NVML does not tell: %s", error)
        return None


def _driver(nvml: ModuleType) -> str:
    return nvml.nvmlSystemGetDriverVersion()


def _processes(nvml: ModuleType) -> list[Any]:
    uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid).removeprefix("GPU-")
    try:
        device = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except nvml.NVMLError_NotFound:  # an instance of a GPU that MIG divides
        device = nvml.nvmlDeviceGetHandleByUUID(f"MIG-{uuid.removeprefix('MIG-')}")
    return nvml.nvmlDeviceGetComputeRunningProcesses(device)
