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

NOISE = 0.2  # what is left of the random weights, divided by the shift: what the module can learn from
LEAST_VARIANCE = 1e-3  # of a hidden feature, as a part of the largest


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
def start_as_identity(module: SlowFast, moments: Moments, shift: float, noise: float = NOISE) -> None:
    """Give a random module the weights and statistics with which it passes on each centre frame's features.

    The fast pathway passes on the channels that it puts out; the slow one its own, as far as they do not follow from
    those.

    Args:
        moments: of the features.
        shift: standard deviations between a hidden feature's mean and its ReLU: the more, the closer to the identity.
        noise: what is left of the random weights, times the shift.
    """
    mean, covariance = moments.mean, moments.covariance
    slow_out, width, fused_width = (
        conv.out_channels for conv in (module.slow_conv3, module.slow_conv1, module.conv_f2s1)
    )
    # `to_fast` [fast, C] and `to_slow` [slow, C] take centred features to hidden ones, `from_…` take these back.
    to_fast = _rows(_principal(covariance[slow_out:, slow_out:]), module.fast_conv1.out_channels, slow_out)
    from_fast = to_fast[:, slow_out:].T
    fuse = torch.eye(fused_width, len(to_fast), dtype=torch.double)
    seen = fuse @ to_fast
    explained = (covariance @ seen.T)[:slow_out] @ torch.linalg.pinv(seen @ covariance @ seen.T, hermitian=True)
    rest = torch.eye(len(mean), dtype=torch.double)[:slow_out] - explained @ seen
    components = _principal(rest @ covariance @ rest.T)
    to_slow = _rows(components @ rest, width)
    from_slow = torch.cat([_rows(components, width).T, explained], dim=1)
    fast, slow, fused = (_Hidden(matrix @ covariance @ matrix.T, shift) for matrix in (to_fast, to_slow, seen))

    setup = module.setup
    slow_taps, fast_taps = centre_taps(setup.slow_kernels), centre_taps(setup.fast_kernels)
    fuse_tap = (setup.fast - setup.slow) // 2 + slow_taps[0] - fast_taps[0]
    for conv in module.children():
        if isinstance(conv, nn.Conv3d):
            conv.weight.mul_(noise / shift)
    fast.put(module.fast_conv1, module.bn_f1, to_fast, fast_taps[0], to_fast @ mean)
    slow.put(module.slow_conv1, module.bn_s1, to_slow, slow_taps[0], to_slow @ mean)
    fused.put(module.conv_f2s1, module.bn_f2s1, fuse, fuse_tap, fuse @ fast.mean)
    fuse_tap += slow_taps[1] - fast_taps[1]
    fast.put(module.fast_conv2, module.bn_f2, torch.eye(len(to_fast)), fast_taps[1], fast.mean)
    slow.put(module.slow_conv2, module.bn_s2, torch.eye(width, width + fused_width), slow_taps[1], slow.mean)
    fused.put(module.conv_f2s2, module.bn_f2s2, fuse, fuse_tap, fuse @ fast.mean)
    variance = covariance.diagonal()
    _put(module.fast_conv3, from_fast, fast_taps[2])
    _norm(module.bn_f3, from_fast @ fast.mean, variance[slow_out:], mean[slow_out:])
    _put(module.slow_conv3, from_slow, slow_taps[2])
    _norm(module.bn_s3, from_slow @ torch.cat([slow.mean, fused.mean]), variance[:slow_out], mean[:slow_out])


class _Hidden:
    """Hidden features with a mean of 0, moved above it by `shift` standard deviations: a ReLU keeps nearly all."""

    def __init__(self, covariance: Tensor, shift: float) -> None:
        variance = covariance.diagonal()
        self.variance = variance.clamp(min=LEAST_VARIANCE * float(variance.max()))
        self.mean = shift * self.variance.sqrt()

    def put(self, conv: nn.Conv3d, norm: nn.BatchNorm3d, weights: Tensor, tap: int, mean: Tensor) -> None:
        """Let a layer whose sums have this mean give the features."""
        _put(conv, weights, tap)
        _norm(norm, mean, self.variance, self.mean)


def _principal(covariance: Tensor) -> Tensor:
    """The principal components as rows, that of the largest variance first."""
    return torch.linalg.eigh(covariance).eigenvectors.flip(1).T


def _rows(matrix: Tensor, count: int, columns_before: int = 0) -> Tensor:
    """The first rows of a matrix, so many; zeros are added below and on the left."""
    missing = max(count - len(matrix), 0)
    return F.pad(matrix[:count], (columns_before, 0, 0, missing))


def _put(conv: nn.Conv3d, weights: Tensor, tap: int) -> None:
    middle = conv.kernel_size[1] // 2
    conv.weight[:, :, tap, middle, middle] += weights.to(conv.weight)
    if conv.bias is not None:
        conv.bias.zero_()


def _norm(norm: nn.BatchNorm3d, mean: Tensor, variance: Tensor, wanted: Tensor) -> None:
    """Let a batch norm move features of this mean and variance to the wanted mean, and leave their scale."""
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(wanted)
