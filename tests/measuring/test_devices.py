"""What NVML tells of this process's GPU, and what it need not tell."""

from __future__ import annotations

import os
import platform
import resource
import sys
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pynvml
import pytest
import torch
from slowfast_vos.errors import LostError
from slowfast_vos.measuring.devices import Device, find_device, is_out_of_memory, keep_freed_memory, process_gpu_bytes
from slowfast_vos.measuring.provenance import processor


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """NVML of one GPU, known as GPU-aaaa, on which this process computes."""
    found = Mock(NVMLError=pynvml.NVMLError, NVMLError_NotFound=KeyError)
    found.nvmlSystemGetDriverVersion.return_value = "550.1"
    found.nvmlDeviceGetComputeRunningProcesses.return_value = running((os.getpid(), 7))
    found.nvmlDeviceGetHandleByUUID.side_effect = {"GPU-aaaa": "a handle"}.__getitem__
    monkeypatch.setitem(sys.modules, "pynvml", found)
    cuda = {"is_available": True, "get_device_name": "a GPU", "get_device_capability": (9, 0), "current_device": 0}
    cuda["get_arch_list"] = ["sm_75", "sm_90", "sm_120"]
    for name, value in cuda.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="aaaa"))
    return found


def running(*processes: tuple[int, int]) -> list[SimpleNamespace]:
    return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in processes]


@pytest.mark.parametrize("uuid", ["GPU-aaaa", "MIG-aaaa"])
def test_a_gpu_and_an_instance_of_one_are_found(nvml: Mock, uuid: str) -> None:
    nvml.nvmlDeviceGetHandleByUUID.side_effect = {uuid: "a handle"}.__getitem__
    assert find_device("auto") == Device(torch.device("cuda"), "a GPU", "550.1")
    assert process_gpu_bytes() == 7


@pytest.mark.parametrize(
    ("processes", "used"),
    [
        ([(1, 5), (os.getpid(), 7)], 7),
        ([(1, 5), (2, 6)], None),  # by the ids of a container's host
        ([(1, 5)], 5),
    ],
)
def test_of_several_processes_only_this_one_counts(nvml: Mock, processes: list[Any], used: int | None) -> None:
    nvml.nvmlDeviceGetComputeRunningProcesses.return_value = running(*processes)
    assert process_gpu_bytes() == used


@pytest.mark.parametrize("call", ["nvmlInit", "nvmlSystemGetDriverVersion", "nvmlDeviceGetComputeRunningProcesses"])
def test_what_nvml_does_not_tell_fails_no_job(nvml: Mock, call: str, caplog: pytest.LogCaptureFixture) -> None:
    getattr(nvml, call).side_effect = pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
    assert find_device("cuda").driver == ("550.1" if "Processes" in call else None)
    assert process_gpu_bytes() == (7 if "Driver" in call else None)
    assert "NVML does not tell: " in caplog.text


@pytest.mark.parametrize(
    ("capability", "built", "usable"),
    [
        ((7, 0), ["sm_75", "sm_80"], False),
        ((8, 9), ["sm_75", "sm_86"], True),
        ((8, 0), ["sm_75", "sm_86"], False),
        ((12, 1), ["sm_90a", "sm_120"], True),
        ((13, 0), ["sm_90a", "sm_120"], False),
        ((13, 0), ["sm_90a", "compute_120"], True),
    ],
)
def test_a_gpu_for_which_torch_has_no_kernels_is_not_taken(
    nvml: Mock, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], built: list[str], usable: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built)
    assert find_device("auto").torch.type == ("cuda" if usable else "cpu")
    if not usable:
        with pytest.raises(LostError, match=r"found a GPU, for which torch .* has no kernels; expected one that"):
            find_device("cuda")


def test_without_a_gpu_the_processor_is_taken_and_one_that_is_reserved_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for wanted in ("auto", "cpu"):
        assert find_device(wanted) == Device(torch.device("cpu"), processor(), None)
    with pytest.raises(LostError, match="device: found no CUDA device; expected one"):
        find_device("cuda")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aaaa")
    find_device("cpu")
    assert not caplog.text
    assert find_device("auto").torch.type == "cpu"
    assert "device auto: found no CUDA device; takes the CPU" in caplog.text


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "GET was unable to find an engine to execute this computation",
    ],
)
def test_a_full_gpu_is_known_by_what_cudas_libraries_say(said: str) -> None:
    assert is_out_of_memory(RuntimeError(said))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting")
def test_freed_memory_is_not_faulted_in_again() -> None:
    keep_freed_memory()
    faults = []
    for _ in range(3):
        assert len([torch.ones(2**18) for _ in range(32)]) == 32  # of 1 MiB each
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    assert faults[2] - faults[1] < 1000  # of 8,192 pages
