"""A note says of a job what is so: what was killed never runs, and nothing is worked at twice."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from slowfast_vos import locks
from slowfast_vos.errors import UserError
from slowfast_vos.locks import NoLocksError, is_locked, try_lock
from slowfast_vos.measuring.notes import RUN, begin_note, check_submitter, hold_run, read_note

JOB = """
import logging, sys, time
from pathlib import Path
from slowfast_vos.measuring import notes

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="log %(message)s")
note = notes.begin_note(Path(sys.argv[1]))
print("began", flush=True)
time.sleep(float(sys.argv[2]))
note.end("done")
"""


def start(path: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", JOB, str(path), str(seconds)], stdout=subprocess.PIPE, text=True)


def test_a_note_tells_how_a_job_stands_and_how_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "grid" / "seed=63.json"
    assert read_note(path) is None
    note = begin_note(path)
    found = read_note(path)
    assert (found.state, found.pid, found.seconds) == ("running", os.getpid(), None)
    note.end("failed", "loss is nan")
    found = read_note(path)
    assert (found.state, found.error) == ("failed", "loss is nan")
    begin_note(path).end("done")
    found = read_note(path)
    assert (found.state, found.error) == ("done", None)
    assert found.seconds >= 0


def test_a_killed_job_is_not_running_and_the_next_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    first = start(path, 60)
    assert first.stdout.readline() == "began\n"
    assert read_note(path).state == "running"
    second = start(path, 0)
    line = second.stdout.readline()
    assert line.startswith(f"log waits: process {first.pid} on ")
    first.send_signal(signal.SIGKILL)
    first.communicate()
    second.communicate(timeout=30)
    assert (read_note(path).state, read_note(path).pid) == ("done", second.pid)
    third = start(path, 60)
    assert third.stdout.readline() == "began\n"
    third.kill()
    third.communicate()
    assert read_note(path).state == "stopped"


@pytest.mark.parametrize("text", ["", '{"state": "runn', "[]", '{"speed": 9}'])
def test_a_note_cut_off_by_a_kill_is_a_stopped_jobs(tmp_path: Path, text: str) -> None:
    path = tmp_path / "note.json"
    path.write_text(text)
    assert read_note(path).state == "stopped"


def test_where_there_are_no_locks_jobs_run_and_nobody_claims_to_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = tmp_path / "note.json"
    note = begin_note(path)
    assert "cannot be locked (No locks available); `slowfast-vos status` cannot tell" in caplog.text
    assert read_note(path).state == "unknown"
    note.end("done")
    assert read_note(path).state == "done"
    with pytest.raises(NoLocksError):
        try_lock(path)


def test_a_lock_on_a_file_that_was_removed_meanwhile_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flock = tmp_path / "lock", locks._flock

    def remove_first(*arguments: object) -> bool:
        monkeypatch.setattr(locks, "_flock", flock)
        path.unlink()
        return flock(*arguments)

    monkeypatch.setattr(locks, "_flock", remove_first)
    lock = try_lock(path)
    assert is_locked(path)
    assert try_lock(path) is None
    lock.release()
    lock.release()
    assert not is_locked(path)


def test_a_place_that_cannot_be_written_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/note.json: cannot be written \(Not a directory\)|File exists"):
        begin_note(tmp_path / "file" / "note.json")


def test_a_job_that_waited_knows_whether_its_twin_has_done_it(tmp_path: Path) -> None:
    for state, key, expected in (("done", "a", True), ("done", "b", False), ("failed", "a", False)):
        path = tmp_path / f"{state}-{key}.json"
        twin = begin_note(path, "a")
        later = threading.Timer(0.3, twin.end, (state,))
        later.start()
        note = begin_note(path, key)
        assert note.done_by_twin is expected
        note.end("done")
    assert begin_note(path, "a").done_by_twin is False  # nobody was waited for


def test_a_run_has_one_snakemake_and_the_jobs_of_an_earlier_one_do_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny" / "run.lock"
    monkeypatch.setenv(RUN, "one")
    check_submitter(path)  # of a version that wrote none
    hold_run(path, "one")
    check_submitter(path)
    with pytest.raises(UserError, match="tiny: another Snakemake works at this run; expected to be the only one"):
        hold_run(path, "two")
    check_submitter(path)
    path.unlink()  # the first is killed
    hold_run(path, "two")
    with pytest.raises(UserError, match="tiny: this job's Snakemake was killed, and another has submitted its own"):
        check_submitter(path)
    monkeypatch.setenv(RUN, "two")
    check_submitter(path)
    monkeypatch.delenv(RUN)  # by hand
    check_submitter(path)


def test_where_there_are_no_locks_a_run_is_told_by_its_name_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    hold_run(tmp_path / "run.lock", "one")
    assert "(Function not implemented); start no second Snakemake at this run" in caplog.text
    assert (tmp_path / "run.lock").read_text() == "one"
