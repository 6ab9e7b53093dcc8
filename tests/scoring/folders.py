"""DAVIS-shaped folders for the tests, and random masks to fill them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from slowfast_vos.scoring import Scores, score

Stacks = Mapping[str, np.ndarray]
"""Id masks [N, H, W] by sequence."""
SEMI = {"year": 2017, "task": "semi-supervised"}
UNSUPERVISED = {"year": 2017, "task": "unsupervised"}
COLUMNS = ["J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay"]


def save(path: Path, ids: np.ndarray) -> None:
    """An 8-bit indexed PNG, without the care (and the time) of `write_mask`."""
    image = Image.fromarray(ids.astype(np.uint8))
    image.putpalette([value // 3 for value in range(768)])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, compress_level=1)


def write_masks(folder: Path, stacks: Stacks) -> Path:
    """SEQUENCE/00000.png, … below `folder`."""
    for name, stack in stacks.items():
        for index, ids in enumerate(stack):
            save(folder / name / f"{index:05d}.png", ids)
    return folder


def write_dataset(root: Path, stacks: Stacks, year: int = 2017, split: str = "val") -> Path:
    """Annotations and the list of sequences of a DAVIS-shaped dataset."""
    write_masks(root / "Annotations" / "480p", stacks)
    image_set = root / "ImageSets" / str(year) / f"{split}.txt"
    image_set.parent.mkdir(parents=True, exist_ok=True)
    image_set.write_text("".join(f"{name}\n" for name in stacks))
    return root


def scored(folder: Path, annotations: np.ndarray, predictions: np.ndarray, **rules: Any) -> Scores:
    """Scores of one sequence named `bars`, written to files."""
    root = write_dataset(folder / "davis", {"bars": annotations}, year=rules.get("year", 2016))
    return score(root, write_masks(folder / "results", {"bars": predictions}), **rules)


def random_mask(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A [H, W] bool mask: empty, full, noise, a few pixels, or a blob that often touches the frame's edges."""
    kind = rng.choice(["empty", "full", "noise", "pixels", "blob", "blob", "blob"])
    mask = np.zeros((height, width), dtype=bool)
    if kind == "full":
        mask[:] = True
    elif kind == "noise":
        mask = rng.random((height, width)) < rng.uniform(0.05, 0.95)
    elif kind == "pixels":
        mask[rng.integers(height, size=3), rng.integers(width, size=3)] = True
    elif kind == "blob":
        y, x = np.mgrid[:height, :width]
        cy, cx = rng.uniform(-0.1, 1.1, 2) * (height, width)
        ry, rx = rng.uniform(0.05, 0.6, 2) * (height, width) + 0.5
        mask = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1
    return mask


def random_stack(
    rng: np.random.Generator, frames: int, height: int, width: int, objects: int, void: float = 0.0
) -> np.ndarray:
    """Ids [N, H, W] of up to `objects` objects that overlap, vanish and return; `void` is the chance of void blobs."""
    stack = np.zeros((frames, height, width), dtype=np.uint8)
    for ids in stack:
        for index in rng.permutation(objects) + 1:
            ids[random_mask(rng, height, width)] = index
        if rng.random() < void:
            ids[random_mask(rng, height, width)] = 255
    return stack


def perturbed(rng: np.random.Generator, stack: np.ndarray) -> np.ndarray:
    """The masks moved by a few pixels, without void."""
    moved = [np.roll(ids, tuple(rng.integers(-3, 4, 2)), (0, 1)) for ids in stack]
    return np.where(np.stack(moved) == 255, 0, np.stack(moved))


def write_bars(folder: Path, frames: dict[int, dict[int, tuple[int, int]]], sequence: str = "bars") -> Path:
    """Frames of full-height bars, by their number: {id: (first column, last column + 1)}."""
    for number, bars in frames.items():
        ids = np.zeros((12, 40), dtype=np.uint16)
        for index, (left, right) in bars.items():
            ids[:, left:right] = index
        save(folder / sequence / f"{number:05d}.png", ids)
    return folder
