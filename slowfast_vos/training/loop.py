"""What every training stage shares: seeds, the optimiser, the check of a loss, lines of progress."""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slowfast_vos.config import Settings
from slowfast_vos.errors import UserError
from slowfast_vos.sections import Training

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 10.0


class DivergedError(UserError):
    """A loss that is not a number: the learning rate is too high, or the data are broken."""


def job_seed(settings: Settings, seed: int, *identity: object) -> int:
    """The seed of a job: of its own identity, or (2020 code) the run's one seed for all."""
    if settings.option("seeding") == "fixed":
        return seed
    return derived_seed(seed, *identity)


def derived_seed(seed: int, *identity: object) -> int:
    """A seed in [0, 2³¹) from another and from what it is for."""
    text = "/".join(map(str, (seed, *identity)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def make_sgd(model: nn.Module, training: Training, lr: str | None = None) -> torch.optim.SGD:
    """SGD over the parameters that train; `lr` overrides the stage's own rate."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.SGD(
        trained, float(lr or training.lr), momentum=training.momentum, weight_decay=training.weight_decay
    )


def total_loss(losses: dict[str, Tensor], where: str) -> Tensor:
    """Sum the losses.

    Raises:
        DivergedError: the sum is not finite; names the losses that are not.
    """
    total = torch.stack(list(losses.values())).sum()
    if not torch.isfinite(total):
        found = ", ".join(f"{name}={value.item():g}" for name, value in losses.items() if not torch.isfinite(value))
        raise DivergedError(f"{where}: found a loss that is not finite ({found or 'their sum'}); expected a lower rate")
    return total


def progress_lines(items: Iterable[Any], what: str, name: Callable[[Any], str] = str) -> Iterator[Any]:
    """Go through `items`, with a line in the log now and then and an estimate of the time left."""
    items = list(items)
    started = said = time.monotonic()
    for index, item in enumerate(items):
        yield item
        now = time.monotonic()
        if now - said > SECONDS_BETWEEN_LINES or index + 1 == len(items):
            said = now
            left = (now - started) / (index + 1) * (len(items) - index - 1)
            log.info("%s: %d of %d (%s), %.0f s left", what, index + 1, len(items), name(item), left)
