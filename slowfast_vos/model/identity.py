"""A SlowFast module that starts by giving each centre frame its own features: computed, not learned.

A random module would have to learn from a few videos what the backbone knows from a million pictures. Inflated networks
start likewise from what their image network computes (Carreira and Zisserman, 2017). The pathways are narrower than the
features, so that they pass on principal components, and ReLUs are linear as far as hidden features are shifted.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast_vos.model.pathways import SlowFast

SHIFT = 1.0  # standard deviations between a hidden feature's mean and its ReLU: the more, the closer to the identity
NOISE = 0.1  # what is left of the random weights, so that the module can learn
LEAST_VARIANCE = 1e-5  # of a component that is kept, as a part of the largest


class Moments:
    """Mean and covariance of features over all that is added.

    Args:
        channels: of the features.
    """

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.sums = torch.zeros(channels, dtype=torch.double)
        self.products = torch.zeros(channels, channels, dtype=torch.double)

    def add(self, features: Tensor) -> None:
        """Add maps `[N, C, h, w]`."""
        rows = features.transpose(0, 1).flatten(1).double()
        self.count += rows.shape[1]
        self.sums += rows.sum(1).cpu()
        self.products += (rows @ rows.T).cpu()

    @property
    def mean(self) -> Tensor:
        """`[C]`, in double precision."""
        return self.sums / self.count

    @property
    def covariance(self) -> Tensor:
        """`[C, C]`, in double precision."""
        return self.products / self.count - torch.outer(self.mean, self.mean)


def centre_taps(kernels: Sequence[int]) -> list[int]:
    """The tap of each layer's kernel over time through which the window's centre frame passes."""
    reached = [(before + 1) // 2 for before in accumulate((size - 1 for size in kernels), initial=0)]
    return [after - before for before, after in pairwise(reached)]


@torch.no_grad()
def start_as_identity(module: SlowFast, moments: Moments, shift: float = SHIFT, noise: float = NOISE) -> None:
    """Give a random module the weights and statistics with which it passes on each centre frame's features.

    The fast pathway passes on the channels that it puts out; the slow one its own, as far as they do not follow from
    those.

    Args:
        moments: of the features.
        shift: standard deviations between a hidden feature's mean and its ReLU.
        noise: what is left of the random weights.
    """
    mean, covariance = moments.mean, moments.covariance
    slow_out, width, fused_width = (
        conv.out_channels for conv in (module.slow_conv3, module.slow_conv1, module.conv_f2s1)
    )
    # `to_fast` [fast, C] and `to_slow` [slow, C] give hidden features of variance 1, `from_…` take these back.
    to_fast, from_fast = _components(covariance[slow_out:, slow_out:], module.fast_conv1.out_channels)
    to_fast = F.pad(to_fast, (slow_out, 0))
    fuse = torch.eye(fused_width, len(to_fast), dtype=torch.double)
    seen = fuse @ to_fast
    explained = (covariance @ seen.T)[:slow_out] @ torch.linalg.pinv(seen @ covariance @ seen.T, hermitian=True)
    rest = torch.eye(len(mean), dtype=torch.double)[:slow_out] - explained @ seen
    to_slow, from_slow = _components(rest @ covariance @ rest.T, width)
    to_slow, from_slow = to_slow @ rest, torch.cat([from_slow, explained], dim=1)

    setup = module.setup
    slow_taps, fast_taps = centre_taps(setup.slow_kernels), centre_taps(setup.fast_kernels)
    fuse_tap = (setup.fast - setup.slow) // 2 + slow_taps[0] - fast_taps[0]
    for conv in module.children():
        if isinstance(conv, nn.Conv3d):
            conv.weight.mul_(noise)
    size = covariance.diagonal().mean().sqrt()
    for conv in (module.fast_conv1, module.slow_conv1):
        conv.weight.div_(size)
    hidden = torch.full((width + fused_width,), shift, dtype=torch.double)  # their means behind a ReLU
    _put(module.fast_conv1, module.bn_f1, to_fast, fast_taps[0], mean, shift)
    _put(module.slow_conv1, module.bn_s1, to_slow, slow_taps[0], mean, shift)
    _put(module.conv_f2s1, module.bn_f2s1, fuse, fuse_tap, hidden, shift)
    fuse_tap += slow_taps[1] - fast_taps[1]
    _put(module.fast_conv2, module.bn_f2, torch.eye(len(to_fast)), fast_taps[1], hidden, shift)
    _put(module.slow_conv2, module.bn_s2, torch.eye(width, width + fused_width), slow_taps[1], hidden, shift)
    _put(module.conv_f2s2, module.bn_f2s2, fuse, fuse_tap, hidden, shift)
    deviation = covariance.diagonal().clamp(min=1e-12).sqrt()
    for conv, norm, back, tap, own in (
        (module.fast_conv3, module.bn_f3, from_fast, fast_taps[2], slice(slow_out, None)),
        (module.slow_conv3, module.bn_s3, from_slow, slow_taps[2], slice(slow_out)),
    ):
        _put(conv, norm, back / deviation[own, None], tap, hidden, mean[own], deviation[own])


def _components(covariance: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Matrices to so many principal components of variance 1, and back; components beyond the features' are zero."""
    variances, vectors = torch.linalg.eigh(covariance)
    deviations = variances.flip(0)[:count].clamp(min=LEAST_VARIANCE * float(variances.max()) + 1e-12).sqrt()
    vectors, missing = vectors.flip(1)[:, :count], max(count - len(variances), 0)
    return F.pad((vectors / deviations).T, (0, 0, 0, missing)), F.pad(vectors * deviations, (0, missing))


def _put(
    conv: nn.Conv3d,
    norm: nn.BatchNorm3d,
    weights: Tensor,
    tap: int,
    given: Tensor,
    mean: Tensor | float,
    deviation: Tensor | float = 1.0,
) -> None:
    """Let a layer apply weights to each frame of inputs whose mean is given; its norm gives this mean and deviation."""
    middle = conv.kernel_size[1] // 2
    conv.weight[:, :, tap, middle, middle] += weights.to(conv.weight)
    if conv.bias is not None:
        conv.bias.zero_()
    norm.running_mean.copy_(conv.weight.sum((2, 3, 4)).cpu().double() @ given[: weights.shape[1]])
    norm.running_var.fill_(1)
    norm.weight.copy_(torch.as_tensor(deviation))
    norm.bias.copy_(torch.as_tensor(mean))
