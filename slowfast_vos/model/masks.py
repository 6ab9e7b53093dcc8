"""Foreground masks of a whole video: what every stage after the detector is judged by."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from torch import Tensor

from slowfast_vos.model.streaming import Chunk, Network, detect, detect_chunks, foreground


def predict_masks(
    model: Network, frames: Iterable[Tensor], chunks: Iterable[Chunk] | None = None
) -> Iterable[np.ndarray]:
    """Masks `[H, W]` uint8 of a video's frames, one at a time: 1 where any detection is.

    Args:
        model: in evaluation mode.
        frames: as for `detect`; not read where `chunks` are given.
        chunks: the video's frames, if they are encoded already by the same backbone and RPN.
    """
    detections = detect(model, frames) if chunks is None else detect_chunks(model, chunks)
    return (foreground(detection).numpy().astype(np.uint8) for detection in detections)
