"""How long a run still takes, from how long its finished jobs took."""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean

from slowfast_vos.reporting.plan import Step
from slowfast_vos.reporting.progress import Job

# A measurement takes all cores.
ALONE = frozenset({"cost"})


@dataclass(frozen=True)
class Remaining:
    """An estimate.

    Attributes:
        seconds: until the run ends, as far as that is known; 0 once all is done.
        unknown: stages with jobs left of a kind of which none is finished: each is taken to be as long as the mean job.
        workers: jobs side by side.
    """

    seconds: float
    unknown: tuple[str, ...]
    workers: int


class Durations:
    """Mean seconds of a result, by kind and setup; of the whole kind where the setup has none.

    Records tell; where there are none (yet, or any more), the notes of finished jobs.
    """

    def __init__(self, jobs: list[Job]) -> None:
        self._recorded: dict[tuple[str, str | None], list[float]] = defaultdict(list)
        self._noted: dict[tuple[str, str | None], list[float]] = defaultdict(list)
        extra = []
        for job in jobs:
            took = [result.seconds for result in job.results if result.seconds is not None and result.state != "failed"]
            total = job.note.seconds if job.note and job.note.state == "done" else None
            if total is not None and len(took) == len(job.results):
                extra.append(max(0.0, total - sum(took)))
            for key in ((job.step.kind, job.step.setup), (job.step.kind, None)):
                self._recorded[key] += took
                self._noted[key] += [] if total is None else [total / len(job.results)]
        self.start = fmean(extra) if extra else 0.0
        noted = [job.note for job in jobs if job.note and job.step.recorded]
        whole = [note.seconds for note in noted if note.state == "done" and note.seconds is not None]
        self.mean_job = fmean(whole) if whole else 0.0

    def of(self, step: Step) -> float | None:
        """Seconds of one result of this job; None if no job of its kind has finished one."""
        own, kind = (step.kind, step.setup), (step.kind, None)
        known = self._recorded[own] or self._recorded[kind] or self._noted[own] or self._noted[kind]
        return fmean(known) if known else None

    def left(self, job: Job, now: float) -> float | None:
        """Seconds until a job ends, its start included; None if not known."""
        each = self.of(job.step)
        if each is None:
            return None
        todo = sum(result.state not in ("done", "failed") for result in job.results)
        if job.state != "running" or job.note is None or job.note.started is None:
            return todo * each + (self.start if job.step.recorded else 0.0)
        spent = sum(result.seconds or 0.0 for result in job.results if result.state in ("done", "failed"))
        return max(todo * each + spent + (self.start if job.step.recorded else 0.0) - (now - job.note.started), 0.0)


def estimate(jobs: list[Job], now: float | None = None) -> Remaining:
    """Estimate the time left of a run.

    While it runs, what failed is not tried again; otherwise the estimate is of the next start, which tries it.

    Args:
        now: seconds since 1970.
    """
    now = time.time() if now is None else now
    durations, workers = Durations(jobs), side_by_side(jobs)
    closed = ("done", "failed", "skipped") if any(job.state == "running" for job in jobs) else ("done",)
    open_jobs = sorted((job for job in jobs if job.state not in closed), key=lambda job: job.state != "running")
    left = {job.step.log: durations.left(job, now) for job in open_jobs}
    unknown = dict.fromkeys(job.step.stage.split()[0] for job in open_jobs if left[job.step.log] is None)
    guessed = {log: durations.mean_job if seconds is None else seconds for log, seconds in left.items()}
    steps = [(job.step, guessed[job.step.log]) for job in open_jobs]
    return Remaining(makespan(steps, workers), tuple(unknown), workers)


def side_by_side(jobs: list[Job]) -> int:
    """The most jobs that ran at one moment, those that run now included; at least 1."""
    changes = []
    for job in jobs:
        if job.note is None or job.note.started is None:
            continue
        ended = job.note.started + job.note.seconds if job.note.seconds is not None else float("inf")
        if job.note.state in ("done", "running"):
            changes += [(job.note.started, 1), (ended, -1)]
    most = running = 0
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return max(most, 1)


def makespan(steps: list[tuple[Step, float]], workers: int) -> float:
    """Seconds until all jobs are done, started in this order as soon as what they stand on is done.

    Args:
        steps: jobs with their seconds; what they need and is not among them is done.
        workers: jobs side by side; a measurement runs alone.
    """
    waiting = {step.log: (step, seconds) for step, seconds in steps}
    undone, running, now = set(waiting), [], 0.0
    alone = False
    while waiting or running:
        for log, (step, seconds) in list(waiting.items()):
            solitary = step.kind in ALONE
            if alone or len(running) >= (1 if solitary else workers) or undone.intersection(step.needs):
                continue
            del waiting[log]
            heapq.heappush(running, (now + seconds, log, solitary))
            alone = solitary
        now, log, solitary = heapq.heappop(running)
        undone.discard(log)
        alone = alone and not solitary
    return now
