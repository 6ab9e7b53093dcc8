"""Stage 3: the unsupervised parent of a setup, trained from the detector (paper, section 4.1)."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from slowfast_vos.measuring.record import Scores
from slowfast_vos.model.slowfast_maskrcnn import Features, SlowFastMaskRCNN, Target
from slowfast_vos.model.streaming import batches
from slowfast_vos.prefetch import prefetch
from slowfast_vos.sections import Parent
from slowfast_vos.training.detector import spread
from slowfast_vos.training.loop import Resume, TrainingState, make_sgd, total_loss
from slowfast_vos.videos.davis import Video, targets

GIB = 2**30
Step = tuple[Video, list[int]]  # some frames of a video, such as the centre frames of a step's windows
Clip = dict[int, tuple[Tensor, Target]]  # by index: frames [3, H, W] in [0, 1], and their targets


def epoch_steps(videos: list[Video], parent: Parent) -> list[Step]:
    """An epoch's steps: runs of consecutive centre frames, in file order or shuffled."""
    wanted = None if parent.train_frames is None else max(parent.train_frames // parent.frames_per_step, 1)
    steps: list[Step] = []
    for video in videos:
        runs = list(batches(range(len(video)), parent.frames_per_step))
        steps += [(video, runs[index]) for index in spread(len(runs), wanted)]
    if parent.shuffle:
        random.shuffle(steps)
    return steps


def read_clip(step: Step, *, binary: bool) -> Clip:
    """Some frames of a video with their targets."""
    video, indices = step
    return {index: (video.frame(index), targets(video.ids(index, binary=binary))) for index in indices}


def clip_losses(model: SlowFastMaskRCNN, clip: Clip, centres: Sequence[int], length: int) -> dict[str, Tensor]:
    """All losses of some centre frames of a video of `length`."""
    device = next(model.parameters()).device
    frames, wanted = [], []
    for index in model.setup.window(centres, length):
        frame, target = clip[index]
        frames.append(frame.to(device))
        wanted.append({key: value.to(device) for key, value in target.items()} if index in centres else None)
    return model.losses(frames, wanted)


def train_parent(
    parent: Parent,
    model: SlowFastMaskRCNN,
    videos: list[Video],
    *,
    binary: bool,
    seed: int,
    select: Callable[[SlowFastMaskRCNN, TrainingState], Scores],
    resume: Resume | None = None,
) -> TrainingState:
    """Train `model` in place and leave the best epoch's weights in it.

    Args:
        select: scores of the model on the selection sequences; the state has those that were scored before a kill.

    Raises:
        DivergedError: a loss is not finite.
    """
    model.freeze(parent.frozen_parts)
    cache = FeatureCache(model, parent, binary=binary) if parent.backbone == "frozen" else None
    optimizer = make_sgd(model, parent)
    state = TrainingState(model, optimizer, seed, parent.epochs, resume=resume)
    # While a GPU works on a step, a thread reads the next one's frames.
    ahead = 0 if next(model.parameters()).device.type == "cpu" else 1
    read = partial(read_clip, binary=binary)
    for epoch in state.epochs():
        model.train()
        steps = epoch_steps(videos, parent)
        clips = prefetch(read, frames_to_read(steps[state.position :], model, cache), ahead)
        for (step, (video, centres)), clip in zip(state.steps(steps), clips, strict=False):
            optimizer.zero_grad(set_to_none=True)
            # Variant a: one forward of all frames, losses averaged; b: a forward for each frame, gradients summed.
            for part in [centres] if parent.step == "a" else [[centre] for centre in centres]:
                if cache is None:
                    losses = clip_losses(model, clip, part, len(video))
                else:
                    losses = cache.losses(video, part, clip)
                total_loss(losses, f"parent, epoch {epoch + 1}, step {step + 1}, {video.name}").backward()
                state.add(losses)
            optimizer.step()
        last = epoch + 1 == parent.epochs
        state.finish(select(model.eval(), state) if last or (epoch + 1) % parent.score_every == 0 else None)
    if state.best is not None:
        model.load_state_dict(state.best.weights)
    return state


def frames_to_read(steps: list[Step], model: SlowFastMaskRCNN, cache: FeatureCache | None) -> Iterator[Step]:
    """For each step, the frames of its windows, without those whose features are cached or about to be."""
    current: list[tuple[str, int]] = []  # frames of the step that trains while this one is read
    for video, centres in steps:
        known = {} if cache is None else {*cache.frames, *current}
        window = model.setup.window(centres, len(video))
        yield video, [index for index in window if (video.name, index) not in known]
        current = [(video.name, index) for index in window]


class Encoded(NamedTuple):
    """What a frozen backbone and RPN make of one frame, resized."""

    features: Features  # FPN levels, each [1, C, h, w]
    image_size: tuple[int, int]
    proposals: Tensor  # [P, 4]
    target: Target

    @property
    def size_in_bytes(self) -> int:
        """Memory of its tensors."""
        return sum(one.nbytes for one in (*self.features.values(), self.proposals, *self.target.values()))


class FeatureCache:
    """Frames through a frozen backbone and RPN; those used last are cached, up to `parent.feature_cache_gib`.

    Each frame is encoded by itself: its features do not depend, in their last bits, on its neighbours in a batch, so
    that a training that is resumed equals an undisturbed one.
    """

    def __init__(self, model: SlowFastMaskRCNN, parent: Parent, *, binary: bool) -> None:
        self.model, self.parent, self.binary = model, parent, binary
        self.bound = parent.feature_cache_gib * GIB
        self.frames: OrderedDict[tuple[str, int], Encoded] = OrderedDict()
        self.size_in_bytes = 0

    def losses(self, video: Video, centres: Sequence[int], clip: Clip) -> dict[str, Tensor]:
        """RoI losses of consecutive centre frames; what is neither cached nor in `clip` is read now."""
        window = self.model.setup.window(centres, len(video))
        frames = [self._encoded(video, index, clip) for index in window]
        features = {level: torch.cat([one.features[level] for one in frames]) for level in frames[0].features}
        places = [index - window[0] for index in centres]
        windows = self.model.windows(features, places)  # levels [T, C, h, w] → [len(centres), C, fast, h, w]
        _, sizes, proposals, wanted = map(list, zip(*(frames[place] for place in places), strict=True))
        return self.model.roi_losses(windows, proposals, sizes, wanted)

    def _encoded(self, video: Video, index: int, clip: Clip) -> Encoded:
        encoded = self.frames.pop((video.name, index), None)
        if encoded is None:
            clip = clip if index in clip else read_clip((video, [index]), binary=self.binary)
            encoded = self._encode(*clip[index])
            self.size_in_bytes += encoded.size_in_bytes
        self.frames[video.name, index] = encoded  # the last one: it is removed last
        while self.size_in_bytes > self.bound and self.frames:
            self.size_in_bytes -= self.frames.popitem(last=False)[1].size_in_bytes
        return encoded

    @torch.no_grad()
    def _encode(self, frame: Tensor, target: Target) -> Encoded:
        network, device = self.model.maskrcnn_model, next(self.model.parameters()).device
        target = {key: value.to(device) for key, value in target.items()}
        # In training, torchvision draws the size to resize to; caching must not move the step's random numbers.
        with torch.random.fork_rng(devices=[]):
            images, scaled = network.transform([frame.to(device)], [target])
        features = self.model.encode(images.tensors)
        rpn, counts = network.rpn, (network.rpn._pre_nms_top_n, network.rpn._post_nms_top_n)
        if self.parent.step == "b":  # there the RPN proposes as many boxes as in training
            rpn._pre_nms_top_n, rpn._post_nms_top_n = ({**some, "testing": some["training"]} for some in counts)
        proposals = rpn(images, features)[0][0]
        rpn._pre_nms_top_n, rpn._post_nms_top_n = counts
        return Encoded(features, images.image_sizes[0], proposals, scaled[0])
