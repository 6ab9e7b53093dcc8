"""The DAVIS scores: J, F, their statistics, the protocols. Reads PNGs or arrays, never a model."""

from __future__ import annotations

from slowfast_vos.scoring.measures import boundary, contour_accuracy, region_similarity, tolerance
from slowfast_vos.scoring.protocols import score, score_masks
from slowfast_vos.scoring.results import Scores
from slowfast_vos.scoring.statistics import decay, mean, recall

__all__ = [
    "Scores",
    "boundary",
    "contour_accuracy",
    "decay",
    "mean",
    "recall",
    "region_similarity",
    "score",
    "score_masks",
    "tolerance",
]
