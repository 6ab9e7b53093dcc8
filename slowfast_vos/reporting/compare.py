"""Runs side by side: seeds of equal runs are merged, different runs are compared in pairs of seed and sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import matplotlib.style
import pandas as pd

from slowfast_vos.claims.claims import asked_claims
from slowfast_vos.claims.intervals import complete, estimate
from slowfast_vos.claims.sentences import headline, sentence
from slowfast_vos.claims.verdicts import Contrast, Evidence, Finding, judge
from slowfast_vos.dag import TASKS
from slowfast_vos.errors import UserError
from slowfast_vos.reporting.answers import forest, of_claims
from slowfast_vos.reporting.differences import NOTE, numbers, shown
from slowfast_vos.reporting.figures import STYLE, save
from slowfast_vos.reporting.records import read_folder
from slowfast_vos.reporting.render import Panel, Table, text
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


def write_comparison(folders: Sequence[Path], out: Path) -> list[str]:
    """Compare runs; writes `NAME.csv`, `.md`, `.tex`, `.svg` and `.png` into `out`.

    Runs that are equal but for their seeds become one, whose claims are judged: `claims`. Each pair of different runs
    is compared setup by setup: `A-and-B`.

    Returns:
        What was found, in lines.

    Raises:
        UserError: fewer than two runs, a folder without a run, or runs that share nothing.
    """
    if len(folders) < 2:
        raise UserError(f"compare: found {len(folders)} run; expected two or more")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError(f"compare: found a run twice in {', '.join(map(str, folders))}; expected different runs")
    merged, lines = merge_runs([read_folder(folder) for folder in folders]), []
    for one in merged:
        if len(one.runs) > 1:
            findings = judge(asked_claims(one.runs[0].settings), one.evidence, one.runs[0].settings.claims.margin)
            lines += [f"{one.name}: equal but for their seeds; merged. {headline(findings)}"]
            lines += [f"  {found.claim.says} {sentence(found)}" for found in findings]
            _write_claims(one, findings, out)
    for one, other in combinations(merged, 2):
        found = compare(one, other)
        lines += [f"{other.name} − {one.name}:", *_write_pair(one, other, found, out)]
    return [*lines, f"tables and pictures: {out}"]


def _write_claims(one: Merged, findings: Sequence[Finding], out: Path) -> None:
    rows = [{"claim": each.claim.id, "verdict": each.verdict, **numbers(each.contrast)} for each in findings]
    columns = [text("claim", [row["claim"] for row in rows]), text("verdict", [row["verdict"] for row in rows])]
    columns += shown([each.contrast for each in findings])
    panel = Panel(f"Claims of {one.name}.", columns, [each.claim.source for each in findings], [NOTE])
    name = f"claims-{_file_name(one.name)}"
    Table(name, pd.DataFrame(rows), [panel]).write(out, {"runs": one.name}, "")
    with matplotlib.style.context(STYLE):
        save(forest(of_claims(findings), one.runs[0].settings.claims.margin), out / name)


def _write_pair(one: Merged, other: Merged, found: dict[str, Contrast], out: Path) -> Iterator[str]:
    title = f"J&F of {other.name} minus J&F of {one.name}."
    rows = [{"cell": cell, **numbers(contrast)} for cell, contrast in found.items()]
    columns = [text("setup", found), *shown(list(found.values()))]
    name = f"{_file_name(one.name)}-and-{_file_name(other.name)}"
    Table(name, pd.DataFrame(rows), [Panel(title, columns, [""] * len(found), [NOTE])]).write(
        out, {"from": one.name, "to": other.name}, ""
    )
    with matplotlib.style.context(STYLE):
        margin = one.runs[0].settings.claims.margin
        save(forest({cell: (contrast, "") for cell, contrast in found.items()}, margin), out / name)
    for cell, difference, wins in zip(*(column.cells for column in columns), strict=True):
        yield f"  {cell}: {difference} J&F, above 0 on {wins}"


def _file_name(name: str) -> str:
    return name.replace(" + ", "+")
