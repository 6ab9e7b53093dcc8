"""The SlowFast module: 3D convolutions between the FPN and the RoI heads (paper, section 3).

The module is a valid convolution over time. Given exactly one window it collapses time to one frame, as in the
paper; given a longer run of frames, the same weights slide over it and yield one output for every window. That is
what makes streaming inference exact: both are the same arithmetic.
"""

from __future__ import annotations

from functools import reduce
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast_vos.errors import UserError
from slowfast_vos.model.backbones import Precision
from slowfast_vos.setups import Setup

# torch's own bound: a sample whose N·C·T·H is not above it does not go to oneDNN.
ONEDNN_FROM = 20480


class PathwayConv(nn.Conv3d):
    """A convolution over time, valid in time, of stride 1.

    On a CPU, torch keeps a single small sample from oneDNN; its own path is five to fifteen times slower than the
    same sum over the kernel's frames of convolutions in the plane.
    """

    def forward(self, features: Tensor) -> Tensor:
        if features.device.type != "cpu" or len(features) > 1 or features[..., 0].numel() > ONEDNN_FROM:
            return super().forward(features)
        frames = features[0].transpose(0, 1)  # [T, C, H, W]
        length = len(frames) - self.kernel_size[0] + 1
        taps = (
            F.conv2d(frames[k : k + length], self.weight[:, :, k], padding=self.padding[1:])
            for k in range(self.kernel_size[0])
        )
        total = reduce(torch.add, taps)
        if self.bias is not None:
            total = total + self.bias[:, None, None].to(total.dtype)
        return total.transpose(0, 1)[None]


class PathwayNorm(nn.BatchNorm3d):
    """Batch norm whose gradient on a CPU is right, however features and gradient lie in memory.

    Where they lie differently and there is one frame, torch (2.12) takes one layout for the other, and its gradient is
    wrong without a word.
    """

    def forward(self, features: Tensor) -> Tensor:
        if features.device.type != "cpu":
            return super().forward(features)
        normed = super().forward(features.contiguous())
        if normed.requires_grad:
            normed.register_hook(Tensor.contiguous)
        return normed


def _conv(inputs: int, outputs: int, frames: int) -> PathwayConv:
    return PathwayConv(inputs, outputs, (frames, 3, 3), padding=(0, 1, 1))


class SlowFast(nn.Module):
    """Two pathways of 3D convolutions over the FPN features of consecutive frames.

    With the paper's 256 channels the fast pathway has 32, the slow one 192, 192 and 224, a fusion 64; other
    widths keep these proportions. Layer names are those of the authors' checkpoints.

    Args:
        setup: frames of the two windows.
        channels: channels in and out, a multiple of 8.
        widths: inner channels of the fast pathway, of a fusion and of the slow pathway, if not these.
        precision: "fp32", or "bf16" to run in bfloat16; the output is float32 all the same.

    Shape: `[N, channels, T, H, W]` → `[N, channels, T − fast + 1, H, W]`. `first` is the index in its video of the
    first frame that comes out; only a control asks for it.
    """

    def __init__(
        self,
        setup: Setup,
        channels: int = 256,
        precision: Precision = "fp32",
        widths: tuple[int, int, int] | None = None,
    ) -> None:
        super().__init__()
        self.setup = setup
        self.precision = precision
        fast, fuse, slow = widths or default_widths(channels)
        fast_out = channels // 8
        slow_out = channels - fast_out
        s1, s2, s3 = setup.slow_kernels
        f1, f2, f3 = setup.fast_kernels
        self.fast_conv1, self.bn_f1 = _conv(channels, fast, f1), PathwayNorm(fast)
        self.fast_conv2, self.bn_f2 = _conv(fast, fast, f2), PathwayNorm(fast)
        self.fast_conv3, self.bn_f3 = _conv(fast, fast_out, f3), PathwayNorm(fast_out)
        self.slow_conv1, self.bn_s1 = _conv(channels, slow, s1), PathwayNorm(slow)
        self.slow_conv2, self.bn_s2 = _conv(slow + fuse, slow, s2), PathwayNorm(slow)
        self.slow_conv3, self.bn_s3 = _conv(slow + fuse, slow_out, s3), PathwayNorm(slow_out)
        fuse1, fuse2 = setup.fuse_kernels
        self.conv_f2s1, self.bn_f2s1 = PathwayConv(fast, fuse, (fuse1, 1, 1), bias=False), PathwayNorm(fuse)
        self.conv_f2s2, self.bn_f2s2 = PathwayConv(fast, fuse, (fuse2, 1, 1), bias=False), PathwayNorm(fuse)

    def slow_frames(self, features: Tensor) -> Tensor:
        """What the slow pathway sees of `[N, channels, T, H, W]`: the centre of each fast window."""
        trim = (self.setup.fast - self.setup.slow) // 2
        return features[:, :, trim : features.shape[2] - trim]

    def forward(self, features: Tensor, first: int = 0) -> Tensor:
        with torch.autocast(features.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            fast = torch.relu(self.bn_f1(self.fast_conv1(features)))
            slow = torch.relu(self.bn_s1(self.slow_conv1(self.slow_frames(features))))
            slow = torch.cat([slow, torch.relu(self.bn_f2s1(self.conv_f2s1(fast)))], dim=1)

            fast = torch.relu(self.bn_f2(self.fast_conv2(fast)))
            slow = torch.relu(self.bn_s2(self.slow_conv2(slow)))
            slow = torch.cat([slow, torch.relu(self.bn_f2s2(self.conv_f2s2(fast)))], dim=1)

            fast = self.bn_f3(self.fast_conv3(fast))
            slow = self.bn_s3(self.slow_conv3(slow))
            return torch.cat([slow, fast], dim=1).float()


class WindowedSlowFast(SlowFast):
    """The module of the controls `still`, `shuffled` and `strided`: it sees each window by itself.

    Shape: as `SlowFast`; for `still`, every frame is a window: T → T.
    """

    def forward(self, features: Tensor, first: int = 0) -> Tensor:
        number, count = len(features), features.shape[2] - self.setup.seen + 1
        windows = features.unfold(2, self.setup.seen, 1).permute(0, 2, 1, 5, 3, 4)  # [N, count, C, seen, H, W]
        if self.setup.control == "still":
            windows = windows.expand(-1, -1, -1, self.setup.fast, -1, -1)
        elif self.setup.control == "shuffled":
            windows = self._shuffled(windows, first)
        found = super().forward(windows.flatten(0, 1))[:, :, 0]  # [N · count, C, H, W]
        return found.unflatten(0, (number, count)).transpose(1, 2)

    def slow_frames(self, features: Tensor) -> Tensor:
        if self.setup.control != "strided":
            return super().slow_frames(features)
        return features[:, :, :: (self.setup.fast - 1) // (self.setup.slow - 1)]

    def _shuffled(self, windows: Tensor, first: int) -> Tensor:
        """All frames but the centre in random order: when training each time another, else one of the frame's own."""
        orders = []
        for index in range(windows.shape[1]):
            generator = None if self.training else torch.Generator().manual_seed(first + index)
            others = torch.randperm(self.setup.fast - 1, generator=generator)
            others += others >= self.setup.before
            centre = torch.tensor([self.setup.before])
            orders.append(torch.cat([others[: self.setup.before], centre, others[self.setup.before :]]))
        ordered = [windows[:, index, :, order.to(windows.device)] for index, order in enumerate(orders)]
        return torch.stack(ordered, dim=1)


class NoModule(nn.Module):
    """The control `none`: each frame's own features."""

    def forward(self, features: Tensor, first: int = 0) -> Tensor:
        return features


def temporal_module(setup: Setup, channels: int, precision: Precision) -> nn.Module:
    """What stands between the FPN and the RoI heads in a setup.

    Raises:
        UserError: no widths match the parameters that a `wide` control asks for.
    """
    if setup.control == "none":
        return NoModule()
    if setup.wide_as is not None:
        return SlowFast(setup, channels, precision, matched_widths(setup, channels))
    return (WindowedSlowFast if setup.control else SlowFast)(setup, channels, precision)


def default_widths(channels: int) -> tuple[int, int, int]:
    """Inner channels of the fast pathway, of a fusion and of the slow pathway (paper, section 3)."""
    return channels // 8, channels // 4, channels * 3 // 4


def matched_widths(setup: Setup, channels: int) -> tuple[int, int, int]:
    """The inner channels that give `setup` as many parameters as the setup that its control `wide` names.

    Raises:
        UserError: none comes within 2 %.
    """
    fast, fuse, slow = default_widths(channels)
    wanted = count_parameters(Setup(setup.wide_as.slow, setup.wide_as.fast), channels, (fast, fuse, slow))
    # In proportion, but for one channel of the narrow ones.
    tries = (
        (max(round(fast * wide / slow) + more_fast, 1), max(round(fuse * wide / slow) + more_fuse, 1), wide)
        for wide, more_fast, more_fuse in product(range(1, 6 * slow), (0, 1, -1), (0, 1, -1))
    )
    best = min(tries, key=lambda widths: abs(count_parameters(setup, channels, widths) - wanted))
    found = count_parameters(setup, channels, best)
    if abs(found - wanted) > 0.02 * wanted:
        raise UserError(f"setup {setup}: found {found:,} parameters at best; expected {wanted:,} within 2 %")
    return best


def count_parameters(setup: Setup, channels: int, widths: tuple[int, int, int]) -> int:
    """Parameters of a `SlowFast`, counted without building it."""
    fast, fuse, slow = widths
    fast_out = channels // 8
    slow_out = channels - fast_out
    (s1, s2, s3), (f1, f2, f3), (fuse1, fuse2) = setup.slow_kernels, setup.fast_kernels, setup.fuse_kernels
    planes = [(channels, fast, f1), (fast, fast, f2), (fast, fast_out, f3)]
    planes += [(channels, slow, s1), (slow + fuse, slow, s2), (slow + fuse, slow_out, s3)]
    # A kernel's weights and bias; batch norm has two parameters a channel.
    convolutions = sum(9 * inputs * outputs * frames + 3 * outputs for inputs, outputs, frames in planes)
    return convolutions + fast * fuse * (fuse1 + fuse2) + 4 * fuse
