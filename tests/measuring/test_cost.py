"""Counts and operations, against arithmetic on paper."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.measuring.cost import count_operations, count_parameters, exhaust, median_interval, time_runs
from slowfast_vos.model.streaming import detect
from torch import nn

Build = Callable[..., SlowFastMaskRCNN]


def test_parameters_are_counted_all_or_those_that_train() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1, bias=False))
    assert count_parameters(model) == 3 * 4 + 4 + 4
    model[0].requires_grad_(False)
    assert count_parameters(model, trained=True) == 4


def recorded_operations(model: SlowFastMaskRCNN, frames: list[torch.Tensor]) -> int:
    """Two operations for every multiply-add of every convolution and matrix product, by hooks on the layers."""
    total = 0

    def add(module: nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Linear):
            each = module.in_features
        elif isinstance(module, nn.ConvTranspose2d):  # every input reaches each of the kernel's places
            total += 2 * given[0].numel() * module.out_channels * int(np.prod(module.kernel_size))
            return
        else:
            each = module.in_channels // module.groups * int(np.prod(module.kernel_size))
        total += 2 * out.numel() * each

    layers = (nn.Linear, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)
    hooks = [module.register_forward_hook(add) for module in model.modules() if isinstance(module, layers)]
    exhaust(detect(model, frames))
    for hook in hooks:
        hook.remove()
    return total


@pytest.mark.parametrize("backbone", ["resnet18", "tf_efficientnet_lite0"])
def test_operations_are_those_of_every_convolution_and_matrix_product(network: Build, backbone: str) -> None:
    model, frames = network(3, 7, backbone=backbone, chunk_length=2), [torch.rand(3, 64, 96)] * 3
    assert count_operations(lambda: exhaust(detect(model, frames))) == recorded_operations(model, frames)


def test_runs_that_warm_up_do_not_count() -> None:
    waits = iter([0.1, 0.0, 0.0])
    seconds = time_runs(lambda: time.sleep(next(waits)), torch.device("cpu"), warmup=1, repeats=2)
    assert len(seconds) == 2
    assert max(seconds) < 0.1


@pytest.mark.parametrize(("count", "low", "high"), [(3, 1, 3), (5, 1, 5), (6, 1, 6), (8, 1, 8), (9, 2, 8), (20, 6, 15)])
def test_the_interval_of_a_median_is_that_of_the_sign_test(count: int, low: int, high: int) -> None:
    found = median_interval([float(value) for value in range(count, 0, -1)])
    assert found == {"median": (count + 1) / 2, "low": low, "high": high, "repeats": count}


@pytest.mark.parametrize("count", [6, 9, 20])
def test_the_interval_of_a_median_covers_95_percent(count: int) -> None:
    random, covered = np.random.default_rng(63), 0
    for _ in range(2000):
        found = median_interval(random.exponential(1, count).tolist())
        covered += found["low"] <= np.log(2) <= found["high"]
    assert 0.945 <= covered / 2000 <= 0.985
