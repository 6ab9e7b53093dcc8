"""The GPUs of this machine, by NVML; asked without importing torch, since every parse of the Snakefile asks."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from slowfast_vos.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gpu:
    """What one process can compute on: a GPU, or one instance of a GPU that MIG divides.

    Attributes:
        uuid: of the device itself, whatever its index is to whom.
        index: as nvidia-smi counts; instances have that of their GPU.
        whole: UUID of the GPU that an instance is part of.
        processes: that compute on it now, anybody's.
    """

    uuid: str
    index: int
    whole: str | None = None
    processes: int = 0

    def __str__(self) -> str:
        return f"GPU {self.index}" + (f" ({self.uuid})" if self.whole else "")


def list_gpus() -> list[Gpu]:
    """Every device, in nvidia-smi's order; none where there is no driver.

    Raises:
        UserError: there is a driver, and it does not say how many devices it has.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [gpu for index in range(pynvml.nvmlDeviceGetCount()) for gpu in _at(pynvml, index)]
    except pynvml.NVMLError as error:
        raise UserError(f"the GPU driver does not answer ({error}); see what nvidia-smi says") from error
    finally:
        pynvml.nvmlShutdown()


def _at(nvml: ModuleType, index: int) -> list[Gpu]:
    """The devices at an index; none, and a warning, where one is lost or not for us."""
    try:
        return _describe(nvml, nvml.nvmlDeviceGetHandleByIndex(index), index)
    except nvml.NVMLError as error:
        log.warning("GPU %d is left out: its driver says %s", index, error)
        return []


def _describe(nvml: ModuleType, handle: Any, index: int) -> list[Gpu]:
    uuid = nvml.nvmlDeviceGetUUID(handle)
    instances = [
        Gpu(nvml.nvmlDeviceGetUUID(one), index, uuid, _processes(nvml, one)) for one in _instances(nvml, handle)
    ]
    return instances or [Gpu(uuid, index, None, _processes(nvml, handle))]


def _instances(nvml: ModuleType, handle: Any) -> Iterator[Any]:
    try:
        divided = nvml.nvmlDeviceGetMigMode(handle)[0] == nvml.NVML_DEVICE_MIG_ENABLE
        count = nvml.nvmlDeviceGetMaxMigDeviceCount(handle) if divided else 0
    except nvml.NVMLError_NotSupported:  # a GPU without MIG
        return
    for index in range(count):
        try:
            yield nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except nvml.NVMLError_NotFound:  # fewer instances than there may be
            continue


def _processes(nvml: ModuleType, handle: Any) -> int:
    try:
        return len(nvml.nvmlDeviceGetComputeRunningProcesses(handle))
    except (nvml.NVMLError_NotSupported, nvml.NVMLError_NoPermission):
        return 0  # it only decides which free device comes first


def visible_gpus(gpus: Sequence[Gpu], names: str | None) -> list[Gpu]:
    """The devices that CUDA_VISIBLE_DEVICES lets a process see.

    Args:
        names: the variable's value: indices as nvidia-smi counts, UUIDs, beginnings of UUIDs, names of instances. As in
            CUDA, the first that names nothing (such as -1) ends the list, and of a divided GPU one instance is seen.
            None (not set) means all.
    """
    if names is None:
        return list(gpus)
    found: dict[str, Gpu] = {}
    for name in map(str.strip, names.split(",")):
        if name.isdecimal():
            matching = [gpu for gpu in gpus if gpu.index == int(name)]
        elif name.startswith(("GPU-", "MIG-")):
            matching = [gpu for gpu in gpus if gpu.uuid.startswith(name) or (gpu.whole or "").startswith(name)]
        else:
            matching = []
        if not matching:
            break
        found[matching[0].uuid] = matching[0]
    return list(found.values())


def gpus_per_job(device: str) -> int:
    """GPUs that a training job asks for: one for "cuda", and for "auto" where there is one."""
    if device == "auto":
        return int(bool(visible_gpus(list_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES"))))
    return int(device == "cuda")
