"""The SlowFast module by arithmetic that can be followed by hand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from slowfast_vos.model.pathways import PathwayConv, PathwayNorm, SlowFast, temporal_module
from slowfast_vos.setups import Setup
from torch import Tensor, nn

SETUPS = ["1-1", "3-3", "7-7", "1-7", "3-7"]
CHANNELS = 8  # fast 1, fusion 2, slow 6, slow out 7


def neutral(module: SlowFast) -> SlowFast:
    """All weights zero, every batch norm the identity."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv3d):
            nn.init.zeros_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm3d):
            layer.eps = 1e-20
    return module.eval()


def set_centre(layer: nn.Conv3d, out: int, source: int, taps: list[float]) -> None:
    """Let output channel `out` be a weighted sum over time of input channel `source`, at the same pixel."""
    *_, height, width = layer.weight.shape
    assert len(taps) == layer.weight.shape[2]
    with torch.no_grad():
        layer.weight[out, source, :, height // 2, width // 2] = torch.tensor(taps)


def features(length: int, seed: int = 0, size: tuple[int, int] = (4, 5), channels: int = CHANNELS) -> Tensor:
    """Positive features `[1, C, T, h, w]`, so that a ReLU changes nothing."""
    return torch.rand((1, channels, length, *size), generator=torch.Generator().manual_seed(seed)) + 0.1


@pytest.mark.parametrize("setup", SETUPS)
def test_pathways_of_averages_average_their_own_windows(setup: str) -> None:
    """Averages of averages are weighted averages: the taps of three layers convolved with one another."""
    module = neutral(SlowFast(Setup.parse(setup), CHANNELS))
    for name in ("fast_conv1", "fast_conv2", "fast_conv3", "slow_conv1", "slow_conv2", "slow_conv3"):
        layer = module.get_submodule(name)
        set_centre(layer, 0, 0, [1 / layer.kernel_size[0]] * layer.kernel_size[0])
    given = features(module.setup.fast)
    found = module(given)[0, :, 0]

    def weights(kernels: tuple[int, int, int]) -> list[float]:
        first, second, third = (np.full(kernel, 1 / kernel) for kernel in kernels)
        return np.convolve(np.convolve(first, second), third).tolist()

    window = given[0, 0]
    trim = (module.setup.fast - module.setup.slow) // 2
    fast = sum(w * frame for w, frame in zip(weights(module.setup.fast_kernels), window, strict=True))
    slow_window = window[trim : trim + module.setup.slow]
    slow = sum(w * frame for w, frame in zip(weights(module.setup.slow_kernels), slow_window, strict=True))
    torch.testing.assert_close(found[7], fast)
    torch.testing.assert_close(found[0], slow)
    assert not found[1:7].any()


def test_3_7_by_hand() -> None:
    """Picks single frames along every path, and adds them up as the paper draws them."""
    module = neutral(SlowFast(Setup(3, 7), CHANNELS))
    # Fast: 7 → 5 → 3 → 1 frames; slow: 3 → 3 → 2 → 1; fusions take 5 to 3 and 3 to 2.
    set_centre(module.fast_conv1, 0, 3, [1, 0, 0])  # fast1[t] = x3[t], t = 0..4
    set_centre(module.conv_f2s1, 1, 0, [0, 0, 2])  # fused1[t] = 2 fast1[t + 2] = 2 x3[t + 2], t = 0..2
    set_centre(module.slow_conv1, 4, 5, [1])  # slow1[t] = x5[t + 2], t = 0..2
    set_centre(module.slow_conv2, 0, 4, [1, 0])  # slow2[t] = slow1[t] + fused1[t + 1] …
    set_centre(module.slow_conv2, 0, 6 + 1, [0, 1])  # … = x5[t + 2] + 2 x3[t + 3], t = 0..1
    set_centre(module.fast_conv2, 0, 0, [0, 0, 1])  # fast2[t] = fast1[t + 2] = x3[t + 2], t = 0..2
    set_centre(module.conv_f2s2, 0, 0, [3, 0])  # fused2[t] = 3 fast2[t] = 3 x3[t + 2], t = 0..1
    set_centre(module.slow_conv3, 6, 0, [0, 1])  # slow3 = slow2[1] …
    set_centre(module.slow_conv3, 6, 6 + 0, [-5, 0])  # … − 5 fused2[0] = x5[3] + 2 x3[4] − 15 x3[2]
    set_centre(module.fast_conv3, 0, 0, [0, 0, -1])  # fast3 = −fast2[2] = −x3[4]
    x = features(7)
    found = module(x)[0, :, 0]
    torch.testing.assert_close(found[6], x[0, 5, 3] + 2 * x[0, 3, 4] - 15 * x[0, 3, 2])
    torch.testing.assert_close(found[7], -x[0, 3, 4])
    assert not found[:6].any()


def test_relu_follows_the_first_two_layers_and_not_the_third() -> None:
    module = neutral(SlowFast(Setup(1, 1), CHANNELS))
    for name in ("fast_conv1", "fast_conv2", "fast_conv3", "slow_conv1", "slow_conv2", "slow_conv3"):
        layer = module.get_submodule(name)
        set_centre(layer, 0, 0, [1])
    for layer in (module.bn_s3, module.bn_f3):
        nn.init.constant_(layer.bias, -1)
    x = features(1) - 0.6
    found = module(x)[0, :, 0]
    assert found.min() == -1
    torch.testing.assert_close(found[0], x[0, 0, 0].relu() - 1)
    torch.testing.assert_close(found[7], x[0, 0, 0].relu() - 1)


def test_batch_norm_uses_its_running_statistics_in_evaluation_and_space_is_padded_with_zeros() -> None:
    module = neutral(SlowFast(Setup(1, 1), CHANNELS))
    nn.init.ones_(module.fast_conv1.weight[0:1, 0:1])
    for layer in (module.fast_conv2, module.fast_conv3):
        set_centre(layer, 0, 0, [1])
    nn.init.constant_(module.bn_f3.running_mean, 2)
    nn.init.constant_(module.bn_f3.running_var, 4)
    found = module(torch.ones(1, CHANNELS, 1, 3, 3))[0, 7, 0] * 2 + 2
    assert found.tolist() == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("setup", [*SETUPS, "3-3+still"])
def test_gradients_are_right_in_every_layout(setup: str, number: int, training: bool) -> None:
    """Against double precision: torch's batch norm takes one layout for another, and gives a wrong gradient."""
    module = randomised(setup).train(training)
    exact = copy.deepcopy(module).double()
    for layer in exact.modules():
        layer.__class__ = {PathwayConv: nn.Conv3d, PathwayNorm: nn.BatchNorm3d}.get(type(layer), type(layer))
    given = torch.cat([features(module.setup.seen, seed, (24, 40), 16) for seed in range(number)])
    weights = F.avg_pool2d(torch.randn(number, 16, 24, 40), 5, 1, 2)
    frames = given.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
    windows = frames[torch.arange(len(frames)).view(number, -1)]  # as the network cuts them
    layouts = [given, windows.transpose(1, 2)]
    found = [gradients(module, some, every) for some in layouts for every in as_laid_out(weights)]
    expected = gradients(exact, given.double(), weights)
    for some in found:
        assert all((one - other).norm() < 1e-3 * other.norm() for one, other in zip(some, expected, strict=True))


def as_laid_out(maps: Tensor) -> list[Tensor]:
    return [maps, maps.contiguous(memory_format=torch.channels_last)]


def gradients(module: SlowFast, given: Tensor, weights: Tensor) -> list[Tensor]:
    """Of the input, the convolutions' weights and the norms'; a bias before a norm that trains has none."""
    given = given.detach().requires_grad_()
    weighted = (module(given)[:, :, 0] * weights).sum()
    names = [value for name, value in module.named_parameters() if "bn" in name or name.endswith("weight")]
    return list(torch.autograd.grad(weighted, [given, *names]))


def randomised(setup: str, channels: int = 16) -> SlowFast:
    torch.manual_seed(0)
    module = temporal_module(Setup.parse(setup), channels, "fp32")
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm3d):
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.constant_(layer.bias, 0.5)  # keeps every unit active
    return module.eval()


@pytest.mark.parametrize("setup", [*SETUPS, "2-4", "1-9", "5-9"])
def test_every_frame_of_the_window_counts_and_no_other(setup: str) -> None:
    module = randomised(setup)
    before, after = module.setup.before, module.setup.after
    length, channels = 14, 16
    given = features(length, channels=channels)
    found = module(given)
    assert found.shape == (1, channels, length - module.setup.fast + 1, 4, 5)
    for frame in range(length):
        changed = given.clone()
        changed[:, :, frame] += 1
        moved = (module(changed) - found).abs().amax(dim=(0, 1, 3, 4)) > 1e-6
        # Output t is the window of frame t + before.
        expected = [t + before - before <= frame <= t + before + after for t in range(found.shape[2])]
        assert moved.tolist() == expected


@pytest.mark.parametrize("setup", [*SETUPS, "2-6"])
def test_one_pass_over_many_frames_equals_a_pass_per_window(setup: str) -> None:
    module = randomised(setup)
    given, fast = features(11, channels=16), module.setup.fast
    each = [module(given[:, :, start : start + fast]) for start in range(11 - fast + 1)]
    torch.testing.assert_close(module(given), torch.cat(each, dim=2))


@pytest.mark.parametrize("channels", [8, 24])
def test_widths_keep_the_papers_proportions(channels: int) -> None:
    with torch.device("meta"):
        module = SlowFast(Setup(3, 7), channels)
    assert module.fast_conv1.weight.shape == (channels // 8, channels, 3, 3, 3)
    assert module.slow_conv1.weight.shape == (channels * 3 // 4, channels, 1, 3, 3)
    assert module.slow_conv2.weight.shape == (channels * 3 // 4, channels, 2, 3, 3)
    assert module.slow_conv3.weight.shape == (channels * 7 // 8, channels, 2, 3, 3)
    assert module.conv_f2s1.weight.shape == (channels // 4, channels // 8, 3, 1, 1)
    assert module.conv_f2s2.weight.shape == (channels // 4, channels // 8, 2, 1, 1)
