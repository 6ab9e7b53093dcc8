"""What the scorer reads: the protocol's rules, the sequences' folders, and their masks, checked frame by frame."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slowfast_vos.errors import UserError
from slowfast_vos.videos.check import read_or_report, size_problems
from slowfast_vos.videos.davis import VOID, YEARS
from slowfast_vos.videos.pngs import read_mask

TASKS = ("unsupervised", "semi-supervised")
FRAMES = ("all", "inner")
MAX_PROPOSALS = 20


@dataclass(frozen=True)
class Protocol:
    """The rules that differ between the DAVIS protocols."""

    single_object: bool  # every non-zero pixel is the one object; nothing is void
    # Prediction ids are proposals, assigned to the objects by the best mean of J and F; annotated void pixels do not
    # count. Without it objects go by id, and void is background.
    matched: bool
    inner: bool  # the first and the last frame are not scored

    @classmethod
    def of(cls, year: int, task: str, frames: str | None = None) -> Protocol:
        """The official rules of `year` and `task`; `frames` ("all" or "inner") overrides which frames count.

        Raises:
            UserError: an unknown year, task or choice of frames.
        """
        for name, value, known in (("year", year, YEARS), ("task", task, TASKS), ("frames", frames or "all", FRAMES)):
            if value not in known:
                raise UserError(f"{name}: found {value!r}; expected one of {', '.join(map(str, known))}")
        matched = year == 2017 and task == "unsupervised"
        inner = not matched if frames is None else frames == "inner"
        return cls(single_object=year == 2016, matched=matched, inner=inner)


@dataclass(frozen=True)
class SequenceFiles:
    """The folders of a sequence's annotations and predictions, and its annotated frames."""

    name: str
    annotations: Path
    predictions: Path
    frames: list[str]  # names of all annotated frames (`00000.png`), in order
    scored: list[str]  # those that count and are predicted


def find_sequences(
    folder: Path, predictions: Path, names: Sequence[str], protocol: Protocol
) -> tuple[list[SequenceFiles], list[str]]:
    """The sequences that have annotations and predictions, and one line for each folder or frame that is amiss.

    Only frames that are scored must have a prediction, as in the official toolkit; other sequences in `predictions`
    and files that are no PNGs are ignored.

    Raises:
        UserError: `predictions` is not a folder, is empty, or holds none of the sequences.
    """
    expected = "expected a folder with one folder of PNGs for each sequence"
    entries = file_names(predictions, "", expected)
    if not set(entries) & set(names):
        shown, wanted = (", ".join(sorted(some)[:5]) for some in (entries, names))
        raise UserError(f"{predictions}: found none of the sequences ({wanted}) but {shown}; {expected}")
    found: list[SequenceFiles] = []
    problems: list[str] = []
    for name in names:
        expected = f"expected the annotations of sequence {name}"
        frames = read_or_report(problems, file_names, folder / name, ".png", expected)
        if frames is None:
            continue
        scored = frames[1:-1] if protocol.inner else frames
        if not scored:
            expected = "expected at least 3, since the first and the last are not scored"
            problems.append(f"{folder / name}: found {len(frames)} frames; {expected}")
        span = f"the {len(frames)} frames {frames[0]} to {frames[-1]}"
        predicted = read_or_report(problems, file_names, predictions / name, "", f"expected a folder with {span}")
        if predicted is not None:
            there = frames_there(predictions / name, scored, predicted, problems)
            found.append(SequenceFiles(name, folder / name, predictions / name, frames, there))
            problems += [
                f"{predictions / name / file}: frame without annotation; expected only {span}"
                for file in predicted
                if file.lower().endswith(".png") and file not in frames
            ]
    return found, problems


def frames_there(folder: Path, scored: Sequence[str], predicted: Sequence[str], problems: list[str]) -> list[str]:
    """The scored frames that are among the predicted ones; `problems` takes one line for all others."""
    lost = sorted(set(scored).difference(predicted))
    there = sorted(set(scored).difference(lost))
    if lost and there:
        expected = f"expected all {len(scored)} scored frames (missing: {len(lost)})"
        problems.append(f"{folder}: found no {some(lost)}; {expected}")
    elif lost:
        wanted = f"the {len(scored)} scored frames {scored[0]} to {scored[-1]}"
        problems.append(f"{folder}: found {some(predicted) or 'nothing'}; expected {wanted}")
    return there


def some(names: Collection[object]) -> str:
    """The first few of many names."""
    return ", ".join(list(map(str, names))[:5]) + ", …" * (len(names) > 5)


def file_names(folder: Path, suffix: str, expected: str) -> list[str]:
    """The names in a folder that end in `suffix`, in order, hidden ones apart; UserError where there is none."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(suffix) and not name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); {expected}") from None
    if not names:
        raise UserError(f"{folder}: empty folder; {expected}")
    return names


def count_objects(files: SequenceFiles, protocol: Protocol) -> int:
    """The largest id of the annotation's first frame, void apart, also where that frame is not scored.

    Raises:
        UserError: the frame cannot be read, or holds only void.
    """
    if protocol.single_object:
        return 1
    path = files.annotations / files.frames[0]
    first = read_mask(path)
    objects = int(first.max(where=first != VOID, initial=0))
    if not objects and first.any():
        expected = "expected object ids from 1 on; masks of 0 and 255 are DAVIS 2016's (year 2016)"
        raise UserError(f"{path}: found only 0 and {VOID} (void); {expected}")
    return objects


def read_pairs(
    files: SequenceFiles, protocol: Protocol, objects: int | None, problems: list[str]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Prediction and annotation, ids [H, W] each, of the scored frames where both can be read; each PNG is read once.

    Args:
        objects: how many there are; None where that is unknown.
        problems: takes one line for each file that cannot be scored.
    """
    size: tuple[int, ...] | None = None
    for frame in files.scored:
        path = files.annotations / frame
        annotation = read_or_report(problems, read_mask, path)
        if annotation is not None:
            size = size or annotation.shape
            problems += size_problems(path, annotation.shape, size, "the first frame")
        path = files.predictions / frame
        prediction = read_or_report(problems, read_mask, path)
        if prediction is not None:
            problems += size_problems(path, prediction.shape, size, "the annotation")
            problems += _id_problems(path, prediction, protocol, objects)
            if annotation is not None:
                yield prediction, annotation


def _id_problems(path: Path, mask: np.ndarray, protocol: Protocol, objects: int | None) -> Iterator[str]:
    """A problem where ids are too many, or where the mask holds grey values that are no ids."""
    limit, expected = MAX_PROPOSALS, f"ids up to {MAX_PROPOSALS}, the number of proposals allowed"
    if protocol.single_object:
        expected = f"0 and one value, or ids up to {limit}"
    elif not protocol.matched:
        limit, expected = objects, f"ids up to {objects}, the number of objects in the annotation's first frame"
    if limit is None or int(mask.max()) <= limit:
        return
    values = np.unique(mask[mask != 0])
    if protocol.single_object and (len(values) == 1 or set(values[values > limit].tolist()) == {VOID}):
        return  # one foreground value, or ids and void: every non-zero pixel is foreground
    soft = protocol.single_object or len(values) > MAX_PROPOSALS
    found = f"{len(values)} different values up to {values[-1]} (a soft mask?)" if soft else f"id {values[-1]}"
    yield f"{path}: found {found}; expected {expected}"
