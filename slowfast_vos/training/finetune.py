"""Stages 4 and 6: fine-tuning a parent on the annotated first frame of one video (paper, section 4.2)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from slowfast_vos.config import Settings
from slowfast_vos.errors import UserError
from slowfast_vos.model.slowfast_maskrcnn import Prepared, Resized, SlowFastMaskRCNN
from slowfast_vos.model.streaming import batches
from slowfast_vos.sections import FREEZES
from slowfast_vos.training.loop import Resume, TrainingState, derived_seed, make_sgd, seed_everything, total_loss
from slowfast_vos.videos.augment import Augment
from slowfast_vos.videos.davis import Video, targets

SAMPLES_PER_EPOCH = 200
SampleKey = tuple[str, str, str, int]  # "drawn" or "prepared", video, scale, iteration
T = TypeVar("T")


class Drawn(NamedTuple):
    """A sample through the layers that never train: the same for all configurations."""

    resized: Resized
    random: Tensor  # the generator's state after it, since an RPN that trains draws anchors next

    @property
    def nbytes(self) -> int:
        """Memory of maps, masks and state."""
        return self.resized.nbytes + self.random.nbytes


class Reuse(Protocol):
    """Gives the sample of a key, or makes it."""

    def __call__(self, key: SampleKey, make: Callable[[], T], /) -> T: ...


@dataclass(frozen=True)
class Configuration:
    """A point of the grid."""

    freeze: str
    scale: str  # range of the random scale
    lr: str

    def as_job(self) -> dict[str, str]:
        """The configuration as a record's `job`."""
        return asdict(self)


def _anew(_: SampleKey, make: Callable[[], T], /) -> T:
    return make()


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
        reuse: gives a sample by its key, or makes it: drawn for all configurations alike, or (key "prepared") ready for
            the RoI heads, for those that freeze all else.

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
    # Augmented where the model is: a GPU would wait for a CPU's affine map of large frames.
    device = next(model.parameters()).device
    ids = ids.to(device)
    steps = list(batches(range(iterations), settings.finetune.accumulate))
    epochs = list(batches(steps, max(SAMPLES_PER_EPOCH // settings.finetune.accumulate, 1)))
    state = TrainingState(model, optimizer, seed, len(epochs), f"{video.name}, ", resume)
    common = settings.option("seeding") == "identity"
    heads_alone = configuration.freeze == "BB_SF" and not drifting
    if reuse is None or not common:
        reuse = _anew

    @cache
    def frames() -> Tensor:  # [T, 3, H, W], frame 0 first; not read where all samples are there
        return torch.stack([video.frame(index) for index in range(max(order) + 1)]).to(device)

    def draw() -> Drawn:
        moved, target = augment(frames(), ids)
        target = {key: value.to(device) for key, value in target.items()}
        return Drawn(model.resize(list(moved), [target, *[None] * (len(moved) - 1)]), torch.get_rng_state())

    def prepare(*sample: str | int) -> Prepared:
        drawn = reuse(("drawn", *sample), draw)
        torch.set_rng_state(drawn.random)
        return model.prepare_resized(drawn.resized, order)

    for epoch in state.epochs():
        for _, samples in state.steps(epochs[epoch]):
            optimizer.zero_grad(set_to_none=True)
            for sample in samples:
                if common:
                    seed_everything(derived_seed(seed, "sample", sample))
                identity = video.name, configuration.scale, sample
                make = partial(prepare, *identity)
                prepared = reuse(("prepared", *identity), make) if heads_alone else make()
                if common:  # whether it was cached or not, the heads draw the same boxes
                    seed_everything(derived_seed(seed, "boxes", sample))
                losses = model.head_losses(prepared)
                total_loss(losses, f"{video.name}, iteration {sample + 1}").backward()
                state.add(losses)
            optimizer.step()
        state.finish()
    return model.eval(), state
