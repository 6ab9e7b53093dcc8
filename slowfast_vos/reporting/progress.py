"""Where a run stands, from its records and its jobs' notes; needs neither torch nor Snakemake."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slowfast_vos.config import Settings
from slowfast_vos.errors import UserError
from slowfast_vos.files import read_json
from slowfast_vos.measuring.notes import Note, read_note
from slowfast_vos.reporting.plan import Step, plan

State = Literal["done", "running", "failed", "stopped", "skipped", "missing"]
STATES: tuple[State, ...] = ("done", "running", "failed", "stopped", "skipped", "missing")


@dataclass(frozen=True)
class Result:
    """One record, file or folder of a job.

    Attributes:
        error: of a failed one, in one line.
        seconds: how long it took, where its record says so; of a missing one, how long the outdated one took.
    """

    path: Path
    state: State
    error: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Job:
    """A job, and what it left so far.

    Attributes:
        state: `done` once all its results are there, be they failed records; `failed` if it ended without them;
            `stopped` if it was killed or interrupted; `skipped` if a job that it stands on failed; `missing` if it
            has not begun.
        results: of a running, failed or stopped job, the first that is not there has the job's state.
        outdated: what is there was made from something older than what there is now.
    """

    step: Step
    state: State
    results: tuple[Result, ...]
    note: Note | None = None
    outdated: bool = False


def read_jobs(settings: Settings, base: Path = Path()) -> list[Job]:
    """How every job of a run stands.

    What is older than what it is made from is to be made again, and so is missing. What an edit of the configuration
    outdated counts as done until its job begins: only Snakemake knows (`snakemake -n`).

    Raises:
        UserError: a record or a note cannot be read, or the dataset is not there.
    """
    jobs: dict[Path, Job] = {}
    for step in plan(settings, base):
        needed = [jobs[log] for log in step.needs]
        blocked = any(job.state in ("failed", "skipped") for job in needed)
        jobs[step.log] = _read_job(step, blocked, _is_outdated(step, needed))
    return list(jobs.values())


def _is_outdated(step: Step, needed: list[Job]) -> bool:
    if any(job.outdated or job.state in ("running", "failed", "stopped") for job in needed):
        return True
    made, used = _times([step]), _times([job.step for job in needed])
    return bool(made and used) and max(used) > min(made)


def _times(steps: list[Step]) -> list[float]:
    found = []
    for path in (path for step in steps for path in step.results):
        with suppress(FileNotFoundError):  # not made yet, or being made again
            found.append(path.stat().st_mtime)
    return found


def count_results(jobs: list[Job]) -> dict[str, Counter[State]]:
    """By stage, how many results are in which state."""
    counts: dict[str, Counter[State]] = {}
    for job in jobs:
        counts.setdefault(job.step.stage, Counter()).update(result.state for result in job.results)
    return counts


def _read_job(step: Step, blocked: bool, outdated: bool) -> Job:
    note = read_note(step.note)
    found = tuple(_read_result(path, step.recorded) for path in step.results)
    if outdated:
        found = tuple(Result(one.path, "missing", seconds=one.seconds) for one in found)
    state = _job_state(step, found, note, blocked)
    if state == "done":
        return Job(step, state, found, note)
    if not step.recorded:  # a file or a folder may be there in part
        found = tuple(Result(result.path, "missing") for result in found)
    absent = [result.path for result in found if result.state == "missing"]
    behind: State = "skipped" if state in ("failed", "skipped") else "missing"
    error = note.error if note and state == "failed" else None
    states = {path: Result(path, behind) for path in absent} | {path: Result(path, state, error) for path in absent[:1]}
    results = [states.get(result.path, result) for result in found]
    return Job(step, state, tuple(results), note, outdated)


def _job_state(step: Step, found: tuple[Result, ...], note: Note | None, blocked: bool) -> State:
    noted = note.state if note else "done"
    if noted == "running":
        return "running"
    complete = all(result.state != "missing" for result in found)
    if complete and (step.recorded or noted == "done"):
        return "done"
    if noted != "done":
        return "failed" if noted == "failed" else "stopped"
    return "skipped" if blocked else "missing"


def _read_result(path: Path, recorded: bool) -> Result:
    if not recorded:
        return Result(path, "done" if path.exists() else "missing")
    try:
        record = read_json(path)
    except UserError:
        if path.exists():
            raise
        return Result(path, "missing")
    try:
        failed = record["status"] == "failed"
        error = (record["error"] or "no reason given") if failed else None
        return Result(path, "failed" if failed else "done", error, float(record["provenance"]["seconds"]))
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: is no record; expected its status and provenance") from None
