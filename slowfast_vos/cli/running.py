"""The job that a verb runs: its note, from the beginning to its end, and a last line on where the run stands."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from slowfast_vos.errors import UserError

if TYPE_CHECKING:
    from slowfast_vos.config import Settings
    from slowfast_vos.measuring.notes import OpenNote

log = logging.getLogger(__name__)
_job: tuple[Settings, OpenNote] | None = None


def note_begin(settings: Settings, *parts: str, seed: int | None = None, part: tuple[int, int] | None = None) -> None:
    """Note that a job of the run begins; waits while another process works at the same job.

    Args:
        parts, seed, part: which job, as its log's path has it (see `Results.log`).
    """
    global _job
    from slowfast_vos.measuring.notes import begin_note
    from slowfast_vos.paths import Results

    path = Results(settings).log(*parts, seed=seed, part=part).with_suffix(".json")
    _job = settings, begin_note(path)


def note_end(state: Literal["done", "failed", "stopped"], error: str | None = None) -> None:
    """Note how the verb's job ended, if it has one; after a finished job, log where the run stands."""
    global _job
    if _job is None:
        return
    (settings, note), _job = _job, None
    note.end(state, None if error is None else " ".join(error.split()))
    if state == "done":
        from slowfast_vos.reporting.status import read_status

        try:
            log.info("run %s: %s", settings.name, read_status(settings).headline)
        except UserError as error:  # of another job's files: this one is done
            log.warning("where the run stands is not known: %s", error)
