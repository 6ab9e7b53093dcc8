"""The one checker of frames and masks: of a run's sequences, or of a whole DAVIS tree; without torch.

All problems are gathered, one line each. What is odd but handled becomes a note.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, groupby
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from slowfast_vos.errors import UserError
from slowfast_vos.prefetch import prefetch
from slowfast_vos.videos.davis import VOID, YEARS, DavisTree, frame_size, open_picture
from slowfast_vos.videos.pngs import mask_mode, read_mask

T = TypeVar("T")
MAX_OBJECTS = 20  # more ids than this in a mask are grey levels, no objects; DAVIS 2017 has ten at most
THREADS = 2  # sequences read side by side; decoding releases Python's lock


@dataclass
class SequenceReport:
    """One sequence, read to the last byte."""

    name: str
    problems: list[str]  # one line each, with the file, what was found and what was expected
    frames: int
    objects: int = 0  # the largest id of the first mask; 1 for binary masks
    sizes: dict[tuple[int, int], Path] = field(default_factory=dict)  # (height, width): the first frame that has it
    modes: dict[str, list[Path]] = field(default_factory=dict)  # the masks of each mode in which they are stored
    empty: int = 0  # masks without an object


@dataclass(frozen=True)
class TreeReport:
    """One edition of DAVIS in a tree."""

    year: int
    splits: dict[str, list[SequenceReport]]  # of each split whose list was found
    problems: list[str]  # one line each; none where the tree is sound

    def notes(self) -> list[str]:
        """What is odd and handled: modes of the masks, frames without an object."""
        sequences = {report.name: report for reports in self.splits.values() for report in reports}.values()
        modes = Counter(mode for report in sequences for mode, paths in report.modes.items() for _ in paths)
        alpha = [str(path) for report in sequences for path in report.modes.get("grey with alpha", [])]
        notes = {
            "masks: ": [f"{count} {mode}" for mode, count in modes.most_common()],
            "alpha is ignored in ": alpha[:3] + ["…"] * (len(alpha) > 3),
            "frames without an object: ": [f"{one.name} ({one.empty})" for one in sequences if one.empty],
        }
        return [note + ", ".join(found) for note, found in notes.items() if found]


def editions(tree: DavisTree) -> list[int]:
    """The years whose lists of sequences a tree has; a UserError where it has none."""
    found = [year for year in YEARS if any(place.parent.is_dir() for place in tree.split_places("val", year))]
    if not found:
        expected = f"expected 2016, 2017 or {tree.resolution} in it"
        raise UserError(f"{tree.root / 'ImageSets'}: found no lists of sequences; {expected}")
    return found


def check_tree(
    tree: DavisTree,
    year: int,
    splits: Sequence[str] = ("train", "val"),
    progress: Callable[[int, int], None] | None = None,
) -> TreeReport:
    """Read every frame and mask of some splits of one edition.

    Args:
        splits: `trainval` stands for train and val.
        progress: called with the number of sequences done, and of all.
    """
    names: dict[str, list[str]] = {}
    problems: list[str] = []
    wanted = [part for name in splits for part in (("train", "val") if name == "trainval" else (name,))]
    for split in dict.fromkeys(wanted):
        listed = read_or_report(problems, tree.split, split, year)
        if listed is not None:
            names[split] = listed
    for one, other in combinations(names, 2):
        shared = [name for name in names[one] if name in names[other]]
        if shared:
            found = f"{', '.join(shared)} both in {one} and in {other} of {year}"
            problems.append(f"{tree.root / 'ImageSets'}: found {found}; expected each in one")
    info = read_or_report(problems, tree.info) or {}
    # The first frame's objects are what the other frames are scored by; training does not need them there.
    scored = {name for split in names if split != "train" for name in names[split]}

    def check(name: str) -> SequenceReport:
        return check_sequence(tree, name, info, binary=year == 2016, needs_object=name in scored)

    every = list(dict.fromkeys(name for split in names.values() for name in split))
    reports: dict[str, SequenceReport] = {}
    for report in prefetch(check, every, THREADS, THREADS):
        reports[report.name] = report
        problems += report.problems
        if progress:
            progress(len(reports), len(every))
    return TreeReport(year, {split: [reports[name] for name in names[split]] for split in names}, problems)


def check_sequence(
    tree: DavisTree, name: str, info: dict[str, dict[str, Any]], *, binary: bool, needs_object: bool
) -> SequenceReport:
    """Check which files of a sequence are there, and read each of them.

    Args:
        info: the tree's db_info.yml, which may know how many frames there should be.
        binary: every pixel that is not 0 is the one object (DAVIS 2016), instead of objects by id.
        needs_object: the first mask must hold an object that has a box.
    """
    length = info.get(name, {}).get("num_frames")
    frames, masks, problems = tree.files(name)
    report = SequenceReport(name, problems, len(frames))
    problems += _gaps(tree.folder("JPEGImages", name), sorted({path.stem for path in (*frames, *masks)}), length)
    mask_of = {path.stem: path for path in masks}
    pairs = [(path, mask_of[path.stem]) for path in frames if path.stem in mask_of]
    seen: set[int] = set()
    for index, (frame, path) in enumerate(pairs):
        size, mask = read_or_report(problems, _frame_size, frame), read_or_report(problems, read_mask, path)
        if size is not None:
            report.sizes.setdefault(size, frame)
        if mask is None:
            continue
        problems += size_problems(path, mask.shape, size, frame.name)
        values = set(np.flatnonzero(np.bincount(mask.ravel())).tolist())
        seen |= values
        ids = values - {0, VOID}
        if max(ids, default=0) > MAX_OBJECTS:
            expected = f"{f'0 and {VOID}, or ' * binary}ids up to {MAX_OBJECTS} (a soft mask?)"
            problems.append(f"{path}: found {len(ids)} ids up to {max(ids)}; expected {expected}")
        objects = {int(any(values))} - {0} if binary else ids
        report.modes.setdefault(mask_mode(path), []).append(path)
        report.empty += not objects
        if not index:
            report.objects = max(objects, default=0)
            rows, columns = np.nonzero(mask)
            has_box = len(rows) and np.ptp(rows) and np.ptp(columns)  # as a target of training must
            if needs_object and mask.shape == size and not has_box:
                expected = "expected one in the first frame, which fine-tuning learns from"
                problems.append(f"{path}: found no object; {expected}")
    if not binary and VOID in seen and not seen - {0, VOID}:
        found = f"found masks of {VOID} alone, which is void in DAVIS 2017"
        problems.append(f"{masks[0].parent}: {found}; expected ids from 1 (masks of DAVIS 2016?)")
    if len(report.sizes) > 1:
        found = ", ".join(f"{width}×{height} ({path.name})" for (height, width), path in report.sizes.items())
        problems.append(f"{frames[0].parent}: found frames of several sizes: {found}; expected one")
    return report


def _frame_size(path: Path) -> tuple[int, int]:
    """Height and width; decodes to the last byte, a JPEG at an eighth of its size, which takes a third of the time."""
    with open_picture(path) as image:
        size = frame_size(image, path)
        image.draft("RGB", (image.width // 8, image.height // 8))
        image.load()
        return size


def read_or_report(problems: list[str], read: Callable[..., T], *arguments: object) -> T | None:
    """`read(*arguments)`; None where that fails, which adds a line to `problems`."""
    try:
        return read(*arguments)
    except UserError as error:
        problems.append(str(error))
        return None


def size_problems(path: Path, shape: tuple[int, ...], size: tuple[int, ...] | None, owner: str) -> Iterator[str]:
    """A line where a mask's shape (height, width) is not the size that `owner` has, if that is known."""
    if size is not None and shape != size:
        yield f"{path}: found {shape[1]}×{shape[0]} pixels; expected {size[1]}×{size[0]} as {owner}"


def _gaps(folder: Path, stems: list[str], length: int | None) -> Iterator[str]:
    """Frames without picture and mask, found by the numbering and by the length in db_info.yml."""
    if not stems:
        return
    digits = len(stems[0])
    for stem in stems:
        if not stem.isdecimal() or len(stem) != digits:
            expected = f"expected numbers of {digits} digits, 00000 and on"
            yield f"{folder / stem}.jpg: found a name unlike {stems[0]}; {expected}"
            return
    numbers = {int(stem) for stem in stems}
    missing = [number for number in range(max(numbers)) if number not in numbers]
    for _, group in groupby(enumerate(missing), key=lambda pair: pair[1] - pair[0]):
        run = [f"{number:0{digits}d}" for _, number in group]
        span = f"{run[0]}.jpg" if len(run) == 1 else f"{run[0]}.jpg to {run[-1]}.jpg"
        yield f"{folder}/{span}: missing, as their masks; expected no gap from {0:0{digits}d} to {stems[-1]}"
    if length is not None and max(numbers) + 1 != length:
        yield f"{folder}: found {max(numbers) + 1} frames; expected {length} by db_info.yml"
