"""Generated videos: a dataset shaped as DAVIS, in which the object is what moves."""

from slowfast_vos.generated.dataset import check_drawn, synthesize
from slowfast_vos.generated.scenes import sequence_names

__all__ = ["check_drawn", "sequence_names", "synthesize"]
