"""Epochs and steps that go on where a killed job left off, as if nothing had happened."""

from __future__ import annotations

import io
import logging
import math
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from slowfast_vos.files import atomic_write
from slowfast_vos.measuring.record import Epoch, Scores
from slowfast_vos.training.loop import SECONDS_BETWEEN_LINES, DivergedError, derived_seed, seed_everything

log = logging.getLogger(__name__)
T = TypeVar("T")
# At the end of an epoch: what comes next, its scores, may take longer than its steps.
SECONDS_WORTH_SAVING = 5.0


@dataclass(frozen=True)
class Resume:
    """Where a training keeps its state while it runs, and how many seconds apart."""

    path: Path
    every: float = 30.0


@dataclass
class Best:
    """The epoch with the best J&F on the selection sequences, the first of equals."""

    epoch: int
    scores: Scores
    weights: dict[str, Tensor]


@dataclass
class TrainingState:
    """What a training needs in order to go on after being killed; saved now and then, and when it is asked to stop.

    Every step is seeded by its own identity, so that its random numbers depend on nothing that a restart forgets.

    Attributes:
        model, optimizer: what trains.
        seed: of the training.
        total: epochs in all.
        label: what the log calls this training.
        resume: where the state is kept while the job runs; None keeps nothing.
        curve: one point for each finished epoch.
        best: the epoch chosen so far.
        position: steps done of the epoch at hand.
        sums, count, seconds: losses, how often they were added, and time, of the epoch at hand.
        scored: official statistics of the selection sequences that are scored already, of the epoch at hand.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    seed: int
    total: int
    label: str = ""
    resume: Resume | None = None
    curve: list[Epoch] = field(default_factory=list)
    best: Best | None = None
    position: int = 0
    sums: Counter[str] = field(default_factory=Counter)
    count: int = 0
    seconds: float = 0.0
    scored: dict[str, dict[str, float]] = field(default_factory=dict)
    _clock: float = 0.0
    _saved: float = field(default_factory=time.monotonic)

    def epochs(self) -> Iterator[int]:
        """Yield the epochs that are left, from 0; what is drawn before the first step is seeded by the epoch."""
        self._load()
        while (epoch := len(self.curve)) < self.total:
            seed_everything(derived_seed(self.seed, "epoch", epoch))
            self._clock = time.monotonic()
            yield epoch

    def steps(self, items: Sequence[T]) -> Iterator[tuple[int, T]]:
        """Yield the steps of an epoch that are left, with their numbers from 0.

        Raises:
            SystemExit: SIGTERM or SIGINT came; the step at hand was finished and the state saved.
        """
        epoch, said = len(self.curve), time.monotonic()
        with stop_asked() as asked:
            for step in range(self.position, len(items)):
                seed_everything(derived_seed(self.seed, "epoch", epoch, "step", step))
                yield step, items[step]
                self.position = step + 1
                self._tick()
                self.leave_if(asked, self._where(items))
                self.save(math.inf)
                if self._clock - said > SECONDS_BETWEEN_LINES:
                    said = self._clock
                    left = self.seconds / self.position * (len(items) - self.position)
                    log.info("%s: loss %.3f, %.0f s left", self._where(items), self.loss, left)
        self.save(SECONDS_WORTH_SAVING)

    def leave_if(self, asked: Sequence[signal.Signals], where: str) -> None:
        """Save and leave, if a signal has asked for it (see `stop_asked`).

        Args:
            where: the training has come, for the log.

        Raises:
            SystemExit: it has.
        """
        if asked:
            self.save()
            log.info("%s: stopped by %s; the same command goes on", where, asked[0].name)
            raise SystemExit(128 + asked[0])

    def add(self, losses: dict[str, Tensor]) -> None:
        """Count the losses of one forward pass."""
        self.count += 1
        for name, value in losses.items():
            self.sums[name] += float(value.detach())

    @property
    def losses(self) -> dict[str, float]:
        """Means of the losses in the epoch at hand."""
        return {name: value / max(self.count, 1) for name, value in self.sums.items()}

    @property
    def loss(self) -> float:
        """Mean of the summed losses in the epoch at hand."""
        return sum(self.losses.values())

    def finish(self, scores: Scores | None = None) -> None:
        """Note that the epoch at hand is finished; keep its weights if its J&F is the best so far.

        Raises:
            DivergedError: a weight is not finite.
        """
        broken = [name for name, value in self.model.state_dict().items() if not value.isfinite().all()]
        if broken:
            raise DivergedError(
                f"{self._prefix}epoch {len(self.curve) + 1}: found weights that are not finite ({broken[0]}); "
                "expected a lower rate"
            )
        self._tick()
        epoch = Epoch(
            epoch=len(self.curve) + 1,
            iteration=(self.curve[-1].iteration if self.curve else 0) + self.count,
            loss=self.loss,
            losses=self.losses,
            jf_selection=None if scores is None else scores.jf_mean,
            seconds=self.seconds,
        )
        self.curve.append(epoch)
        if scores is not None and (self.best is None or scores.jf_mean > self.best.scores.jf_mean):
            weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
            self.best = Best(epoch.epoch, scores, weights)
        left = sum(point.seconds for point in self.curve) / len(self.curve) * (self.total - epoch.epoch)
        scored = "" if scores is None else f", J&F on selection {scores.jf_mean:.3f}"
        where = f"{self._prefix}epoch {epoch.epoch} of {self.total}"
        log.info("%s: loss %.3f%s, %.0f s left", where, epoch.loss, scored, left)
        self.position, self.sums, self.count, self.seconds, self.scored = 0, Counter(), 0, 0.0, {}
        self.save(SECONDS_WORTH_SAVING)

    def restore_best(self) -> None:
        """Put the best epoch's weights back, if one was chosen."""
        if self.best is not None:
            self.model.load_state_dict(self.best.weights)

    @property
    def _prefix(self) -> str:
        return f"{self.label}, " if self.label else ""

    def _where(self, items: Sequence[Any]) -> str:
        return f"{self._prefix}epoch {len(self.curve) + 1} of {self.total}, step {self.position} of {len(items)}"

    def _tick(self) -> None:
        now = time.monotonic()
        self.seconds, self._clock = self.seconds + now - self._clock, now

    def save(self, after: float = 0.0) -> None:
        """Write the state, if the last time is `after` or `resume.every` seconds ago."""
        if self.resume is None or time.monotonic() - self._saved < min(after, self.resume.every):
            return
        best = self.best and (self.best.epoch, self.best.scores.model_dump(), self.best.weights)
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "curve": [point.model_dump() for point in self.curve],
            "best": best,
            "at": (self.position, dict(self.sums), self.count, self.seconds, self.scored),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with atomic_write(self.resume.path) as temporary:
            # Written by Python, whose errors say what is wrong with the disk.
            temporary.write_bytes(buffer.getbuffer())
        self._saved = time.monotonic()

    def _load(self) -> None:
        if self.resume is None or not self.resume.path.is_file():
            return
        device = next(self.model.parameters()).device
        state = torch.load(self.resume.path, map_location=device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.curve = [Epoch(**point) for point in state["curve"]]
        if state["best"] is not None:
            epoch, scores, weights = state["best"]
            self.best = Best(epoch, Scores(**scores), weights)
        self.position, sums, self.count, self.seconds, self.scored = state["at"]
        self.sums = Counter(sums)
        log.info(
            "%sgoing on after epoch %d, step %d (%s)", self._prefix, len(self.curve), self.position, self.resume.path
        )


@contextmanager
def stop_asked() -> Iterator[list[signal.Signals]]:
    """While it lasts, SIGTERM and SIGINT are noted in the list that it yields; a second one stops at once."""
    asked: list[signal.Signals] = []

    def note(number: int, _: FrameType | None) -> None:
        if asked:
            raise SystemExit(128 + number)
        asked.append(signal.Signals(number))

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
