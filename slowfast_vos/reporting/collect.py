"""Which records a run of given settings has, and the words that all reporting shares; needs no pandas."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from slowfast_vos.config import Settings, parse_settings
from slowfast_vos.dag import TASKS, planned_jobs
from slowfast_vos.errors import UserError
from slowfast_vos.measuring.record import Record
from slowfast_vos.paths import Results

KINDS = ("detector", "parent", "tuning", "grid", "selected", "evaluation", "baseline", "cost")
NOTHING = "–"  # a cell without a value

Key = tuple[Any, ...]


def record_paths(settings: Settings, root: Path, kinds: Collection[str] = KINDS) -> list[tuple[str, Key, Path]]:
    """Kind, key and path of every record that tables are made from."""
    own = Results(settings).root
    found = [
        ("evaluation" if job.kind in TASKS else job.kind, key, root / path.relative_to(own))
        for job in planned_jobs(settings, val=())
        if job.recorded
        for key, path in job.outputs.items()
    ]
    return [entry for entry in found if entry[0] in kinds]


def has_settings(record: Record, settings: Settings) -> bool:
    """Whether a record was made with what the settings say of its kind of job."""
    try:
        own = parse_settings(record.settings, record.name)
    except UserError:  # of a version with other keys
        return False
    return own.key(record.kind) == settings.key(record.kind)
