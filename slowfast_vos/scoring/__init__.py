"""The DAVIS scores: J, F, their statistics, the protocols. Reads PNGs or arrays, never a model."""

from slowfast_vos.scoring.protocols import score, score_masks
from slowfast_vos.scoring.results import Scores

__all__ = ["Scores", "score", "score_masks"]
