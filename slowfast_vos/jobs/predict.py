"""Stage 7 and the baselines: masks of the validation sequences as indexed PNGs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from slowfast_vos.config import parse_settings
from slowfast_vos.errors import UserError
from slowfast_vos.files import atomic_folder
from slowfast_vos.jobs.job import Job
from slowfast_vos.model.checkpoints import read_checkpoint
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.model.streaming import MASK_THRESHOLD, predict_masks
from slowfast_vos.progress import progress_lines
from slowfast_vos.videos.davis import Video, open_picture, open_video
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


def predict_video(checkpoint: Path, frames: Path, out: Path, device: str) -> Path:
    """Predict any folder of frames with a parent's checkpoint, whose header says how to build the network.

    Raises:
        UserError: the checkpoint is not a network's, the folder holds no frames, or masks would replace anything but
            masks.
    """
    _, about = read_checkpoint(checkpoint)
    for key, kind in {"setup": str, "seed": int, "settings": dict}.items():
        if not isinstance(about.get(key), kind):
            raise UserError(f"{checkpoint}: found no {key} in its header; expected the checkpoint of a parent")
    video = open_video(frames)
    _check_place(video, frames, out / video.name)
    job = Job(parse_settings(about["settings"] | {"device": device}, str(checkpoint)), about["seed"])
    write_predictions(job.parent(about["setup"], checkpoint), video, out / video.name)
    return out / video.name


def _check_place(video: Video, frames: Path, folder: Path) -> None:
    """Refuse to write masks among the frames, into a data set, or over pictures that are no masks."""
    place, expected = folder.resolve(), "expected another --out, since masks would replace what is there"
    if place.is_dir() and place.samefile(frames):
        raise UserError(f"{folder}: found the frames themselves; {expected}")
    if any((parent / "ImageSets").is_dir() for parent in place.parents):
        raise UserError(f"{folder}: found a place inside a DAVIS tree; {expected}")
    for path in (place / f"{frame.stem}.png" for frame in video.frames):
        if path.exists():
            with open_picture(path) as image:
                if image.mode != "P":
                    raise UserError(f"{path}: found a picture that is no mask; {expected}")


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
