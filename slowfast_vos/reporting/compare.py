"""Runs side by side: seeds of equal runs are merged, different runs are compared in pairs of seed and sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from slowfast_vos.claims.intervals import complete, estimate
from slowfast_vos.claims.verdicts import Contrast, Evidence
from slowfast_vos.dag import TASKS
from slowfast_vos.errors import UserError
from slowfast_vos.reporting.run import Run

# What does not make runs different: names, places, and how the machine is used.
INCIDENTAL = {
    "name",
    "seeds",
    "device",
    "threads",
    "save_every",
    "loading_workers",
    "davis_root",
    "davis_val_root",
    "claims",
}


@dataclass(frozen=True)
class Merged:
    """Runs that differ in their seeds alone.

    Attributes:
        name: of the runs, joined.
        runs: one or several.
        evidence: their paired scores.
    """

    name: str
    runs: list[Run]
    evidence: Evidence


def merge_runs(runs: Sequence[Run]) -> list[Merged]:
    """Gather runs of equal settings and data with different seeds, in the order given."""
    groups: list[list[Run]] = []
    for run in runs:
        fitting = (group for group in groups if _equal(group[0], run) and not _shared_seeds(group, run))
        group = next(fitting, None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    return [Merged(" + ".join(run.settings.name for run in group), group, _joined(group)) for group in groups]


def _equal(one: Run, other: Run) -> bool:
    values = [run.settings.model_dump(mode="json", exclude=INCIDENTAL) for run in (one, other)]
    return values[0] == values[1] and one.digest == other.digest


def _shared_seeds(group: Sequence[Run], run: Run) -> set[int]:
    return {seed for one in group for seed in one.settings.seeds} & set(run.settings.seeds)


def _joined(runs: Sequence[Run]) -> Evidence:
    parts = [run.evidence for run in runs]
    names = dict.fromkeys(name for part in parts for name in part.cells)
    cells = {name: pd.concat(part.cells[name] for part in parts if name in part.cells) for name in names}
    return Evidence(cells, parts[0].costs, parts[0].attributes)


def compare(one: Merged, other: Merged) -> dict[str, Contrast]:
    """J&F of `other` minus that of `one`, for each setup and task that both have on sequences that both have.

    Pairs are of seed and sequence; where no seed is in both, each run is first averaged over its seeds.

    Raises:
        UserError: the runs share no setup, or no sequence.
    """
    found = {}
    for name in one.evidence.cells:
        if name.split("/")[0] not in TASKS or name not in other.evidence.cells:
            continue
        before, after = one.evidence.cells[name], other.evidence.cells[name]
        if not set(before.index) & set(after.index):
            before, after = (cells.mean().to_frame("all").T for cells in (before, after))
        shared = [sequence for sequence in before if sequence in after]
        seeds = [seed for seed in before.index if seed in after.index]
        differences = complete(after.loc[seeds, shared] - before.loc[seeds, shared])
        if not differences.empty:
            label = f"{other.name} − {one.name}"
            found[name] = Contrast(label, differences, estimate(differences.to_numpy()))
    if not found:
        raise UserError(f"{one.name} and {other.name}: share no setup and sequence; expected runs of the same data")
    return found
