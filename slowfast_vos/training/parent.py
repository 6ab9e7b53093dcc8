"""Stage 3: the unsupervised parent of a setup, trained from the detector (paper, section 4.1)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from torch import Tensor

from slowfast_vos.measuring.record import Scores
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN, Target
from slowfast_vos.sections import Parent
from slowfast_vos.training.ahead import read_ahead
from slowfast_vos.training.detector import spread
from slowfast_vos.training.encoder import Encoder
from slowfast_vos.training.loop import make_sgd, total_loss
from slowfast_vos.training.state import Resume, TrainingState
from slowfast_vos.videos.davis import Video, targets

Step = tuple[Video, list[int]]


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


def clip_losses(model: SlowFastMaskRCNN, video: Video, centres: list[int], *, binary: bool) -> dict[str, Tensor]:
    """All losses of some centre frames, from the frames of their windows."""
    device = next(model.parameters()).device
    window = model.setup.window(centres, len(video))
    frames = [video.frame(index).to(device) for index in window]
    wanted: list[Target | None] = [None] * len(frames)
    for index in centres:
        target = targets(video.ids(index, binary=binary))
        wanted[index - window[0]] = {key: value.to(device) for key, value in target.items()}
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
        parent: the stage's settings; a frozen backbone means a frozen RPN too.
        select: scores of the model on the selection sequences; the state keeps those that it has.

    Raises:
        DivergedError: a loss is not finite.
    """
    frozen = parent.backbone == "frozen"
    model.freeze(parent.frozen_parts)
    encoder = Encoder(model, parent, binary=binary)
    optimizer = make_sgd(model, parent)
    state = TrainingState(model, optimizer, seed, parent.epochs, resume=resume)

    def losses_of(video: Video, centres: list[int]) -> dict[str, Tensor]:
        return encoder.losses(video, centres) if frozen else clip_losses(model, video, centres, binary=binary)

    def begin_reading(video: Video, centres: list[int], now: Step) -> None:
        window = model.setup.window(centres, len(video))
        frames = encoder.to_read(video, centres, after=now) if frozen else list(window)
        ahead.begin(video, frames, [index for index in centres if index in frames], binary=binary)

    with read_ahead(wanted=next(model.parameters()).device.type != "cpu") as ahead:
        for epoch in state.epochs():
            model.train()
            steps = epoch_steps(videos, parent)
            for step, (video, centres) in state.steps(steps):
                video = ahead.take(video)
                if step + 1 < len(steps):
                    begin_reading(*steps[step + 1], now=(video, centres))
                optimizer.zero_grad(set_to_none=True)
                for some in parts_of_step(centres, parent):
                    losses = losses_of(video, some)
                    total_loss(losses, f"parent, epoch {epoch + 1}, step {step + 1}, {video.name}").backward()
                    state.add(losses)
                optimizer.step()
            last = epoch + 1 == parent.epochs
            state.finish(select(model.eval(), state) if last or (epoch + 1) % parent.score_every == 0 else None)
    state.restore_best()
    return state


def parts_of_step(centres: list[int], parent: Parent) -> Iterator[list[int]]:
    """Variant a: one forward of all frames, losses averaged; b: a forward for each frame, gradients summed."""
    if parent.step == "a":
        yield centres
    else:
        yield from ([centre] for centre in centres)
