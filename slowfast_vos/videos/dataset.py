"""The videos of a run: which train, which select, which validate; checked before anything trains."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slowfast_vos.config import Settings
from slowfast_vos.errors import UserError
from slowfast_vos.videos.davis import DavisTree, Video, read_frame, targets
from slowfast_vos.videos.pngs import read_mask


@dataclass(frozen=True)
class Dataset:
    """The roles of a run's sequences.

    Attributes:
        train: sequences that the detector and the parents learn from.
        selection: sequences that choose epochs and hyper-parameters.
        val: sequences that every table reports.
        attributes: DAVIS attributes by sequence.
        merged_train: the training masks' objects are one (DAVIS 2016), not several (2017).
    """

    tree: DavisTree
    train: list[Video]
    selection: list[Video]
    val: list[Video]
    attributes: dict[str, list[str]]
    merged_train: bool


def open_dataset(settings: Settings) -> Dataset:
    """Find the sequences that the settings name; reads folders, not pictures.

    Raises:
        UserError: all sequences and files that are missing, one a line.
    """
    data = settings.data
    tree = DavisTree(settings.data_root, data.resolution)
    if not tree.root.is_dir():
        hint = "run `slowfast-vos synthesize`" if data.kind == "synthetic" else "give it as --config davis_root=DIR"
        raise UserError(f"{tree.root}: no such folder; expected a DAVIS tree ({hint})")
    train = _restrict(tree.split("train", data.train_year), data.train_only, "data.train_only")
    val = _restrict(tree.split("val", 2016), data.val_only, "data.val_only")
    if settings.rule("selection") == "held_out":
        selection = _restrict(train, list(settings.selection_sequences), "data.held_out")
        train = [name for name in train if name not in selection]
    else:
        selection = _restrict(val, list(settings.selection_sequences), "grid.sequences")
    if not train:
        raise UserError("data: no training sequence is left; expected at least one that is not held out")
    videos: dict[str, Video] = {}
    problems = []
    for name in dict.fromkeys([*train, *selection, *val]):
        try:
            videos[name] = tree.video(name)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))
    return Dataset(
        tree,
        [videos[name] for name in train],
        [videos[name] for name in selection],
        [videos[name] for name in val],
        tree.attributes(),
        data.train_year == 2016,
    )


def validation_names(settings: Settings) -> list[str]:
    """The validation sequences, known before the generated ones are drawn.

    Raises:
        UserError: the dataset's split file is missing, or lacks a sequence that the settings name.
    """
    data = settings.data
    if data.kind == "synthetic":
        from slowfast_vos.videos.synthetic import sequence_names

        return sequence_names("val", data.synthetic.val)
    names = DavisTree(settings.data_root, data.resolution).split("val", 2016)
    return _restrict(names, data.val_only, "data.val_only")


def _restrict(names: list[str], only: list[str] | None, key: str) -> list[str]:
    if only is None:
        return names
    missing = [name for name in only if name not in names]
    if missing:
        raise UserError(f"{key}: found {', '.join(missing)}; expected some of {', '.join(names)}")
    return [name for name in names if name in only]


def check_dataset(dataset: Dataset, progress: Any = iter) -> dict[str, Any]:
    """Read every frame and mask once.

    Args:
        progress: wraps the iterable of videos, to show how far it is.

    Returns:
        frames by sequence, and a digest of every file's bytes.

    Raises:
        UserError: every problem found, one a line.
    """
    problems: list[str] = []
    digest = hashlib.sha256()
    frames: dict[str, int] = {}
    fine_tuned = {video.name for video in [*dataset.selection, *dataset.val]}
    videos = {video.name: video for video in [*dataset.train, *dataset.selection, *dataset.val]}
    for video in progress(list(videos.values())):
        frames[video.name] = len(video)
        problems += _check_video(video, needs_object=video.name in fine_tuned)
        for path in (*video.frames, *video.masks):
            digest.update(path.name.encode())
            digest.update(path.read_bytes() if path.is_file() else b"")
    if problems:
        raise UserError("\n".join(problems))
    return {"sequences": frames, "digest": digest.hexdigest()}


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Roles and attributes of the sequences, by name."""
    roles = {role: [video.name for video in getattr(dataset, role)] for role in ("train", "selection", "val")}
    names = [name for role in roles.values() for name in role]
    return {"roles": roles, "attributes": {name: dataset.attributes.get(name, []) for name in names}}


def _check_video(video: Video, *, needs_object: bool) -> Iterable[str]:
    sizes: dict[tuple[int, ...], Path] = {}
    for index, (frame_path, mask_path) in enumerate(zip(video.frames, video.masks, strict=True)):
        try:
            frame, mask = read_frame(frame_path), read_mask(mask_path)
        except UserError as error:
            yield str(error)
            continue
        sizes.setdefault(frame.shape[:2], frame_path)
        if mask.shape != frame.shape[:2]:
            yield (
                f"{mask_path}: found {mask.shape[1]}×{mask.shape[0]} pixels; "
                f"expected {frame.shape[1]}×{frame.shape[0]} as {frame_path.name}"
            )
        elif index == 0 and needs_object and not len(targets(mask != 0)["boxes"]):
            yield f"{mask_path}: found no object; expected one in the first frame, which fine-tuning learns from"
    if len(sizes) > 1:
        found = ", ".join(f"{width}×{height} ({path.name})" for (height, width), path in sizes.items())
        yield f"{video.frames[0].parent}: found frames of several sizes: {found}; expected one"
