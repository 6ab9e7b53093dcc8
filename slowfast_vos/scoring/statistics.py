"""The three DAVIS statistics of a measure over one object's scored frames.

Definitions: the official davis2017-evaluation (`utils.db_statistics`), except that it casts frame numbers to 8
bits, so that its decay is NaN from 256 frames on; here it is the intended value.
"""

from __future__ import annotations

import numpy as np


def mean(values: np.ndarray) -> float:
    """Mean over frames [N], NaN ignored."""
    return float(np.nanmean(values))


def recall(values: np.ndarray) -> float:
    """Share of the frames [N] whose value is above 0.5, strictly; NaN counts as a miss."""
    return float(np.mean(values > 0.5))


def decay(values: np.ndarray) -> float:
    """Mean over the first quarter of the frames [N] minus the mean over the last, positive where values fall.

    With ids = round(linspace(1, N, 5) + 1e-10) - 1, the quarters are ids[0]..ids[1] and ids[3]..ids[4], both ends
    included.
    """
    ids = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(np.int64)
    return mean(values[ids[0] : ids[1] + 1]) - mean(values[ids[3] : ids[4] + 1])
