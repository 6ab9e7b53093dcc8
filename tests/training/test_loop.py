"""Seeds, losses that are checked, and trainings that resume after a kill as if nothing had happened."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from slowfast_vos.errors import UserError
from slowfast_vos.measuring.record import Epoch
from slowfast_vos.sections import Finetune, Parent
from slowfast_vos.seeds import job_seed
from slowfast_vos.training.loop import DivergedError, Resume, TrainingState, make_sgd, total_loss
from stages_to_train import STAGES, Build, MakeVideo, detector, scores, settings
from torch import Tensor, nn


def test_a_job_is_seeded_by_its_identity() -> None:
    strict = settings()
    seed = job_seed(strict, 63, "grid", "3-7", "SF")
    assert seed == job_seed(strict, 63, "grid", "3-7", "SF") == 1_451_228_241
    others = [job_seed(strict, *identity) for identity in ((64, "grid", "3-7", "SF"), (63, "grid", "3-7", "none"))]
    assert len({seed, *others}) == 3
    assert all(0 <= one < 2**31 for one in (seed, *others))
    paper = settings(protocol="paper")  # the 2020 code has one seed for all
    assert job_seed(paper, 63, "grid", "3-7") == job_seed(paper, 63, "parent") == 63
    assert job_seed(settings(switches={"seeding": "fixed"}), 7, "grid") == 7


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_losses_add_up_and_what_is_not_finite_is_named(value: float) -> None:
    assert total_loss({"a": torch.tensor(1.5), "b": torch.tensor(2.0)}, "here").item() == 3.5
    losses = {"loss_mask": torch.tensor(value), "loss_classifier": torch.tensor(1.0)}
    with pytest.raises(DivergedError, match=rf"^parent, step 3: found a loss .* \(loss_mask={value}\); expected"):
        total_loss(losses, "parent, step 3")
    with pytest.raises(UserError, match="their sum"):
        total_loss({"a": torch.tensor(3e38), "b": torch.tensor(3e38)}, "here")


def test_sgd_has_the_stages_values_and_only_what_trains() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    (group,) = make_sgd(model, Parent()).param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.001, 0.9, 1e-4)
    assert {id(p) for p in group["params"]} == {id(p) for p in model[1].parameters()}
    assert make_sgd(model, Finetune(), "0.25").param_groups[0]["lr"] == 0.25


def line(total: int = 1, resume: Resume | None = None) -> TrainingState:
    """A state of a model with one weight."""
    model = nn.Linear(1, 1, bias=False)
    return TrainingState(model, torch.optim.SGD(model.parameters(), 0.1), seed=7, total=total, resume=resume)


def test_an_epochs_losses_are_means_and_weights_that_are_not_finite_are_named() -> None:
    state = line()
    state.add({"a": torch.tensor(1.0), "b": torch.tensor(4.0)})
    state.add({"a": torch.tensor(3.0), "b": torch.tensor(0.0)})
    state.finish()
    assert state.curve[0].losses == {"a": 2, "b": 2}
    assert (state.curve[0].loss, state.curve[0].iteration) == (4, 2)
    nn.init.constant_(state.model.weight, torch.nan)
    with pytest.raises(DivergedError, match=r"^epoch 2: found weights that are not finite \(weight\); expected"):
        state.finish()


@pytest.mark.parametrize(
    ("values", "best"),
    [([0.1, 0.3, 0.2], 2), ([0.3, 0.3, 0.1], 1), ([0.0, None, 0.0], 1), ([None, 0.2, None], 2), ([None, None], None)],
)
def test_the_best_epoch_is_kept_the_first_of_equals(values: list[float | None], best: int | None) -> None:
    state = line(len(values))
    for epoch in state.epochs():
        nn.init.constant_(state.model.weight, epoch + 1)
        state.add({"a": torch.tensor(1.0)})
        state.finish(None if values[epoch] is None else scores(values[epoch]))
    assert (state.best and state.best.epoch) == best
    assert best is None or state.best.weights["weight"].item() == best
    assert state.model.weight.item() == len(values)
    assert [point.iteration for point in state.curve] == list(range(1, len(values) + 1))
    assert [point.jf_selection for point in state.curve] == values


def test_every_step_is_seeded_by_its_own_identity() -> None:
    def draws(position: int) -> list[tuple[int, int, float]]:
        state, found = line(2), []
        for epoch in state.epochs():
            state.position = position
            found += [(epoch, step, torch.rand(1).item()) for step, _ in state.steps("abc")]
            state.finish()
        return found

    everything = draws(0)
    assert len({value for *_, value in everything}) == 6
    assert draws(2) == [draw for draw in everything if draw[1] == 2]


class KilledError(Exception):
    """Stands for a job that was killed."""


@pytest.fixture
def kill_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Kill the training at its n-th saved step or epoch; None lets it live."""
    save = TrainingState.save

    def set_up(count: int | None) -> None:
        left = [count]

        def saving(self: TrainingState, *, now: bool = False) -> None:
            save(self, now=now)
            if left[0] is not None:
                left[0] -= 1
                if left[0] == 0:
                    raise KilledError

        monkeypatch.setattr(TrainingState, "save", saving)

    return set_up


def untimed(curve: list[Epoch]) -> list[dict[str, Any]]:
    return [point.model_dump(exclude={"seconds"}) for point in curve]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("after", [1, 2, 4])
def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(
    network: Build,
    make_video: MakeVideo,
    tmp_path: Path,
    kill_after: Callable[[int | None], None],
    stage: str,
    after: int,
) -> None:
    video, resume, train = make_video(length=6), Resume(tmp_path / "work" / "state.pt", "key", 0), STAGES[stage]
    few = {"box_batch_size_per_image": 4}  # RoIs are drawn at random, not all taken
    undisturbed = network(**few)
    expected = train(undisturbed, video, None)
    kill_after(after)
    with pytest.raises(KilledError):
        train(network(**few), video, resume)
    kill_after(None)
    resumed = network(**few)
    state = train(resumed, video, resume)
    assert untimed(state.curve) == untimed(expected.curve)
    assert (state.best and state.best.epoch) == (expected.best and expected.best.epoch)
    found = resumed.state_dict()
    assert all(torch.equal(found[name], value) for name, value in undisturbed.state_dict().items())


def test_a_state_is_resumed_under_its_own_key_alone(
    network: Build, make_video: MakeVideo, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    video, resume, first = make_video(length=2), Resume(tmp_path / "state.pt", "key", 0), network()
    detector(first, video, resume)
    expected, written = first.maskrcnn_model.state_dict(), resume.path.read_bytes()
    # A finished training has nothing left to do.
    again = network(seed=5)
    assert len(detector(again, video, resume).curve) == 2
    found = again.maskrcnn_model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert resume.path.read_bytes() == written
    assert "going on after epoch 2, step 0" in caplog.text
    # An edited one ignores the state and overwrites it.
    caplog.clear()
    anew = network(seed=5)
    state = detector(anew, video, replace(resume, key="edited"))
    assert f"{resume.path}: ignored" in caplog.text
    assert "going on" not in caplog.text
    assert [point.epoch for point in state.curve] == [1, 2]
    found = anew.maskrcnn_model.state_dict()
    assert not all(torch.equal(found[name], value) for name, value in expected.items())
    assert torch.load(resume.path)["key"] == "edited"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["state.pt"]


def test_a_state_is_saved_no_more_often_than_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [time.monotonic()]
    monkeypatch.setattr("slowfast_vos.training.loop.time.monotonic", lambda: now[0])
    state = line(2, Resume(tmp_path / "state.pt", "key", 30))
    saved = []
    for _ in state.epochs():
        for step, _ in state.steps("abc"):
            saved.append((step, state.resume.path.is_file()))
            state.resume.path.unlink(missing_ok=True)
            now[0] += 16
        state.finish()
    # After 32, 64 and 96 seconds.
    assert saved == [(0, False), (1, False), (2, True), (0, False), (1, True), (2, False)]
    assert state.resume.path.is_file()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_step_end_saves_and_leaves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, number: signal.Signals
) -> None:
    caplog.set_level("INFO")

    def train(stop_at: int | None) -> Iterator[tuple[int, Tensor]]:
        state = line(resume=Resume(tmp_path / "state.pt", "key", 0))
        for _ in state.epochs():
            for step, _ in state.steps("abcd"):
                if step == stop_at:
                    os.kill(os.getpid(), number)
                yield step, state.model.weight
            state.finish()

    steps, handlers = [], [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(SystemExit) as stopped:
        steps += [step for step, _ in train(1)]
    assert stopped.value.code == 128 + number
    assert f"step 2 of 4: stopped by {number.name}; the same command goes on" in caplog.text
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert [step for step, _ in train(None)] == [2, 3]
