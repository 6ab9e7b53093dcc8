"""Where a run stands, from its records and its jobs' status files; needs neither torch nor Snakemake."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from rich.console import Console
from rich.table import Table

from slowfast_vos.config import Settings
from slowfast_vos.dag import STAGES, PlannedJob, planned_jobs, read_output
from slowfast_vos.jobs.runner import JobStatus
from slowfast_vos.jobs.runner import read_status as read_status_file
from slowfast_vos.measuring.record import read_checked
from slowfast_vos.paths import Results
from slowfast_vos.reporting.time_left import frames_of_outputs, in_words, time_left

State = Literal["done", "running", "failed", "stopped", "skipped", "missing"]
STATES: tuple[State, ...] = get_args(State)
ALWAYS_SHOWN = ("done", "running", "failed", "missing")
NAMED_AT_THE_END = 5


@dataclass(frozen=True)
class Output:
    """One record, file or folder of a job."""

    path: Path
    state: State
    error: str | None = None
    seconds: float | None = None  # how long it took, if its record says so


@dataclass(frozen=True)
class JobState:
    """A job, and what it has written so far.

    It is `done` once all its outputs are there, be they failed records; `failed` if it ended without them; `stopped` if
    it was killed or interrupted; `skipped` if a job that it needs failed; `missing` if it has not begun.
    """

    job: PlannedJob
    state: State
    outputs: list[Output]  # of a running, failed or stopped job, the first missing one has the job's state
    status: JobStatus | None = None


@dataclass(frozen=True)
class Status:
    """Where a run stands."""

    results: Results
    jobs: list[JobState]
    frames: dict[str, float]  # see `frames_of_outputs`

    @property
    def counts(self) -> dict[str, Counter[State]]:
        """By stage, how many outputs are in which state."""
        counts: dict[str, Counter[State]] = defaultdict(Counter)
        for one in self.jobs:
            counts[one.job.stage].update(output.state for output in one.outputs)
        return dict(counts)

    @property
    def totals(self) -> Counter[State]:
        """Outputs of the whole run by state."""
        return sum(self.counts.values(), Counter())

    @property
    def headline(self) -> str:
        """The run in one line: jobs done, and the time left."""
        states = Counter(one.state for one in self.jobs)
        words = [f"{states['done']} of {len(self.jobs)} jobs done"]
        words += [f"{states[state]} {state}" for state in ("failed", "stopped", "skipped") if states[state]]
        return ", ".join(words if states["done"] == len(self.jobs) else [*words, time_left(self.jobs, self.frames)])

    def problems(self, *states: State) -> list[str]:
        """A line for every output that failed, and for every job that runs or was stopped, with its log."""
        lines = []
        for one in self.jobs:
            log = f"; log: {one.job.log}" if one.job.log.is_file() else ""
            name = one.job.log.relative_to(self.results.logs).with_suffix("")
            if one.state in states and one.status and one.state == "running":
                since = f", for {in_words(time.time() - one.status.started)}" if one.status.started else ""
                lines.append(f"running: {name}: {one.status.process}{since}{log}")
            if one.state in states and one.status and one.state == "stopped":
                unsure = one.status.state == "unknown"
                how = "may still run (no locks on this file system)" if unsure else "was killed or interrupted"
                lines.append(f"stopped: {name}: {one.status.error or how}; the same command goes on{log}")
            for output in one.outputs if "failed" in states else ():
                if output.state == "failed":
                    reason = " ".join((output.error or "no reason given").split())
                    lines.append(f"failed: {output.path}: {reason}{log}")
        return lines


def read_status(settings: Settings) -> Status:
    """Read where a run stands.

    What an edit made outdated counts as done until its job begins: only Snakemake knows (`snakemake -n`).

    Raises:
        UserError: a record or a status file cannot be read, or the dataset is not there.
    """
    results, jobs = Results(settings), []
    data = read_checked(results.dataset) if results.dataset.is_file() else None
    for job in planned_jobs(results, data.roles["val"] if data else None):
        jobs.append(_read_job(results, job, [one for one in jobs if job.needs(one.job)]))
    return Status(results, jobs, frames_of_outputs(settings, data) if data else {})


def _read_job(results: Results, job: PlannedJob, needed: list[JobState]) -> JobState:
    status = read_status_file(job.status_file)
    found = [_read_output(results, job, path) for path in job.outputs]
    ended = status.state if status else "done"
    complete = all(output.state != "missing" for output in found)
    state: State = "missing"
    if ended == "running":
        state = "running"
    elif complete and (job.recorded or ended == "done"):
        return JobState(job, "done", found, status)
    elif ended != "done":
        state = "failed" if ended == "failed" else "stopped"
    elif any(one.state in ("failed", "skipped") for one in needed):
        state = "skipped"
    if not job.recorded:  # a file or a folder may be there in part
        found = [Output(output.path, "missing") for output in found]
    # The job's own state is that of the first output that is missing; the others wait for it.
    own, error = state, status.error if status and state == "failed" else None
    for index, output in enumerate(found):
        if output.state == "missing":
            found[index] = Output(output.path, own, error)
            own, error = "skipped" if state in ("failed", "skipped") else "missing", None
    return JobState(job, state, found, status)


def _read_output(results: Results, job: PlannedJob, path: Path) -> Output:
    if not path.exists():
        return Output(path, "missing")
    if not job.recorded:
        return Output(path, "done")
    record = read_output(results, job, path)
    return Output(path, record.status, record.error, record.provenance.seconds)


def print_status(status: Status, console: Console) -> None:
    """Print a run's stages, what needs a look, and the time left."""
    shown = [state for state in STATES if state in ALWAYS_SHOWN or status.totals[state]]
    table = Table(box=None, pad_edge=False)
    for name in ("stage", *shown, "of"):
        table.add_column(name, justify="left" if name == "stage" else "right", no_wrap=True)
    for stage, found in sorted(status.counts.items(), key=lambda item: STAGES.index(item[0].split()[0])):
        table.add_row(stage, *(str(found[state] or "–") for state in shown), str(found.total()))
    console.out(f"run {status.results.settings.name} ({status.results.root})", highlight=False)
    console.print(table)
    lines = [*status.problems("running", "stopped", "failed"), status.headline]
    console.out(*lines, sep="\n", highlight=False)


def last_lines(status: Status) -> list[str]:
    """A run's last lines: outputs by state, the first that failed, where the logs are, how it goes on."""
    totals = status.totals
    counts = ", ".join(
        f"{totals[state]} {state}" for state in STATES if totals[state] or state in ("failed", "skipped")
    )
    lines, failed = [f"{totals.total()} results: {counts}"], status.problems("failed", "stopped")
    lines += failed[:NAMED_AT_THE_END]
    if len(failed) > NAMED_AT_THE_END:
        lines.append(f"and {len(failed) - NAMED_AT_THE_END} more: `slowfast-vos status` lists all")
    if any(one.state != "done" for one in status.jobs):
        lines.append(f"logs: {status.results.logs}; the same command goes on from here")
    return lines
