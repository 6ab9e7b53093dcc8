"""The slow, literal reference: the DAVIS scores written down as the official toolkit computes them.

Built from the protocol's description, without a look at speed: whole videos as stacks of floats, one plane for each
object, boundaries by shifted copies, dilation by an image library with an explicit disk.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.optimize import linear_sum_assignment
from slowfast_vos.scoring import Scores
from slowfast_vos.scoring.frames import MAX_PROPOSALS

Figures = dict[str, dict[str, Any]]


def assert_equal(scores: Scores, overall: dict[str, float], rows: dict[str, dict[str, float]]) -> None:
    """Check scores against those that `score` returns."""
    assert list(scores.objects) == list(rows)
    for name, expected in [*rows.items(), ("global", overall)]:
        found = scores.global_ if name == "global" else scores.objects[name]
        for column, value in expected.items():
            assert found[column] == pytest.approx(value, abs=1e-12, rel=0), (name, column)


def jaccard(annotation: np.ndarray, prediction: np.ndarray, void: np.ndarray | None = None) -> np.ndarray:
    """J of stacks [N, H, W]."""
    valid = np.ones_like(annotation, dtype=bool) if void is None else ~void.astype(bool)
    annotation, prediction = annotation.astype(bool), prediction.astype(bool)
    intersection = np.sum(annotation & prediction & valid, axis=(1, 2))
    union = np.sum((annotation | prediction) & valid, axis=(1, 2))
    with np.errstate(invalid="ignore"):
        ratio = intersection / union
    return np.where(union == 0, 1.0, ratio)


def boundary_map(mask: np.ndarray) -> np.ndarray:
    """Pixels [H, W] that differ from their east, south or south-east neighbour; the frame's last pixel repeats."""
    mask = mask.astype(bool)
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    east, south, south_east = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return (mask ^ east) | (mask ^ south) | (mask ^ south_east)


def contour(annotation: np.ndarray, prediction: np.ndarray, void: np.ndarray | None = None) -> float:
    """F of one frame [H, W]."""
    valid = np.ones(annotation.shape, dtype=bool) if void is None else ~void.astype(bool)
    radius = int(np.ceil(0.008 * np.linalg.norm(annotation.shape)))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)
    predicted = boundary_map(prediction.astype(bool) & valid).astype(np.uint8)
    annotated = boundary_map(annotation.astype(bool) & valid).astype(np.uint8)
    predicted_near, annotated_near = cv2.dilate(predicted, disk), cv2.dilate(annotated, disk)
    n_predicted, n_annotated = np.sum(predicted), np.sum(annotated)
    if n_predicted == 0 or n_annotated == 0:
        return 1.0 if n_predicted == n_annotated else 0.0
    precision = np.sum(predicted * annotated_near) / float(n_predicted)
    recall = np.sum(annotated * predicted_near) / float(n_annotated)
    return float(2 * precision * recall / (precision + recall)) if precision + recall > 0 else 0.0


def contours(annotation: np.ndarray, prediction: np.ndarray, void: np.ndarray | None = None) -> np.ndarray:
    """F of stacks [N, H, W]."""
    return np.array(
        [contour(a, p, None if void is None else void[i]) for i, (a, p) in enumerate(zip(annotation, prediction))]  # noqa: B905
    )


def statistics(values: np.ndarray) -> dict[str, float]:
    """Mean, recall, decay of values [N], with frame numbers that do not overflow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=RuntimeWarning)
        mean = np.nanmean(values)
        recall = np.nanmean(values > 0.5)
        ids = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(int)
        bins = [values[ids[i] : ids[i + 1] + 1] for i in range(4)]
        decay = np.nanmean(bins[0]) - np.nanmean(bins[3])
    return {"Mean": float(mean), "Recall": float(recall), "Decay": float(decay)}


def one_hot(masks: np.ndarray, objects: int) -> np.ndarray:
    """Planes [objects, N, H, W] of the ids 1 to `objects` of masks [N, H, W]."""
    planes = np.ones((objects, *masks.shape))
    planes = planes * np.arange(1, objects + 1)[:, None, None, None]
    return (planes == masks[None, ...]) > 0


def read_stack(folder: Path, frames: list[str]) -> np.ndarray:
    """Masks of a folder as [N, H, W] floats."""
    first = np.array(Image.open(folder / f"{frames[0]}.png"))
    stack = np.zeros((len(frames), *first.shape))
    for index, frame in enumerate(frames):
        stack[index] = np.array(Image.open(folder / f"{frame}.png"))
    return stack


def sequence(annotations: np.ndarray, predictions: np.ndarray, year: int, task: str, frames: str) -> Figures:
    """Scores of one sequence from id stacks of all frames: {"J": {0: values, …}, "F": …} for each object.

    The predictions' unscored frames are not looked at.
    """
    scored = slice(1, -1) if frames == "inner" else slice(None)
    if year == 2016:  # the toolkits' way of making one object out of whatever is not background
        annotations, predictions = (stack.copy() for stack in (annotations, predictions))
        annotations[annotations != 0] = 1
        predictions[predictions != 0] = 1
    void = np.zeros_like(annotations)
    masks = annotations.copy()
    for index in range(len(masks)):
        void[index] = masks[index] == 255
        masks[index, masks[index] == 255] = 0
    objects = 1 if year == 2016 else int(np.max(masks[0]))
    planes = one_hot(masks, objects)[:, scored]
    predictions = predictions[scored]
    found = one_hot(predictions, int(np.max(predictions)))
    if len(found) < objects:
        found = np.concatenate([found, np.zeros((objects - len(found), *predictions.shape), dtype=bool)])
    if year == 2016:
        return _by_id(planes, found)
    if task == "semi-supervised":
        assert len(found) == objects
        return _by_id(planes, found)
    assert len(found) <= MAX_PROPOSALS
    j = np.zeros((len(found), objects, planes.shape[1]))
    f = np.zeros_like(j)
    for row in range(len(found)):
        for column in range(objects):
            j[row, column] = jaccard(planes[column], found[row], void[scored])
            f[row, column] = contours(planes[column], found[row], void[scored])
    quality = (np.mean(j, axis=2) + np.mean(f, axis=2)) / 2
    rows, columns = linear_sum_assignment(-quality)
    pairs = list(zip(rows, columns, strict=True))
    return {"J": {i: j[p] for i, p in enumerate(pairs)}, "F": {i: f[p] for i, p in enumerate(pairs)}}


def _by_id(planes: np.ndarray, found: np.ndarray) -> Figures:
    measures: dict[str, Callable[..., np.ndarray]] = {"J": jaccard, "F": contours}
    return {name: {i: measure(planes[i], found[i]) for i in range(len(planes))} for name, measure in measures.items()}


def score(
    annotation_folder: Path, predictions: Path, names: list[str], year: int, task: str, frames: str
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Global figures and figures for each object of a results folder, as the official toolkit names them."""
    rows: dict[str, dict[str, float]] = {}
    for name in names:
        stems = sorted(path.stem for path in (annotation_folder / name).glob("*.png"))
        stacks = read_stack(annotation_folder / name, stems), read_stack(predictions / name, stems)
        values = sequence(*stacks, year, task, frames)
        for index in values["J"]:
            row = {f"{m}-{k}": v for m in "JF" for k, v in statistics(values[m][index]).items()}
            rows[f"{name}_{index + 1}"] = row
    overall = {key: float(np.mean([row[key] for row in rows.values()])) for key in next(iter(rows.values()))}
    return {"J&F-Mean": (overall["J-Mean"] + overall["F-Mean"]) / 2} | overall, rows
