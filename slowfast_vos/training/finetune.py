"""Stages 4 and 6: fine-tuning a parent on the annotated first frame of one video (paper, section 4.2)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

from slowfast_vos.config import Settings
from slowfast_vos.errors import UserError
from slowfast_vos.model.slowfast_maskrcnn import Prepared, SlowFastMaskRCNN
from slowfast_vos.model.streaming import batches
from slowfast_vos.sections import FREEZES
from slowfast_vos.training.loop import Resume, TrainingState, derived_seed, make_sgd, seed_everything, total_loss
from slowfast_vos.videos.augment import Augment
from slowfast_vos.videos.davis import Video, targets

SAMPLES_PER_EPOCH = 200
SampleKey = tuple[str, str, int]  # video, scale, iteration
Reuse = Callable[[SampleKey, Callable[[], Prepared]], Prepared]


@dataclass(frozen=True)
class Configuration:
    """A point of the grid."""

    freeze: str
    scale: str  # range of the random scale
    lr: str

    def as_job(self) -> dict[str, str]:
        """The configuration as a record's `job`."""
        return asdict(self)


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
) -> tuple[SlowFastMaskRCNN, TrainingState]:
    """Fine-tune a copy of `parent` on frame 0 of `video`; the last iteration is kept.

    Seeded by identity, each sample has a seed of its own, so that all configurations of one `seed` see the same draws
    (common random numbers) and are compared in pairs.

    Args:
        iterations: samples; the gradients of `finetune.accumulate` of them make one optimiser step.
        reuse: gives a sample by its key, or prepares it; for configurations that freeze all but the RoI heads.

    Raises:
        UserError: the first frame shows no object.
        DivergedError: a loss is not finite.
    """
    ids = torch.from_numpy(video.ids(0, binary=True)).long()
    if not len(targets(ids.numpy())["boxes"]):
        raise UserError(f"{video.masks[0]}: found no object; expected one to fine-tune on")
    model = copy.deepcopy(parent)
    drifting = settings.option("frozen_statistics") == "drift"
    model.freeze(FREEZES[configuration.freeze], drifting_statistics=drifting).train()
    optimizer = make_sgd(model, settings.finetune, configuration.lr)
    augment = Augment(settings.finetune, float(configuration.scale))
    order = model.setup.mirrored_window(len(video))
    frames = torch.stack([video.frame(index) for index in range(max(order) + 1)])  # [T, 3, H, W], frame 0 first
    # Augmented where the model is: a GPU would wait for a CPU's affine map of large frames.
    device = next(model.parameters()).device
    frames, ids = frames.to(device), ids.to(device)
    steps = list(batches(range(iterations), settings.finetune.accumulate))
    epochs = list(batches(steps, max(SAMPLES_PER_EPOCH // settings.finetune.accumulate, 1)))
    state = TrainingState(model, optimizer, seed, len(epochs), f"{video.name}, ", resume)
    common = settings.option("seeding") == "identity"
    if not common or drifting or configuration.freeze != "BB_SF":
        reuse = None

    def prepare() -> Prepared:
        moved, target = augment(frames, ids)
        target = {key: value.to(device) for key, value in target.items()}
        return model.prepare(list(moved), [target, *[None] * (len(moved) - 1)], order)

    for epoch in state.epochs():
        for _, samples in state.steps(epochs[epoch]):
            optimizer.zero_grad(set_to_none=True)
            for sample in samples:
                if common:
                    seed_everything(derived_seed(seed, "sample", sample))
                prepared = reuse((video.name, configuration.scale, sample), prepare) if reuse else prepare()
                if common:  # whether it was cached or not, the heads draw the same boxes
                    seed_everything(derived_seed(seed, "boxes", sample))
                losses = model.head_losses(prepared)
                total_loss(losses, f"{video.name}, iteration {sample + 1}").backward()
                state.add(losses)
            optimizer.step()
        state.finish()
    return model.eval(), state
