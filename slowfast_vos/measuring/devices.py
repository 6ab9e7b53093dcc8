"""The device that a job runs on, and the GPU's own view of it through NVML."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

import torch

from slowfast_vos.errors import UserError
from slowfast_vos.measuring.provenance import processor


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
    with nvml() as library:
        driver = library.nvmlSystemGetDriverVersion()
    return Device(torch.device("cuda"), torch.cuda.get_device_name(), driver)


@contextmanager
def nvml() -> Iterator[ModuleType]:
    """Initialise NVML, yield the module `pynvml`, and shut it down again."""
    import pynvml

    pynvml.nvmlInit()
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def process_gpu_bytes() -> int | None:
    """GPU memory of this process on the current device, as NVML reports it; None where NVML cannot tell.

    In a container NVML may list processes by the host's ids; then none is this one.
    """
    with nvml() as library:
        uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
        handle = library.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
        processes = library.nvmlDeviceGetComputeRunningProcesses(handle)
    own = [process.usedGpuMemory for process in processes if process.pid == os.getpid()]
    if not own and len(processes) == 1:
        own = [processes[0].usedGpuMemory]
    return own[0] if own else None
