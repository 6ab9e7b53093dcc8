"""Scoring any two folders of masks: annotations at some frames, objects that appear later, ids with gaps.

Which frames of which objects count follows vos-benchmark and SA-V's evaluator, so that figures compare with theirs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from slowfast_vos.errors import UserError
from slowfast_vos.scoring.frames import MAX_PROPOSALS, SequenceFiles, file_names, frames_there, some
from slowfast_vos.scoring.measures import MEASURES, tolerance
from slowfast_vos.scoring.parallel import score_each
from slowfast_vos.scoring.regions import Region
from slowfast_vos.scoring.results import Scores, SequenceScores
from slowfast_vos.videos.check import read_or_report, size_problems
from slowfast_vos.videos.davis import VOID
from slowfast_vos.videos.pngs import read_mask

FRAMES = ("inner", "all", "after-first")
LAYOUT = "expected masks as SEQUENCE/FRAME.png or SEQUENCE/OBJECT/FRAME.png"


@dataclass(frozen=True)
class FolderRules:
    """Which annotated frames count, and what an object is; the arguments of `score_folders`."""

    frames: str = "inner"
    single_object: bool = False
    void: int | None = None

    def scored(self, frames: list[str]) -> list[str]:
        """Those of a sequence's annotated frames that need a prediction."""
        return {"all": frames, "inner": frames[1:-1], "after-first": frames[1:]}[self.frames]

    def objects(self, mask: np.ndarray, void: np.ndarray | None) -> np.ndarray:
        """A mask [H, W] without the pixels of `void` [H, W], and with id 1 alone if every object is the one."""
        if void is not None:
            mask = np.where(void, 0, mask)
        return (mask != 0).view(np.uint8) if self.single_object else mask


def score_folders(
    annotations: str | Path,
    predictions: str | Path,
    *,
    frames: str = "inner",
    single_object: bool = False,
    void: int | None = None,
    sequences: Sequence[str] | None = None,
    processes: int = 1,
    progress: bool = False,
) -> Scores:
    """The scores of every object in a folder of predictions against a folder of annotations.

    Both hold `SEQUENCE/FRAME.png`, or `SEQUENCE/OBJECT/FRAME.png`, where each folder of an object counts as a sequence.
    Only annotated frames are read. Predictions may have more frames and more sequences.

    Args:
        frames: "inner", all annotated frames of a sequence but the first and the last; "all"; an object counts from
            the first of them that shows it, in the annotation or in the prediction. "after-first": each object counts
            in the annotated frames after the first one that annotates it.
        single_object: every pixel that is not 0 is the one object; without it objects go by id, from 1 on.
        void: annotated pixels of this value do not count.
        sequences: score these instead of all annotated ones.
        processes: sequences scored side by side.
        progress: show a bar on stderr.

    Raises:
        UserError: anything missing or unreadable, ids that are not annotated, sizes that differ; one line for each
            problem, all of them together. Nothing is returned for a folder with a problem.
    """
    folder, rules = Path(annotations), FolderRules(frames, single_object, void)
    if frames not in FRAMES:
        raise UserError(f"frames: found {frames!r}; expected one of {', '.join(FRAMES)}")
    names = sequence_names(folder)
    if sequences is not None:
        if unknown := [name for name in sequences if name not in names]:
            raise UserError(f"sequence: found {', '.join(unknown)}; expected some of the sequences in {folder}")
        names = list(dict.fromkeys(sequences))
    found, problems = find_predictions(folder, Path(predictions), names, rules)
    scored = score_each(partial(score_sequence, rules=rules), found, problems, processes, progress)
    if not any(len(sequence.region) for sequence in scored):
        raise UserError(f"{folder}: found no object in any scored frame ({frames}); expected at least one")
    return Scores(scored, {"frames": frames, "single_object": single_object, "void": void, "sequences": names})


def sequence_names(folder: Path) -> list[str]:
    """The folders of a folder that hold PNGs, `SEQUENCE` or `SEQUENCE/OBJECT`, in order; UserError where none does."""

    def holding(names: Iterable[str]) -> list[str]:
        return [name for name in names if any(entry.endswith(".png") for entry in _entries(folder / name))]

    file_names(folder, "", LAYOUT)
    names = []
    for name in _entries(folder):
        names += holding([name]) or holding(f"{name}/{entry}" for entry in _entries(folder / name))
    if not names:
        raise UserError(f"{folder}: found no folder of PNGs; {LAYOUT}")
    return names


def _entries(folder: Path) -> list[str]:
    """The names in a folder, in order, hidden ones apart; none where it is no folder."""
    return sorted(name for name in os.listdir(folder) if not name.startswith(".")) if folder.is_dir() else []


def find_predictions(
    folder: Path, predictions: Path, names: Sequence[str], rules: FolderRules
) -> tuple[list[SequenceFiles], list[str]]:
    """The sequences that have annotations and predictions, and one line for each folder that is amiss.

    Raises:
        UserError: `predictions` is not a folder, is empty, or holds none of the sequences.
    """
    entries = file_names(predictions, "", LAYOUT)
    absent = [name for name in names if not (predictions / name).is_dir()]
    problems = []
    if len(absent) == len(names):
        found = f"none of the annotated sequences ({some(names)}) but {some(entries)}"
        raise UserError(f"{predictions}: found {found}; {LAYOUT}")
    if absent:
        found = f"no folder for {len(absent)} of {len(names)} annotated sequences ({some(absent)})"
        problems.append(f"{predictions}: found {found}; expected each, or --sequence NAME for each one to be scored")
    found = []
    for name in (name for name in names if name not in absent):
        frames = file_names(folder / name, ".png", LAYOUT)
        scored = rules.scored(frames)
        if not scored:
            expected = f"expected {3 if rules.frames == 'inner' else 2} or more, since the first "
            expected += "and the last are not scored" if rules.frames == "inner" else "is not scored"
            problems.append(f"{folder / name}: found {len(frames)} annotated frames; {expected}")
            continue
        predicted = _entries(predictions / name)
        there = frames_there(predictions / name, scored, predicted, problems)
        found.append(SequenceFiles(name, folder / name, predictions / name, frames, there))
    return found, problems


def score_sequence(files: SequenceFiles, rules: FolderRules) -> SequenceScores:
    """Score a sequence; no mask outlives its frame.

    A problem of one frame stops the measuring, not the reading, so that all problems are found.
    """
    scores = SequenceScores(files.name, [frame.removesuffix(".png") for frame in files.scored])
    scored, problems = set(files.scored), scores.problems
    known: set[int] = set()  # objects that are annotated up to the present frame
    counted: set[int] = set()  # objects that count in the present frame
    shown: set[int] = set()  # objects that get scores
    predicted: dict[Path, set[int]] = {}
    odd_sizes: dict[str, list[Path]] = {}
    unread: list[str] = []
    values: list[dict[int, tuple[float, ...]]] = []
    for frame in files.frames:
        path = files.predictions / frame
        annotation = read_or_report(problems, _read, files.annotations / frame, rules)
        prediction = read_or_report(problems, _read, path, rules) if frame in scored else None
        if annotation is None:
            unread.append(frame)
            continue
        void = None if rules.void is None else annotation == rules.void
        annotation = rules.objects(annotation, void)
        ids = present(annotation)
        if prediction is not None:
            for problem in size_problems(path, prediction.shape, annotation.shape, "the annotation"):
                odd_sizes.setdefault(problem.removeprefix(f"{path}: "), []).append(path)
            if prediction.shape == annotation.shape:
                prediction = rules.objects(prediction, void)
                predicted[path] = present(prediction)
                counted = set(known) if rules.frames == "after-first" else counted | ids | predicted[path]
                shown |= counted if rules.frames == "after-first" else ids
                if not problems and not odd_sizes:
                    values.append(_measure(prediction, annotation, predicted[path], ids, counted))
        known |= ids
    problems += _folded(odd_sizes)
    if not unread:  # which may annotate other ids
        problems += _id_problems(files.annotations, known, predicted)
    if not problems:
        scores.ids, scores.unscored = sorted(shown), sorted(known - shown)
        rows = [[frame.get(index, (np.nan, np.nan)) for frame in values] for index in scores.ids]
        scores.region, scores.contour = np.moveaxis(np.array(rows).reshape(len(rows), len(values), 2), -1, 0)
    return scores


def _read(path: Path, rules: FolderRules) -> np.ndarray:
    """A mask [H, W]; UserError where it cannot be read, or is a soft mask where every value is the one object."""
    mask = read_mask(path)
    if rules.single_object and len(values := present(mask)) > MAX_PROPOSALS:
        found = f"{len(values)} different values up to {max(values)} (a soft mask?)"
        raise UserError(f"{path}: found {found}; expected 0 and one value, or a few ids")
    return mask


def present(mask: np.ndarray) -> set[int]:
    """The ids in a mask [H, W], 0 apart; found where one pixel differs from the next, which few do."""
    flat = mask.ravel()
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return set(np.unique(np.append(flat[ends], flat[-1])).tolist()) - {0}


def _measure(
    prediction: np.ndarray, annotation: np.ndarray, predicted: set[int], annotated: set[int], counted: set[int]
) -> dict[int, tuple[float, ...]]:
    """J and F of each object that counts; 1 where neither mask, ids [H, W], shows it."""
    values: dict[int, tuple[float, ...]] = dict.fromkeys(counted, (1.0, 1.0))
    there, radius = sorted(counted & (predicted | annotated)), tolerance(*annotation.shape)
    pairs = zip(*(Region.of_ids(mask, there, radius) for mask in (prediction, annotation)), strict=True)
    return values | {
        index: tuple(measure(*pair) for measure in MEASURES) for index, pair in zip(there, pairs, strict=True)
    }


def _id_problems(annotations: Path, known: set[int], predicted: dict[Path, set[int]]) -> Iterable[str]:
    """A line where predictions have ids that no frame annotates, and one where an id is void rather."""
    ids = sorted(known)
    odd: dict[str, list[Path]] = {}
    for path, found in predicted.items():
        if unknown := sorted(found - known):
            what = f"id{'s' * (len(unknown) > 1)} {some(unknown)}"
            if len(unknown) > MAX_PROPOSALS:
                what = f"{len(found)} different values up to {unknown[-1]} (a soft mask?)"
            expected = f"the ids of its annotations ({some(ids) or 'none'})"
            hint = ", or --single-object" * (len(known) == 1 and len(found) == 1)
            odd.setdefault(f"found {what}; expected {expected}{hint}", []).append(path)
    yield from _folded(odd)
    if VOID in known and len(known) > 1:
        expected = f"expected ids alone, or --void {VOID} where that marks pixels that do not count"
        yield f"{annotations}: found {VOID} beside ids {some(ids[:-1])}; {expected}"


def _folded(problems: dict[str, list[Path]]) -> Iterable[str]:
    """One line for each problem, whichever number of files has it."""
    for problem, (path, *others) in problems.items():
        yield f"{path}{f' and {len(others)} more' if others else ''}: {problem}"
