"""Seeds, losses that are checked, rates."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from slowfast_vos.config import Settings, parse_settings
from slowfast_vos.errors import UserError
from slowfast_vos.sections import Finetune, Parent
from slowfast_vos.training.detector import learning_rate_factor, spread
from slowfast_vos.training.loop import DivergedError, job_seed, make_sgd, seed_everything, total_loss
from torch import nn


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
