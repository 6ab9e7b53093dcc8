"""What every training stage shares: the optimiser, the check of a loss, and a state that survives a kill."""

from __future__ import annotations

import io
import logging
import math
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from slowfast_vos.errors import UserError
from slowfast_vos.files import atomic_write
from slowfast_vos.measuring.record import Epoch, Scores
from slowfast_vos.progress import SECONDS_BETWEEN_LINES
from slowfast_vos.sections import Training
from slowfast_vos.seeds import derived_seed, seed_everything

log = logging.getLogger(__name__)
T = TypeVar("T")


class DivergedError(UserError):
    """A loss or weight that is not finite: the learning rate is too high, or the data are broken."""


def make_sgd(model: nn.Module, training: Training, lr: str | None = None) -> torch.optim.SGD:
    """SGD over the parameters that train; `lr` overrides the stage's own rate."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.SGD(trained, float(lr or training.lr), training.momentum, weight_decay=training.weight_decay)


def half_cosine(progress: float) -> float:
    """The factor on a rate that falls to 0 along half a cosine, when a share of the training is done."""
    return (1 + math.cos(math.pi * progress)) / 2


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


@dataclass(frozen=True)
class Resume:
    """Where a training saves its state while it runs."""

    path: Path
    key: str  # digest of all that decides the training; a state of another key is ignored and overwritten
    every: float = 30.0  # seconds from one save to the next


@dataclass
class Best:
    """The epoch with the best J&F on the selection sequences, the first of equals."""

    epoch: int
    scores: Scores
    weights: dict[str, Tensor]


@dataclass
class TrainingState:
    """Epochs and steps of a training, which resume after a kill as if nothing had happened.

    Every step is seeded by its own identity: its random numbers depend on nothing that a restart forgets.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    seed: int
    total: int  # epochs
    prefix: str = ""  # of what is logged, such as "bear, "
    resume: Resume | None = None  # None saves nothing
    curve: list[Epoch] = field(default_factory=list)  # one point for each finished epoch
    best: Best | None = None
    # Of the current epoch: finished steps, summed losses, forward passes, time, statistics of scored sequences.
    position: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    count: int = 0
    seconds: float = 0.0
    scored: dict[str, dict[str, float]] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)
    _saved: float = field(default_factory=time.monotonic)

    def epochs(self) -> Iterator[int]:
        """Yield the epochs that are left, from 0; what is drawn before the first step is seeded by the epoch."""
        self._load()
        while (epoch := len(self.curve)) < self.total:
            seed_everything(derived_seed(self.seed, "epoch", epoch))
            self._started = time.monotonic() - self.seconds
            yield epoch

    def steps(self, items: Sequence[T]) -> Iterator[tuple[int, T]]:
        """Yield the steps of an epoch that are left, with their numbers from 0.

        Raises:
            SystemExit: SIGTERM or SIGINT came; the current step was finished and the state saved.
        """
        epoch, logged = len(self.curve), self.seconds
        with stop_asked() as asked:
            for step in range(self.position, len(items)):
                seed_everything(derived_seed(self.seed, "epoch", epoch, "step", step))
                yield step, items[step]
                self.position, self.seconds = step + 1, time.monotonic() - self._started
                where = f"{self.prefix}epoch {epoch + 1} of {self.total}, step {self.position} of {len(items)}"
                self.save_or_leave(asked, where)
                if self.seconds - logged > SECONDS_BETWEEN_LINES:
                    logged = self.seconds
                    left = self.seconds / self.position * (len(items) - self.position)
                    log.info("%s: loss %.3f, %.0f s left", where, sum(self.sums.values()) / max(self.count, 1), left)

    def save_or_leave(self, asked: Sequence[signal.Signals], where: str) -> None:
        """Save; if a signal asked for it (see `stop_asked`), log `where` the training is and leave with SystemExit."""
        self.save(now=bool(asked))
        if asked:
            log.info("%s: stopped by %s; the same command goes on", where, asked[0].name)
            raise SystemExit(128 + asked[0])

    def add(self, losses: dict[str, Tensor]) -> None:
        """Count the losses of one forward pass."""
        self.count += 1
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.detach())

    def finish(self, scores: Scores | None = None) -> None:
        """End the current epoch; keep a copy of its weights if its J&F is the best so far.

        Raises:
            DivergedError: a weight is not finite.
        """
        number, weights = len(self.curve) + 1, self.model.state_dict()
        # First the sums, ten times as fast: that of finite weights is finite.
        sums = torch.stack([value.sum() for value in weights.values() if value.is_floating_point()])
        finite = bool(sums.isfinite().all())
        if broken := [name for name, value in weights.items() if not (finite or value.isfinite().all())]:
            found = f"found weights that are not finite ({broken[0]})"
            raise DivergedError(f"{self.prefix}epoch {number}: {found}; expected a lower rate")
        self.seconds = time.monotonic() - self._started
        iteration = (self.curve[-1].iteration if self.curve else 0) + self.count
        losses = {name: value / max(self.count, 1) for name, value in self.sums.items()}
        loss, jf = sum(losses.values()), None if scores is None else scores.jf_mean
        means = {"loss": loss, "losses": losses, "jf_selection": jf}
        self.curve.append(Epoch(epoch=number, iteration=iteration, **means, seconds=self.seconds))
        if scores is not None and (self.best is None or scores.jf_mean > self.best.scores.jf_mean):
            self.best = Best(number, scores, {name: value.detach().clone() for name, value in weights.items()})
        left = sum(point.seconds for point in self.curve) / number * (self.total - number)
        scored = "" if jf is None else f", J&F on selection {jf:.3f}"
        log.info("%sepoch %d of %d: loss %.3f%s, %.0f s left", self.prefix, number, self.total, loss, scored, left)
        self.position, self.sums, self.count, self.seconds, self.scored = 0, {}, 0, 0.0, {}
        self.save()

    def save(self, *, now: bool = False) -> None:
        """Write the state: now, or unless it was written in the last `resume.every` seconds."""
        if self.resume is None or (not now and time.monotonic() - self._saved < self.resume.every):
            return
        state = {
            "key": self.resume.key,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "curve": [point.model_dump() for point in self.curve],
            "best": self.best and (self.best.epoch, self.best.scores.model_dump(), self.best.weights),
            "current": (self.position, self.sums, self.count, self.seconds, self.scored),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with atomic_write(self.resume.path) as temporary:
            temporary.write_bytes(buffer.getbuffer())  # by Python, whose errors say what is wrong with the disk
        self._saved = time.monotonic()

    def _load(self) -> None:
        if self.resume is None or not self.resume.path.is_file():
            return
        state = torch.load(self.resume.path, map_location="cpu", weights_only=True)
        if state.get("key") != self.resume.key:
            log.info("%s: ignored, since it is of other settings, data or initial weights", self.resume.path)
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.curve = [Epoch(**point) for point in state["curve"]]
        if best := state["best"]:
            self.best = Best(best[0], Scores(**best[1]), best[2])
        self.position, self.sums, self.count, self.seconds, self.scored = state["current"]
        log.info(f"{self.prefix}going on after epoch {len(self.curve)}, step {self.position} ({self.resume.path})")


@contextmanager
def stop_asked() -> Iterator[list[signal.Signals]]:
    """While it lasts, SIGTERM and SIGINT are added to the list that it yields; a second one stops at once."""
    asked: list[signal.Signals] = []

    def add(number: int, _: object) -> None:
        if asked:
            raise SystemExit(128 + number)
        asked.append(signal.Signals(number))

    before = {number: signal.signal(number, add) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
