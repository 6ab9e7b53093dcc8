"""Stage 2: Mask R-CNN on single frames of the training sequences (paper, section 4; the authors' code)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.models.detection.mask_rcnn import MaskRCNN
from torchvision.transforms import v2

from slowfast_vos.config import Settings
from slowfast_vos.training.loop import derived_seed, make_sgd, total_loss
from slowfast_vos.training.state import Resume, TrainingState
from slowfast_vos.videos.davis import Video, targets


class Frames(Dataset[tuple[Tensor, dict[str, Tensor]]]):
    """Single frames with torchvision's detection targets, flipped at random; frames without an object are left out.

    A frame's flip is seeded by itself and `seed`, whatever is loaded before it or beside it.
    """

    def __init__(
        self, videos: list[Video], *, merged: bool, flip: float, train_frames: int | None, seed: int = 0
    ) -> None:
        self.items = [
            (video, index)
            for video in videos
            for index in spread(len(video), train_frames)
            if video.ids(index, merged=merged).any()
        ]
        self.merged = merged
        self.seed = 0
        self.flip = v2.RandomHorizontalFlip(flip)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, item: int) -> tuple[Tensor, dict[str, Tensor]]:
        video, index = self.items[item]
        frame = tv_tensors.Image(video.frame(index))
        # The masks alone are transformed; boxes are always computed from the transformed masks.
        ids = tv_tensors.Mask(torch.from_numpy(video.ids(index, merged=self.merged)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(self.seed, "flip", item))
            frame, ids = self.flip(frame, ids)
        return frame.as_subclass(Tensor), targets(ids.numpy())


def spread(length: int, count: int | None) -> list[int]:
    """`count` indices spread evenly over `length` frames; all of them for None."""
    if count is None or count >= length:
        return list(range(length))
    return [index * length // count for index in range(count)]


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
    settings: Settings, model: MaskRCNN, videos: list[Video], *, merged: bool, seed: int, resume: Resume | None = None
) -> TrainingState:
    """Train `model` in place; the last epoch is kept, as the authors did.

    Raises:
        DivergedError: a loss is not finite.
    """
    stage = settings.detector
    device = next(model.parameters()).device
    options = {"merged": merged, "flip": stage.flip, "train_frames": stage.train_frames}
    data = Frames(videos, **options)
    optimizer = make_sgd(model, stage)
    state = TrainingState(model, optimizer, seed, stage.epochs, resume=resume)
    model.train()
    for epoch in state.epochs():
        data.seed = derived_seed(seed, "epoch", epoch)
        batches = torch.randperm(len(data)).split(stage.batch_size)
        left = [batch.tolist() for batch in batches[state.position :]]
        loader = DataLoader(data, batch_sampler=left, collate_fn=lambda batch: tuple(zip(*batch, strict=True)))
        for (step, _), (frames, wanted) in zip(state.steps(batches), loader, strict=False):
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
