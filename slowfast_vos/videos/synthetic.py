"""A generated dataset shaped as DAVIS, in which the object is what moves.

Beside it stand look-alikes, drawn from the same family and as still as the ground, so that a single frame cannot tell
which is the object and a few consecutive ones can.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from slowfast_vos.errors import UserError
from slowfast_vos.files import atomic_write, write_text
from slowfast_vos.videos.pngs import write_mask
from slowfast_vos.videos.synthetic_recipes import TRAIN, VAL, Recipe
from slowfast_vos.videos.synthetic_render import Picture, render
from slowfast_vos.videos.synthetic_scenes import Scene, declared, draw_scene, stream

VERSION = 1
RESOLUTION = "480p"  # the folder's name in DAVIS, whatever the frames' size
JPEG_QUALITY = 92
TITLE = "Generated videos for slowfast-vos"

TRAIN_NAMES = tuple(TRAIN)
VAL_NAMES = tuple(VAL)
ATTRIBUTES = {
    "AC": "appearance change: the light fades and returns",
    "BC": "background clutter: the object's colours are close to the ground's",
    "CS": "camera shake: hand-held instead of a slow pan",
    "DB": "dynamic background: a different-looking thing moves too and is not annotated",
    "DEF": "deformation: the body bends by 8 % of its length or more",
    "FM": "fast motion: more than 1/12 of the frame's height per frame on average",
    "LA": "look-alikes (our own): things of the object's family that stand still and are not annotated",
    "MB": "motion blur",
    "OCC": "occlusion: in some frame more than a fifth of an object's pixels is hidden",
    "OV": "out of view: in some frame more than half of an object lies outside",
    "ROT": "rotation: an object turns by more than 120 degrees",
    "SC": "shape complexity: limbs, arms or wings",
    "SV": "scale variation: an object's area changes by a factor of 2 or more",
}
README = """{title}
{line}

Format: DAVIS (JPEGImages, Annotations, ImageSets, Annotations/db_info.yml).
Generator: slowfast-vos synthesize, version {version}; seed {seed}; {train} training and {val} validation
sequences of {frames} frames, {height} x {width} pixels.
Licence: CC0 1.0 (public domain). No photograph was used: every pixel is computed.

The object is what moves relative to the ground. Training masks number the objects from 1, as DAVIS 2017 does;
validation masks hold one object, 1, as DAVIS 2016 does. Where look-alikes stand still beside it (LA), no single
frame tells which is the object, while adjacent frames do. In validation some sequences also show a passer-by (DB)
that moves, looks different and is not annotated.

Attributes, after DAVIS, each measured on the scene and true of it:
{attributes}
"""


def synthesize(
    root: Path,
    *,
    seed: int = 63,
    train: int = 12,
    val: int = 8,
    frames: int = 24,
    height: int = 240,
    width: int = 400,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the generated dataset under `root`, byte for byte the same for the same arguments.

    Every sequence depends on the seed, its split and its name, not on how many there are.

    Args:
        root: folder to write; made where it is missing.
        seed: 0 or more.
        train: number of training sequences, 1 or more.
        val: number of validation sequences, 1 or more.
        frames: frames per sequence, 2 or more.
        height: of a frame, pixels, 64 or more.
        width: of a frame, pixels, 96 or more.
        processes: sequences drawn side by side; the bytes do not depend on it.
        progress: called after every sequence with the numbers done and to do.

    Raises:
        UserError: a value out of range, or a root that holds another dataset.
    """
    root = Path(root)
    _check(
        seed=(seed, 0),
        train=(train, 1),
        val=(val, 1),
        frames=(frames, 2),
        height=(height, 64),
        width=(width, 96),
        processes=(processes, 1),
    )
    _refuse_another_dataset(root)
    settings = {"seed": seed, "train": train, "val": val, "frames": frames, "height": height, "width": width}
    write_text(root / "README.txt", _readme(settings))
    splits = {"train": train, "val": val}
    names = {split: sequence_names(split, count) for split, count in splits.items()}
    size = {"frames": frames, "height": height, "width": width}
    work = [(root, split, name, seed, size) for split, chosen in names.items() for name in chosen]
    attributes: dict[str, list[str]] = {}
    with ExitStack() as stack:
        # OpenCV's threads do not survive a fork.
        side_by_side = partial(ProcessPoolExecutor, processes, multiprocessing.get_context("spawn"))
        draw = stack.enter_context(side_by_side()).map if processes > 1 else map
        for (_, _, name, *_), found in zip(work, draw(_draw_sequence, work), strict=True):
            attributes[name] = found
            if progress is not None:
                progress(len(attributes), train + val)
    _write_splits(root, names, frames)
    write_text(root / "Annotations" / "db_info.yml", _db_info(names, attributes, frames))


def sequence_names(split: str, count: int) -> list[str]:
    """The first `count` names of a split; beyond the list they say who is on which ground, and are numbered."""
    known = TRAIN_NAMES if split == "train" else VAL_NAMES
    return [known[i] if i < len(known) else _extra(split, i)[0] for i in range(count)]


def make_scene(split: str, name: str, *, seed: int, frames: int, height: int, width: int) -> Scene:
    """The scene behind a sequence, unrendered: its things, their tracks and the camera's."""
    return draw_scene(_recipe(split, name), name, split, seed, frames, height, width)


def attributes_of(scene: Scene, pictures: list[Picture]) -> list[str]:
    """A scene's attributes in alphabetical order, from its settings and its rendered pixel counts."""
    whole, inside, visible = (
        np.stack([getattr(picture, field) for picture in pictures]) for field in ("whole", "inside", "visible")
    )
    found = declared(scene)
    if (visible < 0.8 * inside).any():
        found.add("OCC")
    if (inside < 0.5 * whole).any():
        found.add("OV")
    return sorted(found)


def _recipe(split: str, name: str) -> Recipe:
    known = TRAIN if split == "train" else VAL
    return known[name] if name in known else _extra(split, int(name.rpartition("-")[2]))[1]


def _extra(split: str, index: int) -> tuple[str, Recipe]:
    """A sequence beyond the list: one of its recipes in another coat and on another ground of the list."""
    rng = stream("extra", split, index)
    known = list((TRAIN if split == "train" else VAL).values())
    base = known[index % len(known)]
    coats = [species for recipe in known for species in recipe.species]
    species = []
    for own in base.species:
        coat = coats[rng.integers(len(coats))]
        species.append(replace(own, coat=coat.coat, colours=coat.colours, frequency=coat.frequency))
    ground = known[rng.integers(len(known))].ground
    name = f"{species[0].family}-on-{ground[0]}-{index:02d}"
    return name, replace(base, species=tuple(species), ground=ground)


def _check(**ranges: tuple[int, int]) -> None:
    for name, (value, least) in ranges.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UserError(f"{name}: found {value!r}, expected a whole number, {least} or more")


def _refuse_another_dataset(root: Path) -> None:
    readme = root / "README.txt"
    ours = readme.is_file() and readme.read_text(encoding="utf-8", errors="replace").startswith(TITLE)
    taken = (
        any(path.is_file() for path in (root / "ImageSets").rglob("*")) or (root / "Annotations/db_info.yml").exists()
    )
    if taken and not ours:
        raise UserError(f"{root}: found another dataset, expected an empty folder or one of generated videos")


def _draw_sequence(work: tuple[Path, str, str, int, dict[str, int]]) -> list[str]:
    root, split, name, seed, size = work
    cv2.setNumThreads(1)
    return _write_sequence(root, make_scene(split, name, seed=seed, **size))


def _write_sequence(root: Path, scene: Scene) -> list[str]:
    """Write frames and masks, drop frames of an earlier, longer run, and return the attributes."""
    images, masks = (root / kind / RESOLUTION / scene.name for kind in ("JPEGImages", "Annotations"))
    counts = []
    for t, picture in enumerate(render(scene)):
        _write_jpeg(images / f"{t:05d}.jpg", picture.image)
        write_mask(masks / f"{t:05d}.png", picture.ids)
        counts.append(picture)
    for path in [*images.glob("*.jpg"), *masks.glob("*.png")]:
        if path.stem.isdigit() and int(path.stem) >= scene.frames:
            path.unlink()
    return attributes_of(scene, counts)


def _write_jpeg(path: Path, image: np.ndarray) -> None:
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    with atomic_write(path) as temporary:
        temporary.write_bytes(data.tobytes())


def _write_splits(root: Path, names: dict[str, list[str]], frames: int) -> None:
    both = {**names, "trainval": names["train"] + names["val"]}
    for split, chosen in both.items():
        listing = "".join(f"{name}\n" for name in chosen)
        pairs = "".join(
            f"/JPEGImages/{RESOLUTION}/{name}/{t:05d}.jpg /Annotations/{RESOLUTION}/{name}/{t:05d}.png\n"
            for name in chosen
            for t in range(frames)
        )
        for folder, text in (("2016", listing), ("2017", listing), (RESOLUTION, pairs)):
            write_text(root / "ImageSets" / folder / f"{split}.txt", text)


def _db_info(names: dict[str, list[str]], attributes: dict[str, list[str]], frames: int) -> str:
    lines = [f"attributes: [{', '.join(ATTRIBUTES)}]", "sets: [training,test]", "sequences:"]
    for split, chosen in names.items():
        for name in chosen:
            lines += [
                f"- attributes: [{', '.join(attributes[name])}]",
                f"  name: {name}",
                f"  num_frames: {frames}",
                f"  set: {'training' if split == 'train' else 'test'}",
                "  eval_t: True",
            ]
    return "\n".join(lines) + "\n"


def _readme(settings: dict[str, int]) -> str:
    meanings = "\n".join(f"  {name:<4}{meaning}" for name, meaning in ATTRIBUTES.items())
    return README.format(title=TITLE, line="=" * len(TITLE), version=VERSION, attributes=meanings, **settings)
