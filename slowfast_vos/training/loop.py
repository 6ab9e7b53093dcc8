"""What every training stage shares: seeds, the optimiser, the check of a loss, epochs that resume, progress."""

from __future__ import annotations

import hashlib
import logging
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slowfast_vos.config import Settings
from slowfast_vos.errors import UserError
from slowfast_vos.files import whole_file
from slowfast_vos.sections import Training

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 10.0


class DivergedError(UserError):
    """A loss that is not a number: the learning rate is too high, or the data are broken."""


def job_seed(settings: Settings, seed: int, *identity: object) -> int:
    """The seed of a job: of its own identity, or (2020 code) the run's one seed for all."""
    if settings.rule("seeding") == "fixed":
        return seed
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


@dataclass
class EpochMeter:
    """Mean losses of an epoch, and a line in the log now and then with an estimate of the time left."""

    label: str
    steps: int
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    count: int = 0
    started: float = field(default_factory=time.monotonic)
    said: float = field(default_factory=time.monotonic)

    def add(self, losses: dict[str, Tensor]) -> None:
        """Count one step's losses."""
        self.count += 1
        for name, value in losses.items():
            self.sums[name] += float(value.detach())
        now = time.monotonic()
        if now - self.said > SECONDS_BETWEEN_LINES:
            self.said = now
            left = (now - self.started) / self.count * (self.steps - self.count)
            log.info("%s, step %d of %d: loss %.3f, %.0f s left", self.label, self.count, self.steps, self.loss, left)

    @property
    def means(self) -> dict[str, float]:
        """Mean of each loss so far."""
        return {name: value / max(self.count, 1) for name, value in self.sums.items()}

    @property
    def loss(self) -> float:
        """Mean of the summed losses so far."""
        return sum(self.means.values())


@dataclass
class TrainingState:
    """What a run of epochs needs in order to go on after being killed.

    Attributes:
        path: where it is kept while the job runs; None keeps nothing.
        curve: one entry per finished epoch (the fields of `record.Epoch`).
        best_epoch, best_score, best_weights: the epoch chosen so far.
    """

    path: Path | None
    curve: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    best_score: float = -math.inf
    best_weights: dict[str, Tensor] | None = None

    def epochs(self, count: int, model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> Iterator[int]:
        """Yield the epochs that are left, each seeded by its own number, and save the state after each.

        Since an epoch's random numbers depend on nothing but `seed` and its number, a resumed run equals an
        undisturbed one.
        """
        self._load(model, optimizer)
        for epoch in range(len(self.curve), count):
            seed_everything((seed + 1_000_003 * epoch) % 2**31)
            yield epoch
            self._save(model, optimizer)

    def finish(self, epoch: int, meter: EpochMeter, score: float | None, model: nn.Module, total: int) -> None:
        """Note a finished epoch; keep its weights if its score is the best."""
        steps = (self.curve[-1]["iteration"] if self.curve else 0) + meter.count
        seconds = time.monotonic() - meter.started
        self.curve.append(
            {
                "epoch": epoch + 1,
                "iteration": steps,
                "loss": meter.loss,
                "losses": meter.means,
                "jf_selection": score,
                "seconds": seconds,
            }
        )
        if score is not None and score > self.best_score:
            self.best_epoch, self.best_score = epoch + 1, score
            self.best_weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
        left = sum(entry["seconds"] for entry in self.curve) / len(self.curve) * (total - epoch - 1)
        scored = "" if score is None else f", J&F on selection {score:.3f}"
        log.info("epoch %d of %d: loss %.3f%s, %.0f s left", epoch + 1, total, meter.loss, scored, left)

    def restore_best(self, model: nn.Module) -> None:
        """Put the best epoch's weights back, if one was chosen."""
        if self.best_weights is not None:
            model.load_state_dict(self.best_weights)

    def discard(self) -> None:
        """Remove the file: the job is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _save(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        if self.path is None:
            return
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "curve": self.curve,
            "best": (self.best_epoch, self.best_score, self.best_weights),
        }
        with whole_file(self.path) as aside:
            torch.save(state, aside)

    def _load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        if self.path is None or not self.path.is_file():
            return
        state = torch.load(self.path, map_location=next(model.parameters()).device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        self.curve = state["curve"]
        self.best_epoch, self.best_score, self.best_weights = state["best"]
        log.info("resuming after epoch %d (%s)", len(self.curve), self.path)


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
