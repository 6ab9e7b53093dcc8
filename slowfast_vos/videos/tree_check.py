"""A whole DAVIS tree, checked before anything trains: every problem at once, and what is odd as notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import combinations

from slowfast_vos.errors import UserError
from slowfast_vos.videos.davis import DavisTree
from slowfast_vos.videos.sequence_check import SequenceReport, check_sequence
from slowfast_vos.videos.splits import read_split

YEARS = (2016, 2017)


@dataclass(frozen=True)
class TreeReport:
    """One edition of DAVIS in a tree.

    Attributes:
        splits: the sequences of each split whose list was found.
        problems: one line each; none where the tree is sound.
    """

    year: int
    splits: dict[str, list[SequenceReport]]
    problems: list[str]

    @property
    def sequences(self) -> list[SequenceReport]:
        """Every sequence once."""
        return list({report.name: report for reports in self.splits.values() for report in reports}.values())

    def notes(self) -> list[str]:
        """What is odd and handled: modes of the masks, frames without an object, ids that come late."""
        sequences = self.sequences
        modes = sum((report.modes for report in sequences), Counter())
        notes = ["masks: " + ", ".join(f"{count} {mode}" for mode, count in modes.most_common())] if modes else []
        alpha = [str(path) for report in sequences for path in report.alpha]
        if alpha:
            notes.append(f"alpha is left aside in {', '.join(alpha[:3])}{', …' if len(alpha) > 3 else ''}")
        empty = [f"{report.name} ({report.empty})" for report in sequences if report.empty]
        if empty:
            notes.append(f"frames without an object: {', '.join(empty)}")
        late = [f"{report.name} ({', '.join(map(str, sorted(report.late)))})" for report in sequences if report.late]
        if late:
            notes.append(f"ids that first appear after the first frame and are not scored: {', '.join(late)}")
        return notes


def editions(tree: DavisTree) -> list[int]:
    """The years whose lists of sequences a tree has.

    Raises:
        UserError: no such tree, or none of the lists.
    """
    lists = tree.root / "ImageSets"
    if not tree.root.is_dir():
        raise UserError(f"{tree.root}: no such folder; expected a DAVIS tree")
    folders = {2016: ("2016", tree.resolution), 2017: ("2017",)}
    found = [year for year in YEARS if any((lists / folder).is_dir() for folder in folders[year])]
    if not found:
        raise UserError(f"{lists}: found no lists of sequences; expected 2016, 2017 or {tree.resolution} in it")
    return found


def check_tree(
    tree: DavisTree,
    year: int,
    splits: Sequence[str] = ("train", "val"),
    *,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> TreeReport:
    """Read every frame and mask of some splits of one edition.

    `trainval` stands for train and val; where the tree has a list of that name, it must name the same sequences.

    Args:
        workers: sequences read side by side; decoding leaves Python's lock, so that threads suffice.
        progress: is told how many sequences of how many are done.
    """
    names, problems = _read_splits(tree, year, splits)
    lengths: dict[str, int] = {}
    try:
        lengths = tree.lengths()
    except UserError as error:
        problems.append(str(error))
    # The first frame's objects are what the other frames are scored by; training does not need them there.
    scored = {name for split in names if split != "train" for name in names[split]}
    every = list(dict.fromkeys(name for split in names.values() for name in split))
    work = partial(_check, tree, binary=year == 2016, scored=scored, lengths=lengths)
    reports: dict[str, SequenceReport] = {}
    with ThreadPoolExecutor(workers) as pool:
        for name, report in zip(every, pool.map(work, every), strict=True):
            reports[name] = report
            if progress:
                progress(len(reports), len(every))
    problems += [problem for report in reports.values() for problem in report.problems]
    return TreeReport(year, {split: [reports[name] for name in names[split]] for split in names}, problems)


def _check(tree: DavisTree, name: str, *, binary: bool, scored: set[str], lengths: dict[str, int]) -> SequenceReport:
    return check_sequence(tree, name, binary=binary, needs_object=name in scored, length=lengths.get(name))


def _read_splits(tree: DavisTree, year: int, splits: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The names of each split that is there, and what is wrong with the lists."""
    wanted = dict.fromkeys(part for name in splits for part in (("train", "val") if name == "trainval" else (name,)))
    names: dict[str, list[str]] = {}
    problems: list[str] = []
    for split in wanted:
        try:
            names[split] = tree.split(split, year)
        except UserError as error:
            problems.append(str(error))
    for one, other in combinations(names, 2):
        shared = [name for name in names[one] if name in names[other]]
        if shared:
            found = f"{', '.join(shared)} both in {one} and in {other} of {year}"
            problems.append(f"{tree.root / 'ImageSets'}: found {found}; expected each in one")
    if "trainval" in splits and {"train", "val"} <= set(names):
        both = read_split(tree.root, "trainval", year, tree.resolution)
        differing = sorted(set(both.names) ^ {*names["train"], *names["val"]})
        if differing:
            problems.append(f"{both.path}: differs in {', '.join(differing)}; expected the sequences of train and val")
    return names, problems
