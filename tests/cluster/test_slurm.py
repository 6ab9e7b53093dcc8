"""The tiny run through the Slurm profile on a real Slurm: GPUs, a cancelled job, one past its walltime, the tables."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from one_node import Job, Node, UnavailableError, one_node

from workflow_runs import ENVIRONMENT, ROOT, TINY, assert_same_results, jobs, saved_states

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

PROFILE = ROOT / "profiles" / "slurm" / "profile.yaml"
# What a short test asks often, a grid of hours asks seldom.
IMPATIENT = ["--slurm-init-seconds-before-status-checks", "5", "--seconds-between-status-checks", "1"]
TRAINS = ("detector", "parent", "tuning", "grid_1_of_2", "grid_2_of_2", "final_1_of_1")
ON_GPU = (*TRAINS, "predict", "cost")
CANCELLED, HANGS = "parent_wildcards_1-3", "tuning_wildcards_1-3_trained"


@dataclass(frozen=True)
class Ended:
    """A run that has ended: its folder, its exit code, what it said, and what Slurm knows of its jobs."""

    folder: Path
    code: int
    output: str
    jobs: list[Job]

    def jobs_of(self, rule: str) -> list[Job]:
        """A rule's jobs, in the order of their submission."""
        return [job for job in self.jobs if job.rule.startswith(rule)]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A Slurm of one node with two stand-in GPUs."""
    folder = tmp_path_factory.mktemp("slurm")
    try:
        with one_node(folder) as node:
            yield node
    except UnavailableError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no Slurm here: {error}")


def once_saved(disturb: dict[Path, Callable[[], None]], seconds: float = 900) -> None:
    """Disturb each training as soon as it has saved a state, by the folder of its states."""
    limit = time.monotonic() + seconds
    while disturb:
        assert time.monotonic() < limit, f"nothing saved within {seconds} s in {', '.join(map(str, disturb))}"
        for work in [work for work in disturb if saved_states(work)]:
            disturb.pop(work)()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def run(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The tiny run; one of its jobs is cancelled, another hangs until its walltime of a minute is over."""
    folder = tmp_path_factory.mktemp("tiny").resolve()
    # Stands for a GPU: the jobs ask for one, and compute on the CPU. Given here, the option replaces the profile's.
    resources = yaml.safe_load(PROFILE.read_text())["set-resources"]
    for rule in ON_GPU:
        resources.setdefault(rule, {})["gpu"] = 1
    # Walltimes grow as the profile's own do, from a minute instead of four hours.
    resources["tuning"]["runtime"] = "1 * attempt"
    options = [f"{rule}:{key}={value}" for rule, values in resources.items() for key, value in values.items()]

    def cancel() -> None:
        (running,) = [job for job in node.jobs() if job.rule.startswith(CANCELLED) and job.state == "RUNNING"]
        node.cancel(running.number)

    def stop() -> None:
        for process in jobs(folder, "tune", "1-3/trained/0.01"):
            os.kill(process, signal.SIGSTOP)

    command = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--profile", str(PROFILE.parent), *IMPATIENT]
    command += ["--configfile", str(TINY), "--set-resources", *options, "--config", "save_every=0"]
    with (folder / "snakemake.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=log, stderr=log)
    work = folder / "results" / "tiny" / "work"
    try:
        once_saved({work / "parent" / "1-3": cancel, work / "tuning" / "1-3" / "backbone=trained": stop})
        code = process.wait(timeout=1200)
    finally:
        process.kill()
    output = (folder / "snakemake.log").read_text()
    numbers = {line.rsplit("jobid ")[-1].split()[0] for line in output.splitlines() if "with SLURM jobid" in line}
    return Ended(folder, code, output, [job for job in node.jobs() if job.number in numbers])


def test_a_run_reaches_the_last_table(run: Ended, local_run: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    assert run.code == local_run[1].returncode, run.output[-3000:]
    assert (run.folder / "reports/tiny/tables/summary.md").stat().st_size
    assert "device auto: cpu" in run.output


def test_jobs_that_compute_have_one_gpu_and_the_others_none(run: Ended) -> None:
    rules = {job.rule.split("_wildcards")[0] for job in run.jobs}
    assert rules == {*ON_GPU, "evaluate"}, "small rules stay on the head node"
    for job in run.jobs:
        if job.rule.startswith("evaluate"):
            assert (job.gpus, job.visible) == ("N/A", {"none"})
        else:
            assert job.gpus == "gres:gpu:1"
            assert job.visible & {"0", "1"}
    # Slurm hands out the GPUs, not the default profile's bound for one machine.
    assert {"0", "1"} <= set().union(*(job.visible for job in run.jobs_of("grid")))


def test_a_measurement_has_its_node_to_itself(run: Ended) -> None:
    measurements = run.jobs_of("cost")
    assert len(measurements) == 2
    for job in measurements:
        assert job.shared == "NO"
        assert not [other for other in run.jobs if other != job and other.overlaps(job)]


def test_a_cancelled_job_is_tried_again_with_more_and_goes_on(run: Ended) -> None:
    cancelled, again = run.jobs_of(CANCELLED)
    assert (cancelled.state, cancelled.limit, cancelled.memory) == ("CANCELLED", "4:00:00", "16000M")
    assert (again.state, again.limit, again.memory) == ("COMPLETED", "8:00:00", "32000M")
    logs = run.folder / "logs"
    assert "CANCELLED" in (logs / "slurm" / "rule_parent" / "1-3_63" / f"{cancelled.number}.log").read_text()
    assert "going on after epoch" in (logs / "tiny" / "parent" / "1-3" / "seed=63.log").read_text()


def test_a_job_past_its_walltime_is_tried_again_with_more_and_goes_on(run: Ended) -> None:
    late, again = run.jobs_of(HANGS)
    assert (late.state, late.limit, late.memory) == ("TIMEOUT", "1:00", "16000M")
    assert (again.state, again.limit, again.memory) == ("COMPLETED", "2:00", "32000M")
    (kept,) = run.folder.glob(f"logs/slurm/rule_tuning/**/{late.number}.log")
    assert "DUE TO TIME LIMIT" in kept.read_text()
    (said,) = run.folder.glob("logs/tiny/tuning/1-3/trained/**/*.log")
    assert "going on after epoch" in said.read_text()


def test_tables_and_predictions_are_those_of_a_local_run(
    run: Ended, local_run: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    assert_same_results(run.folder, local_run[0])
