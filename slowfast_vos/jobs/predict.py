"""Stage 7 and the baselines: masks of the validation sequences as indexed PNGs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from slowfast_vos.config import parse_settings
from slowfast_vos.errors import UserError
from slowfast_vos.jobs.common import Job, load_network, read_frames
from slowfast_vos.model.checkpoints import read_checkpoint
from slowfast_vos.model.masks import predict_masks
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.model.streaming import MASK_THRESHOLD
from slowfast_vos.progress import progress_lines
from slowfast_vos.videos.davis import Video, open_video
from slowfast_vos.videos.pngs import write_mask


def write_predictions(model: SlowFastMaskRCNN, video: Video, out: Path) -> None:
    """Write a video's masks as `out/VIDEO/FRAME.png`, the layout of DAVIS results."""
    for path, mask in zip(video.frames, predict_masks(model, read_frames(model, video)), strict=True):
        write_mask(out / video.name / f"{path.stem}.png", mask)


def predict_parent(job: Job, setup: str) -> Path:
    """Predict all validation sequences with a setup's parent; returns the folder."""
    model, out = job.parent(setup), job.results.predictions("unsupervised", setup, job.seed)
    for video in progress_lines(job.dataset.val, f"predict {setup}", lambda video: video.name):
        write_predictions(model, video, out)
    return out


def predict_video(checkpoint: Path, folder: Path, out: Path, device: str) -> Path:
    """Predict any folder of frames with one of our checkpoints, which says itself how to build its network.

    Raises:
        UserError: the checkpoint is not a network's, or the folder holds no frames.
    """
    _, about = read_checkpoint(checkpoint)
    if not about.get("setup"):
        raise UserError(f"{checkpoint}: found no setup in its header; expected the checkpoint of a parent")
    video = open_video(folder)
    settings = parse_settings(about["settings"] | {"device": device}, str(checkpoint))
    job = Job(settings, about["seed"])
    model = load_network(job.network(about["setup"]), checkpoint, about["setup"]).eval()
    write_predictions(model, video, out)
    return out / video.name


@torch.inference_mode()
def predict_baseline(job: Job, baseline: str) -> Path:
    """Predict with "detector" (all that it finds in single frames) or "foreground" (every pixel)."""
    out = job.results.predictions("baseline", baseline, job.seed)
    detector = job.detector().eval() if baseline == "detector" else None
    for video in progress_lines(job.dataset.val, f"baseline {baseline}", lambda video: video.name):
        for index, path in enumerate(video.frames):
            frame = video.frame(index).to(job.device.torch)
            if detector is None:
                mask = np.ones(frame.shape[1:], np.uint8)
            else:
                found = detector([frame])[0]["masks"] >= MASK_THRESHOLD  # [N, 1, H, W]
                mask = found.any(0)[0].cpu().numpy().astype(np.uint8)
            write_mask(out / video.name / f"{path.stem}.png", mask)
    return out
