"""Stages 4 and 6: fine-tuning a parent on the annotated first frame of one video (paper, section 4.2)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from slowfast_vos.config import Settings
from slowfast_vos.errors import UserError
from slowfast_vos.model.slowfast_maskrcnn import Prepared, Resized, SlowFastMaskRCNN
from slowfast_vos.model.streaming import batches
from slowfast_vos.sections import FREEZES, Configuration
from slowfast_vos.seeds import derived_seed, seed_everything
from slowfast_vos.training.loop import Resume, TrainingState, make_sgd, total_loss
from slowfast_vos.videos.augment import Augment
from slowfast_vos.videos.davis import Video, targets

SAMPLES_PER_EPOCH = 200


SampleKind = Literal["resized", "windowed", "prepared"]


class SampleKey(NamedTuple):
    """Names a sample, for those that share it."""

    kind: SampleKind
    video: str
    scale: str
    iteration: int
    frames: int


Reuse = Callable[[SampleKey, Callable[[], Any]], Any]


def fine_tune(
    settings: Settings,
    parent: SlowFastMaskRCNN,
    video: Video,
    configuration: Configuration,
    *,
    iterations: int,
    seed: int,
    resume: Resume | None = None,
    reuse: Reuse | None = None,
    model: SlowFastMaskRCNN | None = None,
) -> tuple[SlowFastMaskRCNN, TrainingState]:
    """Fine-tune a copy of `parent` on frame 0 of `video`; the last iteration is kept.

    Seeded by identity, each sample has a seed of its own, so that all configurations of one `seed` see the same draws
    (common random numbers) and are compared in pairs.

    Args:
        iterations: samples; the gradients of `finetune.accumulate` of them make one optimiser step.
        reuse: gives a sample by its key, or makes it: `Resized`, the same for all configurations of all setups that
            see as many frames; and where all but the RoI heads is frozen, for the samples of a step from this one on,
            what comes before the SlowFast module, the same for all parents with one backbone, and what comes behind it.
        model: an earlier copy of `parent`, to overwrite; to make one takes as long as a sample of a small network.

    Raises:
        UserError: the first frame shows no object.
        DivergedError: a loss is not finite.
    """
    ids = torch.from_numpy(video.ids(0, binary=True)).long()
    if not len(targets(ids.numpy())["boxes"]):
        raise UserError(f"{video.masks[0]}: found no object; expected one to fine-tune on")
    if model is None:
        model = copy.deepcopy(parent)
    else:
        model.load_state_dict(parent.state_dict())
    drifting = settings.option("frozen_statistics") == "drift"
    model.freeze(FREEZES[configuration.freeze], drifting_statistics=drifting).train()
    optimizer = make_sgd(model, settings.finetune, configuration.lr)
    order = model.setup.mirrored_window(len(video))
    count = max(order) + 1  # frames of a sample
    augment = Augment(settings.finetune, float(configuration.scale))
    # Augmented where the model is: a GPU would wait for a CPU's affine map of large frames.
    device = next(model.parameters()).device
    steps = list(batches(range(iterations), settings.finetune.accumulate))
    epochs = list(batches(steps, max(SAMPLES_PER_EPOCH // settings.finetune.accumulate, 1)))
    state = TrainingState(model, optimizer, seed, len(epochs), f"{video.name}, ", resume)
    common = settings.option("seeding") == "identity"
    heads_alone = common and not drifting and configuration.freeze == "BB_SF"
    # On a CPU the frames of a step pass the backbone as one batch, for speed; a GPU's memory is for larger frames.
    together = common and device.type == "cpu"

    @cache
    def frames() -> Tensor:  # [T, 3, H, W], frame 0 first; not read where all samples are known
        return torch.stack([video.frame(index) for index in range(count)]).to(device)

    def make() -> Resized:
        moved, target = augment(frames(), ids.to(device))
        return model.resize(list(moved), [target, *[None] * (len(moved) - 1)])

    def known(kind: SampleKind, sample: int, make: Callable[[], Any]) -> Any:
        key = SampleKey(kind, video.name, configuration.scale, sample, count)
        return reuse(key, make) if reuse and common else make()

    def draw(sample: int) -> Resized:
        if common:
            seed_everything(derived_seed(seed, "sample", sample))
        return known("resized", sample, make)

    def windowed(group: list[int]) -> list[Prepared]:
        return model.windowed(list(map(draw, group)), order)

    def prepare(group: list[int]) -> list[Prepared]:
        found = known("windowed", group[0], partial(windowed, group)) if heads_alone else windowed(group)
        return list(map(model.enhanced, found))

    for epoch in state.epochs():
        for _, step in state.steps(epochs[epoch]):
            optimizer.zero_grad(set_to_none=True)
            for group in batches(step, len(step) if together else 1):
                kept = known("prepared", group[0], partial(prepare, group)) if heads_alone else prepare(group)
                totals = []
                for sample, prepared in zip(group, kept, strict=True):
                    if common:  # whether it was cached or not, the heads draw the same boxes
                        seed_everything(derived_seed(seed, "boxes", sample))
                    losses = model.head_losses(prepared)
                    totals.append(total_loss(losses, f"{video.name}, iteration {sample + 1}"))
                    state.add(losses)
                torch.stack(totals).sum().backward()
            optimizer.step()
        state.finish()
    return model.eval(), state
