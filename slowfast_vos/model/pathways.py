"""The SlowFast module: 3D convolutions between the FPN and the RoI heads (paper, section 3).

The module is a valid convolution over time. Given exactly one window it collapses time to one frame, as in the
paper; given a longer run of frames, the same weights slide over it and yield one output for every window. That is
what makes streaming inference exact: both are the same arithmetic.
"""

from __future__ import annotations

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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


def _conv(inputs: int, outputs: int, frames: int) -> PathwayConv:
    return PathwayConv(inputs, outputs, (frames, 3, 3), padding=(0, 1, 1))


class SlowFast(nn.Module):
    """Two pathways of 3D convolutions over the FPN features of consecutive frames.

    With the paper's 256 channels the fast pathway has 32, the slow one 192, 192 and 224, a fusion 64; other
    widths keep these proportions. Layer names are those of the authors' checkpoints.

    Args:
        setup: frames of the two windows.
        channels: channels in and out, a multiple of 8.
        precision: "fp32", or "bf16" to run in bfloat16; the output is float32 all the same.

    Shape: `[N, channels, T, H, W]` → `[N, channels, T − fast + 1, H, W]`.
    """

    def __init__(self, setup: Setup, channels: int = 256, precision: Precision = "fp32") -> None:
        super().__init__()
        self.setup = setup
        self.precision = precision
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
        self.conv_f2s1, self.bn_f2s1 = PathwayConv(fast, fuse, (fuse1, 1, 1), bias=False), nn.BatchNorm3d(fuse)
        self.conv_f2s2, self.bn_f2s2 = PathwayConv(fast, fuse, (fuse2, 1, 1), bias=False), nn.BatchNorm3d(fuse)

    def forward(self, features: Tensor) -> Tensor:
        trim = (self.setup.fast - self.setup.slow) // 2
        with torch.autocast(features.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            fast = torch.relu(self.bn_f1(self.fast_conv1(features)))
            slow = features[:, :, trim : features.shape[2] - trim]
            slow = torch.relu(self.bn_s1(self.slow_conv1(slow)))
            slow = torch.cat([slow, torch.relu(self.bn_f2s1(self.conv_f2s1(fast)))], dim=1)

            fast = torch.relu(self.bn_f2(self.fast_conv2(fast)))
            slow = torch.relu(self.bn_s2(self.slow_conv2(slow)))
            slow = torch.cat([slow, torch.relu(self.bn_f2s2(self.conv_f2s2(fast)))], dim=1)

            fast = self.bn_f3(self.fast_conv3(fast))
            slow = self.bn_s3(self.slow_conv3(slow))
            return torch.cat([slow, fast], dim=1).float()
