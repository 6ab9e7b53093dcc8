"""Small trees in DAVIS's layout, for tests to check, to spoil and to pack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from slowfast_vos.videos.pngs import write_mask

HEIGHT, WIDTH = 24, 32


def frame(root: Path, name: str, index: int) -> Path:
    return root / "JPEGImages" / "480p" / name / f"{index:05d}.jpg"


def mask(root: Path, name: str, index: int) -> Path:
    return root / "Annotations" / "480p" / name / f"{index:05d}.png"


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


def write_tree(
    root: Path, train: Sequence[str] = ("bear", "bus"), val: Sequence[str] = ("cows", "dog"), *, year: int = 2017
) -> Path:
    """A sound tree; of 2016 with pairs of paths, of 2017 with names."""
    picture = Image.fromarray(np.random.default_rng(3).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8))
    for split, names in (("train", train), ("val", val)):
        pairs = [(frame(root, name, index), mask(root, name, index)) for name in names for index in range(3)]
        for image, annotation in pairs:
            image.parent.mkdir(parents=True, exist_ok=True)
            picture.save(image)
            if year == 2017:
                write_mask(annotation, ids(1, 2))
            else:
                annotation.parent.mkdir(parents=True, exist_ok=True)
                grey(annotation, ids(255))
        lines = [f"/{one.relative_to(root)} /{other.relative_to(root)}" for one, other in pairs]
        write_list(root, f"{2017 if year == 2017 else '480p'}/{split}.txt", names if year == 2017 else lines)
    return root
