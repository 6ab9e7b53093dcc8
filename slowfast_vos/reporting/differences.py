"""Tables of paired comparisons: the claims with their verdicts, and the differences of the setups."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import pandas as pd

from slowfast_vos.claims.intervals import LEVEL, estimate
from slowfast_vos.claims.sentences import interval, signed
from slowfast_vos.claims.verdicts import LEAST_SEEDS, LEAST_SEQUENCES, Contrast
from slowfast_vos.dag import TASKS
from slowfast_vos.reporting.render import NOTHING, Column, Panel, Table, text
from slowfast_vos.reporting.run import LOOK_ALIKE, Run
from slowfast_vos.setups import Setup

NOTE = "Differences are paired by seed and sequence; intervals: 95 %, seeds and sequences crossed, not adjusted."


def numbers(contrast: Contrast | None, level: float = LEVEL) -> dict[str, Any]:
    """A contrast as columns of a CSV; `level` is that of the test that detects a difference."""
    if contrast is None:
        return {}
    one = contrast.estimate
    low, high = one.interval()
    found = {"difference": one.mean, "low": low, "high": high, "standard_error": one.error, "freedom": one.freedom}
    counts = {"n_seeds": one.seeds, "n_sequences": one.sequences, "above_zero_on": contrast.wins}
    return found | counts | {"detectable": one.detectable(level)}


def claims_table(run: Run) -> Table:
    """Every claim of the run's family with its verdict and what that rests on."""
    rows = []
    for one in run.findings:
        about = {"claim": one.claim.id, "says": one.claim.says, "source": one.claim.source, "kind": one.claim.kind}
        about |= {"verdict": one.verdict, "contrast": one.contrast.label if one.contrast else None}
        adjusted = {"p_for_holm": one.p_for, "p_against_holm": one.p_against}
        rows.append(about | numbers(one.contrast, one.level) | adjusted | {"reason": one.reason, "needs": one.needs})
    contrasts = [one.contrast for one in run.findings]
    columns = [
        text("claim", [one.claim.id for one in run.findings]),
        text("verdict", [one.verdict for one in run.findings]),
        *shown(contrasts),
        text("why undecided, or what was measured", [one.reason for one in run.findings]),
    ]
    margin = f"Margin {run.settings.claims.margin:g}; verdicts take p < .05 by Holm over this family, "
    margin += f"{LEAST_SEEDS} seeds and {LEAST_SEQUENCES} sequences."
    title = "The claims of the run's family, with their verdicts."
    return Table(
        "claims", _frame(rows), [Panel(title, columns, [one.claim.source for one in run.findings], [NOTE, margin])]
    )


def differences_table(run: Run) -> Table:
    """Every pair of setups, and each control against its setup: all sequences, and the strata of look-alikes apart."""
    strata = {"all": run.val}
    if run.distractors:
        others = [name for name in run.val if name not in run.distractors]
        strata |= {f"with {LOOK_ALIKE}": run.distractors, f"without {LOOK_ALIKE}": others}
    rows, panels = [], []
    for task in TASKS:
        pairs = {f"{one} − {other}": (f"{task}/{one}", f"{task}/{other}") for one, other in _pairs(run, task)}
        columns = [text("difference", pairs)]
        for stratum, members in strata.items():
            found = [_within(run, pair, members) for pair in pairs.values()]
            rows += [
                {"task": task, "stratum": stratum, "contrast": label} | numbers(contrast)
                for label, contrast in zip(pairs, found, strict=True)
            ]
            columns += shown(found, stratum if len(strata) > 1 else "")
        panels.append(Panel(f"Paired differences of J&F, {task}.", columns, [""] * len(pairs), [NOTE]))
    return Table("differences", _frame(rows), panels)


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    counts = [name for name in ("n_seeds", "n_sequences", "above_zero_on") if name in frame]
    return frame.astype(dict.fromkeys(counts, "Int64"))


def _pairs(run: Run, task: str) -> list[tuple[str, str]]:
    """Pairs of plain setups, the later minus the earlier, and each control's setup minus the control."""
    plain = [setup for setup in run.settings.setups if setup not in run.controls]
    pairs = [(later, earlier) for earlier, later in combinations(plain, 2)]
    for name in run.controls:
        setup = Setup.parse(name)
        if setup.plain in plain and not (setup.tested and task != TASKS[0]):
            pairs.append((setup.plain, name))
    return pairs


def _within(run: Run, pair: tuple[str, str], members: list[str]) -> Contrast | None:
    contrast = run.evidence.contrast(pair[:1], pair[1:])
    values = pd.DataFrame() if contrast is None else contrast.values[[one for one in contrast.values if one in members]]
    return None if values.empty else Contrast("", values, estimate(values.to_numpy()))


def shown(contrasts: Iterable[Contrast | None], group: str = "") -> list[Column]:
    """The difference with its interval, and the sequences above 0, to read."""
    cells, wins = [], []
    for one in contrasts:
        cells.append(NOTHING if one is None else f"{signed(one.estimate.mean)} {interval(one.estimate)}".strip())
        wins.append(NOTHING if one is None else f"{one.wins} of {one.values.shape[1]}")
    return [Column("J&F [95 %]", cells, group), Column("above 0 on", wins, group)]
