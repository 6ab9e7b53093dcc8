"""Verdicts on a run's claims, from its records alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise
from operator import gt
from typing import Literal

import numpy as np
import pandas as pd

from slowfast_vos.claims.claims import Claim, matching
from slowfast_vos.claims.intervals import LEVEL, Estimate, complete, difference, estimate, holm

Verdict = Literal["supported", "contradicted", "undecided"]
LEAST_SEEDS, LEAST_SEQUENCES = 3, 6
NEEDED = f"at least {LEAST_SEEDS} seeds and {LEAST_SEQUENCES} sequences"
# Another process, or another training of the same setup, takes as much more or less time; intervals know only one.
TIME_MARGIN = 0.1
A_TENTH_APART = "times that lie a tenth apart"
COST_NAMES = {
    "parameters_total": "parameters:",
    "milliseconds_per_frame": "ms a frame:",
    "gpu_allocated_bytes": "bytes of GPU memory:",
}


@dataclass(frozen=True)
class Contrast:
    """A paired difference of two cells, or means of cells.

    Attributes:
        label: such as "3-3 − 1-1".
        values: the differences of J&F, seeds × sequences.
        estimate: their mean and its interval.
    """

    label: str
    values: pd.DataFrame
    estimate: Estimate

    @property
    def wins(self) -> int:
        """Sequences on which the mean over the seeds is above 0."""
        return int((self.values.mean() > 0).sum())


@dataclass(frozen=True)
class Finding:
    """A claim, and what the run says of it.

    Attributes:
        contrast: the one that decides: of several, the one farthest from what is claimed.
        rivals: how many contrasts there are.
        level: of one test by which the first claim of the family is decided: 1 − .05 / the number of claims.
        p_for, p_against: one-sided p values, adjusted by Holm over the family.
        reason: why it is undecided, or what decided a claim of cost.
        needs: what would decide it, where anything is known to.
        leaning: what the same tests say of too few seeds or sequences: of these weights and videos alone.
    """

    claim: Claim
    verdict: Verdict
    contrast: Contrast | None = None
    p_for: float | None = None
    p_against: float | None = None
    reason: str = ""
    needs: str = ""
    leaning: Verdict | None = None
    rivals: int = 1
    level: float = LEVEL


@dataclass(frozen=True)
class Evidence:
    """The paired scores of a run, or of several.

    Attributes:
        cells: J&F by name of the cell, one row per seed and one column per sequence.
        costs: one row per setup, as `Run.costs`.
        attributes: of each sequence.
    """

    cells: Mapping[str, pd.DataFrame]
    costs: pd.DataFrame = field(default_factory=pd.DataFrame)
    attributes: Mapping[str, list[str]] = field(default_factory=dict)

    def contrast(self, plus: Iterable[str], minus: Iterable[str] = (), label: str = "") -> Contrast | None:
        """The mean of some cells minus the mean of others; None where no seed and sequence has them all."""
        sides = [[self.cells.get(name) for name in names] for names in (plus, minus)]
        if not sides[0] or any(cells is None for side in sides for cells in side):
            return None
        values = sum(sides[0]) / len(sides[0])
        if sides[1]:
            values = values - sum(sides[1]) / len(sides[1])
        values = complete(values)
        return None if values.empty else Contrast(label, values, estimate(values.to_numpy()))


def leader(cells: Mapping[str, pd.DataFrame], low: bool = False) -> str | None:
    """The name of the best cell, if it is told apart from the runner-up; else, or with little data, None.

    Args:
        low: the lowest mean is best, not the highest.
    """
    tables = {name: complete(table) for name, table in cells.items()}
    means = pd.Series({name: table.to_numpy().mean() for name, table in tables.items() if not table.empty}, dtype=float)
    if len(means) < 2:
        return None
    first, second = means.sort_values(ascending=low, kind="stable").index[:2]
    values = complete(cells[first] - cells[second])
    if len(values) < LEAST_SEEDS or values.shape[1] < LEAST_SEQUENCES:
        return None
    lower, upper = estimate(values.to_numpy()).interval()
    return first if lower > 0 or upper < 0 else None


def judge(claims: Iterable[Claim], known: Evidence, margin: float) -> list[Finding]:
    """Judge claims as one family.

    Args:
        margin: differences of J&F below it do not matter.
    """
    found = [_costs(claim, known) if claim.order else _weigh(claim, known, margin) for claim in claims]
    tested = [index for index, one in enumerate(found) if one.p_for is not None]
    for side in ("p_for", "p_against"):
        adjusted = holm([getattr(found[index], side) for index in tested])
        for index, value in zip(tested, adjusted, strict=True):
            found[index] = replace(found[index], **{side: value}, level=1 - (1 - LEVEL) / len(tested))
    return [_decide(one, known, margin) if one.p_for is not None else one for one in found]


def _weigh(claim: Claim, known: Evidence, margin: float) -> Finding:
    """The claim's contrast and p values, before they are adjusted."""
    contrasts = [one for one in _contrasts(claim, known) if one is not None]
    if not contrasts:
        wanted = claim.where or claim.more_where
        lacking = "no seed has all the records that it compares"
        lacking += f", or too few sequences have {wanted}" if wanted else ""
        return Finding(claim, "undecided", reason=lacking)
    shown, rivals = max(contrasts, key=lambda one: _distance(claim.kind, one)), len(contrasts)
    if any(np.isnan(one.estimate.error) for one in contrasts):
        lacking = "one seed and one sequence have no interval"
        return Finding(claim, "undecided", shown, reason=lacking, needs=NEEDED, rivals=rivals)
    rows = [_p_values(claim.kind, one.estimate, margin) for one in contrasts]
    # All must hold for the claim, and one suffices against it.
    holds, fails = max(row[0] for row in rows), min(1.0, rivals * min(row[1] for row in rows))
    return Finding(claim, "undecided", shown, holds, fails, rivals=rivals)


def _distance(kind: str, one: Contrast) -> float:
    """How far a contrast is from what the claim says: the farthest of several is shown."""
    return abs(one.estimate.mean) if kind == "alike" else -one.estimate.mean


def _p_values(kind: str, one: Estimate, margin: float) -> tuple[float, float]:
    """One-sided p values for and against a claim of a kind."""
    if kind == "better":
        return one.p_above(0), one.p_below(margin)
    if kind == "no better":
        return one.p_below(margin), one.p_above(0)
    if kind == "as good for less":
        return one.p_above(-margin), one.p_below(-margin)
    if kind == "best":
        return one.p_above(0), one.p_below(0)
    inside = max(one.p_above(-margin), one.p_below(margin))
    return inside, min(1.0, 2 * min(one.p_above(margin), one.p_below(-margin)))


def _contrasts(claim: Claim, known: Evidence) -> list[Contrast | None]:
    plus = matching(claim.plus or (), known.cells)
    if claim.kind == "alike":
        return [known.contrast([a], [b], _label([a], [b])) for a, b in combinations(plus, 2)]
    if claim.kind == "best":
        ours = {tuple(name.split("/")[2:]) for name in plus}
        others = dict.fromkeys(tuple(name.split("/")[2:]) for name in known.cells if name.startswith("grid/"))
        rivals = {one: matching(["/".join(("grid", "*", *one))], known.cells) for one in others if one not in ours}
        name = " / ".join(next(iter(ours), ()))
        return [known.contrast(plus, cells, f"{name} − {' / '.join(one)}") for one, cells in rivals.items()]
    minus = matching(claim.minus or (), known.cells)
    found = known.contrast(plus, minus, _label(claim.plus or (), claim.minus or ()))
    return [found if found is None else _of_strata(claim, found, known.attributes)]


def _of_strata(claim: Claim, found: Contrast, attributes: Mapping[str, list[str]]) -> Contrast | None:
    """The contrast on the sequences that the claim is about; None if there are none."""
    wanted = claim.where or claim.more_where
    if wanted is None:
        return found
    named = [one for one in found.values if wanted in attributes.get(one, [])]
    others = [one for one in found.values if one not in named]
    if not named or (claim.more_where and min(len(named), len(others)) < 2):
        return None
    inside = estimate(found.values[named].to_numpy())
    if claim.where:
        return Contrast(f"{found.label} ({wanted})", found.values[named], inside)
    apart = difference(inside, estimate(found.values[others].to_numpy()))
    return Contrast(f"({found.label} with {wanted}) − (without)", found.values, apart)


def _label(plus: Iterable[str], minus: Iterable[str]) -> str:
    """A contrast in few words: what its two sides do not share."""
    sides = [[name.split("/") for name in names] for names in (plus, minus)]
    differs = [len(set(parts)) > 1 for parts in zip(*sides[0], *sides[1], strict=True)]
    return " − ".join(" and ".join(_words(name, differs) for name in side) for side in sides)


def _words(name: Iterable[str], wanted: Iterable[bool]) -> str:
    return "/".join(part for part, kept in zip(name, wanted, strict=True) if kept and part != "*")


def _decide(found: Finding, known: Evidence, margin: float) -> Finding:
    one = found.contrast.estimate
    verdict = _verdict(found)
    counts = [(one.seeds, LEAST_SEEDS, "seed"), (one.sequences, LEAST_SEQUENCES, "sequence")]
    lacking = [f"{count} of the {least} {noun}s that a verdict takes" for count, least, noun in counts if count < least]
    if lacking:
        return replace(found, reason=" and ".join(lacking), needs=NEEDED, leaning=verdict)
    if verdict == "supported" and found.claim.kind == "as good for less":
        return _cheaper(found, known.costs)
    if verdict == "undecided":
        reason = f"neither it nor its opposite is shown at p < {1 - LEVEL:.2f} (Holm)"
        return replace(found, reason=reason, needs=_needs(one, margin, found.level))
    return replace(found, verdict=verdict)


def _verdict(found: Finding) -> Verdict:
    """What the p values say, whatever they rest on."""
    holds, fails = found.p_for < 1 - LEVEL, found.p_against < 1 - LEVEL
    if fails and (not holds or found.claim.kind == "no better"):
        return "contradicted"
    return "supported" if holds else "undecided"


def _needs(one: Estimate, margin: float, level: float) -> str:
    """What would find a difference as large as the margin; "" where this run does."""
    if one.detectable(level) <= margin:
        return ""
    if one.variances is None:
        return "more seeds, and more sequences of both kinds"
    seeds, sequences = one.seeds_to_detect(margin, level), one.sequences_to_detect(margin, level)
    ways = [f"{seeds} seeds of these sequences"] if seeds else []
    ways += [f"{sequences} such sequences with {one.seeds} seeds"] if sequences else []
    return " or ".join(ways) or "more seeds and more sequences"


def _setup(names: Iterable[str] | None) -> str:
    return next(iter(names or ())).split("/")[1]


def _cheaper(found: Finding, costs: pd.DataFrame) -> Finding:
    """Supported only where operations are fewer and the times lie apart."""
    ours, theirs = _setup(found.claim.plus), _setup(found.claim.minus)
    time = "milliseconds_per_frame"
    rows = costs.reindex(index=[ours, theirs], columns=["gflops_per_frame", f"{time}_low", f"{time}_high"])
    if rows.isna().to_numpy().any():
        return replace(found, reason="as good; its cost was not measured", needs="cost records of both setups")
    operations, low, high = (rows[name].astype(float) for name in rows)
    if operations[ours] < operations[theirs] and _above(low[theirs], high[ours]):
        return replace(found, verdict="supported")
    return replace(found, reason="as good, but not shown to cost less", needs=A_TENTH_APART)


def _costs(claim: Claim, known: Evidence) -> Finding:
    """A claim of cost: each quantity grows along the order, a time by more than its margin."""
    words, apart, steps_grow, fails = [], [], [], []
    for quantity in claim.quantities or ():
        names = [f"{quantity}_{end}" for end in ("low", "median", "high")]
        if quantity in known.costs:
            names = [quantity] * 3
        rows = known.costs.reindex(index=claim.order, columns=dict.fromkeys(names)).astype(float)
        if rows.isna().to_numpy().any():
            return Finding(claim, "undecided", reason="none measured", needs=_instrument(quantity))
        low, shown, high = (rows[name].tolist() for name in names)
        pairs, above = range(len(shown) - 1), gt if names[0] == quantity else _above
        apart += [above(low[one + 1], high[one]) for one in pairs]
        fails += [above(low[one], high[one + 1]) for one in pairs]
        if claim.growing_steps:
            steps = [later - earlier for earlier, later in pairwise(shown)]
            steps_grow += [later > earlier for earlier, later in pairwise(steps)]
        digits = 0 if names[0] == quantity else 1
        values = ", ".join(f"{value:,.{digits}f} for {setup}" for setup, value in zip(claim.order, shown, strict=True))
        words.append(f"{COST_NAMES.get(quantity, quantity)} {values}")
    reason = "; ".join(words)
    if all(apart) and all(steps_grow):
        return Finding(claim, "supported", reason=reason)
    if any(fails):
        return Finding(claim, "contradicted", reason=reason)
    if all(apart):
        return Finding(claim, "undecided", reason=f"{reason}; each grows, but not in growing steps")
    return Finding(claim, "undecided", reason=reason, needs=A_TENTH_APART)


def _above(low: float, high: float) -> bool:
    """Whether the low end of one time lies above the high end of another by the margin."""
    return low > high * (1 + TIME_MARGIN)


def _instrument(quantity: str) -> str:
    return "a run on a GPU" if quantity.startswith("gpu_") else "cost records of these setups"
