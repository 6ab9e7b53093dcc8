"""Which records a run of given settings has, and the words that all reporting shares; needs no pandas."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from slowfast_vos.config import Settings, parse_settings
from slowfast_vos.errors import UserError
from slowfast_vos.measuring.record import Record
from slowfast_vos.paths import Results

TASKS = ("unsupervised", "semi-supervised")
BASELINES = {"detector": "all detections", "foreground": "all foreground"}
KINDS = ("detector", "parent", "tuning", "grid", "selected", "evaluation", "baseline", "cost")
NOTHING = "–"  # a cell without a value

Key = tuple[Any, ...]


def record_paths(settings: Settings, root: Path, kinds: Collection[str] = KINDS) -> list[tuple[str, Key, Path]]:
    """Kind, key and path of every record that a run of these settings has."""
    results = Results(settings)
    found: list[tuple[str, Key, Path]] = []
    for seed in settings.seeds:
        found.append(("detector", (seed,), results.detector(seed) / "record.json"))
        for name in BASELINES:
            found.append(("baseline", (name, seed), results.scores("baseline", name, seed)))
        for setup, backbone, lr in results.tunings():
            found.append(("tuning", (setup, backbone, lr, seed), results.tuning(setup, backbone, lr, seed)))
        for setup in settings.setups:
            found.append(("parent", (setup, seed), results.parent(setup, seed) / "record.json"))
            for point in results.configurations():
                found.append(("grid", (setup, *point, seed), results.grid(setup, *point, seed)))
            found.append(("selected", (setup, seed), results.selected(setup, seed)))
            for task in TASKS:
                found.append(("evaluation", (task, setup, seed), results.scores(task, setup, seed)))
            if seed == settings.seeds[0]:
                found.append(("cost", (setup, seed), results.cost(setup, seed)))
    found = [(kind, key, root / path.relative_to(results.root)) for kind, key, path in found]
    return [entry for entry in found if entry[0] in kinds]


def has_settings(record: Record, settings: Settings) -> bool:
    """Whether a record was made with what the settings say of its kind of job."""
    try:
        own = parse_settings(record.settings, record.name)
    except UserError:  # of a version with other keys
        return False
    return own.key(record.kind) == settings.key(record.kind)
