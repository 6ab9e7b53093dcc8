"""The shell that every rule runs in, and `keep`, which shows and keeps what a job says."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

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


def command(job: str, log: Path) -> list[str]:
    """A job as Snakemake runs it."""
    text = (ROOT / "workflow" / "rules" / "common.smk").read_text()
    (prefix,) = re.findall(r"shell\.prefix\((.*?)\n\)", text, re.DOTALL)
    return ["bash", "-c", f"{ast.literal_eval(prefix.strip()).format()}{job} 2>&1 | keep {log}"]


def test_a_cluster_that_signals_every_process_leaves_the_job_time_to_save(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(SAVES)
    line = command(f"{sys.executable} {tmp_path / 'job.py'}", tmp_path / "job.log")
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, start_new_session=True) as shell:
        assert shell.stdout.readline() == "began\n"
        tree = subprocess.run(["ps", "-o", "pid=", "-g", str(shell.pid)], capture_output=True, text=True, check=True)
        for process in tree.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGTERM)
        assert shell.wait(timeout=20) == 128 + signal.SIGTERM
    assert (tmp_path / "job.log").read_text() == "began\nsaved\n"


@pytest.mark.parametrize(("job", "code"), [("echo said", 0), ("echo said; exit 3", 3)])
def test_a_log_that_cannot_be_written_decides_nothing(tmp_path: Path, job: str, code: int) -> None:
    log = tmp_path / "no-folder" / "job.log"
    done = subprocess.run(command(f"({job})", log), capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (code, "said\n")
    assert "job.log" in done.stderr
