"""Which sequences and frames are scored, and by which rules: the DAVIS folders and the protocols' table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slowfast_vos.errors import UserError
from slowfast_vos.videos.splits import read_split

YEARS = (2016, 2017)
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
        for name, value, known in (("year", year, YEARS), ("task", task, TASKS), ("frames", frames, (*FRAMES, None))):
            if value not in known:
                choices = ", ".join(str(choice) for choice in known if choice is not None)
                raise UserError(f"{name}: found {value!r}, expected one of {choices}")
        matched = year == 2017 and task == "unsupervised"
        inner = not matched if frames is None else frames == "inner"
        return cls(single_object=year == 2016, matched=matched, inner=inner)


@dataclass(frozen=True)
class SequenceFiles:
    """The annotated frames of a sequence and the folder with its predictions."""

    name: str
    annotations: Path
    predictions: Path
    frames: tuple[str, ...]
    """Names of all annotated frames without their suffix, in order."""
    predicted: frozenset[str]
    """Names of the files in `predictions`."""

    def scored_frames(self, protocol: Protocol) -> tuple[str, ...]:
        """The frames that count: all of them or all but the first and the last."""
        return self.frames[1:-1] if protocol.inner else self.frames


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


def split_sequences(davis_root: Path, year: int, split: str, resolution: str) -> list[str]:
    """The sequences of a split, in the order of its file; see `read_split`.

    Raises:
        UserError: no such file, or a file without sequences.
    """
    found = read_split(davis_root, split, year, resolution)
    if found.path is None:
        first, *others = map(str, found.places)
        there = f" there or in {' or '.join(others)}" if others else ""
        raise UserError(f"{first}: missing; expected the list of sequences of {split}{there}")
    if not found.names:
        raise UserError(f"{found.path}: found no sequences, expected one in each line")
    return list(found.names)


def list_sequences(
    folder: Path, predictions: Path, names: Sequence[str], protocol: Protocol
) -> tuple[list[SequenceFiles], list[str]]:
    """Find the files of each sequence and what is amiss with their names.

    Returns:
        The sequences whose annotations are there, and one line for each missing or empty folder, missing frame, and
        frame too many. Only frames that are scored must have a prediction, as in the official toolkit; other
        sequences in `predictions` and files that are no PNGs are left aside.

    Raises:
        UserError: `predictions` is not a folder, is empty, or holds none of the sequences.
    """
    _check_predictions(predictions, names)
    found: list[SequenceFiles] = []
    problems: list[str] = []
    for name in names:
        try:
            frames, predicted = _png_stems(folder / name), _file_names(predictions / name)
        except UserError as error:
            problems.append(str(error))
            continue
        files = SequenceFiles(name, folder / name, predictions / name, frames, predicted)
        if not files.frames:
            what = "no annotated frames (*.png)" if files.annotations.is_dir() else "no such folder"
            problems.append(f"{files.annotations}: {what}; expected the annotations of sequence {name}")
            continue
        scored = files.scored_frames(protocol)
        if not scored:
            problems.append(
                f"{files.annotations}: found {len(files.frames)} frames, expected at least 3, since the first and "
                "the last are not scored"
            )
        problems += _name_problems(files, scored)
        found.append(files)
    return found, problems


def _check_predictions(predictions: Path, names: Sequence[str]) -> None:
    expected = "expected a folder with one folder of PNGs for each sequence"
    if not predictions.exists():
        raise UserError(f"{predictions}: no such folder; {expected}")
    if not predictions.is_dir():
        raise UserError(f"{predictions}: is a file; {expected}")
    try:
        entries = sorted(entry.name for entry in predictions.iterdir())
    except OSError as error:
        raise UserError(f"{predictions}: cannot be read ({error.strerror}); {expected}") from error
    if not entries:
        raise UserError(f"{predictions}: empty folder; {expected}")
    if not set(entries) & set(names):
        raise UserError(f"{predictions}: found none of the sequences ({_some(names)}) but {_some(entries)}; {expected}")


def _name_problems(files: SequenceFiles, scored: Sequence[str]) -> list[str]:
    span = f"the {len(files.frames)} frames {files.frames[0]}.png to {files.frames[-1]}.png"
    folder = files.predictions
    if not folder.exists():
        return [f"{folder}: missing sequence; expected a folder with {span}"]
    if not folder.is_dir():
        return [f"{folder}: is a file; expected a folder with {span}"]
    if not files.predicted:
        return [f"{folder}: empty folder; expected {span}"]
    missing = [f"{frame}.png" for frame in scored if f"{frame}.png" not in files.predicted]
    known = {f"{frame}.png" for frame in files.frames}
    extra = sorted(name for name in files.predicted - known if name.lower().endswith(".png"))
    return [f"{folder / name}: missing frame; expected {span}" for name in missing] + [
        f"{folder / name}: frame without annotation; expected only {span}" for name in extra
    ]


def _png_stems(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        return ()
    return tuple(sorted(path.stem for path in folder.glob("*.png") if not path.name.startswith(".")))


def _file_names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); expected a folder of PNGs") from error


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f", … {len(names) - 5} more" if len(names) > 5 else "")
