"""Convolutions and norms whose usual path on a CPU is slow for a few small maps.

Values and gradients are the same but for rounding; elsewhere than on a CPU each is the module that it replaces.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PointwiseConv(nn.Conv2d):
    """A 1×1 convolution.

    With one thread, torch keeps it from oneDNN, which takes half of the time, unless it is dilated: nothing to 1×1.
    """

    def _conv_forward(self, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        dilation = 2 if maps.device.type == "cpu" else 1
        return F.conv2d(maps, weight, bias, self.stride, self.padding, dilation)


class DepthwiseConv(nn.Conv2d):
    """A depthwise convolution above 3×3, the gradient of whose weights takes oneDNN longer than all else together."""

    def forward(self, maps: Tensor) -> Tensor:
        trains = torch.is_grad_enabled() and self.weight.requires_grad
        if not trains or maps.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return super().forward(maps)
        return _Depthwise.apply(maps, self.weight, self.stride, self.padding)


class SameDepthwiseConv(DepthwiseConv):
    """As `DepthwiseConv`, padded as TensorFlow does: where the stride is 2, more on one side than on the other."""

    def forward(self, maps: Tensor) -> Tensor:
        from timm.layers import pad_same  # whose module this replaces

        return super().forward(pad_same(maps, self.kernel_size, self.stride))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.options = stride, padding
        return F.conv2d(maps, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        (maps, weight), (stride, padding), of_maps = ctx.saved_tensors, ctx.options, None
        if ctx.needs_input_grad[0]:
            # Not torch's `conv2d_input`, whose stand-in for the maps loses their layout: ten times as long.
            options = stride, padding, (1, 1), False, (0, 0), len(weight), (True, False, False)
            of_maps = torch.ops.aten.convolution_backward(gradient, maps, weight, None, *options)[0]
        # The input convolved with the output's gradient, each channel of each frame by itself; summed over frames.
        padded = F.pad(maps, (padding[1], padding[1], padding[0], padding[0]))
        planes = padded.permute(2, 3, 0, 1).flatten(2)[None].permute(0, 3, 1, 2)
        kernels = gradient.flatten(0, 1)[:, None]
        height, width = weight.shape[2:]
        found = F.conv2d(planes, kernels, dilation=stride, groups=len(kernels))[0, :, :height, :width]
        return of_maps, found.unflatten(0, maps.shape[:2]).sum(0)[:, None], None, None


class ContiguousNorm(nn.GroupNorm):
    """Group norm, which takes a CPU ten times as long where the channels are last as to move them and back."""

    def forward(self, maps: Tensor) -> Tensor:
        if maps.device.type != "cpu":
            return super().forward(maps)
        return super().forward(maps.contiguous()).contiguous(memory_format=torch.channels_last)


def use_fast_convolutions(network: nn.Module, same: type[nn.Conv2d] | None = None) -> None:
    """Make 1×1 convolutions and large depthwise ones those of this module; weights and their names stay.

    Args:
        same: timm's class of convolutions that are padded as TensorFlow does.
    """
    for module in network.modules():
        if type(module) not in (nn.Conv2d, same) or module.dilation != (1, 1) or isinstance(module.padding, str):
            continue
        depthwise = module.groups == module.in_channels == module.out_channels
        if module.kernel_size == (1, 1) and module.groups == 1 and type(module) is nn.Conv2d:
            module.__class__ = PointwiseConv
        elif min(module.kernel_size) > 3 and depthwise and module.bias is None:
            module.__class__ = SameDepthwiseConv if type(module) is same else DepthwiseConv
