"""Scores for tests that only need some."""

from __future__ import annotations

from slowfast_vos.measuring.record import Scores


def scores(value: float = 0.5) -> Scores:
    """Every column of the same value, and no sequence."""
    columns = [column for column in Scores.model_fields if column != "sequences"]
    return Scores(**dict.fromkeys(columns, value), sequences={})
