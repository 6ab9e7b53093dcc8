"""A run that is killed again and again, at random, and started again with the same command."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from workflow_runs import ENVIRONMENT, ROOT, TINY, LocalRun, assert_same_results, jobs, saved_states

KINDS = ["job", "snakemake", "group", "group, gently"]
SECONDS = (3.0, 10.0)
COMMAND = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--configfile", str(TINY), "--cores", "2"]
# A training's state is saved after each of its steps, so that every kill within one is gone on from.
COMMAND += ["--config", "save_every=0"]


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start the run in a process group of its own; what it says is added to `said.log`."""
    with (folder / "said.log").open("ab") as log:
        return subprocess.Popen(COMMAND, cwd=folder, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True)


def kill(process: subprocess.Popen[bytes], folder: Path, kind: str, chance: random.Random) -> bool:
    """Kill a job, Snakemake alone (its jobs live on), or the whole group; whether there was one to kill."""
    if kind == "job":
        victims = jobs(folder)
        if victims:
            try:
                os.kill(chance.choice(victims), signal.SIGKILL)
            except ProcessLookupError:
                return False
        return bool(victims)
    if kind == "snakemake":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGTERM if kind == "group, gently" else signal.SIGKILL)
    process.wait(timeout=60)
    return True


def kill_within_a_training(process: subprocess.Popen[bytes], folder: Path, chance: random.Random) -> None:
    """Kill the whole group as soon as a training has saved a step; the state is there for the next one."""
    limit = time.monotonic() + 300
    while not saved_states(folder / "results"):
        assert time.monotonic() < limit, (folder / "said.log").read_text()[-3000:]
        time.sleep(0.02)
    kill(process, folder, "group", chance)
    assert saved_states(folder / "results")


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.kills)])
def test_a_run_killed_at_random_in_each_way_ends_with_the_same_bytes(
    tmp_path: Path, local_run: LocalRun, times: int
) -> None:
    chance = random.Random(63)
    kinds = chance.sample(KINDS * times, len(KINDS) * times)
    folder = tmp_path.resolve()
    process = start(folder)
    try:
        # Once within a training for certain; then at random.
        kill_within_a_training(process, folder, chance)
        process = start(folder)
        while kinds:
            time.sleep(chance.uniform(*SECONDS))
            if process.poll() is not None:
                process = start(folder)
                continue
            if kill(process, folder, kinds[-1], chance):
                kinds.pop()
        # A killed job fails its run; the command that follows has only the rest to do.
        for _ in range(3):
            code = process.wait(timeout=600)
            process = start(folder)
        code = process.wait(timeout=600)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    said = (folder / "said.log").read_text(errors="replace")
    assert code == local_run[1].returncode, said[-3000:]
    assert "Traceback" not in said
    assert "going on after epoch" in said
    assert_same_results(folder, local_run[0])
    assert not list((folder / "results").rglob("*.pt"))
    left_behind = {path.name for path in (folder / "results").rglob(".*") if path.is_file()}
    assert left_behind <= {".snakemake_timestamp"}  # Snakemake's own
