"""What NVML tells of this process's GPU, and what it need not tell."""

# ruff: noqa: N802  (the stand-in for NVML has its names)

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch
from slowfast_vos.measuring.devices import Device, find_device, process_gpu_bytes


class Nvml(SimpleNamespace):
    """NVML of one GPU, known as `uuid`, with some processes; a call named in `refused` raises the error there."""

    NVMLError = pynvml.NVMLError
    NVMLError_NotFound = pynvml.NVMLError_NotFound

    def _answer(self, call: str, value: Any = None) -> Any:
        if call in self.refused:
            raise self.refused[call]
        return value

    def nvmlInit(self) -> None:
        self._answer("init")

    def nvmlShutdown(self) -> None: ...

    def nvmlSystemGetDriverVersion(self) -> str:
        return self._answer("driver", "550.1")

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid != self.uuid:
            raise pynvml.NVMLError_NotFound
        return uuid

    def nvmlDeviceGetComputeRunningProcesses(self, _: str) -> list[Any]:
        return self._answer("processes", [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.running])


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    found = Nvml(uuid="GPU-aaaa", running=[(os.getpid(), 7)], refused={})
    monkeypatch.setitem(sys.modules, "pynvml", found)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="aaaa"))
    return found


@pytest.mark.parametrize("uuid", ["GPU-aaaa", "MIG-aaaa"])
def test_a_gpu_and_an_instance_of_one_are_found(nvml: Nvml, uuid: str) -> None:
    nvml.uuid = uuid
    assert find_device("auto") == Device(torch.device("cuda"), "a GPU", "550.1")
    assert process_gpu_bytes() == 7


def test_of_several_processes_only_this_one_counts(nvml: Nvml) -> None:
    nvml.running = [(1, 5), (os.getpid(), 7)]
    assert process_gpu_bytes() == 7
    nvml.running = [(1, 5), (2, 6)]  # by the ids of a container's host
    assert process_gpu_bytes() is None
    nvml.running = [(1, 5)]
    assert process_gpu_bytes() == 5


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_NO_PERMISSION])
@pytest.mark.parametrize("call", ["init", "driver", "processes"])
def test_what_nvml_does_not_tell_fails_no_job(
    nvml: Nvml, call: str, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    nvml.refused = {call: pynvml.NVMLError(code)}
    assert find_device("cuda").driver == (None if call in ("init", "driver") else "550.1")
    assert process_gpu_bytes() == (None if call in ("init", "processes") else 7)
    assert "NVML does not tell: " in caplog.text


def test_without_the_package_a_device_has_no_driver(nvml: Nvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert find_device("cuda").driver is None
    assert process_gpu_bytes() is None


def test_a_gpu_that_nvml_does_not_know_has_no_figure(nvml: Nvml) -> None:
    nvml.uuid = "GPU-bbbb"
    assert process_gpu_bytes() is None
