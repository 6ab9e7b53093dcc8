"""What is wrong with one sequence of a DAVIS tree, and what is merely odd; without torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import numpy as np

from slowfast_vos.errors import UserError
from slowfast_vos.videos.davis import VOID, DavisTree, check_frame
from slowfast_vos.videos.pngs import mask_mode, read_mask

T = TypeVar("T")
MAX_OBJECTS = 20
"""More ids than this in a mask are no objects but grey levels; DAVIS 2017 has ten at most."""


@dataclass
class SequenceReport:
    """One sequence, read to the last byte.

    Attributes:
        problems: one line each, with the file, what was found and what was expected.
        frames: how many frames there are.
        objects: the largest id of the first mask; 1 for binary masks.
        sizes: height and width of the frames, with the first frame that has them.
        modes: how many masks are stored in which mode.
        alpha: the masks with an alpha channel.
        empty: how many masks hold no object.
        late: ids that appear after the first frame, beyond its largest.
    """

    name: str
    problems: list[str] = field(default_factory=list)
    frames: int = 0
    objects: int = 0
    sizes: dict[tuple[int, int], Path] = field(default_factory=dict)
    modes: Counter[str] = field(default_factory=Counter)
    alpha: list[Path] = field(default_factory=list)
    empty: int = 0
    late: set[int] = field(default_factory=set)


def check_sequence(
    tree: DavisTree, name: str, *, binary: bool, needs_object: bool, length: int | None = None
) -> SequenceReport:
    """Check a sequence's files and what is in them; see `check_pictures`.

    Args:
        length: how many frames there should be, where that is known.
    """
    report = SequenceReport(name)
    folders = {kind: tree.folder(kind, name) for kind in ("JPEGImages", "Annotations")}
    frames = {path.stem: path for path in sorted(folders["JPEGImages"].glob("*.jpg"))}
    masks = {path.stem: path for path in sorted(folders["Annotations"].glob("*.png"))}
    report.frames = len(frames)
    for kind, found, suffix in (("JPEGImages", frames, "jpg"), ("Annotations", masks, "png")):
        if not found:
            what = f"no .{suffix} file" if folders[kind].is_dir() else "no such folder"
            expected = "frames" if suffix == "jpg" else "masks"
            report.problems.append(f"{folders[kind]}: found {what}; expected the {expected} of {name}")
    if frames and masks:
        report.problems += tree.unpaired(name, list(frames.values()), list(masks.values()))
    if frames or masks:
        report.problems += _gaps(folders["JPEGImages"], sorted({*frames, *masks}), length)
    both = [(path, masks[stem]) for stem, path in frames.items() if stem in masks]
    # Objects are counted in the first frame; without its mask there is none to ask for.
    check_pictures(both, binary=binary, needs_object=needs_object and min(masks, default="") in frames, report=report)
    return report


def check_pictures(
    pairs: Sequence[tuple[Path, Path]], *, binary: bool, needs_object: bool, report: SequenceReport
) -> None:
    """Read frames and masks and add to the report what they tell.

    Args:
        pairs: a sequence's frames and masks, in order.
        binary: every pixel that is not 0 is the one object (DAVIS 2016), instead of objects by id.
        needs_object: the first mask must hold an object that has a box.
    """
    seen: set[int] = set()
    for index, (frame_path, mask_path) in enumerate(pairs):
        size, mask = _readable(check_frame, frame_path, report), _readable(read_mask, mask_path, report)
        if size is not None:
            report.sizes.setdefault(size, frame_path)
        if mask is None:
            continue
        kind, values = mask_mode(mask_path), _values(mask)
        objects = values - ({0} if binary else {0, VOID})
        seen |= values
        report.modes[kind] += 1
        report.alpha += [mask_path] * (kind == "grey with alpha")
        report.empty += not objects
        report.problems += _mask_problems(mask_path, mask.shape, frame_path, size, values, binary)
        if index == 0:
            report.objects = int(bool(objects)) if binary else max(objects, default=0)
            if needs_object and mask.shape == size and not _has_box(mask):
                report.problems.append(
                    f"{mask_path}: found no object; expected one in the first frame, which fine-tuning learns from"
                )
        elif not binary:
            report.late |= {number for number in objects if number > report.objects}
    if not binary and VOID in seen and not seen - {0, VOID}:
        report.problems.append(
            f"{pairs[0][1].parent}: found masks of {VOID} alone, which is void in DAVIS 2017; expected ids from 1 "
            "(masks of DAVIS 2016?)"
        )
    if len(report.sizes) > 1:
        found = ", ".join(f"{width}×{height} ({path.name})" for (height, width), path in report.sizes.items())
        report.problems.append(f"{pairs[0][0].parent}: found frames of several sizes: {found}; expected one")


def _readable(read: Callable[[Path], T], path: Path, report: SequenceReport) -> T | None:
    try:
        return read(path)
    except UserError as error:
        report.problems.append(str(error))
        return None


def _gaps(folder: Path, stems: list[str], length: int | None) -> Iterable[str]:
    """Frames of which neither picture nor mask is there, as far as names and db_info.yml tell."""
    digits = len(stems[0])
    if not all(stem.isdecimal() and len(stem) == digits for stem in stems):
        odd = next(stem for stem in stems if not stem.isdecimal() or len(stem) != digits)
        yield f"{folder / odd}.jpg: found a name unlike {stems[0]}; expected numbers of as many digits, 00000 and on"
        return
    numbers = [int(stem) for stem in stems]
    missing = sorted(set(range(numbers[-1] + 1)) - set(numbers))
    for _, group in groupby(enumerate(missing), key=lambda pair: pair[1] - pair[0]):
        run = [f"{number:0{digits}d}" for _, number in group]
        span = f"{run[0]}.jpg" if len(run) == 1 else f"{run[0]}.jpg to {run[-1]}.jpg"
        yield f"{folder}/{span}: missing, as their masks; expected no gap from {0:0{digits}d} to {stems[-1]}"
    if length is not None and len(numbers) + len(missing) != length:
        yield f"{folder}: found {len(numbers) + len(missing)} frames; expected {length} by db_info.yml"


def _mask_problems(
    path: Path, shape: tuple[int, ...], frame: Path, size: tuple[int, int] | None, values: set[int], binary: bool
) -> Iterable[str]:
    if size is not None and shape != size:
        found, expected = f"{shape[1]}×{shape[0]}", f"{size[1]}×{size[0]}"
        yield f"{path}: found {found} pixels; expected {expected} as {frame.name}"
    ids = values - {0, VOID}
    if max(ids, default=0) > MAX_OBJECTS:
        expected = f"0 and {VOID}, or ids" if binary else "ids"
        yield f"{path}: found {len(ids)} ids up to {max(ids)}; expected {expected} up to {MAX_OBJECTS} (a soft mask?)"


def _values(mask: np.ndarray) -> set[int]:
    """The distinct values; quick where they are few, as they are in masks."""
    found, rest = set(), mask.ravel()
    while rest.size and len(found) <= MAX_OBJECTS + 2:
        found.add(int(rest[0]))
        rest = rest[rest != rest[0]]
    return found | set(np.unique(rest).tolist())


def _has_box(mask: np.ndarray) -> bool:
    """Whether all that is not 0 is more than one pixel wide and high, as a target of training must be."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return bool(len(rows)) and rows[0] < rows[-1] and columns[0] < columns[-1]
