"""Stage 3: the unsupervised parent of a setup, trained from the detector (paper, section 4.1)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models.detection.rpn import RegionProposalNetwork

from slowfast_vos.model.slowfast_maskrcnn import Features, SlowFastMaskRCNN, Target
from slowfast_vos.sections import Parent
from slowfast_vos.training.detector import spread
from slowfast_vos.training.loop import EpochMeter, TrainingState, make_sgd, seed_everything, total_loss
from slowfast_vos.videos.davis import Video, targets

GIB = 2**30
Step = tuple[Video, list[int]]


class EncodedVideo:
    """What a frozen backbone and RPN make of a video's frames, each computed when it is first asked for."""

    def __init__(self, model: SlowFastMaskRCNN, parent: Parent, video: Video, *, merged: bool) -> None:
        self.model, self.parent, self.video, self.merged = model, parent, video, merged
        self.done = [False] * len(video)
        self.features: Features = {}
        self.centres: dict[int, tuple[Tensor, Target]] = {}
        self.image_size = (0, 0)

    @property
    def size_in_bytes(self) -> int:
        """Memory that the features take."""
        return sum(maps.numel() * maps.element_size() for maps in self.features.values())

    def ask(self, centres: list[int]) -> None:
        """Make sure that the windows of some centre frames, and what the RoI heads need of these, are there."""
        reach = range(-self.model.setup.before, self.model.setup.after + 1)
        wanted = {min(max(centre + offset, 0), len(self.video) - 1) for centre in centres for offset in reach}
        missing = sorted(index for index in wanted if not self.done[index])
        for start in range(0, len(missing), self.model.chunk_length):
            self._encode(missing[start : start + self.model.chunk_length])
        for centre in centres:
            if centre not in self.centres:
                self.centres[centre] = self._propose(centre)

    @torch.no_grad()
    def _encode(self, indices: list[int]) -> None:
        images = self.model.maskrcnn_model.transform([self._frame(index) for index in indices])[0]
        self.image_size = images.image_sizes[0]
        for level, maps in self.model.encode(images.tensors).items():
            if level not in self.features:
                self.features[level] = maps.new_zeros((len(self.video), *maps.shape[1:]))
            self.features[level][indices] = maps
        for index in indices:
            self.done[index] = True

    @torch.no_grad()
    def _propose(self, centre: int) -> tuple[Tensor, Target]:
        model, frame = self.model.maskrcnn_model, self._frame(centre)
        target = targets(self.video.ids(centre, merged=self.merged))
        images, (target,) = model.transform([frame], [{key: value.to(frame.device) for key, value in target.items()}])
        own = {level: maps[centre : centre + 1] for level, maps in self.features.items()}
        with training_proposals(model.rpn, wanted=self.parent.step == "b"):
            return model.rpn(images, own)[0][0], target

    def _frame(self, index: int) -> Tensor:
        return self.video.frame(index).to(next(self.model.parameters()).device)


class Encoder:
    """Encoded videos, kept as long as the bound on memory allows."""

    def __init__(self, model: SlowFastMaskRCNN, parent: Parent, *, merged: bool) -> None:
        self.model, self.parent, self.merged = model, parent, merged
        self.left = parent.feature_cache_gib * GIB
        self.kept: dict[str, EncodedVideo] = {}

    def __call__(self, video: Video, centres: list[int]) -> EncodedVideo:
        """The video, with the windows of its frames `centres` encoded."""
        if video.name in self.kept:
            self.kept[video.name].ask(centres)
            return self.kept[video.name]
        encoded = EncodedVideo(self.model, self.parent, video, merged=self.merged)
        encoded.ask(centres)
        if encoded.size_in_bytes <= self.left:
            self.left -= encoded.size_in_bytes
            self.kept[video.name] = encoded
        return encoded


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
    proposals, wanted = zip(*(encoded.centres[index] for index in centres), strict=True)
    windows = model.windows(encoded.features, centres)
    return model.roi_losses(windows, list(proposals), [encoded.image_size] * len(centres), list(wanted))


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
            return encoded_losses(model, encoder(video, centres), centres)
        return clip_losses(model, video, centres, merged=merged)

    seed_everything(seed)
    for epoch in state.epochs(parent.epochs, model, optimizer, seed):
        steps = epoch_steps(videos, parent)
        meter = EpochMeter(f"epoch {epoch + 1} of {parent.epochs}", len(steps))
        model.train()
        for step, (video, centres) in enumerate(steps):
            optimizer.zero_grad(set_to_none=True)
            parts = list(parts_of_step(centres, parent))
            mean: dict[str, Tensor] = {}
            for some in parts:
                losses = losses_of(video, some)
                total_loss(losses, f"parent, epoch {epoch + 1}, step {step + 1}, {video.name}").backward()
                for name, loss in losses.items():
                    mean[name] = mean.get(name, 0) + loss.detach() / len(parts)
            optimizer.step()
            meter.add(mean)
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
