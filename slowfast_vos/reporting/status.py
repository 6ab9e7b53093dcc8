"""Where a run stands, in words: its stages, what runs, what failed and why, and the time left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tabulate import tabulate

from slowfast_vos.config import Settings
from slowfast_vos.paths import Results
from slowfast_vos.reporting.collect import NOTHING
from slowfast_vos.reporting.progress import STATES, Job, State, count_results, read_jobs
from slowfast_vos.reporting.remaining import Remaining, estimate

ALWAYS_SHOWN: tuple[State, ...] = ("done", "running", "failed", "missing")
STAGES = ("data", "detector", "parents", "tuning", "grid", "selection", "finals", "predictions", "evaluation", "cost")
NAMED_AT_THE_END = 5


@dataclass(frozen=True)
class Status:
    """Where a run stands."""

    results: Results
    jobs: list[Job]
    remaining: Remaining

    @property
    def totals(self) -> Counter[State]:
        """Results of the whole run by state."""
        return sum(count_results(self.jobs).values(), Counter())

    @property
    def headline(self) -> str:
        """The run in one line: jobs done, and the time left."""
        states = Counter(job.state for job in self.jobs)
        parts = [f"{states['done']} of {len(self.jobs)} jobs done"]
        parts += [f"{states[state]} {state}" for state in ("failed", "stopped", "skipped") if states[state]]
        return ", ".join([*parts, *([] if states["done"] == len(self.jobs) else [self._left()])])

    def _left(self) -> str:
        left, known = self.remaining, self.remaining.seconds > 0
        if not known and left.unknown:
            return f"time left not known yet: nothing is finished of {', '.join(left.unknown)}"
        beside = f"with {left.workers} side by side" if left.workers > 1 else "one job at a time"
        if left.unknown:
            return f"about {in_words(left.seconds)} left {beside} (a guess for {', '.join(left.unknown)})"
        return f"about {in_words(left.seconds)} left {beside}"

    def problems(self, *states: State) -> list[str]:
        """A line for every result that failed (and why), and for every job that runs or was stopped, with its log."""
        return [line for job in self.jobs for line in self._lines(job, states)]

    def _lines(self, job: Job, states: tuple[State, ...]) -> Iterator[str]:
        log = f"; log: {job.step.log}" if job.step.log.is_file() else ""
        name = job.step.log.relative_to(self.results.logs).with_suffix("")
        if job.state == "running" and "running" in states and job.note:
            since = f", for {in_words(time.time() - job.note.started)}" if job.note.started else ""
            yield f"running: {name}: {job.note.process}{since}{log}"
        if job.state == "stopped" and "stopped" in states:
            unsure = job.note is not None and job.note.state == "unknown"
            how = "may still run (no locks on this file system)" if unsure else "was killed or interrupted"
            if job.note and job.note.error:
                how = job.note.error
            yield f"stopped: {name}: {how}; the same command goes on{log}"
        if "failed" in states:
            for result in job.results:
                if result.state == "failed":
                    yield f"failed: {result.path}: {' '.join((result.error or 'no reason given').split())}{log}"


def read_status(settings: Settings, base: Path = Path()) -> Status:
    """Read where a run stands (see `progress.read_jobs`)."""
    jobs = read_jobs(settings, base)
    return Status(Results(settings, base), jobs, estimate(jobs))


def print_status(status: Status, console: Console) -> None:
    """Print a run's stages, what needs a look, and the time left: a table on a terminal, else plain text."""
    counts = count_results(status.jobs)
    shown = [state for state in STATES if state in ALWAYS_SHOWN or status.totals[state]]
    rows = [
        [stage, *(str(found[state]) if found[state] else NOTHING for state in shown), str(found.total())]
        for stage, found in sorted(counts.items(), key=lambda item: _place(item[0]))
    ]
    title, head = f"run {status.results.settings.name} ({status.results.root})", ["stage", *shown, "of"]
    if console.is_terminal:
        table = Table(title=title, title_justify="left", header_style="bold")
        for index, name in enumerate(head):
            table.add_column(name, justify="right" if index else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    else:
        right = ("left", *["right"] * (len(head) - 1))
        print_plain(console, title, tabulate(rows, head, "plain", disable_numparse=True, colalign=right))
    print_plain(console, *status.problems("running", "stopped", "failed"), status.headline)


def print_plain(console: Console, *lines: str) -> None:
    """Print lines as they are: no wrapping, no colours."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def ending(status: Status) -> list[str]:
    """A run's last lines: done, failed and skipped, the first failed ones, where the logs are, how it goes on."""
    totals = status.totals
    known = ", ".join(f"{totals[state]} {state}" for state in STATES if totals[state] or state in ("failed", "skipped"))
    lines = [f"{totals.total()} results: {known}"]
    failed = status.problems("failed", "stopped")
    lines += failed[:NAMED_AT_THE_END]
    if len(failed) > NAMED_AT_THE_END:
        lines.append(f"and {len(failed) - NAMED_AT_THE_END} more: `slowfast-vos status` lists all")
    if any(job.state != "done" for job in status.jobs):
        lines.append(f"logs: {status.results.logs}; the same command goes on from here")
    return lines


def in_words(seconds: float) -> str:
    """A duration, about: "40 s", "6 min", "2.5 h"."""
    if seconds < 90:
        return f"{max(round(seconds / 10), 1) * 10} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _place(stage: str) -> int:
    kind = stage.split()[0]
    return STAGES.index(kind) if kind in STAGES else len(STAGES)
