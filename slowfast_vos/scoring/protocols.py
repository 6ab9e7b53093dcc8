"""Scoring by the DAVIS protocols: a results folder, or masks in memory.

Source of the rules: the official davis2017-evaluation (2017, semi-supervised and unsupervised), the DAVIS 2016 toolkit
(one object, nothing void), and the paper's scoring of DAVIS 2016 (`frames="all"`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from slowfast_vos.errors import UserError
from slowfast_vos.scoring.frames import Protocol, SequenceFiles, count_objects, find_sequences, read_pairs
from slowfast_vos.scoring.measures import MEASURES, region_pair, tolerance
from slowfast_vos.scoring.parallel import score_each
from slowfast_vos.scoring.regions import Region
from slowfast_vos.scoring.results import GLOBAL_COLUMNS, Scores, SequenceScores, object_statistics
from slowfast_vos.videos.check import read_or_report
from slowfast_vos.videos.davis import VOID, DavisTree


def score(
    davis_root: str | Path,
    predictions: str | Path,
    *,
    year: int = 2016,
    split: str = "val",
    task: str = "unsupervised",
    frames: str | None = None,
    sequences: Sequence[str] | None = None,
    resolution: str = "480p",
    processes: int = 1,
    progress: bool = False,
) -> Scores:
    """The scores of every object in a folder of predictions against a DAVIS dataset.

    Args:
        davis_root: the dataset: `Annotations/480p/SEQUENCE/*.png` and `ImageSets`.
        predictions: `SEQUENCE/FRAME.png` with the annotations' names; more sequences than asked for do no harm.
        year: 2016, one object of all non-zero pixels, or 2017, objects by id.
        split: the list of sequences, `train`, `val`, ….
        task: "unsupervised" or "semi-supervised"; the same for 2016.
        frames: "all", or "inner" for all but the first and the last; None for the protocol's own rule, which is all for
            2017 unsupervised and inner otherwise. The paper scores all frames of DAVIS 2016.
        sequences: score these instead of the split's.
        resolution: the folder of the annotations.
        processes: sequences scored side by side.
        progress: show a bar on stderr.

    Raises:
        UserError: anything missing or unreadable; one line for each problem, all of them together. Nothing is
            returned for a folder with a problem.
    """
    root, protocol = Path(davis_root), Protocol.of(year, task, frames)
    folder = root / "Annotations_unsupervised" / resolution
    if not protocol.matched or not folder.is_dir():
        folder = root / "Annotations" / resolution
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected a folder of annotated masks for each sequence")
    names = list(dict.fromkeys(DavisTree(root, resolution).split(split, year) if sequences is None else sequences))
    if sequences is not None and (unknown := [name for name in names if not (folder / name).is_dir()]):
        raise UserError(f"sequence: found {', '.join(unknown)}; expected some of the folders in {folder}")
    found, problems = find_sequences(folder, Path(predictions), names, protocol)
    scored = score_each(partial(score_sequence, protocol=protocol), found, problems, processes, progress)
    if not any(len(sequence.region) for sequence in scored):
        raise UserError(f"{folder}: found no object in the first frame of any sequence; expected at least one")
    rules = {"year": year, "split": split, "task": task, "frames": "inner" if protocol.inner else "all"}
    return Scores(scored, rules | {"sequences": names})


def score_masks(
    predictions: Iterable[np.ndarray], annotations: Iterable[np.ndarray], *, frames: str = "inner"
) -> dict[str, float]:
    """Score one object in one sequence from masks in memory, by the rules of DAVIS 2016.

    Args:
        predictions: for each frame [H, W] bool or integer; every non-zero pixel is foreground. Taken one at a time.
        annotations: the same, as many.
        frames: "inner" leaves out the first and the last frame, "all" (the paper) does not.

    Returns:
        J&F-Mean, J-Mean, J-Recall, J-Decay, F-Mean, F-Recall, F-Decay.

    Raises:
        ValueError: the numbers of masks differ, a pair differs in size, a mask is not [H, W] of bool or integers, or
            no frame is left to score.
    """
    protocol = Protocol.of(2016, "unsupervised", frames)
    pairs = (region_pair(*masks) for masks in zip(predictions, annotations, strict=True))
    values = [[measure(*pair) for measure in MEASURES] for pair in pairs]
    values = values[1:-1] if protocol.inner else values
    if not values:
        raise ValueError(f"no frame is left to score ({frames} frames)")
    figures = object_statistics(*np.stack(values, axis=-1))
    return {name: figures[name] for name in GLOBAL_COLUMNS}


def score_sequence(files: SequenceFiles, protocol: Protocol) -> SequenceScores:
    """Score a sequence; no mask outlives its frame.

    A problem of one frame stops the measuring, not the reading, so that all problems are found.
    """
    scores = SequenceScores(files.name, [frame.removesuffix(".png") for frame in files.scored])
    objects = read_or_report(scores.problems, count_objects, files, protocol)
    values: list[np.ndarray] = []
    for prediction, annotation in read_pairs(files, protocol, objects, scores.problems):
        if not scores.problems:
            values.append(measure_frame(prediction, annotation, objects, protocol))
    if values and not scores.problems:
        scores.region, scores.contour = _match(values, objects) if protocol.matched else np.stack(values, axis=-1)
    return scores


def measure_frame(prediction: np.ndarray, annotation: np.ndarray, objects: int, protocol: Protocol) -> np.ndarray:
    """J and F of one frame from ids [H, W], whose ids 1 to `objects` are objects: [2, objects] float64.

    Where proposals are to be matched, [2, proposals + 1, objects]: each proposal with each object; the last row is that
    of an absent proposal, an empty mask.
    """
    if protocol.single_object:
        pair = region_pair(prediction, annotation)
        return np.array([[measure(*pair)] for measure in MEASURES])
    # Proposals are counted before void is taken out: one that lies in void alone is empty and still counts.
    proposals = int(prediction.max()) if protocol.matched else objects
    if protocol.matched and (void := annotation == VOID).any():
        prediction = np.where(void, 0, prediction)
    radius = tolerance(*annotation.shape)
    predicted = Region.of_ids(prediction, range(1, proposals + 1), radius)
    annotated = Region.of_ids(annotation, range(1, objects + 1), radius)
    if not protocol.matched:
        values = [list(map(measure, predicted, annotated)) for measure in MEASURES]
    else:
        predicted.append(Region.of_mask(np.zeros_like(prediction), radius))
        values = [[[measure(one, other) for other in annotated] for one in predicted] for measure in MEASURES]
    return np.array(values, dtype=np.float64)


def _match(values: Sequence[np.ndarray], objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Assign proposals to objects by the best (mean J + mean F) / 2; `values` are those of `measure_frame` by frame.

    Returns J and F, [objects, N] each, in the order of the chosen proposals, as in the official toolkit.
    """
    from scipy.optimize import linear_sum_assignment

    # Every frame gets as many proposals as the fullest, and at least one for each object.
    count = max(objects, *(frame.shape[1] - 1 for frame in values))
    region, contour = np.stack([frame.take(np.arange(count), axis=1, mode="clip") for frame in values], axis=-1)
    quality = (np.mean(region, axis=2) + np.mean(contour, axis=2)) / 2
    rows, columns = linear_sum_assignment(-quality)
    return region[rows, columns], contour[rows, columns]
