"""Masks over frames: strips of stills to compare setups, and short animations."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from slowfast_vos.config import Settings
from slowfast_vos.errors import UserError
from slowfast_vos.files import atomic_write
from slowfast_vos.measuring.record import Record
from slowfast_vos.reporting.collect import LOOK_ALIKE, TASKS, Run, read_run
from slowfast_vos.videos.davis import DavisTree, open_video, read_frame
from slowfast_vos.videos.pngs import read_mask

ANNOTATION = (0, 200, 255)
PREDICTION = (255, 50, 165)
CELL, GAP, MARGIN, HEAD = 256, 6, 92, 24
TEXT = 15
QUALITIES = (80, 65, 50, 35, 20, 10)


def overlay(frame: np.ndarray, mask: np.ndarray, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    """Lay a mask over a frame: a translucent fill, a crisp outline with a dark rim, the rest a little faded.

    Args:
        frame: `[H, W, 3]` uint8.
        mask: `[H, W]`, every value but 0 is foreground.
        width: of the result in pixels; the aspect ratio is kept.

    Returns:
        `[h, width, 3]` uint8.
    """
    height = max(round(frame.shape[0] * width / frame.shape[1]), 1)
    size = (2 * width, 2 * height)
    shrinks = frame.shape[1] > size[0]
    picture = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC).astype(np.float32)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]
    picture = 0.68 * picture + 0.22 * grey + 0.1 * 128
    inside = cv2.resize((mask != 0).astype(np.float32), size, interpolation=cv2.INTER_LINEAR) >= 0.5
    fill = np.asarray(colour, np.float32)
    picture[inside] = 0.55 * picture[inside] + 0.45 * fill
    drawn = np.ascontiguousarray(picture.clip(0, 255).astype(np.uint8))
    outlines, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, outlines, -1, (20, 20, 20), 5, cv2.LINE_AA)
    cv2.drawContours(drawn, outlines, -1, colour, 2, cv2.LINE_AA)
    return cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA)


def choose_sequences(run: Run, count: int = 3) -> list[str]:
    """Validation sequences worth showing: look-alikes first, then those on which the setups differ most."""

    def spread(name: str) -> float:
        records = [run.seeds("evaluation", TASKS[0], setup)[0] for setup in run.settings.setups]
        scores = [record.scores.sequences[name].jf_mean for record in records if _scores(record, name) is not None]
        return max(scores) - min(scores) if scores else 0.0

    return sorted(run.val, key=lambda name: (name not in run.look_alikes, -spread(name), name))[:count]


def _scores(record: Record, name: str) -> float | None:
    if record.status == "failed" or record.scores is None or name not in record.scores.sequences:
        return None
    return record.scores.sequences[name].jf_mean


def write_strips(settings: Settings, results: Path, out: Path) -> list[Path]:
    """Write strips of stills of some validation sequences for each task, and an animation of the first sequence.

    Args:
        results: the run's folder of records and predictions.

    Returns:
        `TASK-SEQUENCE.png` for each, then `TASK-SEQUENCE.webp` of the first sequence.

    Raises:
        UserError: a record, a frame or a mask is missing.
    """
    run = read_run(settings, results, ("evaluation",))
    chosen = choose_sequences(run)
    paths = []
    for task in TASKS:
        for sequence in chosen:
            paths.append(out / f"{task}-{sequence}.png")
            _save(_strip(run, task, sequence), paths[-1])
    for task in TASKS:
        pair = _pair(run, task, chosen[0])
        if pair:
            frames = settings.val_root / "JPEGImages" / settings.data.resolution / chosen[0]
            masks = [(label, _predictions(run, task, setup) / chosen[0]) for setup, label in pair]
            paths.append(write_video(frames, masks, out / f"{task}-{chosen[0]}.webp"))
    return paths


def _predictions(run: Run, task: str, setup: str) -> Path:
    return run.root / "predictions" / task / setup / f"seed={run.settings.seeds[0]}"


def _label(run: Run, task: str, setup: str, sequence: str) -> tuple[str, bool]:
    score = _scores(run.seeds("evaluation", task, setup)[0], sequence)
    return (f"{setup}\nfailed", False) if score is None else (f"{setup}\nJ&F {score:.2f}".replace("0.", "."), True)


def _pair(run: Run, task: str, sequence: str) -> list[tuple[str, str]]:
    """The first setup, and the best of the others on a sequence, each with its label."""
    scores = {setup: _scores(run.seeds("evaluation", task, setup)[0], sequence) for setup in run.settings.setups}
    known = {setup: score for setup, score in scores.items() if score is not None}
    first, *others = known or [""]
    names = [first, max(others, key=lambda setup: known[setup])] if others else [first] * bool(first)
    return [(name, _label(run, task, name, sequence)[0].replace("\n", "   ")) for name in names]


def _strip(run: Run, task: str, sequence: str, count: int = 5) -> Image.Image:
    video = DavisTree(run.settings.val_root, run.settings.data.resolution).video(sequence)
    # The ends are left out: the first frame is given in the semi-supervised task, and strict scoring skips both.
    indices = list(dict.fromkeys(np.linspace(0, len(video) - 1, count + 2).round().astype(int)[1:-1].tolist()))
    frames = [read_frame(video.frames[index]) for index in indices]
    height = round(frames[0].shape[0] * CELL / frames[0].shape[1])
    rows = [("annotation", [video.masks[index] for index in indices])]
    for setup in run.settings.setups:
        label, known = _label(run, task, setup, sequence)
        folder = _predictions(run, task, setup) / sequence
        rows.append((label, [folder / f"{video.frames[index].stem}.png" for index in indices] if known else []))
    size = (MARGIN + len(indices) * (CELL + GAP), 2 * HEAD + len(rows) * (height + GAP))
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    mark = ", a look-alike beside the object" if sequence in run.look_alikes else ""
    attributes = [name for name in run.attributes.get(sequence, []) if name != LOOK_ALIKE]
    tail = f" ({', '.join(attributes)})" if attributes else ""
    pen.text((MARGIN, HEAD // 2), f"{sequence}{mark}{tail}, {task}", "black", font(TEXT + 1), anchor="lm")
    for column, index in enumerate(indices):
        middle = MARGIN + column * (CELL + GAP) + CELL // 2
        pen.text((middle, HEAD + HEAD // 2), f"frame {index}", "black", font(TEXT), anchor="mm")
    for row, (label, masks) in enumerate(rows):
        top = 2 * HEAD + row * (height + GAP)
        pen.multiline_text(
            (MARGIN - 8, top + height // 2), label, "black", font(TEXT), anchor="rm", align="right", spacing=3
        )
        for column, (frame, path) in enumerate(zip(frames, masks, strict=False)):
            cell = overlay(frame, _mask_of(path, frame), CELL, PREDICTION if row else ANNOTATION)
            page.paste(Image.fromarray(cell), (MARGIN + column * (CELL + GAP), top))
        if not masks:
            pen.rectangle((MARGIN, top, size[0] - GAP - 1, top + height - 1), fill=(235, 235, 235))
    return page


def _mask_of(path: Path, frame: np.ndarray) -> np.ndarray:
    mask = read_mask(path)
    if mask.shape != frame.shape[:2]:
        found, expected = (f"{size[1]}×{size[0]}" for size in (mask.shape, frame.shape))
        raise UserError(f"{path}: found {found} pixels; expected {expected} as its frame")
    return mask


def write_video(
    frames_folder: Path,
    masks: Sequence[tuple[str, Path]],
    out: Path,
    *,
    width: int = 320,
    frames_per_second: float = 12,
    limit: int = 3_000_000,
) -> Path:
    """Write predictions over their frames, side by side, as an animated WebP.

    Args:
        frames_folder: the frames of one video.
        masks: for each panel its label and the folder of its masks, named as the frames.
        width: of a panel in pixels.
        limit: bytes; the quality is lowered until the file is smaller, then the size.

    Raises:
        UserError: a frame or a mask is missing.
    """
    video = open_video(frames_folder)
    pages = []
    for path in video.frames:
        frame = read_frame(path)
        cells = [overlay(frame, _mask_of(folder / f"{path.stem}.png", frame), width, PREDICTION) for _, folder in masks]
        page = Image.new("RGB", (len(cells) * (width + GAP) - GAP, HEAD + cells[0].shape[0]), "white")
        pen = ImageDraw.Draw(page)
        for index, (cell, (label, _)) in enumerate(zip(cells, masks, strict=True)):
            left = index * (width + GAP)
            pen.text((left + width // 2, HEAD // 2), label, "black", font(TEXT), anchor="mm")
            page.paste(Image.fromarray(cell), (left, HEAD))
        pages.append(page)
    data = _animation(pages, round(1000 / frames_per_second), limit)
    with atomic_write(out) as temporary:
        temporary.write_bytes(data)
    return out


def _animation(pages: list[Image.Image], milliseconds: int, limit: int) -> bytes:
    while True:
        for quality in QUALITIES:
            data = io.BytesIO()
            pages[0].save(
                data, "WEBP", save_all=True, append_images=pages[1:], duration=milliseconds, loop=0, quality=quality
            )
            if len(data.getvalue()) < limit or pages[0].width < 64:
                return data.getvalue()
        pages = [page.resize((page.width // 2, page.height // 2), Image.Resampling.BOX) for page in pages]


def _save(page: Image.Image, path: Path) -> None:
    with atomic_write(path) as temporary:
        page.save(temporary, "PNG", compress_level=4)


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font that matplotlib brings, so that strips look like the plots on every machine."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
