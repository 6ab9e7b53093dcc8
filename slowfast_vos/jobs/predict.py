"""Stage 7 and the baselines: masks of the validation sequences as indexed PNGs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from slowfast_vos.files import atomic_folder
from slowfast_vos.jobs.job import Job
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.model.streaming import MASK_THRESHOLD, predict_masks
from slowfast_vos.progress import progress_lines
from slowfast_vos.videos.davis import Video
from slowfast_vos.videos.pngs import write_mask


def write_predictions(model: SlowFastMaskRCNN, video: Video, folder: Path) -> None:
    """Write a video's masks as `folder/FRAME.png`."""
    # While a GPU works, the next chunk's frames are read; on a CPU both would take turns on the same cores.
    prefetch = 0 if next(model.parameters()).device.type == "cpu" else model.chunk_length
    _write(video, predict_masks(model, video.iterate(prefetch)), folder)


def _write(video: Video, masks: Iterable[np.ndarray], folder: Path) -> None:
    for path, mask in zip(video.frames, masks, strict=True):
        write_mask(folder / f"{path.stem}.png", mask)


def predict_parent(job: Job, setup: str) -> Path:
    """Predict all validation sequences with a setup's parent, in the layout of DAVIS results; returns the folder."""
    model, out = job.parent(setup), job.results.predictions("unsupervised", setup, job.seed)
    with atomic_folder(out) as folder:
        for video in progress_lines(job.dataset.val, f"predict {setup}", lambda video: video.name):
            write_predictions(model, video, folder / video.name)
    return out


@torch.inference_mode()
def predict_baseline(job: Job, baseline: str) -> Path:
    """Predict with "detector" (all that it finds in single frames) or "foreground" (every pixel)."""
    out = job.results.predictions("baseline", baseline, job.seed)
    detector = job.detector().eval() if baseline == "detector" else None

    def masks(video: Video) -> Iterable[np.ndarray]:
        for frame in video.iterate(0):
            if detector is None:
                yield np.ones(frame.shape[1:], np.uint8)
            else:
                found = detector([frame.to(job.device.torch)])[0]["masks"] >= MASK_THRESHOLD  # [N, 1, H, W]
                yield found.any(0)[0].cpu().numpy().astype(np.uint8)

    with atomic_folder(out) as folder:
        for video in progress_lines(job.dataset.val, f"baseline {baseline}", lambda video: video.name):
            _write(video, masks(video), folder / video.name)
    return out
