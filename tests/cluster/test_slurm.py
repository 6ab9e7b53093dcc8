"""The Slurm profile against a real Slurm: GPUs, a job that is cancelled, one that outlives its walltime, the tables."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from one_node import Job, Node, UnavailableError, one_node

from workflow_runs import ENVIRONMENT, ROOT, TINY, assert_same_results

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

PROFILE = ROOT / "workflow" / "profiles" / "slurm" / "profile.yaml"
# What a short test asks often, a grid of hours asks seldom.
IMPATIENT = ["--slurm-init-seconds-before-status-checks", "5", "--seconds-between-status-checks", "1"]
TRAINS = ("detector", "parent", "tuning", "grid_1_of_2", "grid_2_of_2", "final_1_of_1")
ON_GPU = (*TRAINS, "predict_parent", "predict_baseline", "cost")
CANCELLED = "parent_wildcards_1-3"


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


def start(folder: Path, snakefile: Path, profile: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start Snakemake with a Slurm profile in `folder`; what it says goes to `snakemake.log`."""
    command = ["snakemake", "--snakefile", str(snakefile), "--profile", str(profile), *IMPATIENT, *arguments]
    with (folder / "snakemake.log").open("w") as log:
        return subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=log, stderr=log, text=True)


def end(process: subprocess.Popen[str], folder: Path, node: Node) -> Ended:
    """Wait for a run."""
    code = process.wait(timeout=1200)
    output = (folder / "snakemake.log").read_text()
    numbers = {line.rsplit("jobid ")[-1].split()[0] for line in output.splitlines() if "with SLURM jobid" in line}
    return Ended(folder, code, output, [job for job in node.jobs() if job.number in numbers])


def cancel_in_training(node: Node, rule: str, work: Path, seconds: float = 300) -> None:
    """Cancel a rule's job as soon as it has saved its training's state."""
    limit = time.monotonic() + seconds
    while not list(work.glob("*.pt")):
        assert time.monotonic() < limit, f"{rule} saved nothing within {seconds} s"
        time.sleep(0.05)
    (running,) = [job for job in node.jobs() if job.rule.startswith(rule) and job.state == "RUNNING"]
    node.cancel(running.number)


@pytest.fixture(scope="module")
def runs(node: Node, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """Side by side: the tiny run, one of whose jobs is cancelled, and a job that outlives its first walltime."""
    tiny, outlives = tmp_path_factory.mktemp("tiny"), tmp_path_factory.mktemp("outlives")
    # Stands for a GPU: the jobs ask for one, and compute on the CPU. Given here, the option replaces the profile's.
    resources = yaml.safe_load(PROFILE.read_text())["set-resources"]
    for rule in ON_GPU:
        resources.setdefault(rule, {})["gpu"] = 1
    options = [f"{rule}:{key}={value}" for rule, values in resources.items() for key, value in values.items()]
    # The profile's own walltime, counted in minutes instead of hours.
    short = outlives / "profile.yaml"
    text = PROFILE.read_text()
    assert text.count("runtime: 240 * attempt") == 1
    short.write_text(text.replace("runtime: 240 * attempt", "runtime: 1 * attempt"))

    waiting = start(outlives, ROOT / "tests" / "cluster" / "outlives.smk", short)
    options = ["--set-resources", *options, "--config", "save_every=0"]
    working = start(tiny, ROOT / "Snakefile", PROFILE.parent, "--configfile", str(TINY), *options)
    try:
        cancel_in_training(node, CANCELLED, tiny / "results/tiny/work/parent/1-3/seed=63/record")
        return {"tiny": end(working, tiny, node), "outlives": end(waiting, outlives, node)}
    finally:
        working.kill()
        waiting.kill()


def test_a_run_reaches_the_last_table(
    runs: dict[str, Ended], local_run: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    run = runs["tiny"]
    assert run.code == local_run[1].returncode, run.output[-3000:]
    assert (run.folder / "reports/tiny/tables/summary.md").stat().st_size
    assert "device auto: cpu" in run.output


def test_jobs_that_compute_have_one_gpu_and_the_others_none(runs: dict[str, Ended]) -> None:
    rules = {job.rule.split("_wildcards")[0] for job in runs["tiny"].jobs}
    assert rules == {*ON_GPU, "evaluate"}, "small rules stay on the head node"
    for job in runs["tiny"].jobs:
        if job.rule.startswith("evaluate"):
            assert job.gpus == ""
            assert job.visible == {"none"}
        else:
            assert job.gpus == "gres:gpu:1"
            assert job.visible & {"0", "1"}
    # Slurm hands out the GPUs, not the default profile's bound for one machine.
    assert {"0", "1"} <= set().union(*(job.visible for job in runs["tiny"].jobs_of("grid")))


def test_a_measurement_has_its_node_to_itself(runs: dict[str, Ended]) -> None:
    measurements = runs["tiny"].jobs_of("cost")
    assert len(measurements) == 2
    for job in measurements:
        assert job.exclusive
        assert not [other for other in runs["tiny"].jobs if other != job and other.overlaps(job)]


def test_a_cancelled_job_is_tried_again_with_more_and_goes_on(runs: dict[str, Ended]) -> None:
    cancelled, again = runs["tiny"].jobs_of(CANCELLED)
    assert (cancelled.state, cancelled.limit, cancelled.memory) == ("CANCELLED", "4:00:00", "16000M")
    assert (again.state, again.limit, again.memory) == ("COMPLETED", "8:00:00", "32000M")
    logs = runs["tiny"].folder / "logs"
    assert "CANCELLED" in (logs / "slurm" / "rule_parent" / "1-3_63" / f"{cancelled.number}.log").read_text()
    assert "going on after epoch" in (logs / "tiny" / "parent" / "1-3" / "seed=63.log").read_text()


def test_a_job_that_outlives_its_walltime_is_tried_again_with_more(runs: dict[str, Ended]) -> None:
    run = runs["outlives"]
    assert run.code == 0, run.output[-3000:]
    assert [(job.state, job.limit) for job in run.jobs] == [("TIMEOUT", "1:00"), ("COMPLETED", "2:00")]
    (kept,) = run.folder.glob(f"logs/slurm/rule_outlives/**/{run.jobs[0].number}.log")
    assert "DUE TO TIME LIMIT" in kept.read_text()


def test_tables_and_predictions_are_those_of_a_local_run(
    runs: dict[str, Ended], local_run: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    assert_same_results(runs["tiny"].folder, local_run[0])
