"""Masks over frames: as pictures, and as a video file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from slowfast_vos.files import atomic_write

PREDICTION = (255, 50, 165)


def overlay(
    frame: np.ndarray, mask: np.ndarray, width: int, colour: tuple[int, int, int], finer: int = 2
) -> np.ndarray:
    """Lay a mask over a frame: a translucent fill, a crisp outline with a dark rim, the rest a little faded.

    Args:
        frame: `[H, W, 3]` uint8.
        mask: `[H, W]`, every value but 0 is foreground.
        width: of the result in pixels; the aspect ratio is kept.
        finer: how many times as large it is drawn, before it is scaled down.

    Returns:
        `[h, width, 3]` uint8.
    """
    height = max(round(frame.shape[0] * width / frame.shape[1]), 1)
    size = (finer * width, finer * height)
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


@contextmanager
def overlay_video(path: Path, rate: Fraction) -> Iterator[Callable[[np.ndarray, np.ndarray], None]]:
    """Write `path` as H.264 in MP4, which browsers play; whole or not at all.

    Args:
        rate: frames per second.

    Yields:
        A function that adds a frame `[H, W, 3]` uint8 with its mask `[H, W]`; all have one size. A last odd row and
        column are left out, since H.264 has none.

    Raises:
        UserError: the file cannot be written.
    """
    import av

    with atomic_write(path) as temporary, av.open(str(temporary), "w", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"

        def add(frame: np.ndarray, mask: np.ndarray) -> None:
            picture = overlay(frame, mask, frame.shape[1], PREDICTION, finer=1)
            picture = picture[: len(picture) // 2 * 2, : picture.shape[1] // 2 * 2]
            if not stream.codec_context.is_open:
                stream.height, stream.width = picture.shape[:2]
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))

        yield add
        file.mux(stream.encode())
