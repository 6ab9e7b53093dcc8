"""The two DAVIS measures of one object in one frame: region similarity J and contour accuracy F.

Definitions: the official davis2017-evaluation (`metrics.py`), with which every value here is equal bit for bit. In the
protocols a `Region` is built once per object and compared as often as needed; the functions on masks below are the
same code for one pair.
"""

from __future__ import annotations

import math

import numpy as np

from slowfast_vos.scoring.regions import Region, shared

BOUND = 0.008
"""Tolerance of the contour accuracy as a share of the frame's diagonal."""


def tolerance(height: int, width: int) -> int:
    """Distance in pixels within which boundary pixels match: ceil(0.008 · diagonal), 8 at 480×854."""
    return math.ceil(BOUND * math.sqrt(height * height + width * width))


def boundary(mask: np.ndarray) -> np.ndarray:
    """The boundary map of a mask, one pixel wide, half a pixel towards the origin.

    Args:
        mask: [H, W] bool or integer; every non-zero pixel is foreground.

    Returns:
        [H, W] bool: (mask xor east) | (mask xor south) | (mask xor south-east), where the neighbour beyond the frame is
        the frame's last pixel itself. A mask that fills the frame has an empty boundary.

    Raises:
        ValueError: the mask is not a non-empty [H, W] of bool or integers.
    """
    mask = _checked(mask)
    region = Region.of_mask(mask, tolerance(*mask.shape))
    return region.unpack(region.edge)


def region_similarity(prediction: np.ndarray, annotation: np.ndarray, void: np.ndarray | None = None) -> float:
    """J, the intersection over the union.

    Args:
        prediction: [H, W] bool or integer; every non-zero pixel is foreground.
        annotation: the same.
        void: [H, W], pixels that do not count; None for none.

    Returns:
        A number in [0, 1]; 1 where the union is empty.

    Raises:
        ValueError: the masks are not [H, W] of bool or integers, all of one size.
    """
    return region_similarity_of(*_regions(prediction, annotation, void))


def contour_accuracy(prediction: np.ndarray, annotation: np.ndarray, void: np.ndarray | None = None) -> float:
    """F, the harmonic mean of the shares of both boundaries that the other one matches.

    A boundary pixel is matched where the other boundary has a pixel within `tolerance`, in Euclidean distance.

    Args:
        prediction: [H, W] bool or integer; every non-zero pixel is foreground.
        annotation: the same.
        void: [H, W], pixels taken out of both masks before their boundaries are drawn; None for none.

    Returns:
        A number in [0, 1]; 0 where one boundary is empty, 1 where both are.

    Raises:
        ValueError: the masks are not [H, W] of bool or integers, all of one size.
    """
    return contour_accuracy_of(*_regions(prediction, annotation, void))


def region_similarity_of(prediction: Region, annotation: Region) -> float:
    """`region_similarity` of two regions of one frame, void pixels already taken out."""
    common = shared(prediction, prediction.pixels, annotation, annotation.pixels)
    union = prediction.area + annotation.area - common
    return common / union if union else 1.0


def contour_accuracy_of(prediction: Region, annotation: Region) -> float:
    """`contour_accuracy` of two regions of one frame, void pixels already taken out."""
    if not prediction.edge_area or not annotation.edge_area:
        return float(prediction.edge_area == annotation.edge_area)
    precision = shared(prediction, prediction.edge, annotation, annotation.near) / prediction.edge_area
    recall = shared(prediction, prediction.near, annotation, annotation.edge) / annotation.edge_area
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def checked_pair(prediction: np.ndarray, annotation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both masks as arrays.

    Raises:
        ValueError: they are not [H, W] of bool or integers, both of one size.
    """
    prediction, annotation = _checked(prediction), _checked(annotation)
    if prediction.shape != annotation.shape:
        raise ValueError(f"prediction {prediction.shape} and annotation {annotation.shape} differ in size")
    return prediction, annotation


def _regions(prediction: np.ndarray, annotation: np.ndarray, void: np.ndarray | None) -> tuple[Region, Region]:
    prediction, annotation = checked_pair(prediction, annotation)
    radius = tolerance(*annotation.shape)
    if void is not None:
        void = _checked(void)
        if void.shape != annotation.shape:
            raise ValueError(f"void {void.shape} and annotation {annotation.shape} differ in size")
        prediction, annotation = (np.where(void, 0, mask) for mask in (prediction, annotation))
    return Region.of_mask(prediction, radius), Region.of_mask(annotation, radius)


def _checked(mask: np.ndarray) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.size == 0 or mask.dtype.kind not in "bui":
        raise ValueError(f"a mask is [H, W] of bool or integers, got {list(mask.shape)} of {mask.dtype}")
    return mask
