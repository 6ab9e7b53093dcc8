"""Masks over frames: strips of stills to compare setups, and short animations."""

from __future__ import annotations

import io
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from slowfast_vos.dag import TASKS
from slowfast_vos.errors import UserError
from slowfast_vos.files import atomic_write
from slowfast_vos.paths import Results
from slowfast_vos.reporting.records import read_run
from slowfast_vos.reporting.run import LOOK_ALIKE, Run
from slowfast_vos.videos.davis import DavisTree, open_video, read_frame
from slowfast_vos.videos.overlay import PREDICTION, overlay
from slowfast_vos.videos.pngs import read_mask

ANNOTATION = (0, 200, 255)
CELL, GAP, MARGIN, HEAD = 256, 6, 124, 24
TEXT = 15
STILLS = 5
PANEL, MILLISECONDS = 320, 83  # of an animation: a panel's width, the time of a frame
QUALITIES = (80, 65, 50, 35, 20, 10)


def _scores(run: Run, task: str) -> pd.DataFrame:
    """J&F of the first seed by setup and sequence; missing where the evaluation failed."""
    first = run.records[(run.records["task"] == task) & (run.records["seed"] == run.settings.seeds[0])]
    scores = run.sequences.join(first["setup"], how="inner").pivot(index="setup", columns="sequence", values="jf_mean")
    return scores.reindex(index=run.settings.setups, columns=run.val)


def write_strips(results: Results, out: Path) -> list[Path]:
    """Write `TASK-SEQUENCE.png`, stills of some validation sequences, and `TASK-SEQUENCE.webp` of the first of them.

    Raises:
        UserError: a record, a frame or a mask is missing.
    """
    run, settings = read_run(results, TASKS), results.settings
    chosen, paths = list(run.shown), []
    for task, sequence in product(TASKS, chosen):
        paths.append(out / f"{task}-{sequence}.png")
        with atomic_write(paths[-1]) as temporary:
            _strip(run, task, sequence).save(temporary, "PNG", compress_level=4)
    for task in TASKS:
        known = _scores(run, task)[chosen[0]].dropna()
        # The first setup, and the best of the others.
        if pair := [*known.index[:1], *known.iloc[1:].nlargest(1).index]:
            frames = settings.val_root / "JPEGImages" / settings.data.resolution / chosen[0]
            folders = {setup: results.predictions(task, setup, settings.seeds[0]) / chosen[0] for setup in pair}
            masks = {_label(setup, known[setup], "   "): folder for setup, folder in folders.items()}
            paths.append(write_video(frames, masks, out / f"{task}-{chosen[0]}.webp"))
    return paths


def _label(setup: str, score: float, separator: str) -> str:
    return setup + separator + ("failed" if pd.isna(score) else f"J&F {score:.2f}".replace("0.", "."))


def _strip(run: Run, task: str, sequence: str) -> Image.Image:
    """A row of stills for the annotation and for each setup."""
    scores = _scores(run, task)[sequence]
    video = DavisTree(run.settings.val_root, run.settings.data.resolution).video(sequence)
    # The ends are left out: the first frame is given in the semi-supervised task, and strict scoring skips both.
    indices = list(dict.fromkeys(np.linspace(0, len(video) - 1, STILLS + 2).round().astype(int)[1:-1].tolist()))
    frames = [read_frame(video.frames[index]) for index in indices]
    height = round(frames[0].shape[0] * CELL / frames[0].shape[1])
    size = (MARGIN + len(indices) * (CELL + GAP), 2 * HEAD + (1 + len(scores)) * (height + GAP))
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    mark = ", a look-alike beside the object" if sequence in run.distractors else ""
    attributes = ", ".join(name for name in run.attributes.get(sequence, []) if name != LOOK_ALIKE)
    title = f"{sequence}{mark}{f' ({attributes})' if attributes else ''}, {task}"
    pen.text((MARGIN, HEAD // 2), title, "black", _font(TEXT + 1), anchor="lm")
    lefts = range(MARGIN, size[0], CELL + GAP)
    for left, index in zip(lefts, indices, strict=True):
        pen.text((left + CELL // 2, HEAD + HEAD // 2), f"frame {index}", "black", _font(TEXT), anchor="mm")
    rows = [("annotation", ANNOTATION, [video.masks[index] for index in indices])]
    for setup, score in scores.items():
        folder = run.results.predictions(task, str(setup), run.settings.seeds[0]) / sequence
        masks = [] if pd.isna(score) else [folder / f"{video.frames[index].stem}.png" for index in indices]
        rows.append((_label(str(setup), score, "\n"), PREDICTION, masks))
    for top, (label, colour, masks) in zip(range(2 * HEAD, size[1], height + GAP), rows, strict=True):
        place = (MARGIN - 8, top + height // 2)
        pen.multiline_text(place, label, "black", _font(TEXT), anchor="rm", align="right", spacing=3)
        for left, frame, path in zip(lefts, frames, masks, strict=False):
            page.paste(_picture(frame, path, CELL, colour), (left, top))
        if not masks:
            pen.rectangle((MARGIN, top, size[0] - GAP - 1, top + height - 1), fill=(235, 235, 235))
    return page


def _picture(frame: np.ndarray, path: Path, width: int, colour: tuple[int, int, int]) -> Image.Image:
    mask = read_mask(path)
    if mask.shape != frame.shape[:2]:
        found, expected = (f"{size[1]}×{size[0]}" for size in (mask.shape, frame.shape))
        raise UserError(f"{path}: found {found} pixels; expected {expected} as its frame")
    return Image.fromarray(overlay(frame, mask, width, colour))


def write_video(frames_folder: Path, masks: Mapping[str, Path], out: Path, limit: int = 3_000_000) -> Path:
    """Write predictions over the frames of one video, side by side, as an animated WebP.

    Args:
        masks: the folder of each panel's masks, named as the frames, by the panel's label.
        limit: bytes; the quality is lowered until the file is smaller, then the size.

    Raises:
        UserError: a frame or a mask is missing.
    """
    pages = []
    for path in open_video(frames_folder).frames:
        frame = read_frame(path)
        pictures = [_picture(frame, folder / f"{path.stem}.png", PANEL, PREDICTION) for folder in masks.values()]
        page = Image.new("RGB", (len(pictures) * (PANEL + GAP) - GAP, HEAD + pictures[0].height), "white")
        pen = ImageDraw.Draw(page)
        for left, label, picture in zip(range(0, page.width, PANEL + GAP), masks, pictures, strict=True):
            pen.text((left + PANEL // 2, HEAD // 2), label, "black", _font(TEXT), anchor="mm")
            page.paste(picture, (left, HEAD))
        pages.append(page)
    with atomic_write(out) as temporary:
        temporary.write_bytes(_animation(pages, limit))
    return out


def _animation(pages: list[Image.Image], limit: int) -> bytes:
    while True:
        options = {"save_all": True, "append_images": pages[1:], "duration": MILLISECONDS, "loop": 0}
        for quality in QUALITIES:
            data = io.BytesIO()
            pages[0].save(data, "WEBP", quality=quality, **options)
            if len(data.getvalue()) < limit or pages[0].width < 64:
                return data.getvalue()
        pages = [page.resize((page.width // 2, page.height // 2), Image.Resampling.BOX) for page in pages]


def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font that matplotlib brings, so that strips look like the plots on every machine."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
