"""Stage 3: the unsupervised parent of a setup, trained from the detector (paper, section 4.1)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from torch import Tensor

from slowfast_vos.measuring.record import Scores
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.model.streaming import batches
from slowfast_vos.prefetch import prefetch
from slowfast_vos.sections import Parent
from slowfast_vos.training.detector import spread
from slowfast_vos.training.features import Clip, FeatureCache, Step, read_clip
from slowfast_vos.training.loop import Resume, TrainingState, make_sgd, total_loss
from slowfast_vos.videos.davis import Video


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


def clip_losses(model: SlowFastMaskRCNN, clip: Clip, centres: Sequence[int], length: int) -> dict[str, Tensor]:
    """All losses of some centre frames of a video of `length`."""
    device = next(model.parameters()).device
    window = model.setup.window(centres, length)
    wanted = {index: {key: value.to(device) for key, value in clip[index][1].items()} for index in centres}
    return model.losses([clip[index][0].to(device) for index in window], [wanted.get(index) for index in window])


def feature_cache(parent: Parent, *, binary: bool) -> FeatureCache:
    """An empty cache for parents."""
    return FeatureCache(parent.feature_cache_gib, binary=binary, many_proposals=parent.step == "b")


def rate(parent: Parent, progress: float) -> float:
    """The learning rate when a share of the training is done, 0 at its start and 1 at its end."""
    lr = float(parent.lr)
    return lr if parent.schedule == "constant" else lr * (1 + math.cos(math.pi * progress)) / 2


def train_parent(
    parent: Parent,
    model: SlowFastMaskRCNN,
    videos: list[Video],
    *,
    binary: bool,
    seed: int,
    select: Callable[[SlowFastMaskRCNN, TrainingState], Scores],
    resume: Resume | None = None,
    cache: FeatureCache | None = None,
) -> TrainingState:
    """Train `model` in place and leave in it the weights of the epoch that `select` scores best.

    Args:
        cache: features of a network whose frozen parts are this one's; without it they are computed again.

    Raises:
        DivergedError: a loss is not finite.
    """
    model.freeze(parent.frozen_parts)
    cache = None if parent.backbone == "trained" else cache or feature_cache(parent, binary=binary)
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
            optimizer.param_groups[0]["lr"] = rate(parent, (epoch + step / len(steps)) / parent.epochs)
            # Variant a: one forward of all frames, losses averaged; b: a forward for each frame, gradients summed.
            for part in [centres] if parent.step == "a" else [[centre] for centre in centres]:
                losses = cache.losses(model, video, part, clip) if cache else clip_losses(model, clip, part, len(video))
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
