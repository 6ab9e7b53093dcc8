"""Why a job failed: one line that says what to do; a configuration's failure or crash is its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
import torch
from slowfast_vos.errors import LostError, UserError
from slowfast_vos.jobs import finetune
from slowfast_vos.jobs.failures import LOWER, CrashedError, counted_crashes, failure_of_configuration
from slowfast_vos.jobs.runner import read_status
from slowfast_vos.measuring.record import read_record
from slowfast_vos.training.loop import DivergedError

if TYPE_CHECKING:
    from click.testing import Result

    from conftest import Run

SETUP, SEED = "1-3", 63
Grid = Callable[[Exception], tuple["Result", list[Path]]]
LOST = RuntimeError("CUDA error: device-side assert triggered")
KILLED = """
import os, signal, sys
from pathlib import Path
from slowfast_vos.jobs.failures import counted_crashes

with counted_crashes(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""
FULL = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 79 GiB."
# Where not torch's allocator failed, but one of CUDA's libraries.
OTHER = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DivergedError("grid: found a loss"), "grid: found a loss"),
        (torch.OutOfMemoryError(FULL), f"out of GPU memory (CUDA out of memory); {LOWER}"),
        (RuntimeError(OTHER), f"out of GPU memory ({OTHER}); {LOWER}"),
        (RuntimeError("shapes\n differ"), "RuntimeError: shapes differ"),
    ],
)
def test_a_configurations_failure_is_one_line(error: Exception, reason: str) -> None:
    assert failure_of_configuration(error) == reason


@pytest.mark.parametrize("error", [UserError("a frame is missing"), RuntimeError("CUDA error: device-side assert")])
def test_what_concerns_all_configurations_is_raised_again(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        failure_of_configuration(error)
    assert raised.value is error


@pytest.fixture
def grid(copied: Run, monkeypatch: pytest.MonkeyPatch) -> Grid:
    """Runs a grid whose first configuration raises an error; gives the records' paths too."""
    original = finetune.fine_tune

    def run(error: Exception) -> tuple[Result, list[Path]]:
        fail = Mock(side_effect=error)
        monkeypatch.setattr(
            finetune,
            "fine_tune",
            lambda *values, **options: (fail if values[3].lr == "0.0021" else original)(*values, **options),
        )
        done = copied.verb("grid", "--setup", SETUP, grid={"lr": ["0.0021", "0.003"], "freeze": ["BB_SF"]})
        return done, [copied.results.grid(SETUP, "BB_SF", "0", lr, SEED) for lr in ("0.0021", "0.003")]

    return run


def test_a_configuration_that_crashes_is_a_failed_record_and_the_others_are_computed(grid: Grid) -> None:
    done, paths = grid(RuntimeError("a bug"))
    assert done.exit_code == 0, done.output
    crashed, other = map(read_record, paths)
    assert (crashed.status, crashed.error) == ("failed", "RuntimeError: a bug")
    assert other.status == "done"
    assert "Traceback" in done.stderr  # the log tells where


def test_a_configuration_that_loses_the_gpu_each_time_is_a_failed_row_at_the_third(copied: Run, grid: Grid) -> None:
    status = copied.results.log("grid", SETUP, seed=SEED, part=(0, 1)).with_suffix(".json")
    for _ in range(2):
        done, paths = grid(LOST)
        assert (done.exit_code, done.stderr.count("Traceback")) == (1, 1)
        found = read_status(status)
        assert (found.state, found.error) == ("stopped", "RuntimeError: CUDA error: device-side assert triggered")
    done, paths = grid(LOST)
    assert done.exit_code == 0, done.output
    lost, other = map(read_record, paths)
    assert not list(copied.results.root.rglob("crashes.json"))
    assert lost.error.startswith("its process died 2 times")
    assert other.status == "done"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError(FULL), RuntimeError("CUDA error: out of memory\nHint")])
def test_a_gpu_that_is_full_ends_in_one_line_that_says_what_to_lower(
    inside: Run, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("slowfast_vos.jobs.train.train_detector", Mock(side_effect=error))
    done = inside.verb("train-detector", name="full")
    assert done.exit_code == 1
    assert re.fullmatch(rf"error: out of GPU memory \(CUDA .*\); {LOWER}", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr


def crash(folder: Path, error: BaseException = LOST, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(type(error)), counted_crashes(folder):
            raise error


def test_a_killed_process_counts(tmp_path: Path) -> None:
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
        assert done.returncode == -signal.SIGKILL
    with pytest.raises(CrashedError, match="its process died 2 times without getting further"):
        counted_crashes(tmp_path).__enter__()
    with counted_crashes(tmp_path):  # from the start again
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [ValueError("a bug"), RuntimeError("CUDA error: out of memory"), SystemExit(143)])
def test_a_lost_gpu_counts_and_neither_an_error_of_its_own_nor_a_stop(tmp_path: Path, error: BaseException) -> None:
    crash(tmp_path)
    crash(tmp_path, error)
    crash(tmp_path)
    crash(tmp_path, LostError("no CUDA device"))
    crash(tmp_path, CrashedError())


def test_a_training_that_got_further_starts_the_count_again(tmp_path: Path) -> None:
    for step in range(5):
        (tmp_path / "state.pt").write_text(str(step))
        crash(tmp_path)
    crash(tmp_path)
    crash(tmp_path, CrashedError())
