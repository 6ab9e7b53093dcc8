"""The controls: what each module sees, and that streaming them is the same as a window per frame."""

from __future__ import annotations

import pytest
import torch
from model_inputs import Build, clip, target
from slowfast_vos.errors import UserError
from slowfast_vos.model.pathways import SlowFast, matched_widths, temporal_module
from slowfast_vos.setups import CONTROLS, Setup
from torch import nn
from windowed import largest_difference, windowed

FRAMES = ["1-1+none", "3-7+none", "7-7+still", "1-3+still", "7-7+shuffled", "2-4+shuffled", "3-7+strided"]
CONTROLLED = [*FRAMES, "1-1+wide", "1-3+wide3-7"]


def parameters(module: nn.Module) -> int:
    return sum(one.numel() for one in module.parameters())


@pytest.mark.parametrize("border", ["zeros", "replicate"])
@pytest.mark.parametrize("name", CONTROLLED)
def test_streaming_a_control_equals_a_window_per_frame(network: Build, name: str, border: str) -> None:
    setup = Setup.parse(name)
    model = network(setup.slow, setup.fast, control=setup.control, border=border)
    expected = windowed(model, clip(9))
    for chunk in (1, 2, 5, 32):
        model.chunk_length = chunk
        assert largest_difference(model(clip(9)), expected) < 1e-4


@pytest.mark.parametrize("name", CONTROLLED)
def test_a_control_trains(network: Build, name: str) -> None:
    setup = Setup.parse(name)
    model = network(setup.slow, setup.fast, control=setup.control).freeze(("backbone", "rpn")).train()
    sum(model(clip(3), [target(), target(20), None]).values()).backward()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in model.slow_fast.parameters())


def weights_of(plain: SlowFast, control: str) -> nn.Module:
    """The module of a control with the same weights."""
    module = temporal_module(Setup(plain.setup.slow, plain.setup.fast, control), 8, "fp32").eval()
    module.load_state_dict(plain.state_dict())
    return module


@pytest.fixture
def plain() -> SlowFast:
    torch.manual_seed(0)
    return temporal_module(Setup(3, 7), 8, "fp32").eval()


@torch.no_grad()
def test_still_is_the_plain_module_on_the_centre_frame_repeated(plain: SlowFast) -> None:
    features = torch.rand(1, 8, 5, 6, 7)
    expected = [plain(features[:, :, [index] * 7]) for index in range(5)]
    torch.testing.assert_close(weights_of(plain, "still")(features), torch.cat(expected, dim=2))


@torch.no_grad()
def test_strided_differs_from_the_plain_module_in_the_slow_frames_alone(plain: SlowFast) -> None:
    features, strided = torch.rand(1, 8, 7, 6, 7), weights_of(plain, "strided")
    assert torch.equal(strided.slow_frames(features), features[:, :, [0, 3, 6]])
    same = features.clone()
    same[:, :, [0, 3, 6]] = features[:, :, [2, 3, 4]]
    same[:, :, [2, 4]] = features[:, :, [2, 4]]
    assert not torch.allclose(strided(features), plain(features))
    still = features[:, :, [3] * 7]
    torch.testing.assert_close(strided(still), plain(still))


@torch.no_grad()
def test_shuffled_keeps_the_centre_and_every_frame(plain: SlowFast) -> None:
    module = weights_of(plain, "shuffled")
    windows = torch.arange(7.0).expand(1, 30, 1, 7)[..., None, None]
    orders = module._shuffled(windows, 0).flatten(3)[0, :, 0].tolist()
    assert all(order[3] == 3 and sorted(order) == [0, 1, 2, 3, 4, 5, 6] for order in orders)
    assert len({tuple(order) for order in orders}) > 25
    assert module._shuffled(windows, 0).equal(module._shuffled(windows, 0))
    assert module._shuffled(windows[:, :10], 20).equal(module._shuffled(windows, 0)[:, 20:])
    module.train()
    assert not module._shuffled(windows, 0).equal(module._shuffled(windows, 0))


def test_none_gives_the_frames_own_features() -> None:
    module, features = temporal_module(Setup(3, 7, "none"), 8, "fp32"), torch.rand(2, 8, 4, 6, 7)
    assert module(features) is features
    assert parameters(module) == 0


@pytest.mark.parametrize("channels", [16, 32, 64, 256])
@pytest.mark.parametrize(("name", "other"), [("1-1+wide", "7-7"), ("1-7+wide", "7-7"), ("1-1+wide3-7", "3-7")])
def test_wide_has_the_parameters_of_another_setup(name: str, other: str, channels: int) -> None:
    wide, matched = (temporal_module(Setup.parse(one), channels, "fp32") for one in (name, other))
    assert parameters(wide) == pytest.approx(parameters(matched), rel=0.02)


def test_widths_that_cannot_match_are_refused() -> None:
    with pytest.raises(UserError, match=r"setup 7-7\+wide1-1: found .* expected .* within 2 %"):
        matched_widths(Setup.parse("7-7+wide1-1"), 8)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("7-7+sepia", "expected one of none, still, shuffled, strided, wide"),
        ("1-7+strided", "cannot be spread evenly"),
        ("3-6+strided", "expected an even number"),
        ("3-9+strided", None),
        ("1-1+wide3-4", "expected an even number"),
        ("1-1+wideish", 'expected "slow-fast" in frames'),
        ("7-7+", 'expected "slow-fast" in frames'),
    ],
)
def test_controls_that_cannot_be_are_refused(name: str, problem: str | None) -> None:
    if problem is None:
        assert str(Setup.parse(name)) == name
        return
    with pytest.raises(UserError, match=problem):
        Setup.parse(name)


def test_every_control_is_tried_here() -> None:
    assert {Setup.parse(name).control for name in CONTROLLED} >= set(CONTROLS)
