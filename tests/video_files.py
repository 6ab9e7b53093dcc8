"""Video files for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np


def write_clip(path: Path, frames: Sequence[np.ndarray], *, codec: str = "png", rate: int = 12) -> Path:
    """Write frames `[H, W, 3]` uint8 as a video; "png", the default, loses nothing."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "rgb24" if codec == "png" else "yuv420p"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return path


def noise(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Different frames."""
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (count, height, width, 3), np.uint8))
