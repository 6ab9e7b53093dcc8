"""Foreground masks of a whole video, and their J&F: what every stage after the detector is judged by."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.model.streaming import Chunk, detect, detect_chunks, foreground
from slowfast_vos.videos.davis import Video


def predict_masks(model: SlowFastMaskRCNN, video: Video, chunks: Iterable[Chunk] | None = None) -> Iterable[np.ndarray]:
    """Masks `[H, W]` uint8 of a video's frames, one at a time: 1 where any detection is.

    Args:
        model: in evaluation mode.
        chunks: the video's frames, if they are encoded already by the same backbone and RPN.
    """
    # While a GPU works, the next chunk's frames are read; on a CPU both would take turns on the same cores.
    ahead = 0 if next(model.parameters()).device.type == "cpu" else model.chunk_length
    detections = detect(model, video.iterate(ahead)) if chunks is None else detect_chunks(model, chunks)
    return (foreground(detection).numpy().astype(np.uint8) for detection in detections)
