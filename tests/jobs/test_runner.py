"""A job's status is true: a killed job never runs, and no two processes run the same job."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from slowfast_vos.errors import LostError, UserError
from slowfast_vos.jobs.runner import NoLocksError, hold_run, read_status, run_job, try_lock

JOB = """
import logging, sys, time
from pathlib import Path
from slowfast_vos.jobs.runner import run_job

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="log %(message)s")
with run_job(Path(sys.argv[1])):
    print("began", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def start(path: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", JOB, str(path), str(seconds)], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("error", "state", "text"),
    [
        (UserError("loss is\n nan"), "failed", "loss is nan"),
        (ValueError("a bug"), "failed", "ValueError: a bug"),
        (LostError("no CUDA device"), "stopped", "no CUDA device"),
        (SystemExit(143), "stopped", None),
        (KeyboardInterrupt(), "stopped", None),
    ],
)
def test_the_status_says_how_a_job_stands_and_how_it_ended(
    tmp_path: Path, error: BaseException, state: str, text: str | None
) -> None:
    path = tmp_path / "grid" / "seed=63.json"
    assert read_status(path) is None
    with contextlib.suppress(type(error)), run_job(path):
        found = read_status(path)
        assert (found.state, found.pid, found.seconds) == ("running", os.getpid(), None)
        raise error
    assert (read_status(path).state, read_status(path).error) == (state, text)
    with run_job(path):
        pass
    found = read_status(path)
    assert (found.state, found.error) == ("done", None)
    assert found.seconds >= 0


def test_a_killed_job_is_not_running_and_the_waiting_duplicate_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    first = start(path, 60)
    assert first.stdout.readline() == "began\n"
    assert read_status(path).state == "running"
    second = start(path, 0)
    assert second.stdout.readline().startswith(f"log waits: process {first.pid} on ")
    first.send_signal(signal.SIGKILL)
    first.communicate()
    second.communicate(timeout=30)
    assert (read_status(path).state, read_status(path).pid) == ("done", second.pid)
    third = start(path, 60)
    assert third.stdout.readline() == "began\n"
    third.kill()
    third.communicate()
    assert read_status(path).state == "stopped"


@pytest.mark.parametrize("text", ["", '{"state": "runn', "[]", '{"speed": 9}', "[" * 100_000])
def test_a_file_that_is_no_status_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "job.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"job.json: found no job status; expected one"):
        read_status(path)
    with run_job(path):
        assert read_status(path).state == "running"


@pytest.mark.parametrize(
    ("flock", "problem"),
    [
        ({"side_effect": OSError(errno.ENOLCK, "No locks available")}, "No locks available"),
        ({"return_value": None}, "the file system grants the lock twice"),
    ],
    ids=["none", "always granted"],
)
def test_where_locks_keep_nobody_out_jobs_run_and_nobody_claims_to_know(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    flock: dict[str, object],
    problem: str,
) -> None:
    monkeypatch.setattr(fcntl, "flock", Mock(**flock))
    path = tmp_path / "job.json"
    with run_job(path):
        assert caplog.text.count(f"cannot be locked ({problem}); make sure that no second process") == 1
        assert read_status(path).state == "unknown"
    assert read_status(path).state == "done"
    with pytest.raises(NoLocksError):
        try_lock(path)
    assert hold_run(tmp_path / "run.lock") is None
    assert f"({problem}); start no second Snakemake at this run" in caplog.text


def test_a_place_that_cannot_be_written_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=r"file/job.lock: cannot be written \((Not a directory|File exists)\)"),
        run_job(tmp_path / "file" / "job.json"),
    ):
        pass


def test_a_status_that_cannot_be_written_at_the_end_fails_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with run_job(tmp_path / "job.json"):
        monkeypatch.setattr("slowfast_vos.jobs.runner.write_json", Mock(side_effect=UserError("No space left")))
    assert "No space left" in caplog.text


def test_a_run_has_one_snakemake(tmp_path: Path) -> None:
    path = tmp_path / "tiny" / "run.lock"
    lock = hold_run(path)
    with pytest.raises(UserError, match="tiny: another Snakemake works at this run; expected to be the only one"):
        hold_run(path)
    lock.release()
    hold_run(path).release()
