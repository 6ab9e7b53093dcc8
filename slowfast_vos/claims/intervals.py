"""Intervals of means over crossed seeds and sequences, and Holm's adjustment.

A seed is one whole training, which all sequences share, so that both are random factors, and crossed: the two-way
random layout without replication, with Satterthwaite's degrees of freedom (Searle, Casella and McCulloch, Variance
Components, 1992, chapter 4). Its t interval covers what it says for as few as 3 seeds and 8 sequences; a bootstrap
over sequences does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

LEVEL = 0.95
POWER = 0.8
MOST = 1000


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and sequences, with what its interval rests on.

    Attributes:
        mean: of all cells.
        error: its standard error; NaN for a single cell.
        freedom: degrees of freedom of the error.
        seeds, sequences: how many of each; of a difference of groups those of the smaller group.
        variances: between seeds, between sequences, and of the rest; a factor with one level counts as 0. None of a
            difference of groups.
    """

    mean: float
    error: float
    freedom: float
    seeds: int
    sequences: int
    variances: tuple[float, float, float] | None

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """The two-sided t interval."""
        half = self.half_width(level)
        return self.mean - half, self.mean + half

    def half_width(self, level: float = LEVEL) -> float:
        """Half of the interval's width; NaN for a single cell."""
        return float(stdtrit(self.freedom, (1 + level) / 2) * self.error)

    def p_above(self, bound: float) -> float:
        """One-sided p value of "the mean is at most `bound`": a small one says that it is above; NaN for one cell."""
        return self._p(self.mean - bound)

    def p_below(self, bound: float) -> float:
        """One-sided p value of "the mean is at least `bound`": a small one says that it is below; NaN for one cell."""
        return self._p(bound - self.mean)

    def _p(self, excess: float) -> float:
        if self.error == 0:
            return 0.0 if excess > 0 else 1.0
        return float(stdtr(self.freedom, -excess / self.error))

    def detectable(self, level: float = LEVEL) -> float:
        """The smallest difference that a one-sided test at 1 − `level` finds four times of five."""
        return float((stdtrit(self.freedom, level) + stdtrit(self.freedom, POWER)) * self.error)

    def with_counts(self, seeds: int, sequences: int) -> Estimate:
        """The same mean and variances as other numbers of seeds and sequences would show them."""
        of_seeds, of_sequences, rest = self.variances
        mean_squares = (sequences * of_seeds + rest, seeds * of_sequences + rest, rest)
        error, freedom = _error(mean_squares, seeds, sequences)
        return Estimate(self.mean, error, freedom, seeds, sequences, self.variances)

    def seeds_to_detect(self, difference: float, level: float = LEVEL) -> int | None:
        """How many seeds would detect a difference on as many sequences; None if a thousand would not."""
        tries = (self.with_counts(seeds, self.sequences) for seeds in range(2, MOST))
        return next((one.seeds for one in tries if one.detectable(level) <= difference), None)

    def sequences_to_detect(self, difference: float, level: float = LEVEL) -> int | None:
        """How many sequences would detect a difference with as many seeds; None if a thousand would not."""
        tries = (self.with_counts(self.seeds, sequences) for sequences in range(2, MOST))
        return next((one.sequences for one in tries if one.detectable(level) <= difference), None)


def estimate(values: np.ndarray) -> Estimate:
    """The mean of values `[seeds, sequences]`; with one seed the interval is over sequences alone."""
    values = np.ascontiguousarray(values)  # the order of a sum decides its last digits
    seeds, sequences = values.shape
    mean, of_seeds, of_sequences = values.mean(), values.mean(1), values.mean(0)
    by_seed = sequences * _variance(of_seeds)
    by_sequence = seeds * _variance(of_sequences)
    rest = 0.0
    if seeds > 1 and sequences > 1:
        residues = values - of_seeds[:, None] - of_sequences + mean
        rest = float((residues**2).sum() / ((seeds - 1) * (sequences - 1)))
    error, freedom = _error((by_seed, by_sequence, rest), seeds, sequences)
    variances = (max(by_seed - rest, 0.0) / sequences, max(by_sequence - rest, 0.0) / seeds, rest)
    return Estimate(float(mean), error, freedom, seeds, sequences, variances)


def _variance(values: np.ndarray) -> float:
    """Sample variance; 0 of a single value."""
    return float(values.var(ddof=1)) if len(values) > 1 else 0.0


def _error(mean_squares: tuple[float, float, float], seeds: int, sequences: int) -> tuple[float, float]:
    """Standard error of the mean and its degrees of freedom, from the mean squares of seeds, sequences and the rest."""
    by_seed, by_sequence, rest = mean_squares
    if seeds == sequences == 1:
        return float("nan"), float("nan")
    freedoms = (seeds - 1, sequences - 1, (seeds - 1) * (sequences - 1))
    total = by_seed + by_sequence - rest
    larger, freedom = max((by_seed, freedoms[0]), (by_sequence, freedoms[1]))
    if total <= larger:  # one factor explains all that varies
        return (larger / (seeds * sequences)) ** 0.5, freedom
    parts = zip(mean_squares, freedoms, strict=True)
    freedom = total**2 / sum(square**2 / degrees for square, degrees in parts if degrees)
    return (total / (seeds * sequences)) ** 0.5, freedom


def difference(one: Estimate, other: Estimate) -> Estimate:
    """The difference of two means over different sequences; their errors add, as if nothing were shared."""
    squares = one.error**2, other.error**2
    error, freedom = sum(squares) ** 0.5, min(one.freedom, other.freedom)
    if error > 0:  # Satterthwaite
        freedom = sum(squares) ** 2 / (squares[0] ** 2 / one.freedom + squares[1] ** 2 / other.freedom)
    fewest = min(one.seeds, other.seeds), min(one.sequences, other.sequences)
    return Estimate(one.mean - other.mean, error, freedom, *fewest, None)


def complete(cells: pd.DataFrame) -> pd.DataFrame:
    """Leave out seeds (rows) and sequences (columns) until no cell is missing, each time the one that lacks most."""
    while cells.isna().to_numpy().any():
        rows, columns = cells.isna().mean(axis=1), cells.isna().mean(axis=0)
        by_row = rows.max() > columns.max()
        cells = cells.drop(index=rows.idxmax()) if by_row else cells.drop(columns=columns.idxmax())
    return cells


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values of a family, in the order given."""
    adjusted, worst = [1.0] * len(p_values), 0.0
    for left, place in zip(count(len(p_values), -1), np.argsort(p_values, kind="stable")):
        worst = max(worst, min(1.0, p_values[place] * left))
        adjusted[place] = worst
    return adjusted
