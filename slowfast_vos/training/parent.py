"""Stage 3: the unsupervised parent of a setup, trained from the detector (paper, section 4.1)."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from torch import Tensor

from slowfast_vos.measuring.record import Scores
from slowfast_vos.model import identity
from slowfast_vos.model.identity import Moments
from slowfast_vos.model.pathways import SlowFast
from slowfast_vos.model.slowfast_maskrcnn import PARTS, SlowFastMaskRCNN
from slowfast_vos.model.streaming import batches
from slowfast_vos.prefetch import prefetch
from slowfast_vos.progress import progress_lines
from slowfast_vos.sections import Parent
from slowfast_vos.training.detector import spread
from slowfast_vos.training.features import Clip, FeatureCache, Step, read_clip
from slowfast_vos.training.loop import Resume, TrainingState, half_cosine, make_sgd, total_loss
from slowfast_vos.videos.davis import Video


def epoch_steps(videos: list[Video], parent: Parent) -> list[list[Step]]:
    """An epoch's steps: some runs each of consecutive centre frames, in file order or shuffled."""
    wanted = None if parent.train_frames is None else max(parent.train_frames // parent.frames_per_step, 1)
    steps: list[Step] = []
    views = max(parent.views, 1)
    for number, video in enumerate(videos):
        runs = list(batches(range(len(video)), parent.frames_per_step))
        chosen = spread(len(runs), wanted)
        # The views of a video share out its frames.
        first = number % views * len(runs) // (len(chosen) * views)
        steps += [(video, runs[first + index]) for index in chosen]
    if parent.shuffle:
        random.shuffle(steps)
    return list(batches(steps, parent.videos_per_step))


def clip_losses(model: SlowFastMaskRCNN, steps: Sequence[Step], clips: Sequence[Clip]) -> dict[str, Tensor]:
    """All losses of some centre frames of some videos."""
    device = next(model.parameters()).device
    resized = []
    for (video, centres), clip in zip(steps, clips, strict=True):
        window = model.setup.window(centres, len(video))
        wanted = {index: {key: value.to(device) for key, value in clip[index][1].items()} for index in centres}
        frames = [clip[index][0].to(device) for index in window]
        resized.append(model.resize(frames, [wanted.get(index) for index in window]))
    return model.head_losses(model.prepare_together(resized))


def feature_cache(parent: Parent, *, binary: bool) -> FeatureCache:
    """An empty cache for parents."""
    return FeatureCache(parent.feature_cache_gib, binary=binary, many_proposals=parent.step == "b")


def rate(parent: Parent, progress: float) -> float:
    """The learning rate when a share of the training is done, 0 at its start and 1 at its end."""
    lr = float(parent.lr)
    return lr if parent.schedule == "constant" else lr * half_cosine(progress)


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
    threads: int = 1,
) -> TrainingState:
    """Train `model` in place and leave in it the weights of the epoch that `select` scores best.

    Args:
        cache: features of a network whose frozen parts are this one's; without it they are computed again.
        threads: read the next steps' frames while a GPU works; a CPU reads them when they are due.

    Raises:
        DivergedError: a loss is not finite.
    """
    cache = cache or feature_cache(parent, binary=binary)
    if parent.start == "identity" and isinstance(model.slow_fast, SlowFast):
        start_as_identity(parent, model, videos, cache, threads)
    model.freeze(parent.frozen_parts)
    frozen = parent.backbone == "frozen"
    losses_of = cache.losses if frozen else clip_losses
    optimizer = make_sgd(model, parent)
    state = TrainingState(model, optimizer, seed, parent.epochs, resume=resume)
    for epoch in state.epochs():
        model.train()
        steps = epoch_steps(videos, parent)
        left = read_clips(steps[state.position :], model, cache, steps_ahead(model, threads), encoded=frozen)
        for (step, group), clips in zip(state.steps(steps), left, strict=False):
            optimizer.zero_grad(set_to_none=True)
            optimizer.param_groups[0]["lr"] = rate(parent, (epoch + step / len(steps)) / parent.epochs)
            # Variant a: one forward of all frames, losses averaged; b: a forward for each frame, gradients summed.
            for part, some in [(group, clips)] if parent.step == "a" else each_frame(group, clips):
                losses = losses_of(model, part, some)
                total_loss(losses, f"parent, epoch {epoch + 1}, step {step + 1}, {part[0][0].name}").backward()
                state.add(losses)
            optimizer.step()
        last = epoch + 1 == parent.epochs
        state.finish(select(model.eval(), state) if last or (epoch + 1) % parent.score_every == 0 else None)
    if state.best is not None:
        model.load_state_dict(state.best.weights)
    return state


def start_as_identity(
    parent: Parent, model: SlowFastMaskRCNN, videos: list[Video], cache: FeatureCache, threads: int
) -> None:
    """Let the module give each centre frame its own features, which the detector's heads know."""
    model.freeze(PARTS).eval()
    steps = epoch_steps(videos, parent.model_copy(update={"shuffle": False}))
    moments = Moments(model.maskrcnn_model.backbone.out_channels)
    clips = read_clips(steps, model, cache, steps_ahead(model, threads))
    for group in progress_lines(steps, "features of the training frames", lambda group: group[0][0].name):
        centres = cache.centres(model, group, next(clips))
        for level in model.roi_levels:
            moments.add(centres[level])
    identity.start_as_identity(model.slow_fast, moments)


def each_frame(steps: list[Step], clips: list[Clip]) -> Iterator[tuple[list[Step], list[Clip]]]:
    """The centre frames of a step, one by one."""
    for (video, centres), clip in zip(steps, clips, strict=True):
        for centre in centres:
            yield [(video, [centre])], [clip]


def read_clips(
    steps: list[list[Step]], model: SlowFastMaskRCNN, cache: FeatureCache, ahead: int, *, encoded: bool = True
) -> Iterator[list[Clip]]:
    """For each step the frames that are to be encoded, read `ahead` of it.

    Args:
        encoded: whether features come from the cache, where it has them.
    """

    def read(group: list[Step]) -> list[Clip]:
        return [read_clip(one, binary=cache.binary) for one in group]

    return prefetch(read, frames_to_read(steps, model, cache if encoded else None, ahead), ahead, ahead)


def steps_ahead(model: SlowFastMaskRCNN, threads: int) -> int:
    """How many steps' frames are read while a step trains, each by a thread."""
    return 0 if next(model.parameters()).device.type == "cpu" else max(threads, 1)


def frames_to_read(
    steps: list[list[Step]], model: SlowFastMaskRCNN, cache: FeatureCache | None, ahead: int
) -> Iterator[list[Step]]:
    """For each step, the frames of its windows, without those whose features are cached or about to be.

    Args:
        ahead: how many steps before its own turn a step's frames are read.
    """
    pending: deque[list[tuple[str, int]]] = deque(maxlen=ahead)  # of the steps that are not yet trained on
    for group in steps:
        known = set() if cache is None else {*cache.frames, *chain.from_iterable(pending)}
        windows = [(video, model.setup.window(centres, len(video))) for video, centres in group]
        yield [(video, [i for i in window if (video.name, i) not in known]) for video, window in windows]
        pending.append([(video.name, index) for video, window in windows for index in window])
