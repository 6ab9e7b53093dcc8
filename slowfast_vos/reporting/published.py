"""The authors' numbers, DAVIS 2016 validation at 480p: the only figures that are typed in, here and in published.csv.

They come from the authors' final report: one seed, the GPU not recorded, every frame scored, checkpoints and
hyper-parameters chosen on the validation set. The time is the wall clock of loading, inference, pasting masks,
writing PNGs and computing J&F, without warm-up. GPU memory was never reported.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

SEQUENCES = 20
FRAMES = 1376


class Published(NamedTuple):
    """The authors' results of one setup."""

    unsupervised: float
    semi_supervised: float
    parameters: int
    seconds: int


SETUPS = {
    "1-1": Published(0.645, 0.747, 45_421_851, 477),
    "3-3": Published(0.679, 0.747, 46_398_747, 544),
    "7-7": Published(0.673, 0.755, 48_407_835, 853),
    "1-7": Published(0.655, 0.741, 45_618_459, 528),
    "3-7": Published(0.676, 0.758, 46_570_779, 584),
}


def per_sequence() -> pd.DataFrame:
    """Unsupervised J&F, J and F by setup and sequence; published for setups 1-1 and 3-7 alone."""
    scores = pd.read_csv(Path(__file__).with_suffix(".csv"), index_col=["setup", "sequence"])
    scores.insert(0, "jf_mean", scores.mean(axis=1))
    return scores
