"""Backbones with a feature pyramid: torchvision's ResNets, or any timm model with features at four strides."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from slowfast_vos.errors import UserError
from slowfast_vos.model.precision import Precision, mixed

FPN_CHANNELS = 256
STRIDES = [4, 8, 16, 32]
ALL_LAYERS = 5


class FrozenNorm(FrozenBatchNorm2d):
    """torchvision's frozen batch norm, which alone would take bfloat16 features back to float32."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.float32:
            return super().forward(x)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class ResNetFPN(BackboneWithFPN):
    """torchvision's ResNet, batch norm frozen, under its FPN; shapes as `TimmFPN`."""

    def __init__(
        self,
        name: str,
        out_channels: int,
        trainable_layers: int = ALL_LAYERS,
        precision: Precision = "fp32",
        norm_eps: float = 0.0,
    ) -> None:
        body = torchvision.models.get_model(name, weights=None, norm_layer=partial(FrozenNorm, eps=norm_eps))
        stages = [f"layer{index}" for index in range(1, 5)]
        for layer in ["conv1", *stages][: ALL_LAYERS - trainable_layers]:
            body.get_submodule(layer).requires_grad_(False)
        channels = [body.inplanes // 2**halvings for halvings in (3, 2, 1, 0)]
        levels = {stage: str(level) for level, stage in enumerate(stages)}
        super().__init__(body, levels, channels, out_channels, LastLevelMaxPool())
        self.precision = precision

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        with mixed(self.precision, images.device):
            levels = super().forward(images)
        return {level: features.float() for level, features in levels.items()}


class TimmFPN(nn.Module):
    """A timm backbone, batch norm frozen as torchvision freezes it for detection, under an FPN.

    Shape: `[N, 3, H, W]` → levels `0, 1, 2, 3, pool` at strides 4, 8, 16, 32, 64, `out_channels` channels each, in
    float32 whatever the precision within.
    """

    def __init__(
        self, name: str, out_channels: int, trainable_layers: int = ALL_LAYERS, precision: Precision = "fp32"
    ) -> None:
        import timm
        from timm.layers import freeze_batch_norm_2d

        super().__init__()
        # Strides are looked up on the bare model: which index has which stride differs between architectures.
        reductions = timm.create_model(name, features_only=True).feature_info.reduction()
        if not set(STRIDES) <= set(reductions):
            raise UserError(f"model.backbone {name!r}: found strides {reductions}; expected {STRIDES} among them")
        indices = tuple(reductions.index(stride) for stride in STRIDES)
        body = timm.create_model(name, features_only=True, out_indices=indices)
        self.body = freeze_batch_norm_2d(body)
        self._freeze_first(ALL_LAYERS - trainable_layers)
        # Linear bottlenecks end in features of very different scales; without a norm, training diverges.
        self.fpn = FeaturePyramidNetwork(
            body.feature_info.channels(), out_channels, LastLevelMaxPool(), partial(nn.GroupNorm, 8)
        )
        self.out_channels = out_channels
        self.precision = precision

    def _freeze_first(self, layers: int) -> None:
        """Freeze the parameters that come before the features of the next stride: a layer is a halving of the size."""
        reach = {info["module"]: info["reduction"] for info in self.body.feature_info.info}
        halvings = 1
        for name, parameter in self.body.named_parameters():
            module = next((module for module in reach if name.startswith(f"{module}.")), None)
            halvings = reach[module].bit_length() - 1 if module else halvings
            if halvings <= layers:
                parameter.requires_grad_(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        with mixed(self.precision, images.device):
            levels = self.body(images)
            levels = self.fpn(OrderedDict((str(level), features) for level, features in enumerate(levels)))
        return {level: features.float() for level, features in levels.items()}


def build_backbone(
    name: str,
    out_channels: int = FPN_CHANNELS,
    trainable_layers: int = ALL_LAYERS,
    precision: Precision = "fp32",
    norm_eps: float = 0.0,
) -> nn.Module:
    """Build a randomly initialised backbone with FPN.

    Args:
        name: a torchvision ResNet (`resnet50` is the paper's) or a timm model (`tf_efficientnet_lite0`).
        out_channels: FPN channels.
        trainable_layers: how many of the body's five layers (stem, strides 4, 8, 16, 32) train, from the last on.
        precision: "fp32", or "bf16" to run in bfloat16; features leave in float32.
        norm_eps: what a ResNet's frozen batch norm adds to its variances; nothing in 2020.

    Raises:
        UserError: no such backbone, or one without features at strides 4, 8, 16 and 32.
    """
    if name.startswith(("resnet", "resnext", "wide_resnet")) and name in torchvision.models.list_models():
        return ResNetFPN(name, out_channels, trainable_layers, precision, norm_eps)
    import timm  # takes a second, and the paper's network does without it

    if timm.is_model(name):
        return TimmFPN(name, out_channels, trainable_layers, precision)
    raise UserError(f"model.backbone: found {name!r}; expected a torchvision ResNet or the name of a timm model")
