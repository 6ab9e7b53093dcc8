"""Stage 7 and the baselines: masks of the validation sequences as indexed PNGs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from slowfast_vos.files import atomic_folder
from slowfast_vos.jobs.encoded import encoded_videos
from slowfast_vos.jobs.job import Job
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.model.streaming import Chunk, predict_masks
from slowfast_vos.progress import progress_lines
from slowfast_vos.videos.davis import Video
from slowfast_vos.videos.pngs import write_mask


def write_predictions(
    model: SlowFastMaskRCNN, video: Video, folder: Path, chunks: Sequence[Chunk] | None = None
) -> None:
    """Write a video's masks as `folder/FRAME.png`; its frames are not read where `chunks` hold them encoded."""
    # While a GPU works, the next chunk's frames are read; on a CPU both would take turns on the same cores.
    prefetch = 0 if next(model.parameters()).device.type == "cpu" else model.chunk_length
    _write(video, predict_masks(model, video.iterate(prefetch), chunks), folder)


def _write(video: Video, masks: Iterable[np.ndarray], folder: Path) -> None:
    for path, mask in zip(video.frames, masks, strict=True):
        write_mask(folder / f"{path.stem}.png", mask)


def predict_parent(job: Job, setup: str) -> Path:
    """Predict all validation sequences with a setup's parent, in the layout of DAVIS results; returns the folder."""
    return _predict(job, job.parent(setup), job.results.predictions("unsupervised", setup, job.seed), setup)


def predict_baseline(job: Job, baseline: str) -> Path:
    """Predict with "detector" (all that it finds in single frames) or "foreground" (every pixel)."""
    out = job.results.predictions("baseline", baseline, job.seed)
    if baseline == "detector":
        model = job.network("1-1+none")
        model.maskrcnn_model.load_state_dict(job.detector().state_dict())
        return _predict(job, model.eval(), out, baseline)

    def write(video: Video, folder: Path) -> None:
        _write(video, (np.ones(frame.shape[1:], np.uint8) for frame in video.iterate(0)), folder)

    return _write_all(job, write, out, baseline)


def _predict(job: Job, model: SlowFastMaskRCNN, out: Path, name: str) -> Path:
    # Where one job predicts for all setups of a seed, those with one backbone share its features.
    encoded = encoded_videos(job, "validation", model) if job.settings.one_job_per == "seed" else None

    def write(video: Video, folder: Path) -> None:
        write_predictions(model, video, folder, encoded and encoded.get(model, video))

    return _write_all(job, write, out, name)


def _write_all(job: Job, write: Callable[[Video, Path], None], out: Path, name: str) -> Path:
    with atomic_folder(out) as folder:
        for video in progress_lines(job.dataset.val, f"predict {name}", lambda video: video.name):
            write(video, folder / video.name)
    return out
