"""Stage 2: Mask R-CNN on single frames of the training sequences (paper, section 4; the authors' code)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.models.detection.mask_rcnn import MaskRCNN
from torchvision.transforms.v2 import functional

from slowfast_vos.config import Settings
from slowfast_vos.errors import LostError, UserError
from slowfast_vos.training.loop import derived_seed, make_sgd, total_loss
from slowfast_vos.training.state import Resume, TrainingState
from slowfast_vos.videos.davis import Video, targets


class Frames(Dataset[tuple[Tensor, dict[str, Tensor]]]):
    """Single frames with torchvision's detection targets, flipped at random; frames without an object are left out.

    A frame's flip is drawn from a generator of its own, seeded by the frame and `seed`: it depends neither on what is
    loaded before or beside it nor on the process that loads it, and leaves torch's generators as they are.
    """

    def __init__(self, videos: list[Video], *, binary: bool, flip: float, train_frames: int | None) -> None:
        self.items = [
            (video, index)
            for video in videos
            for index in spread(len(video), train_frames)
            if video.ids(index, binary=binary).any()
        ]
        self.binary = binary
        self.seed = 0  # every epoch sets its own
        self.flip = flip

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, item: int) -> tuple[Tensor, dict[str, Tensor]]:
        video, index = self.items[item]
        frame, ids = video.frame(index), torch.from_numpy(video.ids(index, binary=self.binary))
        generator = torch.Generator().manual_seed(derived_seed(self.seed, "flip", item))
        if torch.rand(1, generator=generator) < self.flip:
            frame, ids = functional.horizontal_flip_image(frame), functional.horizontal_flip_mask(ids)
        # Boxes are always computed from the transformed mask.
        return frame, targets(ids.numpy())


def spread(length: int, count: int | None) -> list[int]:
    """`count` indices spread evenly over `length` frames; all of them for None."""
    if count is None or count >= length:
        return list(range(length))
    return [index * length // count for index in range(count)]


def load_batches(data: Frames, batches: list[list[int]], workers: int) -> Iterator[Any]:
    """Start to read the batches: frames and targets of each, two tuples.

    Args:
        workers: processes that read ahead; with 0 each batch is read when it is asked for.
    """
    loader = DataLoader(
        data, batch_sampler=batches, num_workers=workers, collate_fn=_collate, worker_init_fn=_leave_group
    )
    return _in_one_line(iter(loader))


def _collate(samples: list[tuple[Tensor, dict[str, Tensor]]]) -> tuple[Any, ...]:
    return tuple(zip(*samples, strict=True))


def _leave_group(_: int) -> None:
    """Stopped with its process group, the training still saves its step; its workers end with it."""
    os.setsid()


def _in_one_line(batches: Iterator[Any]) -> Iterator[Any]:
    """Batches.

    Raises:
        UserError: a frame cannot be read.
        LostError: a worker was killed, by a host that is out of memory, say.
    """
    try:
        yield from batches
    except UserError as error:  # torch puts a worker's traceback before the message
        raise UserError(str(error).rpartition("UserError: ")[2].strip()) from None
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise LostError(
            f"loading_workers: a process that reads frames was killed ({error}); where memory or /dev/shm "
            "is small, lower it"
        ) from error


def learning_rate_factor(settings: Settings, epoch: int, step: int, steps: int) -> float:
    """Factor on the rate: linear warm-up from 1/1000 within the first epoch, then decay by steps of epochs."""
    stage = settings.detector
    factor = stage.decay_factor ** (epoch // stage.decay_every)
    warmup = min(stage.warmup_steps, steps - 1)
    if epoch == 0 and step < warmup:
        start = 1 / 1000
        factor *= start + (1 - start) * step / warmup
    return factor


def train_detector(
    settings: Settings, model: MaskRCNN, videos: list[Video], *, binary: bool, seed: int, resume: Resume | None = None
) -> TrainingState:
    """Train `model` in place; the last epoch is kept, as the authors did.

    Raises:
        DivergedError: a loss is not finite.
    """
    stage = settings.detector
    device = next(model.parameters()).device
    options = {"binary": binary, "flip": stage.flip, "train_frames": stage.train_frames}
    data = Frames(videos, **options)
    optimizer = make_sgd(model, stage)
    state = TrainingState(model, optimizer, seed, stage.epochs, resume=resume)
    model.train()
    for epoch in state.epochs():
        data.seed = derived_seed(seed, "epoch", epoch)
        batches = torch.randperm(len(data)).split(stage.batch_size)
        left = [batch.tolist() for batch in batches[state.position :]]
        loaded = load_batches(data, left, settings.loading_workers)
        for (step, _), (frames, wanted) in zip(state.steps(batches), loaded, strict=False):
            for group in optimizer.param_groups:
                group["lr"] = float(stage.lr) * learning_rate_factor(settings, epoch, step, len(batches))
            frames = [frame.to(device) for frame in frames]
            wanted = [{key: value.to(device) for key, value in target.items()} for target in wanted]
            losses = model(frames, wanted)
            optimizer.zero_grad(set_to_none=True)
            total_loss(losses, f"detector, epoch {epoch + 1}, step {step + 1}").backward()
            optimizer.step()
            state.add(losses)
        state.finish()
    return state
