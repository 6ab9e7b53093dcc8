"""The three DAVIS statistics of a measure over one object's scored frames.

Definitions: the official davis2017-evaluation (`utils.db_statistics`), except that it casts frame numbers to 8
bits, so that its decay is NaN from 256 frames on; here it is the intended value.
"""

from __future__ import annotations

import warnings

import numpy as np

THRESHOLD = 0.5
BINS = 4


def mean(values: np.ndarray) -> float:
    """Mean over frames [N], NaN ignored; NaN where nothing remains."""
    return _nanmean(np.asarray(values, dtype=np.float64))


def recall(values: np.ndarray) -> float:
    """Share of the frames [N] whose value is above 0.5, strictly; NaN counts as a miss. NaN for no frames."""
    return _nanmean((np.asarray(values, dtype=np.float64) > THRESHOLD).astype(np.float64))


def decay(values: np.ndarray) -> float:
    """Mean over the first quarter of the frames [N] minus the mean over the last, positive where values fall.

    With ids = round(linspace(1, N, 5) + 1e-10) - 1, the quarters are ids[0]..ids[1] and ids[3]..ids[4], both ends
    included. NaN for no frames.
    """
    values = np.asarray(values, dtype=np.float64)
    if not values.size:
        return float("nan")
    ids = (np.round(np.linspace(1, len(values), BINS + 1) + 1e-10) - 1).astype(np.int64)
    return _nanmean(values[ids[0] : ids[1] + 1]) - _nanmean(values[ids[3] : ids[4] + 1])


def _nanmean(values: np.ndarray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=RuntimeWarning)
        return float(np.nanmean(values))
