"""What a rule's job gets from its shell and its log: the signals themselves, and no failure for a log's sake."""

from __future__ import annotations

import logging
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from slowfast_vos.cli.app import start_log

from workflow_runs import ROOT

SAVES = """
import signal, sys, time

def save(number, _):
    time.sleep(0.5)
    print("saved", flush=True)
    sys.exit(128 + number)

signal.signal(signal.SIGTERM, save)
print("began", flush=True)
time.sleep(60)
"""


def test_a_signal_to_the_shell_of_a_rule_leaves_the_job_time_to_save(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(SAVES)
    text = (ROOT / "workflow" / "rules" / "common.smk").read_text()
    (beginning,) = re.findall(r'return f"(.*)slowfast-vos {name}', text)
    # With a trap set, bash starts its last command in a process of its own, unless told to `exec` it.
    line = ["bash", "-c", f"trap : USR1; set -euo pipefail; {beginning}{sys.executable} {tmp_path / 'job.py'}"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout.readline() == "began\n"
        shell.send_signal(signal.SIGTERM)
        assert shell.stdout.read() == "saved\n"
        assert shell.wait(timeout=20) == 128 + signal.SIGTERM


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """Lines on stderr without their times; the handlers of the log are those of before after the test."""
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers.clear()
    yield lambda: [line[9:] if line[2:3] == ":" else line for line in capfd.readouterr().err.splitlines()]
    root.handlers[:] = before
    logging.captureWarnings(False)


def test_a_log_file_has_what_the_terminal_shows(tmp_path: Path, lines: Callable[[], list[str]]) -> None:
    path = tmp_path / "logs" / "grid.log"
    start_log("grid 3-7", path)
    logging.info("began")
    logging.error("a: found 1\nb: found 2")
    expected = ["grid 3-7: began", "error: a: found 1", "error: b: found 2"]
    assert lines() == expected
    assert [line.removeprefix(path.read_text()[:9]) for line in path.read_text().splitlines()] == expected


def test_a_log_file_that_cannot_be_written_stops_no_job(tmp_path: Path, lines: Callable[[], list[str]]) -> None:
    (tmp_path / "file").write_text("")
    start_log("grid", tmp_path / "file" / "grid.log")
    logging.info("began")
    first, second = lines()
    assert first.startswith(f"grid: {tmp_path / 'file' / 'grid.log'}: cannot be written (")
    assert second == "grid: began"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_once(lines: Callable[[], list[str]]) -> None:
    start_log("grid", Path("/dev/full"))
    logging.info("began")
    logging.info("went on")
    shown = lines()
    assert shown[0] == "grid: began"
    assert sorted(shown[1:]) == [
        "grid: /dev/full: cannot be written ([Errno 28] No space left on device)",
        "grid: went on",
    ]
