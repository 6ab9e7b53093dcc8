"""Two-way intervals: closed forms, coverage, laws, and the corners."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from scipy import stats
from slowfast_vos.claims.intervals import complete, difference, estimate, holm

tables = st.tuples(st.integers(1, 5), st.integers(1, 7)).flatmap(
    lambda shape: arrays(float, shape, elements=st.floats(-1, 1).map(lambda value: round(value, 3)))
)


def test_with_one_seed_the_interval_is_students_over_sequences() -> None:
    values = np.array([[0.1, 0.3, 0.2, 0.6]])
    expected = stats.ttest_1samp(values[0], 0)
    found = estimate(values)
    assert_allclose(found.interval(), expected.confidence_interval(0.95))
    assert found.p_above(0) == pytest.approx(expected.pvalue / 2)
    assert found.p_below(0) == pytest.approx(1 - expected.pvalue / 2)


def test_where_only_sequences_vary_the_interval_is_students_over_their_means() -> None:
    sequences = np.array([0.1, 0.3, 0.2, 0.6])
    found = estimate(np.tile(sequences, (3, 1)))
    assert_allclose(found.interval(), stats.ttest_1samp(sequences, 0).confidence_interval(0.95))
    assert found.variances == pytest.approx((0, sequences.var(ddof=1), 0))


def test_a_table_worked_out_by_hand() -> None:
    # Seed means 2 and 4, sequence means 1, 3 and 5; one cell differs from their sum by 0.6.
    values = np.array([[0.0, 2.0, 4.0], [2.0, 4.0, 6.0]])
    values += np.array([[0.2, -0.2, 0.0], [-0.2, 0.2, 0.0]])
    found = estimate(values)
    seeds, sequences, rest = 3 * 2.0, 2 * 4.0, 4 * 0.2**2 / 2
    total = seeds + sequences - rest
    assert found.mean == pytest.approx(3)
    assert found.error == pytest.approx((total / 6) ** 0.5)
    assert found.freedom == pytest.approx(total**2 / (seeds**2 / 1 + sequences**2 / 2 + rest**2 / 2))
    assert found.variances == pytest.approx(((seeds - rest) / 3, (sequences - rest) / 2, rest))
    assert found.with_counts(2, 3).error == pytest.approx(found.error)
    assert found.with_counts(2, 3).freedom == pytest.approx(found.freedom)


@pytest.mark.parametrize(("seeds", "sequences"), [(3, 8), (5, 20)])
@pytest.mark.parametrize("deviations", [(0.03, 0.1, 0.05), (0.05, 0.05, 0.05), (0.02, 0.15, 0.05)])
def test_intervals_cover_what_they_say(seeds: int, sequences: int, deviations: tuple[float, float, float]) -> None:
    random = np.random.default_rng(63)
    of_seed, of_sequence, rest = deviations
    covered = 0
    for _ in range(2000):
        values = random.normal(0, of_seed, (seeds, 1)) + random.normal(0, of_sequence, (1, sequences))
        low, high = estimate(values + random.normal(0, rest, (seeds, sequences))).interval()
        covered += low <= 0 <= high
    assert 0.93 <= covered / 2000 <= 0.97


@given(tables, st.randoms())
def test_the_order_of_seeds_and_sequences_does_not_matter(values: np.ndarray, random) -> None:  # noqa: ANN001
    rows, columns = (random.sample(range(length), length) for length in values.shape)
    one, other = estimate(values), estimate(values[rows][:, columns])
    assert_allclose((one.mean, one.error), (other.mean, other.error), atol=1e-9)


@given(tables, st.floats(-1, 1), st.floats(0.1, 10))
def test_an_interval_moves_and_stretches_with_its_values(values: np.ndarray, shift: float, factor: float) -> None:
    one, other = estimate(values), estimate(shift + factor * values)
    assert_allclose(other.mean, shift + factor * one.mean, atol=1e-9)
    assert_allclose(other.error, factor * one.error, atol=1e-7, equal_nan=True)


def test_the_layout_in_memory_does_not_matter() -> None:
    values = np.random.default_rng(0).normal(size=(5, 37))
    assert estimate(values) == estimate(np.asfortranarray(values))


def test_without_variance_the_interval_is_a_point() -> None:
    found = estimate(np.full((3, 8), 0.25))
    assert found.interval() == (0.25, 0.25)
    assert (found.p_above(0), found.p_below(0)) == (0, 1)
    # A tie is not above.
    assert (found.p_above(0.25), found.p_below(0.25)) == (1, 1)


def test_one_cell_has_no_interval() -> None:
    found = estimate(np.array([[0.5]]))
    assert found.mean == 0.5
    assert np.isnan([found.error, found.half_width(), found.p_above(0)]).all()


def test_more_seeds_and_sequences_see_smaller_differences() -> None:
    random = np.random.default_rng(0)
    values = random.normal(0.1, 0.05, (3, 1)) + random.normal(0, 0.1, (1, 8)) + random.normal(0, 0.03, (3, 8))
    found = estimate(values)
    goal = found.detectable() * 0.7
    sequences = found.sequences_to_detect(goal)
    assert sequences > 8
    assert found.with_counts(3, sequences).detectable() <= goal < found.with_counts(3, sequences - 1).detectable()
    # The seeds' own variance stays, however many sequences there are.
    assert found.sequences_to_detect(1e-4) is None


def test_a_detectable_difference_is_found_four_times_of_five() -> None:
    random, found = np.random.default_rng(1), 0
    truth = estimate(np.array([stats.norm.ppf((np.arange(30) + 0.5) / 30) * 0.1])).detectable()
    for _ in range(2000):
        found += estimate(random.normal(truth, 0.1, (1, 30))).p_above(0) < 0.05
    assert 0.75 < found / 2000 < 0.85


def test_a_difference_of_groups_is_welchs() -> None:
    one, other = np.array([0.1, 0.4, 0.2, 0.3]), np.array([0.5, 0.9, 0.4])
    found = difference(estimate(one[None]), estimate(other[None]))
    expected = stats.ttest_ind(one, other, equal_var=False)
    assert_allclose(found.interval(), expected.confidence_interval(0.95))


def test_incomplete_seeds_or_sequences_are_left_out() -> None:
    cells = pd.DataFrame(1.0, index=[63, 64, 65], columns=list("abcdefgh"))
    cells.loc[64, "c"] = np.nan
    assert list(complete(cells).columns) == list("abdefgh")
    cells.loc[65] = np.nan
    assert complete(cells).shape == (2, 7)
    assert list(complete(cells).index) == [63, 64]
    assert complete(cells * np.nan).empty


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_raises_p_values_at_most_by_their_number_and_keeps_their_order(values: list[float]) -> None:
    adjusted = holm(values)
    assert all(one <= new <= min(1, len(values) * one) + 1e-12 for one, new in zip(values, adjusted, strict=True))
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()
