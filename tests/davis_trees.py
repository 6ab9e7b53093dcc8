"""Small trees in DAVIS's layout, for tests to check, to spoil and to pack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from slowfast_vos.videos.pngs import write_mask

HEIGHT, WIDTH = 24, 32


def frame(root: Path, name: str, index: int, resolution: str = "480p") -> Path:
    return root / "JPEGImages" / resolution / name / f"{index:05d}.jpg"


def mask(root: Path, name: str, index: int, resolution: str = "480p") -> Path:
    return root / "Annotations" / resolution / name / f"{index:05d}.png"


def ids(*numbers: int) -> np.ndarray:
    """A mask of one square for each number."""
    array = np.zeros((HEIGHT, WIDTH), np.uint8)
    for place, number in enumerate(numbers):
        array[4:12, 2 + 9 * place : 9 + 9 * place] = number
    return array


def grey(path: Path, values: np.ndarray) -> None:
    """A mask as DAVIS 2016 stores it."""
    Image.fromarray(values).save(path)


def write_list(root: Path, place: str, names: Sequence[str]) -> None:
    path = root / "ImageSets" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))


def write_sequence(root: Path, name: str, *, frames: int = 3, year: int = 2017, resolution: str = "480p") -> None:
    picture = np.random.default_rng(frames).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    for index in range(frames):
        for path in (frame(root, name, index, resolution), mask(root, name, index, resolution)):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(frame(root, name, index, resolution))
        if year == 2017:
            write_mask(mask(root, name, index, resolution), ids(1, 2))
        else:
            grey(mask(root, name, index, resolution), ids(255))


def write_tree(
    root: Path, train: Sequence[str] = ("bear", "bus"), val: Sequence[str] = ("cows", "dog"), *, year: int = 2017
) -> Path:
    """A sound tree; of 2016 with pairs of paths, of 2017 with names."""
    for split, names in (("train", train), ("val", val)):
        for name in names:
            write_sequence(root, name, year=year)
        if year == 2017:
            write_list(root, f"2017/{split}.txt", names)
        else:
            pairs = [
                f"/JPEGImages/480p/{name}/{index:05d}.jpg /Annotations/480p/{name}/{index:05d}.png"
                for name in names
                for index in range(3)
            ]
            write_list(root, f"480p/{split}.txt", pairs)
    return root
