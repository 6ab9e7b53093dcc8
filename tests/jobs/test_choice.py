"""Which configuration the final models take."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from slowfast_vos.config import parse_settings
from slowfast_vos.jobs.evaluate import choose

REFERENCE = ("SF", "0.25", "0.001")
OTHER = ("none", "0", "0.005")
THIRD = ("BB_SF", "0", "0.005")


def record(point: tuple[str, str, str], *scores: float) -> Any:
    """A record of a configuration, by its J&F on each selection sequence."""
    sequences = {str(place): SimpleNamespace(jf_mean=jf) for place, jf in enumerate(scores)}
    means = SimpleNamespace(jf_mean=sum(scores) / len(scores), sequences=sequences)
    return SimpleNamespace(job=dict(zip(("freeze", "scale", "lr"), point, strict=True)), scores=means)


@pytest.mark.parametrize(
    ("choice", "scores", "chosen"),
    [
        # The mean gain .1 exceeds its standard error .05, that of .05 does not: sequences differ by .1 and 0.
        ("one_error", {REFERENCE: (0.5, 0.3), OTHER: (0.65, 0.35)}, OTHER),
        ("one_error", {REFERENCE: (0.5, 0.3), OTHER: (0.6, 0.3)}, REFERENCE),
        ("best", {REFERENCE: (0.5, 0.3), OTHER: (0.6, 0.3)}, OTHER),
        # Of those that beat it the best, though another is better in the mean.
        ("one_error", {REFERENCE: (0.5, 0.3), THIRD: (0.9, 0.3), OTHER: (0.51, 0.31)}, OTHER),
        # One sequence has no error; without the reference there is nothing to keep.
        ("one_error", {REFERENCE: (0.5,), OTHER: (0.9,)}, REFERENCE),
        ("one_error", {THIRD: (0.5, 0.3), OTHER: (0.6, 0.3)}, OTHER),
        ("best", {OTHER: (0.6, 0.3), THIRD: (0.3, 0.6)}, OTHER),
    ],
)
def test_the_reference_is_kept_unless_another_beats_it(
    choice: str, scores: dict[tuple[str, str, str], tuple[float, ...]], chosen: tuple[str, str, str]
) -> None:
    settings = parse_settings({"data": {"held_out": ["bear"]}, "switches": {"choice": choice}}, "tests")
    found = choose([record(point, *values) for point, values in scores.items()], settings)
    assert tuple(found.job.values()) == chosen
