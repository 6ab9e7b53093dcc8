"""Two jobs never share a GPU, however they end: with stand-in devices, and processes that are killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from slowfast_vos.errors import UserError
from slowfast_vos.jobs import gpus
from slowfast_vos.jobs.gpus import VARIABLE, Gpu, gpu_lock, gpus_per_job, list_gpus, own_folder, visible_gpus

if TYPE_CHECKING:
    from click.testing import Result

TWO = [Gpu("GPU-aaaa", 0), Gpu("GPU-bbbb", 1)]
JOB = """
import logging, multiprocessing, os, subprocess, sys, time
from pathlib import Path
from slowfast_vos.jobs import gpus, runner

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="log %(message)s")
folder, devices, seconds, children = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
runner.SECONDS_BETWEEN_TRIES = 0.01
gpus.own_folder = lambda: Path(folder)
gpus.list_gpus = lambda: [gpus.Gpu(f"GPU-{index}", index) for index in range(devices)]
with gpus.gpu_lock("auto") as took:
    assert os.environ["CUDA_VISIBLE_DEVICES"] == took and "torch" not in sys.modules
    if children:
        fork = multiprocessing.get_context("fork")
        forked = fork.Process(target=time.sleep, args=(60,))
        forked.start()
        print("children", forked.pid, subprocess.Popen(["sleep", "60"], close_fds=False).pid, flush=True)
    print("took", took, time.monotonic(), flush=True)
    time.sleep(seconds)
    print("gave", took, time.monotonic(), flush=True)
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts jobs on stand-in devices, and ends them with the test."""
    jobs: list[subprocess.Popen[str]] = []
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}

    def run(seconds: float = 60, devices: int = 1, children: bool = False, **variables: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", JOB, str(tmp_path), str(devices), str(seconds), str(int(children))]
        job = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment | variables)
        jobs.append(job)
        return job

    yield run
    for job in jobs:
        job.kill()
        job.communicate()


def until(job: subprocess.Popen[str], word: str) -> list[str]:
    """The words of the job's next line that begins so."""
    for line in job.stdout:
        if line.startswith(word):
            return line.split()
    raise AssertionError(f"the job ended without {word!r}")


def test_six_jobs_on_two_devices_never_share_one(start: Start) -> None:
    jobs = [start(seconds=0.15, devices=2) for _ in range(6)]
    spans: dict[str, list[tuple[float, float]]] = {"GPU-0": [], "GPU-1": []}
    for job in jobs:
        _, uuid, began = until(job, "took")
        spans[uuid].append((float(began), float(until(job, "gave")[2])))
    assert sum(map(len, spans.values())) == 6
    for held in spans.values():
        assert all(first[1] <= second[0] for first, second in pairwise(sorted(held)))


def test_a_job_waits_for_a_killed_one_whose_children_do_not_keep_its_device(start: Start) -> None:
    holder = start(children=True)
    children = [int(pid) for pid in until(holder, "children")[1:]]
    until(holder, "took")
    waiter = start(seconds=0)
    try:
        assert f"GPU 0 is held by process {holder.pid} (" in " ".join(until(waiter, "log waits"))
        holder.send_signal(signal.SIGKILL)
        assert until(waiter, "took")[1] == "GPU-0"
        assert all(Path(f"/proc/{pid}").exists() for pid in children)
    finally:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_another_list_of_visible_devices_still_sees_the_same_lock(start: Start) -> None:
    until(start(devices=2, CUDA_VISIBLE_DEVICES="1"), "took")
    waiter = start(devices=2, CUDA_VISIBLE_DEVICES="GPU-1")
    assert "GPU 1 is held by process" in " ".join(until(waiter, "log waits"))
    assert until(start(devices=2, seconds=0), "took")[1] == "GPU-0"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, TWO),
        ("1,0", TWO[::-1]),
        (" 0 , 0", TWO[:1]),
        ("GPU-b", TWO[1:]),
        ("-1", []),
        ("1,-1,0", TWO[1:]),
        ("NoDevFiles", []),
    ],
)
def test_only_devices_that_cuda_may_see_are_taken(names: str | None, expected: list[Gpu]) -> None:
    assert visible_gpus(TWO, names) == expected


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for locks, and two devices that nobody else sees."""
    monkeypatch.setenv(VARIABLE, "restored afterwards")
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(gpus, "own_folder", lambda: tmp_path)
    monkeypatch.setattr(gpus, "list_gpus", lambda: TWO[:])
    return tmp_path


def test_a_job_sees_the_idle_gpu_that_it_locked_and_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with gpu_lock("cuda") as uuid:
        assert uuid == os.environ[VARIABLE] == "GPU-aaaa"
    monkeypatch.setenv(VARIABLE, "GPU-bbbb")
    with gpu_lock("auto") as uuid:
        assert uuid == "GPU-bbbb"
    # A device that other programs use comes last.
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(gpus, "list_gpus", lambda: [Gpu("GPU-aaaa", 0, processes=1), TWO[1]])
    with gpu_lock("auto") as uuid:
        assert uuid == "GPU-bbbb"


def test_without_a_visible_gpu_nothing_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with gpu_lock("cpu") as uuid:
        assert (uuid, os.environ.get(VARIABLE)) == (None, None)
    for names in ("", "-1", "7"):
        monkeypatch.setenv(VARIABLE, names)
        with gpu_lock("cuda") as uuid:
            assert (uuid, os.environ[VARIABLE]) == (None, names)
    assert not list(folder.iterdir())
    assert caplog.messages == [f"{VARIABLE}=7: names no GPU that the driver lists, so none is reserved"]


def test_the_folder_of_the_locks_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = own_folder(tmp_path)
    assert own.stat().st_mode & 0o777 == 0o700
    assert own_folder(tmp_path) == own
    own.rename(tmp_path / "other")
    own.symlink_to(tmp_path / "other")
    with pytest.raises(UserError, match="found another user's; expected a folder of this user"):
        own_folder(tmp_path)
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    (tmp_path / f"slowfast-vos-{other}").mkdir()
    with pytest.raises(UserError, match="found another user's"):
        own_folder(tmp_path)


def test_a_lost_gpu_is_ignored_and_the_others_are_listed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def uuid(index: int) -> str:
        if index == 1:
            raise OSError("GPU is lost")
        return TWO[index].uuid

    nvml = SimpleNamespace(
        NVMLError=OSError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=uuid,
        nvmlDeviceGetUUID=str,
        nvmlDeviceGetComputeRunningProcesses=lambda _: ["somebody's"],
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delenv(VARIABLE, raising=False)
    assert list_gpus() == [Gpu("GPU-aaaa", 0, processes=1)]
    assert caplog.messages == ["GPU 1 is ignored: its driver says GPU is lost"]
    assert [gpus_per_job(device) for device in ("auto", "cuda", "cpu")] == [1, 1, 0]
    monkeypatch.setenv(VARIABLE, "-1")
    assert [gpus_per_job(device) for device in ("auto", "cuda", "cpu")] == [0, 1, 0]


def test_verbs_with_a_network_lock_a_gpu_first(
    invoke: Callable[..., Result], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    Path("some.yaml").write_text("data: {kind: davis, held_out: [bear]}")
    for arguments in (
        ("predict-val", "--config", "some.yaml", "--subject", "baseline/foreground"),
        ("predict", "--checkpoint", "gone.safetensors", "--video", "gone", "--out", "out"),
    ):
        done = invoke(*arguments)
        assert (done.exit_code, done.stderr.count("runs on GPU 0")) == (1, 1)
    assert "runs on" not in invoke("predict", *arguments[1:], "--device", "cpu").stderr
