"""J, F and their statistics, by the DAVIS protocols or of any two folders. Reads PNGs or arrays, never a model."""

from slowfast_vos.scoring.folders import score_folders
from slowfast_vos.scoring.protocols import score, score_masks
from slowfast_vos.scoring.results import Scores

__all__ = ["Scores", "score", "score_folders", "score_masks"]
