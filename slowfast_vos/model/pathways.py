"""The SlowFast module: 3D convolutions between the FPN and the RoI heads (paper, section 3).

The module is a valid convolution over time. Given exactly one window it collapses time to one frame, as in the
paper; given a longer run of frames, the same weights slide over it and yield one output for every window. That is
what makes streaming inference exact: both are the same arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slowfast_vos.errors import UserError


def temporal_kernels(frames: int) -> tuple[int, int, int]:
    """Kernel sizes over time of the three layers of a pathway that sees `frames` frames.

    Their valid convolutions take `frames` to 1: the kernels sum to `frames` + 2.
    """
    third, rest = divmod(frames, 3)
    return ((third, third + 1, third + 1), (third + 1,) * 3, (third + 1, third + 1, third + 2))[rest]


@dataclass(frozen=True)
class Setup:
    """How many frames the slow and the fast pathway see, `slow`-`fast` in the paper's notation.

    Raises:
        UserError: unless 1 ≤ slow ≤ fast and fast − slow is even, so that the slow window is the fast one's centre.
    """

    slow: int
    fast: int

    def __post_init__(self) -> None:
        if not 1 <= self.slow <= self.fast:
            raise UserError(
                f"setup {self}: found {self.slow} slow and {self.fast} fast frames; expected 1 ≤ slow ≤ fast"
            )
        if (self.fast - self.slow) % 2:
            raise UserError(
                f"setup {self}: fast − slow is {self.fast - self.slow}; expected an even number, "
                "so that the slow window lies in the centre of the fast one"
            )

    @classmethod
    def parse(cls, name: str) -> Setup:
        """Read a setup's name, such as "3-7"."""
        slow, dash, fast = str(name).partition("-")
        if not (dash and slow.isdecimal() and fast.isdecimal()):
            raise UserError(f'setup {name!r}: expected "slow-fast" in frames, such as "3-7"')
        return cls(int(slow), int(fast))

    def __str__(self) -> str:
        return f"{self.slow}-{self.fast}"

    @property
    def before(self) -> int:
        """Frames of the fast window that precede the centre frame."""
        return self.fast // 2

    @property
    def after(self) -> int:
        """Frames of the fast window that follow the centre frame."""
        return self.fast - 1 - self.before

    @property
    def slow_kernels(self) -> tuple[int, int, int]:
        """Temporal kernels of the slow pathway."""
        return temporal_kernels(self.slow)

    @property
    def fast_kernels(self) -> tuple[int, int, int]:
        """Temporal kernels of the fast pathway."""
        return temporal_kernels(self.fast)

    @property
    def fuse_kernels(self) -> tuple[int, int]:
        """Temporal kernels of the two fast→slow connections: what is left of the difference at their depth."""
        slow, fast, kernels = self.slow, self.fast, []
        for slow_kernel, fast_kernel in zip(self.slow_kernels[:2], self.fast_kernels[:2], strict=True):
            slow, fast = slow - slow_kernel + 1, fast - fast_kernel + 1
            kernels.append(fast - slow + 1)
        return kernels[0], kernels[1]


def _conv(inputs: int, outputs: int, frames: int) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, (frames, 3, 3), padding=(0, 1, 1))


class SlowFast(nn.Module):
    """Two pathways of 3D convolutions over the FPN features of consecutive frames.

    With the paper's 256 channels the fast pathway has 32, the slow one 192, 192 and 224, a fusion 64; other
    widths keep these proportions. Layer names are those of the authors' checkpoints.

    Args:
        setup: frames of the two windows.
        channels: channels in and out, a multiple of 8.

    Shape: `[N, channels, T, H, W]` → `[N, channels, T − fast + 1, H, W]`.
    """

    def __init__(self, setup: Setup, channels: int = 256) -> None:
        super().__init__()
        if channels < 8 or channels % 8:
            raise UserError(f"fpn_channels: found {channels}; expected a multiple of 8, at least 8")
        self.setup = setup
        fast, fuse, slow = channels // 8, channels // 4, channels * 3 // 4
        slow_out = channels - fast
        s1, s2, s3 = setup.slow_kernels
        f1, f2, f3 = setup.fast_kernels
        self.fast_conv1, self.bn_f1 = _conv(channels, fast, f1), nn.BatchNorm3d(fast)
        self.fast_conv2, self.bn_f2 = _conv(fast, fast, f2), nn.BatchNorm3d(fast)
        self.fast_conv3, self.bn_f3 = _conv(fast, fast, f3), nn.BatchNorm3d(fast)
        self.slow_conv1, self.bn_s1 = _conv(channels, slow, s1), nn.BatchNorm3d(slow)
        self.slow_conv2, self.bn_s2 = _conv(slow + fuse, slow, s2), nn.BatchNorm3d(slow)
        self.slow_conv3, self.bn_s3 = _conv(slow + fuse, slow_out, s3), nn.BatchNorm3d(slow_out)
        fuse1, fuse2 = setup.fuse_kernels
        self.conv_f2s1, self.bn_f2s1 = nn.Conv3d(fast, fuse, (fuse1, 1, 1), bias=False), nn.BatchNorm3d(fuse)
        self.conv_f2s2, self.bn_f2s2 = nn.Conv3d(fast, fuse, (fuse2, 1, 1), bias=False), nn.BatchNorm3d(fuse)

    def forward(self, features: Tensor) -> Tensor:
        trim = (self.setup.fast - self.setup.slow) // 2
        fast = features
        slow = features[:, :, trim : features.shape[2] - trim]

        fast = torch.relu(self.bn_f1(self.fast_conv1(fast)))
        slow = torch.relu(self.bn_s1(self.slow_conv1(slow)))
        slow = torch.cat([slow, torch.relu(self.bn_f2s1(self.conv_f2s1(fast)))], dim=1)

        fast = torch.relu(self.bn_f2(self.fast_conv2(fast)))
        slow = torch.relu(self.bn_s2(self.slow_conv2(slow)))
        slow = torch.cat([slow, torch.relu(self.bn_f2s2(self.conv_f2s2(fast)))], dim=1)

        fast = self.bn_f3(self.fast_conv3(fast))
        slow = self.bn_s3(self.slow_conv3(slow))
        return torch.cat([slow, fast], dim=1)
