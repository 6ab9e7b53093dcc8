"""The videos of a run: which train, which select, which validate; checked before anything trains."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import Any

from slowfast_vos.config import Settings
from slowfast_vos.errors import UserError
from slowfast_vos.sections import Data
from slowfast_vos.videos.check import check_sequence
from slowfast_vos.videos.davis import DavisTree, Video

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """The roles of a run's sequences, and the trees where they lie."""

    tree: DavisTree
    val_tree: DavisTree  # of those that validate; another one with `davis_val_root`
    train: list[Video]  # the detector and the parents learn from them
    selection: list[Video]  # they choose the grid's hyper-parameters
    epoch_selection: list[Video]  # they choose a parent's epoch: the same, others held out, or (2020 code) all of val
    val: list[Video]  # every table reports them
    binary_train: bool  # the training masks' objects are one (DAVIS 2016), not several (2017)
    skipped: list[str]  # missing from a partial copy (`data.allow_partial`)


def open_dataset(settings: Settings) -> Dataset:
    """Find the sequences that the settings name; reads folders, not pictures.

    Raises:
        UserError: all sequences and files that are missing, one a line; generated videos of other numbers or sizes.
    """
    data, trees = settings.data, _trees(settings)
    for tree, key in zip(trees, ("davis_root", "davis_val_root"), strict=True):
        if not tree.root.is_dir():
            hint = "run `slowfast-vos synthesize`" if data.kind == "synthetic" else f"give it as --config {key}=DIR"
            raise UserError(f"{tree.root}: no such folder; expected a DAVIS tree ({hint})")
    if data.kind == "synthetic":
        from slowfast_vos.generated import check_drawn

        check_drawn(trees[0].root, **data.synthetic.model_dump())
    roles = _roles(settings, *trees)
    videos: dict[str, Video] = {}
    problems = []
    for name in dict.fromkeys(name for names in roles.values() for name in names):
        tree = trees[name in roles["val"]]
        try:
            videos[name] = tree.video(name)
        except UserError as error:
            may_skip = (
                data.kind == "davis"
                and tree.lacks(name)
                and name not in (*roles["selection"], *roles["epoch_selection"])
            )
            problems.append(f"{error}{', or data.allow_partial: true to skip it' if may_skip else ''}")
    scored = dict.fromkeys(roles["selection"] + roles["epoch_selection"] + roles["val"])
    for video in (videos[name] for name in scored if name in videos and settings.option("frames") == "inner"):
        if len(video) < 3:
            expected = "3 or more, since the first and the last are not scored (switches.frames: inner)"
            problems.append(f"{video.frames[0].parent}: found {len(video)} frames; expected {expected}")
    if problems:
        raise UserError("\n".join(problems))
    return Dataset(
        *trees,
        **{role: [videos[name] for name in names] for role, names in roles.items()},
        binary_train=data.train_year == 2016,
        skipped=skipped_names(settings),
    )


def _trees(settings: Settings) -> tuple[DavisTree, DavisTree]:
    """Where the sequences lie that train, and those that validate."""
    resolution = settings.data.resolution
    return DavisTree(settings.data_root, resolution), DavisTree(settings.val_root, resolution)


def validation_names(settings: Settings) -> list[str]:
    """The validation sequences, known before the generated ones are drawn; in a partial copy, those present.

    Raises:
        UserError: the dataset's split file is missing, or does not list a sequence that the settings name.
    """
    data = settings.data
    if data.kind == "synthetic":
        root = settings.data_root
        if file := next((path for path in (root, *root.parents) if path.is_file()), None):
            raise UserError(f"{file}: found a file; expected a folder, or none yet, as data.root is {root}")
        from slowfast_vos.generated import sequence_names

        return sequence_names("val", data.synthetic.val)
    _, tree = _trees(settings)
    return _present(tree, _restrict(tree.split("val", 2016), data.val_only, "data.val_only"), data, "validation")


def skipped_names(settings: Settings) -> list[str]:
    """The sequences that `data.allow_partial` skips; a tree that grows makes the list shorter, and is checked again.

    Raises:
        UserError: a split file is missing.
    """
    data, (tree, val_tree) = settings.data, _trees(settings)
    if not data.allow_partial:
        return []
    skipped = {name for name in tree.split("train", data.train_year) if tree.lacks(name)}
    return sorted(skipped | {name for name in val_tree.split("val", 2016) if val_tree.lacks(name)})


def _roles(settings: Settings, tree: DavisTree, val_tree: DavisTree) -> dict[str, list[str]]:
    """Which sequences train, select and validate; `data.allow_partial` skips those missing from the trees.

    Sequences that select are never skipped: another selection would give other results under the same name.
    """
    data = settings.data
    train = _restrict(tree.split("train", data.train_year), data.train_only, "data.train_only")
    val = _restrict(val_tree.split("val", 2016), data.val_only, "data.val_only")
    if both := [name for name in train if name in val]:
        found = f"{', '.join(both)} both in train of {data.train_year} and in val of 2016"
        raise UserError(f"{tree.root / 'ImageSets'}: found {found}; expected each in one (data.train_only)")
    held_out = settings.option("selection") == "held_out"
    listed, selecting, key = (train, tree, "data.held_out") if held_out else (val, val_tree, "grid.sequences")
    selection = _restrict(listed, settings.selection_sequences, key)
    chosen_on = dict.fromkeys([*selection, *(settings.epoch_sequences if held_out else ())])
    lacking = [name for name in chosen_on if data.allow_partial and selecting.lacks(name)]
    if lacking:
        raise UserError(
            f"{key}: found {', '.join(lacking)}, which {selecting.root} lacks at {data.resolution}; "
            "expected sequences that are there, since data.allow_partial skips none that select"
        )
    choosing_epochs: list[str] = []
    if held_out:
        choosing_epochs = _restrict(train, settings.epoch_sequences, "data.held_out_epochs")
        train = [name for name in train if name not in (*selection, *choosing_epochs)]
    present = {}
    for role, where, names in (("training", tree, train), ("validation", val_tree, val)):
        present[role] = _present(where, names, data, role)
        skipped = [name for name in names if name not in present[role]]
        if skipped:
            few = f"skipped {len(skipped)} of {len(names)} {role} sequences, which {where.root} lacks"
            log.warning("data.allow_partial: %s: %s", few, ", ".join(skipped))
    train, val = present.values()
    return {"train": train, "selection": selection, "epoch_selection": choosing_epochs or val, "val": val}


def _present(tree: DavisTree, names: list[str], data: Data, role: str) -> list[str]:
    """The names without those that `data.allow_partial` skips; there must be one."""
    present = [name for name in names if not (data.allow_partial and tree.lacks(name))]
    if not present:
        raise UserError(f"data: no {role} sequence is left; expected at least one that is there and not held out")
    return present


def _restrict(names: list[str], only: list[str] | None, key: str) -> list[str]:
    if only is None:
        return names
    missing = [name for name in only if name not in names]
    if missing:
        raise UserError(f"{key}: found {', '.join(missing)}; expected some of {', '.join(names)}")
    return [name for name in names if name in only]


def check_dataset(dataset: Dataset, progress: Any = iter) -> dict[str, Any]:
    """Check every frame and mask; `progress` wraps the list of videos, to show how many are done.

    Returns:
        frames by sequence, and a digest of every file's bytes.

    Raises:
        UserError: every problem found, one a line.
    """
    problems: list[str] = []
    digest = hashlib.sha256()
    info = dataset.tree.info() | dataset.val_tree.info()
    videos = {
        video.name: video for video in [*dataset.train, *dataset.selection, *dataset.epoch_selection, *dataset.val]
    }
    for video in progress(list(videos.values())):
        validates = video in dataset.val
        tree, binary = (dataset.val_tree, True) if validates else (dataset.tree, dataset.binary_train)
        needs_object = validates or video in (*dataset.selection, *dataset.epoch_selection)
        problems += check_sequence(tree, video.name, info, binary=binary, needs_object=needs_object).problems
        for path in (*video.frames, *video.masks):
            digest.update(path.name.encode())
            digest.update(path.read_bytes() if path.is_file() else b"")
    if problems:
        raise UserError("\n".join(problems))
    return {"sequences": {name: len(video) for name, video in videos.items()}, "digest": digest.hexdigest()}


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Roles and attributes of the sequences, by name, and those missing from a partial copy."""
    roles = {role: [video.name for video in getattr(dataset, role)] for role in ("train", "selection", "val")}
    info = dataset.tree.info() | dataset.val_tree.info()
    attributes = {name: info.get(name, {}).get("attributes") or [] for role in roles.values() for name in role}
    return {"roles": roles, "attributes": attributes, "skipped": dataset.skipped}
