"""Backbones with a feature pyramid: torchvision's ResNets, or any timm model with features at four strides."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from slowfast_vos.errors import UserError

Precision = Literal["fp32", "bf16"]
STRIDES = [4, 8, 16, 32]
ALL_LAYERS = 5


class FrozenNorm(FrozenBatchNorm2d):
    """torchvision's frozen batch norm, which alone would take bfloat16 features back to float32."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.float32:
            return super().forward(x)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class BackboneFPN(nn.Module):
    """A backbone, batch norm frozen as torchvision freezes it for detection, under an FPN.

    Shape: `[N, 3, H, W]` → levels `0, 1, 2, 3, pool` at strides 4, 8, 16, 32, 64, `out_channels` channels each, in
    float32 whatever the precision within.

    Args:
        name: a torchvision ResNet (`resnet50` is the paper's) or a timm model (`tf_efficientnet_lite0`).
        out_channels: FPN channels.
        trainable_layers: how many of the body's five layers (stem, strides 4, 8, 16, 32) train, from the last on.
        precision: "fp32", or "bf16" to run in bfloat16.
        norm_eps: what a ResNet's frozen batch norm adds to its variances; nothing in 2020.

    Raises:
        UserError: no such backbone, or one without features at strides 4, 8, 16 and 32.
    """

    def __init__(
        self, name: str, out_channels: int, trainable_layers: int, precision: Precision, norm_eps: float
    ) -> None:
        super().__init__()
        frozen_layers, norm_layer = ALL_LAYERS - trainable_layers, None
        if name.startswith(("resnet", "resnext", "wide_resnet")) and name in torchvision.models.list_models():
            self.body, channels = _resnet(name, frozen_layers, norm_eps)
        else:
            self.body, channels = _timm_model(name, frozen_layers)
            # Linear bottlenecks end in features of very different scales; without a norm, training diverges.
            norm_layer = partial(nn.GroupNorm, 8)
        self.fpn = FeaturePyramidNetwork(channels, out_channels, LastLevelMaxPool(), norm_layer)
        self.out_channels = out_channels
        self.precision = precision

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            maps = self.body(images)
            if not isinstance(maps, dict):
                maps = OrderedDict((str(level), features) for level, features in enumerate(maps))
            return {level: features.float() for level, features in self.fpn(maps).items()}


def _resnet(name: str, frozen_layers: int, norm_eps: float) -> tuple[nn.Module, list[int]]:
    resnet = torchvision.models.get_model(name, weights=None, norm_layer=partial(FrozenNorm, eps=norm_eps))
    stages = [f"layer{index}" for index in range(1, 5)]
    for layer in ["conv1", *stages][:frozen_layers]:
        resnet.get_submodule(layer).requires_grad_(False)
    channels = [resnet.inplanes // 2**halvings for halvings in (3, 2, 1, 0)]
    return IntermediateLayerGetter(resnet, {stage: str(level) for level, stage in enumerate(stages)}), channels


def _timm_model(name: str, frozen_layers: int) -> tuple[nn.Module, list[int]]:
    import timm  # takes a second, and the paper's network does without it
    from timm.layers import freeze_batch_norm_2d

    if not timm.is_model(name):
        raise UserError(f"model.backbone: found {name!r}; expected a torchvision ResNet or the name of a timm model")
    # Strides are looked up on the bare model: which index has which stride differs between architectures.
    reductions = timm.create_model(name, features_only=True).feature_info.reduction()
    if not set(STRIDES) <= set(reductions):
        raise UserError(f"model.backbone {name!r}: found strides {reductions}; expected {STRIDES} among them")
    indices = tuple(reductions.index(stride) for stride in STRIDES)
    body = freeze_batch_norm_2d(timm.create_model(name, features_only=True, out_indices=indices))
    # A layer ends where the size is halved: parameters belong to the features that follow them.
    reach = {info["module"]: info["reduction"] for info in body.feature_info.info}
    halvings = 1
    for parameter_name, parameter in body.named_parameters():
        module = next((module for module in reach if parameter_name.startswith(f"{module}.")), None)
        halvings = reach[module].bit_length() - 1 if module else halvings
        if halvings <= frozen_layers:
            parameter.requires_grad_(False)
    return body, body.feature_info.channels()
