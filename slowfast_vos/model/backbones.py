"""Backbones with a feature pyramid: torchvision's ResNets, or any timm model with features at four strides."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import timm
import torchvision
from timm.layers import freeze_batch_norm_2d
from torch import Tensor, nn
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from slowfast_vos.errors import UserError

FPN_CHANNELS = 256
STRIDES = [4, 8, 16, 32]


class TimmFPN(nn.Module):
    """A timm backbone, batch norm frozen as torchvision freezes it for detection, under an FPN.

    Shape: `[N, 3, H, W]` → levels `0, 1, 2, 3, pool` at strides 4, 8, 16, 32, 64, `out_channels` channels each.
    """

    def __init__(self, name: str, out_channels: int) -> None:
        super().__init__()
        # Strides are looked up on the bare model: which index has which stride differs between architectures.
        reductions = timm.create_model(name, features_only=True).feature_info.reduction()
        if not set(STRIDES) <= set(reductions):
            raise UserError(f"model.backbone {name!r}: found strides {reductions}; expected {STRIDES} among them")
        indices = tuple(reductions.index(stride) for stride in STRIDES)
        body = timm.create_model(name, features_only=True, out_indices=indices)
        self.body = freeze_batch_norm_2d(body)
        # Linear bottlenecks end in features of very different scales; without a norm, training diverges.
        self.fpn = FeaturePyramidNetwork(
            body.feature_info.channels(), out_channels, LastLevelMaxPool(), partial(nn.GroupNorm, 8)
        )
        self.out_channels = out_channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        levels = self.body(images)
        return self.fpn(OrderedDict((str(level), features) for level, features in enumerate(levels)))


def build_backbone(name: str, out_channels: int = FPN_CHANNELS) -> nn.Module:
    """Build a randomly initialised backbone with FPN.

    Args:
        name: a torchvision ResNet (`resnet50` is the paper's) or a timm model (`tf_efficientnet_lite0`).
        out_channels: FPN channels.

    Raises:
        UserError: no such backbone, or one without features at strides 4, 8, 16 and 32.
    """
    if name.startswith(("resnet", "resnext", "wide_resnet")) and name in torchvision.models.list_models():
        backbone = resnet_fpn_backbone(
            backbone_name=name, weights=None, norm_layer=FrozenBatchNorm2d, trainable_layers=5
        )
        if out_channels != FPN_CHANNELS:
            inputs = [block[0].in_channels for block in backbone.fpn.inner_blocks]
            backbone.fpn = FeaturePyramidNetwork(inputs, out_channels, LastLevelMaxPool())
            backbone.out_channels = out_channels
        return backbone
    if timm.is_model(name):
        return TimmFPN(name, out_channels)
    raise UserError(f"model.backbone: found {name!r}; expected a torchvision ResNet or the name of a timm model")
