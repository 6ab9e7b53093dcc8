"""Mean, recall and decay."""

from __future__ import annotations

import literal
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slowfast_vos.scoring.statistics import decay, mean, recall


def test_mean_ignores_nan_and_recall_counts_it_as_a_miss() -> None:
    assert mean(np.array([0.25, np.nan, 0.75])) == 0.5
    assert recall(np.array([0.5, 0.5000001, 1.0, np.nan])) == 0.5, "strictly above 0.5"


def test_decay_by_hand() -> None:
    # N = 8: linspace(1, 8, 5) = 1, 2.75, 4.5, 6.25, 8, rounded 1, 3, 5 (4.5 + 1e-10), 6, 8: frames 0..2 minus 5..7.
    values = np.array([1.0, 0.9, 0.8, 0.0, 0.0, 0.5, 0.4, 0.3])
    assert decay(values) == pytest.approx(0.9 - 0.4, abs=1e-15)


def test_decay_rounds_halves_up() -> None:
    # N = 3: 1, 1.5, 2, 2.5, 3; 1.5 and 2.5 become 2 and 3: frames 0..1 minus 2..2.
    assert decay(np.array([1.0, 0.5, 0.25])) == 0.75 - 0.25
    # N = 5: 1, 2, 3, 4, 5: frames 0..1 minus 3..4.
    assert decay(np.array([1.0, 0.8, 9.0, 0.2, 0.0])) == pytest.approx(0.8, abs=1e-15)
    assert decay(np.array([0.7])) == 0.0


@pytest.mark.parametrize("length", [255, 256, 257, 300, 1000])
def test_decay_is_right_beyond_255_frames(length: int) -> None:
    values = np.linspace(1, 0, length)
    quarter = length / 4
    assert decay(values) == pytest.approx(0.75, abs=2 / quarter)
    assert decay(values) == literal.statistics(values)["Decay"]


unit = st.one_of(st.floats(0, 1), st.sampled_from([0.5, 0.0, 1.0, float("nan")]))


@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")
@settings(max_examples=100, deadline=None)
@given(values=st.lists(unit, min_size=1, max_size=40))
def test_equal_to_the_literal_reference(values: list[float]) -> None:
    array = np.array(values)
    ours = {"Mean": mean(array), "Recall": recall(array), "Decay": decay(array)}
    for name, expected in literal.statistics(array).items():
        np.testing.assert_allclose(ours[name], expected, rtol=0, atol=1e-12)
