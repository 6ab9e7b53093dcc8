"""Stage 2: Mask R-CNN on single frames of the training sequences (paper, section 4; the authors' code)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torchvision.models.detection.mask_rcnn import MaskRCNN
from torchvision.transforms.v2 import functional

from slowfast_vos.config import Settings
from slowfast_vos.prefetch import prefetch
from slowfast_vos.seeds import derived_seed
from slowfast_vos.training.loop import Resume, TrainingState, half_cosine, make_sgd, total_loss
from slowfast_vos.videos.davis import Video, targets
from slowfast_vos.videos.views import View

Sample = tuple[Tensor, dict[str, Tensor]]  # a frame [3, H, W] in [0, 1], and its target


def spread(length: int, count: int | None) -> list[int]:
    """`count` indices spread evenly over `length` frames; all of them for None."""
    count = length if count is None else min(count, length)
    return [index * length // count for index in range(count)]


def read_sample(
    video: Video, index: int, *, binary: bool, flip: float, seed: int, min_size: int | None = None
) -> Sample:
    """Read a frame with torchvision's target, flipped horizontally with probability `flip`.

    The flip has a generator of its own: it does not depend on what else is read, or by which thread.

    Args:
        min_size: where given, the frame is that of a random view of the video, made for a network of this size.
    """
    if min_size is not None:
        view = View.of(video, seed, min_size, flip=flip)
        return view.frame(index), targets(view.ids(index, binary=binary))
    frame, ids = video.frame(index), torch.from_numpy(video.ids(index, binary=binary))
    if torch.rand(1, generator=torch.Generator().manual_seed(seed)) < flip:
        frame, ids = functional.horizontal_flip_image(frame), functional.horizontal_flip_mask(ids)
    return frame, targets(ids.numpy())  # its boxes are those of the mask as it is now


def learning_rate_factor(settings: Settings, epoch: int, step: int, steps: int) -> float:
    """Factor on the rate: linear warm-up from 1/1000 within the first epoch, and the schedule's own."""
    stage = settings.detector
    if stage.schedule == "cosine":
        factor = half_cosine((epoch + step / steps) / stage.epochs)
    else:
        factor = stage.decay_factor ** (epoch // stage.decay_every)
    warmup = min(stage.warmup_steps, steps - 1)
    if epoch == 0 and step < warmup:
        factor *= 0.001 + (1 - 0.001) * step / warmup
    return factor


def train_detector(
    settings: Settings, model: MaskRCNN, videos: list[Video], *, binary: bool, seed: int, resume: Resume | None = None
) -> TrainingState:
    """Train `model` in place; the last epoch is kept, as the authors did.

    Raises:
        DivergedError: a loss is not finite.
    """
    stage, threads = settings.detector, settings.loading_workers
    device = next(model.parameters()).device
    chosen = [(video, index) for video in videos for index in spread(len(video), stage.train_frames)]
    items = [(video, index) for video, index in chosen if video.ids(index, binary=binary).any()]  # shows an object
    min_size = settings.model.min_size if stage.views else None
    optimizer = make_sgd(model, stage)
    state = TrainingState(model, optimizer, seed, stage.epochs, resume=resume)

    def read_batch(epoch: int, batch: list[int]) -> list[Sample]:
        epoch_seed = derived_seed(seed, "epoch", epoch)
        read = partial(read_sample, binary=binary, flip=stage.flip, min_size=min_size)
        return [read(*items[item], seed=derived_seed(epoch_seed, "flip", item)) for item in batch]

    model.train()
    for epoch in state.epochs():
        batches = [batch.tolist() for batch in torch.randperm(len(items)).split(stage.batch_size)]
        loaded = prefetch(partial(read_batch, epoch), batches[state.position :], 2 * threads, threads)
        for (step, _), samples in zip(state.steps(batches), loaded, strict=False):
            factor = learning_rate_factor(settings, epoch, step, len(batches))
            optimizer.param_groups[0]["lr"] = float(stage.lr) * factor
            frames = [frame.to(device) for frame, _ in samples]
            wanted = [{key: value.to(device) for key, value in target.items()} for _, target in samples]
            losses = model(frames, wanted)
            optimizer.zero_grad(set_to_none=True)
            total_loss(losses, f"detector, epoch {epoch + 1}, step {step + 1}").backward()
            optimizer.step()
            state.add(losses)
        state.finish()
    return state
