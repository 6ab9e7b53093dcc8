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
    """The rules that differ between the DAVIS protocols.

    Attributes:
        single_object: every non-zero pixel is the one object; nothing is void.
        matched: prediction ids are proposals, assigned to the objects by the best mean of J and F; annotated void
            pixels do not count. Without it objects go by id, and void is background.
        inner: the first and the last frame are not scored.
    """

    single_object: bool
    matched: bool
    inner: bool

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
    """The annotated frames of a sequence and the folder with its predictions.

    Attributes:
        frames: names of all annotated frames without their suffix, in order.
        scored: those that count.
        predicted: names of the files in `predictions`.
    """

    annotations: Path
    predictions: Path
    frames: tuple[str, ...]
    scored: tuple[str, ...]
    predicted: frozenset[str]


def annotation_folder(davis_root: Path, protocol: Protocol, resolution: str) -> Path:
    """`Annotations/480p`, or `Annotations_unsupervised/480p` where the protocol matches proposals and it exists.

    Raises:
        UserError: the dataset or its annotations are not there.
    """
    if not davis_root.is_dir():
        raise UserError(f"{davis_root}: no such folder; expected a DAVIS dataset")
    unsupervised = davis_root / "Annotations_unsupervised" / resolution
    folder = davis_root / "Annotations" / resolution
    if protocol.matched and unsupervised.is_dir():
        folder = unsupervised
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected a folder of annotated masks for each sequence")
    return folder


def find_sequences(
    folder: Path, predictions: Path, names: Sequence[str], protocol: Protocol
) -> tuple[list[SequenceFiles], list[str]]:
    """Find the files of each sequence and check their names.

    Returns:
        The sequences whose annotations are there, and one line for each missing or empty folder, missing frame, and
        frame too many. Only frames that are scored must have a prediction, as in the official toolkit; other
        sequences in `predictions` and files that are no PNGs are ignored.

    Raises:
        UserError: `predictions` is not a folder, is empty, or holds none of the sequences.
    """
    expected = "expected a folder with one folder of PNGs for each sequence"
    entries = _file_names(predictions, "no such folder", expected)
    if not entries & set(names):
        raise UserError(f"{predictions}: found none of the sequences ({_some(names)}) but {_some(entries)}; {expected}")
    found: list[SequenceFiles] = []
    problems: list[str] = []
    for name in names:
        try:
            frames = _annotated_frames(folder / name)
        except UserError as error:
            problems.append(str(error))
            continue
        scored = frames[1:-1] if protocol.inner else frames
        if not scored:
            expected = "expected at least 3, since the first and the last are not scored"
            problems.append(f"{folder / name}: found {len(frames)} frames; {expected}")
        span = f"the {len(frames)} frames {frames[0]}.png to {frames[-1]}.png"
        try:
            predicted = _file_names(predictions / name, "missing sequence", f"expected a folder with {span}")
            problems += _name_problems(predictions / name, predicted, frames, scored, span)
        except UserError as error:
            problems.append(str(error))
            predicted = frozenset()
        found.append(SequenceFiles(folder / name, predictions / name, frames, scored, predicted))
    return found, problems


def _file_names(folder: Path, missing: str, expected: str) -> frozenset[str]:
    """Names in a folder, hidden ones apart.

    Raises:
        UserError: it is not there (`missing` says so), is a file, cannot be read, or is empty.
    """
    try:
        names = frozenset(name for name in os.listdir(folder) if not name.startswith("."))
        problem = "empty folder"
    except FileNotFoundError:
        names, problem = frozenset(), missing
    except NotADirectoryError:
        names, problem = frozenset(), "is a file"
    except OSError as error:
        names, problem = frozenset(), f"cannot be read ({error.strerror})"
    if not names:
        raise UserError(f"{folder}: {problem}; {expected}")
    return names


def _annotated_frames(folder: Path) -> tuple[str, ...]:
    expected = f"expected the annotations of sequence {folder.name}"
    files = _file_names(folder, "no such folder", expected)
    frames = tuple(sorted(name.removesuffix(".png") for name in files if name.endswith(".png")))
    if not frames:
        raise UserError(f"{folder}: no annotated frames (*.png); {expected}")
    return frames


def _name_problems(
    folder: Path, predicted: frozenset[str], frames: Sequence[str], scored: Sequence[str], span: str
) -> Iterator[str]:
    for frame in scored:
        if f"{frame}.png" not in predicted:
            yield f"{folder / frame}.png: missing frame; expected {span}"
    for name in sorted(predicted - {f"{frame}.png" for frame in frames}):
        if name.lower().endswith(".png"):
            yield f"{folder / name}: frame without annotation; expected only {span}"


def _some(names: Collection[str]) -> str:
    first = sorted(names)[:5]
    return ", ".join(first) + (f", … {len(names) - 5} more" if len(names) > 5 else "")


def count_objects(files: SequenceFiles, protocol: Protocol) -> int:
    """The largest id of the annotation's first frame, void apart, also where that frame is not scored.

    Raises:
        UserError: the frame cannot be read, or holds only void.
    """
    if protocol.single_object:
        return 1
    path = files.annotations / f"{files.frames[0]}.png"
    first = read_mask(path)
    objects = int(first.max(where=first != VOID, initial=0))
    if not objects and first.any():
        expected = "expected object ids from 1 on; masks of 0 and 255 are DAVIS 2016's (year 2016)"
        raise UserError(f"{path}: found only 0 and {VOID} (void); {expected}")
    return objects


def read_pairs(
    files: SequenceFiles, protocol: Protocol, objects: int | None, problems: list[str]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read the scored frames one by one, each PNG once.

    Args:
        objects: how many there are; None where that is unknown.
        problems: takes one line for each file that cannot be scored.

    Yields:
        prediction and annotation, ids [H, W] each, of the frames where both can be read.
    """
    size: tuple[int, ...] | None = None
    for frame in files.scored:
        path = files.annotations / f"{frame}.png"
        annotation = read_or_report(problems, read_mask, path)
        if annotation is not None:
            size = size or annotation.shape
            problems += size_problems(path, annotation.shape, size, "the first frame")
        # A missing prediction is already a problem of the folder.
        path = files.predictions / f"{frame}.png"
        prediction = read_or_report(problems, read_mask, path) if path.name in files.predicted else None
        if prediction is not None:
            problems += size_problems(path, prediction.shape, size, "the annotation")
            problems += _id_problems(path, prediction, protocol, objects)
            if annotation is not None:
                yield prediction, annotation


def _id_problems(path: Path, mask: np.ndarray, protocol: Protocol, objects: int | None) -> Iterator[str]:
    """A problem where ids are too many, or where the mask holds grey values that are no ids."""
    highest = int(mask.max())
    if protocol.single_object:
        limit, expected = MAX_PROPOSALS, f"0 and one value, or ids up to {MAX_PROPOSALS}"
    elif protocol.matched:
        limit, expected = MAX_PROPOSALS, f"ids up to {MAX_PROPOSALS}, the number of proposals allowed"
    else:
        limit, expected = objects, f"ids up to {objects}, the number of objects in the annotation's first frame"
    if limit is None or highest <= limit:
        return
    values = np.unique(mask[mask != 0])
    if protocol.single_object and (len(values) == 1 or set(values[values > MAX_PROPOSALS].tolist()) == {VOID}):
        return  # one foreground value, or ids and void: every non-zero pixel is foreground
    if len(values) == 1 and highest == VOID:
        found = f"a mask of 0 and {VOID}, whose {VOID} is one id"
    elif len(values) > MAX_PROPOSALS or protocol.single_object:
        found = f"{len(values)} different values up to {highest} (a soft mask?)"
    else:
        found = f"id {highest}"
    yield f"{path}: found {found}; expected {expected}"
