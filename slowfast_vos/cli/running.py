"""The job that a verb runs: its note, from the beginning to its end, and a last line on where the run stands."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Literal

import typer

from slowfast_vos.errors import UserError

if TYPE_CHECKING:
    from slowfast_vos.config import Settings
    from slowfast_vos.measuring.notes import OpenNote

log = logging.getLogger(__name__)
_job: tuple[Settings, OpenNote] | None = None


# Jobs that write their results at their end: what a twin has left is whole.
_WRITTEN_AT_THE_END = ("detector", "parent", "tuning")


def note_begin(settings: Settings, *parts: str, seed: int | None = None, part: tuple[int, int] | None = None) -> None:
    """Note that a job of the run begins; waits while another process works at the same job.

    Args:
        parts, seed, part: which job, as its log's path has it (see `Results.log`).

    Raises:
        UserError: Snakemake tries a job again that has said why it failed: it would fail again.
        typer.Exit: the process that was waited for, of a Snakemake that was killed, say, has done this training.
    """
    global _job
    from slowfast_vos.measuring.notes import RUN, begin_note, read_note
    from slowfast_vos.paths import Results

    path = Results(settings).log(*parts, seed=seed, part=part).with_suffix(".json")
    before = read_note(path)
    if before and before.state == "failed" and before.run and before.run == os.environ.get(RUN):
        if before.trace:  # Snakemake has removed the log that it was in
            log.error(before.trace.rstrip())
        raise UserError(f"not tried again, since it failed by itself: {before.error}")
    note = begin_note(path, settings.digest())
    _job = settings, note
    if note.done_by_twin and parts[0] in _WRITTEN_AT_THE_END:
        from slowfast_vos.reporting.plan import plan

        if all(result.exists() for step in plan(settings) if step.note == path for result in step.results):
            log.info("another process has done it meanwhile")
            note_end("done")
            raise typer.Exit


def note_end(state: Literal["done", "failed", "stopped"], error: str | None = None, trace: str | None = None) -> None:
    """Note how the verb's job ended, if it has one; after a finished job, log where the run stands.

    Args:
        error, trace: why it failed, and the traceback.
    """
    global _job
    if _job is None:
        return
    (settings, note), _job = _job, None
    # Whatever goes wrong from here on, the job itself has ended, and its results count.
    try:
        note.end(state, None if error is None else " ".join(error.split()), trace)
        if state == "done":
            from slowfast_vos.reporting.status import read_status

            log.info("run %s: %s", settings.name, read_status(settings).headline)
    except (UserError, OSError) as problem:
        log.warning("where the run stands is not known: %s", problem)
