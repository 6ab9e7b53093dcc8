"""One sequence, frame by frame: read, check, measure. Nothing outlives a frame but its scores."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from slowfast_vos.errors import UserError
from slowfast_vos.scoring.layout import MAX_PROPOSALS, Protocol, SequenceFiles
from slowfast_vos.scoring.measures import contour_accuracy_of, region_similarity_of, tolerance
from slowfast_vos.scoring.regions import Region
from slowfast_vos.videos.pngs import read_mask

VOID = 255


@dataclass
class SequenceScores:
    """What came out of one sequence.

    Attributes:
        name: the sequence.
        frames: the names of the N scored frames.
        region, contour: J and F, [objects, N].
        problems: one line for each file that cannot be scored; without any the arrays hold every frame.
    """

    name: str
    frames: tuple[str, ...]
    region: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    contour: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    problems: list[str] = field(default_factory=list)


def score_sequence(files: SequenceFiles, protocol: Protocol, *, measure: bool = True) -> SequenceScores:
    """Score a sequence, or with `measure` off only look for problems.

    Each PNG is decoded once (the first annotation once more, to count the objects). A problem of one frame stops the
    measuring, not the reading, so that all problems are found.
    """
    scores = SequenceScores(files.name, files.scored_frames(protocol))
    objects = _count_objects(files, protocol, scores.problems)
    limit = None if objects is None else MAX_PROPOSALS if protocol.matched else objects
    values: list[np.ndarray] = []
    proposals = objects or 0
    size: tuple[int, ...] | None = None
    for frame in scores.frames:
        annotation = _read(f"{files.annotations}/{frame}.png", scores.problems)
        path = f"{files.predictions}/{frame}.png"
        # A missing frame was told when the names were listed.
        prediction = _read(path, scores.problems) if f"{frame}.png" in files.predicted else None
        if annotation is not None:
            size = size or annotation.shape
            _check_size(annotation, size, "the first frame", f"{files.annotations}/{frame}.png", scores.problems)
        if prediction is None:
            continue
        if size is not None:
            _check_size(prediction, size, "the annotation", path, scores.problems)
        highest = _check_ids(prediction, protocol, limit, path, scores.problems)
        proposals = max(proposals, highest)
        if measure and not scores.problems and annotation is not None and objects is not None:
            values.append(measure_frame(prediction, annotation, objects, protocol))
    if measure and not scores.problems and values:
        stacked = np.stack(values, axis=-1)  # [2, objects, N]; [2, proposals, objects, N] to be matched
        scores.region, scores.contour = _match(stacked[:, :proposals]) if protocol.matched else stacked
    return scores


def measure_frame(prediction: np.ndarray, annotation: np.ndarray, objects: int, protocol: Protocol) -> np.ndarray:
    """J and F of one frame.

    Args:
        prediction: [H, W] ids.
        annotation: [H, W] ids, `VOID` where nothing is known.
        objects: how many ids, from 1 on, are objects.
        protocol: the rules.

    Returns:
        [2, objects] float64, J and F; [2, proposals, objects] where they are to be matched, for as many proposals as
        are allowed or needed.
    """
    radius = tolerance(*annotation.shape)
    if protocol.single_object:
        predicted, annotated = [Region.of_mask(prediction, radius)], [Region.of_mask(annotation, radius)]
    else:
        if protocol.matched and (void := annotation == VOID).any():
            prediction = np.where(void, 0, prediction)
        predicted = Region.of_ids(prediction, int(prediction.max()) if protocol.matched else objects, radius)
        annotated = Region.of_ids(annotation, objects, radius)
    measures = (region_similarity_of, contour_accuracy_of)
    if protocol.matched:
        # One empty mask stands for all the proposals that this frame lacks.
        predicted.append(Region.of_mask(np.zeros_like(prediction), radius))
        values = [[[measure(one, other) for other in annotated] for one in predicted] for measure in measures]
        lacking = max(MAX_PROPOSALS, objects) + 1 - len(predicted)
        repeats = [1] * (len(predicted) - 1) + [lacking]
        return np.array(values, dtype=np.float64).reshape(2, len(predicted), objects).repeat(repeats, axis=1)
    values = [[measure(*pair) for pair in zip(predicted, annotated, strict=True)] for measure in measures]
    return np.array(values, dtype=np.float64).reshape(2, objects)


def _match(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Assign proposals to objects by the best (mean J + mean F) / 2: [2, P, objects, N] to two of [objects, N].

    As in the official toolkit the rows come in the order of the chosen proposals.
    """
    from scipy.optimize import linear_sum_assignment

    region, contour = (np.ascontiguousarray(value) for value in values)
    quality = (np.mean(region, axis=2) + np.mean(contour, axis=2)) / 2
    rows, columns = linear_sum_assignment(-quality)
    return region[rows, columns], contour[rows, columns]


def _count_objects(files: SequenceFiles, protocol: Protocol, problems: list[str]) -> int | None:
    """The largest id of the annotation's first frame, void apart; None where it cannot be read."""
    if protocol.single_object:
        return 1
    path = f"{files.annotations}/{files.frames[0]}.png"
    try:
        first = read_mask(path)
    except UserError as error:
        # The frame is read again, and its error told, where it is scored.
        if protocol.inner:
            problems.append(str(error))
        return None
    objects = int(first.max(where=first != VOID, initial=0))
    if not objects and first.any():
        problems.append(
            f"{path}: found only 0 and {VOID} (void), expected object ids from 1 on; masks of 0 and {VOID} are DAVIS "
            "2016's (year 2016)"
        )
        return None
    return objects


def _read(path: str, problems: list[str]) -> np.ndarray | None:
    try:
        return read_mask(path)
    except UserError as error:
        problems.append(str(error))
        return None


def _check_size(mask: np.ndarray, size: tuple[int, ...], owner: str, path: str, problems: list[str]) -> None:
    if mask.shape != size:
        found, expected = (f"{width}x{height}" for height, width in (mask.shape, size))
        problems.append(f"{path}: found {found} pixels (width x height), expected {expected} as {owner} has")


def _check_ids(mask: np.ndarray, protocol: Protocol, limit: int | None, path: str, problems: list[str]) -> int:
    """The largest id; a problem where ids are too many or the mask holds grey values that are no ids."""
    highest = int(mask.max())
    if protocol.single_object:
        if highest > MAX_PROPOSALS and len(strange := np.unique(mask[(mask > MAX_PROPOSALS) & (mask != VOID)])):
            values = np.unique(mask[mask != 0])
            if len(values) > 1:
                problems.append(
                    f"{path}: found {len(values)} different values up to {highest} (such as {strange[0]}): a soft "
                    f"mask; expected 0 and one value, or ids up to {MAX_PROPOSALS}"
                )
    elif limit is not None and highest > limit:
        problems.append(f"{path}: {_describe_ids(mask, highest)}, expected {_expected_ids(protocol, limit)}")
    return highest


def _describe_ids(mask: np.ndarray, highest: int) -> str:
    values = np.unique(mask[mask != 0])
    if len(values) == 1 and highest == VOID:
        return f"found a mask of 0 and {VOID}, whose {VOID} is one id"
    if len(values) > MAX_PROPOSALS:
        return f"found {len(values)} different values up to {highest} (a soft mask?)"
    return f"found id {highest}"


def _expected_ids(protocol: Protocol, limit: int) -> str:
    if protocol.matched:
        return f"ids up to {limit}, the number of proposals allowed"
    return f"ids up to {limit}, the number of objects in the annotation's first frame"
