"""Counts and operations, against arithmetic on paper."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.jobs.cost import _spread, count, count_operations, host_peak_bytes
from slowfast_vos.model.streaming import detect
from torch import nn

Build = Callable[..., SlowFastMaskRCNN]


def test_parameters_are_counted_all_or_those_that_train() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1, bias=False))
    assert count(model) == 3 * 4 + 4 + 4
    model[0].requires_grad_(False)
    assert count(model, trained=True) == 4


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
    for _ in detect(model, frames):
        pass
    for hook in hooks:
        hook.remove()
    return total


@pytest.mark.parametrize("backbone", ["resnet18", "tf_efficientnet_lite0"])
def test_operations_are_those_of_every_convolution_and_matrix_product(network: Build, backbone: str) -> None:
    model, frames = network(3, 7, backbone=backbone, chunk_length=2), [torch.rand(3, 64, 96)] * 3
    assert count_operations(model, frames) == recorded_operations(model, frames)


def test_a_spread_is_median_and_quartiles() -> None:
    spread = _spread(np.array([4.0, 1.0, 2.0, 3.0, 5.0]))
    assert (spread.low, spread.median, spread.high, spread.repeats) == (2, 3, 4, 5)


def test_the_peak_of_host_memory_is_in_bytes() -> None:
    assert 2**26 < host_peak_bytes() < 2**40
