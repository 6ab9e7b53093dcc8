"""The two DAVIS measures of one object in one frame: region similarity J and contour accuracy F.

Definitions: the official davis2017-evaluation (`metrics.py`), with which every value here is equal bit for bit. A
`Region` is built once per object and compared as often as needed.
"""

from __future__ import annotations

import math

import numpy as np

from slowfast_vos.scoring.regions import Region, shared


def tolerance(height: int, width: int) -> int:
    """Distance in pixels within which boundary pixels match: ceil(0.008 · diagonal), 8 at 480×854."""
    return math.ceil(0.008 * math.sqrt(height * height + width * width))


def region_pair(prediction: np.ndarray, annotation: np.ndarray) -> tuple[Region, Region]:
    """The regions of two masks [H, W] of bool or integers, non-zero for foreground; ValueError for anything else."""
    prediction, annotation = np.asarray(prediction), np.asarray(annotation)
    for mask in (prediction, annotation):
        if mask.ndim != 2 or mask.size == 0 or mask.dtype.kind not in "bui":
            raise ValueError(f"a mask is [H, W] of bool or integers, got {list(mask.shape)} of {mask.dtype}")
    if prediction.shape != annotation.shape:
        raise ValueError(f"prediction {prediction.shape} and annotation {annotation.shape} differ in size")
    radius = tolerance(*annotation.shape)
    return Region.of_mask(prediction, radius), Region.of_mask(annotation, radius)


def region_similarity(prediction: Region, annotation: Region) -> float:
    """J, the intersection over the union, in [0, 1]; 1 where the union is empty."""
    common = shared(prediction, prediction.pixels, annotation, annotation.pixels)
    union = prediction.area + annotation.area - common
    return common / union if union else 1.0


def contour_accuracy(prediction: Region, annotation: Region) -> float:
    """F, the harmonic mean of the shares of both boundaries that the other one matches, in [0, 1].

    A boundary pixel is matched where the other boundary has a pixel within `tolerance`, in Euclidean distance. F is 0
    where one boundary is empty, 1 where both are.
    """
    if not prediction.edge_area or not annotation.edge_area:
        return float(prediction.edge_area == annotation.edge_area)
    precision = shared(prediction, prediction.edge, annotation, annotation.near) / prediction.edge_area
    recall = shared(prediction, prediction.near, annotation, annotation.edge) / annotation.edge_area
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


MEASURES = (region_similarity, contour_accuracy)
