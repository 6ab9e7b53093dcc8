"""A module that starts as the identity: exact where the features have as few dimensions as the pathways are wide."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from slowfast_vos.model.identity import Moments, centre_taps, start_as_identity
from slowfast_vos.model.pathways import temporal_module
from slowfast_vos.setups import Setup
from torch import Tensor

CHANNELS = 32
SETUPS = ["1-1", "3-3", "7-7", "1-7", "3-7", "2-4", "1-3", "5-9", "6-6"]
SETUPS += ["7-7+still", "7-7+shuffled", "3-7+strided", "1-1+wide"]


def drawn(length: int, dimensions: int, seed: int = 0) -> Tensor:
    """Correlated features `[2, C, T, 6, 7]` of so many dimensions, of any mean."""
    draw = torch.Generator().manual_seed(seed)
    mixed, mean = torch.randn(CHANNELS, dimensions, generator=draw), torch.randn(CHANNELS, generator=draw)
    few = torch.randn(2, dimensions, length, 6, 7, generator=draw)
    return torch.einsum("cd,ndthw->ncthw", mixed, few) + mean[:, None, None, None]


def moments_of(features: Tensor) -> Moments:
    found = Moments(CHANNELS)
    for frame in features.unbind(2):
        found.add(frame)
    return found


@torch.no_grad()
def given(setup: str, features: Tensor, **options: float) -> Tensor:
    """What the module makes of a window."""
    torch.manual_seed(1)
    module = temporal_module(Setup.parse(setup), CHANNELS, "fp32").eval()
    start_as_identity(module, moments_of(features), **options)
    return module(features)[:, :, 0]


@pytest.mark.parametrize(("setup", "dimensions"), [*((setup, 24) for setup in SETUPS), ("7-7+wide3-3", 1)])
def test_features_of_few_dimensions_come_out_as_they_are(setup: str, dimensions: int) -> None:
    parsed = Setup.parse(setup)
    features = drawn(parsed.seen, dimensions)  # the slow pathway has 24 channels, the fast one 4
    found = given(setup, features, shift=8, noise=0)
    torch.testing.assert_close(found, features[:, :, parsed.before], rtol=0, atol=1e-3)


@pytest.mark.parametrize("setup", ["1-1", "7-7", "3-7", "3-7+strided"])
def test_all_others_lose_the_least_components_and_the_more_the_less_they_are_shifted(setup: str) -> None:
    parsed = Setup.parse(setup)
    features = drawn(parsed.seen, 64)
    centre = features[:, :, parsed.before]
    near, far = (float((given(setup, features, shift=shift) - centre).var() / centre.var()) for shift in (2, 1))
    assert 0.001 < near < 0.05 < far < 0.15


def test_moments_are_numpys() -> None:
    features = drawn(3, 40)
    found, rows = moments_of(features), features.transpose(0, 1).flatten(1).double().numpy()
    np.testing.assert_allclose(found.mean, rows.mean(1), atol=1e-6)
    np.testing.assert_allclose(found.covariance, np.cov(rows, ddof=0), atol=1e-6)


@pytest.mark.parametrize(
    ("kernels", "taps"),
    [((3, 3, 3), [1, 1, 1]), ((1, 2, 2), [0, 1, 0]), ((1, 1, 1), [0, 0, 0]), ((1, 1, 2), [0, 0, 1])],
)
def test_the_centre_frame_passes_these_taps(kernels: tuple[int, int, int], taps: list[int]) -> None:
    assert centre_taps(kernels) == taps
