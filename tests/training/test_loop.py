"""Seeds, losses that are checked, and epochs that resume as if nothing had happened."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.config import Settings, parse_settings
from slowfast_vos.errors import UserError
from slowfast_vos.sections import Finetune, Parent
from slowfast_vos.training.detector import learning_rate_factor, spread, train_detector
from slowfast_vos.training.loop import (
    DivergedError,
    EpochMeter,
    TrainingState,
    job_seed,
    make_sgd,
    seed_everything,
    total_loss,
)
from slowfast_vos.training.parent import train_parent
from slowfast_vos.videos.davis import Video
from torch import Tensor, nn

Build = Callable[..., SlowFastMaskRCNN]
MakeVideo = Callable[..., Video]


def settings(**values: Any) -> Settings:
    return parse_settings({"data": {"held_out": ["bear"]}, **values}, "tests")


def test_a_job_is_seeded_by_its_identity() -> None:
    strict = settings()
    seed = job_seed(strict, 63, "grid", "3-7", "SF")
    assert seed == job_seed(strict, 63, "grid", "3-7", "SF") == 1_451_228_241
    others = [job_seed(strict, *identity) for identity in ((64, "grid", "3-7", "SF"), (63, "grid", "3-7", "none"))]
    assert len({seed, *others}) == 3
    assert all(0 <= one < 2**31 for one in (seed, *others))


def test_the_2020_code_has_one_seed_for_all() -> None:
    paper = settings(protocol="paper")
    assert job_seed(paper, 63, "grid", "3-7") == job_seed(paper, 63, "parent") == 63
    assert job_seed(settings(switches={"seeding": "fixed"}), 7, "grid") == 7


def test_seeding_reaches_every_generator() -> None:
    draws = []
    for _ in range(2):
        seed_everything(5)
        draws.append((random.random(), np.random.random(), torch.rand(1).item()))
    assert draws[0] == draws[1]


def test_losses_add_up() -> None:
    assert total_loss({"a": torch.tensor(1.5), "b": torch.tensor(2.0)}, "here").item() == 3.5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_named(value: float) -> None:
    losses = {"loss_mask": torch.tensor(value), "loss_classifier": torch.tensor(1.0)}
    with pytest.raises(DivergedError, match=r"^parent, step 3: found a loss .* \(loss_mask=-?(nan|inf)\); expected"):
        total_loss(losses, "parent, step 3")


def test_finite_losses_with_an_infinite_sum_are_refused_too() -> None:
    with pytest.raises(DivergedError, match="their sum"):
        total_loss({"a": torch.tensor(3e38), "b": torch.tensor(3e38)}, "here")


def test_a_diverged_training_is_no_crash_for_the_user() -> None:
    assert issubclass(DivergedError, UserError)


def test_sgd_has_the_stages_values_and_only_what_trains() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    (group,) = make_sgd(model, Parent()).param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.001, 0.9, 1e-4)
    assert {id(p) for p in group["params"]} == {id(p) for p in model[1].parameters()}
    assert make_sgd(model, Finetune(), "0.25").param_groups[0]["lr"] == 0.25


def test_the_warm_up_is_linear_within_the_first_epoch() -> None:
    run = settings(detector={"warmup_steps": 4})
    factors = [learning_rate_factor(run, 0, step, 100) for step in range(6)]
    assert factors == pytest.approx([0.001, 0.25075, 0.5005, 0.75025, 1, 1])
    assert learning_rate_factor(run, 1, 0, 100) == 1


def test_the_warm_up_ends_with_a_short_epoch() -> None:
    run = settings()
    assert learning_rate_factor(run, 0, 0, 11) == pytest.approx(0.001)
    assert learning_rate_factor(run, 0, 5, 11) == pytest.approx(0.001 + 0.999 / 2)
    assert learning_rate_factor(run, 0, 10, 11) == 1
    assert learning_rate_factor(run, 0, 0, 1) == 1
    # At most 1000 steps, as in the authors' code.
    assert learning_rate_factor(run, 0, 999, 2110) == pytest.approx(0.001 + 0.999 * 0.999)
    assert learning_rate_factor(run, 0, 1000, 2110) == 1


def test_the_rate_decays_by_steps_of_epochs() -> None:
    factors = [learning_rate_factor(settings(), epoch, 50, 51) for epoch in range(10)]
    assert factors == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001])


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [
        (5, None, [0, 1, 2, 3, 4]),
        (5, 9, [0, 1, 2, 3, 4]),
        (5, 5, [0, 1, 2, 3, 4]),
        (8, 2, [0, 4]),
        (24, 4, [0, 6, 12, 18]),
        (10, 3, [0, 3, 6]),
        (1, 1, [0]),
    ],
)
def test_frames_are_spread_evenly(length: int, count: int | None, expected: list[int]) -> None:
    assert spread(length, count) == expected


def test_a_meter_gives_means() -> None:
    meter = EpochMeter("epoch", 2)
    meter.add({"a": torch.tensor(1.0), "b": torch.tensor(4.0)})
    meter.add({"a": torch.tensor(3.0), "b": torch.tensor(0.0)})
    assert meter.means == {"a": 2, "b": 2}
    assert (meter.loss, meter.count) == (4, 2)


def scored(scores: list[float | None]) -> tuple[TrainingState, nn.Module]:
    """A state after epochs with these scores; the model's weight is the epoch's number."""
    state, model = TrainingState(None), nn.Linear(1, 1, bias=False)
    for epoch, score in enumerate(scores):
        nn.init.constant_(model.weight, epoch + 1)
        meter = EpochMeter("epoch", 1)
        meter.add({"a": torch.tensor(1.0)})
        state.finish(epoch, meter, score, model, len(scores))
    state.restore_best(model)
    return state, model


@pytest.mark.parametrize(
    ("scores", "best"),
    [([0.1, 0.3, 0.2], 2), ([0.3, 0.3, 0.1], 1), ([0.0, None, 0.0], 1), ([None, 0.2, None], 2)],
)
def test_the_best_epoch_is_kept_the_first_of_equals(scores: list[float | None], best: int) -> None:
    state, model = scored(scores)
    assert state.best_epoch == best
    assert model.weight.item() == best
    assert [entry["iteration"] for entry in state.curve] == [1, 2, 3]
    assert [entry["jf_selection"] for entry in state.curve] == scores


def test_without_scores_the_last_epoch_is_kept() -> None:
    state, model = scored([None, None])
    assert state.best_epoch is None
    assert model.weight.item() == 2


class KilledError(Exception):
    """Stands for a job that was stopped."""


def parent_weights(
    model: SlowFastMaskRCNN, video: Video, resume: Path | None, *, backbone: str, killed_after: int | None = None
) -> tuple[dict[str, Tensor], TrainingState]:
    scores = iter((0.3, 0.5, 0.4)) if killed_after is None else iter((0.3, 0.5, 0.4)[:killed_after])

    def select(_: SlowFastMaskRCNN) -> float:
        try:
            return next(scores)
        except StopIteration:
            raise KilledError from None

    parent = Parent(epochs=3, lr="0.01", shuffle=True, backbone=backbone)
    state = train_parent(parent, model, [video], merged=False, seed=7, select=select, resume=resume)
    return dict(model.state_dict()), state


@pytest.mark.parametrize("backbone", ["frozen", "trained"])
def test_a_parent_that_was_killed_and_resumed_equals_an_undisturbed_one(
    network: Build, make_video: MakeVideo, tmp_path: Path, backbone: str
) -> None:
    # A frame's features depend on its batch in their last bits; encoded alone, they are the same in every epoch.
    alone = {"chunk_length": 1}
    video, resume = make_video(length=4 if backbone == "frozen" else 2), tmp_path / "work" / "resume.pt"
    expected, undisturbed = parent_weights(network(**alone), video, None, backbone=backbone)
    with pytest.raises(KilledError):
        parent_weights(network(**alone), video, resume, backbone=backbone, killed_after=1)
    assert resume.is_file()
    rest = iter((0.5, 0.4))
    model = network(seed=99, **alone)  # whatever it is made of, the saved weights count
    parent = Parent(epochs=3, lr="0.01", shuffle=True, backbone=backbone)
    state = train_parent(parent, model, [video], merged=False, seed=7, select=lambda _: next(rest), resume=resume)
    found = model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert state.best_epoch == undisturbed.best_epoch == 2

    def untimed(curve: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{key: value for key, value in entry.items() if key != "seconds"} for entry in curve]

    assert untimed(state.curve) == untimed(undisturbed.curve)
    state.discard()
    assert not resume.exists()


def test_a_detector_that_was_killed_and_resumed_equals_an_undisturbed_one(
    network: Build, make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = settings(detector={"epochs": 2, "lr": "0.01"})
    video, resume = make_video(length=3), tmp_path / "resume.pt"

    def train(seed: int, resume: Path | None) -> dict[str, Tensor]:
        model = network(seed=seed).maskrcnn_model
        train_detector(run, model, [video], merged=False, seed=7, resume=resume)
        return dict(model.state_dict())

    expected = train(0, None)
    finish = TrainingState.finish

    def killed(self: TrainingState, epoch: int, *rest: Any) -> None:
        if epoch:
            raise KilledError
        finish(self, epoch, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingState, "finish", killed)
        with pytest.raises(KilledError):
            train(0, resume)
    found = train(1, resume)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_finished_training_has_nothing_left_to_do(network: Build, make_video: MakeVideo, tmp_path: Path) -> None:
    video, resume = make_video(length=2), tmp_path / "resume.pt"
    expected, _ = parent_weights(network(), video, resume, backbone="frozen")
    found, state = parent_weights(network(seed=5), video, resume, backbone="frozen", killed_after=0)
    assert len(state.curve) == 3
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_what_trains_changes_and_what_is_frozen_does_not(network: Build, make_video: MakeVideo) -> None:
    before = {name: value.clone() for name, value in network().state_dict().items()}
    after, _ = parent_weights(network(), make_video(length=2), None, backbone="frozen")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith(("slow_fast.", "maskrcnn_model.roi_heads.")) for name in changed)
    after, _ = parent_weights(network(), make_video(length=2), None, backbone="trained")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("maskrcnn_model.backbone.body.") for name in changed)
    assert any(name.startswith("maskrcnn_model.rpn.") for name in changed)


def test_a_parent_that_diverges_says_where(network: Build, make_video: MakeVideo) -> None:
    parent = Parent(epochs=3, lr="1e30")
    with pytest.raises(DivergedError, match=r"^parent, epoch 1, step \d, square: found a loss that is not finite"):
        train_parent(parent, network(), [make_video(length=6)], merged=True, seed=1, select=lambda _: 0.0)
