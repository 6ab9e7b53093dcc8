"""Stage 3: the unsupervised parent of a setup, trained from the detector (paper, section 4.1)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models.detection.rpn import RegionProposalNetwork

from slowfast_vos.config import Parent
from slowfast_vos.model.slowfast_maskrcnn import Features, SlowFastMaskRCNN, Target
from slowfast_vos.training.detector import spread
from slowfast_vos.training.loop import EpochMeter, TrainingState, make_sgd, seed_everything, total_loss
from slowfast_vos.videos.davis import Video, targets

GIB = 2**30
Step = tuple[Video, list[int]]


@dataclass
class EncodedVideo:
    """What a frozen backbone and RPN make of a video, and its targets in the resized frames' coordinates."""

    features: Features
    proposals: list[Tensor]
    image_size: tuple[int, int]
    targets: list[Target]

    @property
    def size_in_bytes(self) -> int:
        """Memory that the tensors take."""
        tensors = [*self.features.values(), *self.proposals, *(v for t in self.targets for v in t.values())]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class Encoder:
    """Encodes whole videos with the frozen parts, and keeps them as long as the bound on memory allows."""

    def __init__(self, model: SlowFastMaskRCNN, parent: Parent, *, merged: bool) -> None:
        self.model, self.parent, self.merged = model, parent, merged
        self.left = parent.feature_cache_gib * GIB
        self.kept: dict[str, EncodedVideo] = {}

    def __call__(self, video: Video) -> EncodedVideo:
        if video.name in self.kept:
            return self.kept[video.name]
        encoded = self._encode(video)
        if encoded.size_in_bytes <= self.left:
            self.left -= encoded.size_in_bytes
            self.kept[video.name] = encoded
        return encoded

    @torch.no_grad()
    def _encode(self, video: Video) -> EncodedVideo:
        model, device = self.model.maskrcnn_model, next(self.model.parameters()).device
        features: dict[str, list[Tensor]] = {}
        proposals, scaled, size = [], [], (0, 0)
        for start in range(0, len(video), self.model.chunk_length):
            chunk = range(start, min(start + self.model.chunk_length, len(video)))
            frames = [video.frame(index).to(device) for index in chunk]
            wanted = [targets(video.ids(index, merged=self.merged)) for index in chunk]
            wanted = [{key: value.to(device) for key, value in target.items()} for target in wanted]
            images, resized = model.transform(frames, wanted)
            maps = self.model.encode(images.tensors)
            with training_proposals(model.rpn, wanted=self.parent.step == "b"):
                proposals += model.rpn(images, maps)[0]
            scaled += resized
            size = images.image_sizes[0]
            for level, values in maps.items():
                features.setdefault(level, []).append(values)
        return EncodedVideo({level: torch.cat(maps) for level, maps in features.items()}, proposals, size, scaled)


def epoch_steps(videos: list[Video], parent: Parent) -> list[Step]:
    """An epoch's steps: runs of consecutive centre frames, in file order or shuffled."""
    steps = []
    for video in videos:
        starts = range(0, len(video), parent.frames_per_step)
        wanted = None if parent.train_frames is None else max(parent.train_frames // parent.frames_per_step, 1)
        for start in (starts[index] for index in spread(len(starts), wanted)):
            steps.append((video, list(range(start, min(start + parent.frames_per_step, len(video))))))
    if parent.shuffle:
        random.shuffle(steps)
    return steps


def encoded_losses(model: SlowFastMaskRCNN, encoded: EncodedVideo, centres: list[int]) -> dict[str, Tensor]:
    """RoI losses of some centre frames of a video that is already encoded."""
    windows = model.windows(encoded.features, centres)
    sizes = [encoded.image_size] * len(centres)
    wanted = [encoded.targets[index] for index in centres]
    return model.roi_losses(windows, [encoded.proposals[index] for index in centres], sizes, wanted)


def clip_losses(model: SlowFastMaskRCNN, video: Video, centres: list[int], *, merged: bool) -> dict[str, Tensor]:
    """All losses of some centre frames, from the frames of their windows."""
    device = next(model.parameters()).device
    first = max(centres[0] - model.setup.before, 0)
    last = min(centres[-1] + model.setup.after, len(video) - 1)
    frames = [video.frame(index).to(device) for index in range(first, last + 1)]
    wanted: list[Target | None] = [None] * len(frames)
    for index in centres:
        target = targets(video.ids(index, merged=merged))
        wanted[index - first] = {key: value.to(device) for key, value in target.items()}
    return model.losses(frames, wanted)


def train_parent(
    parent: Parent,
    model: SlowFastMaskRCNN,
    videos: list[Video],
    *,
    merged: bool,
    seed: int,
    select: Callable[[SlowFastMaskRCNN], float],
    resume: Path | None = None,
) -> TrainingState:
    """Train `model` in place and leave the best epoch's weights in it.

    Args:
        parent: the stage's settings; a frozen backbone means a frozen RPN too.
        select: J&F of the model on the selection sequences.

    Raises:
        DivergedError: a loss is not finite.
    """
    frozen = parent.backbone == "frozen"
    model.freeze(("backbone", "rpn") if frozen else ())
    encoder = Encoder(model, parent, merged=merged)
    optimizer = make_sgd(model, parent)
    state = TrainingState(resume)

    def losses_of(video: Video, centres: list[int]) -> dict[str, Tensor]:
        if frozen:
            return encoded_losses(model, encoder(video), centres)
        return clip_losses(model, video, centres, merged=merged)

    seed_everything(seed)
    for epoch in state.epochs(parent.epochs, model, optimizer, seed):
        steps = epoch_steps(videos, parent)
        meter = EpochMeter(f"epoch {epoch + 1} of {parent.epochs}", len(steps))
        model.train()
        for step, (video, centres) in enumerate(steps):
            optimizer.zero_grad(set_to_none=True)
            for some in parts_of_step(centres, parent):
                losses = losses_of(video, some)
                total_loss(losses, f"parent, epoch {epoch + 1}, step {step + 1}, {video.name}").backward()
            optimizer.step()
            meter.add(losses)
        last = epoch + 1 == parent.epochs
        score = select(model.eval()) if last or (epoch + 1) % parent.score_every == 0 else None
        state.finish(epoch, meter, score, model, parent.epochs)
    state.restore_best(model)
    return state


def parts_of_step(centres: list[int], parent: Parent) -> Iterator[list[int]]:
    """Variant a: one forward of all frames, losses averaged; b: a forward for each frame, gradients summed."""
    if parent.step == "a":
        yield centres
    else:
        yield from ([centre] for centre in centres)


@contextmanager
def training_proposals(rpn: RegionProposalNetwork, *, wanted: bool) -> Iterator[None]:
    """Let a frozen RPN propose as many boxes as in training (variant b of the step)."""
    kept = rpn._pre_nms_top_n, rpn._post_nms_top_n
    if wanted:
        rpn._pre_nms_top_n, rpn._post_nms_top_n = ({**counts, "testing": counts["training"]} for counts in kept)
    try:
        yield
    finally:
        rpn._pre_nms_top_n, rpn._post_nms_top_n = kept
