"""A generated dataset in DAVIS's layout, in which the object is what moves.

Beside it stand distractors, drawn from the same family and as still as the ground, so that a single frame cannot tell
which is the object and a few consecutive ones can.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from slowfast_vos.errors import UserError
from slowfast_vos.files import atomic_write, write_text
from slowfast_vos.generated.rendering import attributes_of, render
from slowfast_vos.generated.scenes import Recipe, Scene, sequences
from slowfast_vos.videos.pngs import write_mask

VERSION = 2
RESOLUTION = "480p"  # the folder's name in DAVIS, whatever the frames' size
JPEG_QUALITY = 92
RANGES = {
    "seed": (0, 2**31 - 1),
    "train": (1, 10_000),
    "val": (1, 10_000),
    "frames": (2, 100_000),  # names have five digits
    "height": (64, 10_000),
    "width": (96, 10_000),
    "processes": (1, 1_000),
}

ATTRIBUTES = {
    "AC": "appearance change: the light fades and returns",
    "BC": "background clutter: the object's colours are close to the ground's",
    "CS": "camera shake: hand-held instead of a slow pan",
    "DB": "dynamic background: a different-looking thing moves too and is not annotated",
    "DEF": "deformation: the body bends by 8 % of its length or more",
    "FM": "fast motion: more than 1/12 of the frame's height per frame on average",
    "IM": "interrupted or slow motion (our own): often no motion shows in three adjacent frames, and some in seven",
    "LA": "look-alikes (our own): things of the object's family that stand still and are not annotated",
    "MB": "motion blur",
    "OCC": "occlusion: in some frame more than a fifth of an object's pixels is hidden",
    "OV": "out of view: in some frame more than half of an object lies outside",
    "ROT": "rotation: an object turns by more than 120 degrees",
    "SC": "shape complexity: limbs, arms or wings",
    "SV": "scale variation: an object's area changes by a factor of 2 or more",
}
GENERATOR = """Generator: slowfast-vos synthesize, version {version}; seed {seed}; {train} training and {val} validation
sequences of {frames} frames, {height} x {width} pixels."""
README = """Generated videos for slowfast-vos
=================================

Format: DAVIS (JPEGImages, Annotations, ImageSets, Annotations/db_info.yml).
{generator}
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
        train, val, frames: numbers of sequences, and of frames in each.
        height, width: of a frame in pixels.
        processes: sequences drawn side by side; the bytes do not depend on it.
        progress: called after every sequence with the numbers done and to do.

    Raises:
        UserError: a value out of range, or a root that holds another dataset.
    """
    numbers = {"seed": seed, "train": train, "val": val, "frames": frames, "height": height, "width": width}
    for name, value in (numbers | {"processes": processes}).items():
        least, most = RANGES[name]
        if not least <= value <= most:
            raise UserError(f"{name}: found {value!r}; expected a whole number from {least} to {most:,}")
    readme = root / "README.txt"
    ours = readme.exists() and readme.read_text(encoding="utf-8", errors="replace").startswith(README.splitlines()[0])
    if (root / "ImageSets").exists() and not ours:
        raise UserError(f"{root}: found another dataset; expected an empty folder or one of generated videos")
    meanings = "\n".join(f"  {name:<4}{meaning}" for name, meaning in ATTRIBUTES.items())
    write_text(readme, README.format(generator=GENERATOR.format(version=VERSION, **numbers), attributes=meanings))
    splits = {"train": sequences("train", train), "val": sequences("val", val)}
    work = [(split, name, recipe) for split, recipes in splits.items() for name, recipe in recipes.items()]
    draw = partial(_draw_sequence, root, seed=seed, frames=frames, height=height, width=width)
    info = f"attributes: [{', '.join(ATTRIBUTES)}]\nsets: [training,test]\nsequences:\n"
    context = multiprocessing.get_context("spawn")  # OpenCV's threads do not survive a fork
    try:
        with ProcessPoolExecutor(processes, context, _end_at_once) as pool:
            # No `map`: it cancels what an interrupt leaves to do, which breaks the pool's own thread.
            with _no_interrupts():
                drawn = [pool.submit(draw, *one) for one in work] if processes > 1 else []
            for done, one in enumerate(work, 1):
                info += drawn[done - 1].result() if drawn else draw(*one)
                if progress is not None:
                    progress(done, len(work))
    except BrokenProcessPool:
        expected = "expected it to live (a full memory?); the same command draws anew"
        raise UserError(f"{root}: found a drawing process killed; {expected}") from None
    names = {"train": [*splits["train"]], "val": [*splits["val"]], "trainval": [*splits["train"], *splits["val"]]}
    for split, chosen in names.items():
        listing = "".join(f"{name}\n" for name in chosen)
        stems = [f"{RESOLUTION}/{name}/{t:05d}" for name in chosen for t in range(frames)]
        pairs = "".join(f"/JPEGImages/{stem}.jpg /Annotations/{stem}.png\n" for stem in stems)
        for folder, text in (("2016", listing), ("2017", listing), (RESOLUTION, pairs)):
            write_text(root / "ImageSets" / folder / f"{split}.txt", text)
    write_text(root / "Annotations" / "db_info.yml", info)


def check_drawn(root: Path, **numbers: int) -> None:
    """Raise UserError unless the tree at `root` was drawn with these arguments of `synthesize`."""
    readme, wanted = root / "README.txt", GENERATOR.format(version=VERSION, **numbers)
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    if wanted not in text:
        start, line_ends = text.find(GENERATOR[:10]), wanted.count("\n") + 1
        found = " ".join(text[start:].splitlines()[:line_ends]) if start >= 0 else "no generated videos"
        remedy = "run `slowfast-vos synthesize --config …`, or name another data.root"
        raise UserError(f"{readme}: found {found}; expected {' '.join(wanted.split())} ({remedy})")


def _end_at_once() -> None:
    """Ctrl-C ends this worker at once and without a traceback; whatever it was writing is not renamed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Ctrl-C waits until this ends, and in a process that starts here until that unblocks it."""
    asked: list[int] = []
    main = threading.current_thread() is threading.main_thread()  # where Python runs handlers, whoever gets the signal
    handler = signal.signal(signal.SIGINT, lambda number, _: asked.append(number)) if main else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if main:
            signal.signal(signal.SIGINT, handler)
    if asked:
        raise KeyboardInterrupt


def _draw_sequence(root: Path, split: str, name: str, recipe: Recipe, *, frames: int, **options: int) -> str:
    """Write frames and masks, remove frames of an earlier, longer run, and return the entry for db_info.yml."""
    cv2.setNumThreads(1)
    scene = Scene(split, name, recipe, frames=frames, **options)
    images, masks = (root / kind / RESOLUTION / name for kind in ("JPEGImages", "Annotations"))
    areas = []
    for t, (image, ids, counts) in enumerate(render(scene)):
        _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        with atomic_write(images / f"{t:05d}.jpg") as temporary:
            temporary.write_bytes(data.tobytes())
        write_mask(masks / f"{t:05d}.png", ids)
        areas.append(counts)
    for path in [*images.glob("*.jpg"), *masks.glob("*.png")]:
        if path.stem.isdigit() and int(path.stem) >= frames:
            path.unlink()
    return (
        f"- attributes: [{', '.join(attributes_of(scene, np.stack(areas)))}]\n"
        f"  name: {name}\n"
        f"  num_frames: {frames}\n"
        f"  set: {'training' if split == 'train' else 'test'}\n"
        "  eval_t: True\n"
    )
