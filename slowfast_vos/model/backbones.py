"""Backbones with a feature pyramid: torchvision's ResNets, or any timm model with features at four strides."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial, reduce
from typing import Literal

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from slowfast_vos.errors import UserError
from slowfast_vos.model.convolutions import ContiguousNorm, use_fast_convolutions

Precision = Literal["fp32", "bf16"]
STRIDES = [4, 8, 16, 32]
ALL_LAYERS = 5


class FrozenNorm(FrozenBatchNorm2d):
    """torchvision's frozen batch norm, which alone would take bfloat16 features back to float32."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.float32:
            return super().forward(x)
        # Not `F.batch_norm`: before torch 2.12 it refuses the eps of 0 that the 2020 code has.
        statistics = (self.weight, self.bias, self.running_mean, self.running_var)
        return torch.batch_norm(x, *statistics, False, 0.0, self.eps, torch.backends.cudnn.enabled)


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
            norm_layer = partial(ContiguousNorm, 8)
        self.fpn = FeaturePyramidNetwork(channels, out_channels, LastLevelMaxPool(), norm_layer)
        use_fast_convolutions(self)
        self.out_channels = out_channels
        self.precision = precision
        # What never trains up to stride 4, where the body is known to be a chain; and what follows it.
        self._chain, self._ends = _chain(self.body)
        first = self._chain.index(self._ends[0]) + 1 if self._ends else 0
        trains = any(parameter.requires_grad for layer in self._chain[:first] for parameter in layer.parameters())
        self._stem_length = 0 if trains else first

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.pyramid(self.stem(images))

    def stem(self, images: Tensor) -> Tensor:
        """The layers up to stride 4, if they never train; else the images as they are."""
        with self._autocast(images):
            return reduce(lambda maps, layer: layer(maps), self._chain[: self._stem_length], images)

    def pyramid(self, stem: Tensor) -> dict[str, Tensor]:
        """The levels, from what `stem` gives."""
        with self._autocast(stem):
            if self._stem_length:
                maps = [stem]
                for layer in self._chain[self._stem_length :]:
                    stem = layer(stem)
                    maps += [stem] if layer in self._ends else []
            else:
                maps = self.body(stem)
                maps = list(maps.values()) if isinstance(maps, dict) else maps
            levels = OrderedDict((str(level), features) for level, features in enumerate(maps))
            return {level: features.float() for level, features in self.fpn(levels).items()}

    def _autocast(self, maps: Tensor) -> torch.autocast:
        return torch.autocast(maps.device.type, torch.bfloat16, enabled=self.precision == "bf16")


def _chain(body: nn.Module) -> tuple[list[nn.Module], list[nn.Module]]:
    """A body's layers in order, and those that give features at strides 4, 8, 16, 32; none where they are no chain."""
    if isinstance(body, IntermediateLayerGetter):
        layers = dict(body.named_children())
        return list(layers.values()), [layers[name] for name in body.return_layers]
    if type(body).__name__ == "EfficientNetFeatures" and body.feature_hooks is None:
        return [body.conv_stem, body.bn1, *body.blocks], list(map(body.get_submodule, body.feature_info.module_name()))
    return [], []


def _resnet(name: str, frozen_layers: int, norm_eps: float) -> tuple[nn.Module, list[int]]:
    resnet = torchvision.models.get_model(name, weights=None, norm_layer=partial(FrozenNorm, eps=norm_eps))
    stages = [f"layer{index}" for index in range(1, 5)]
    for layer in ["conv1", *stages][:frozen_layers]:
        resnet.get_submodule(layer).requires_grad_(False)
    channels = [resnet.inplanes // 2**halvings for halvings in (3, 2, 1, 0)]
    return IntermediateLayerGetter(resnet, {stage: str(level) for level, stage in enumerate(stages)}), channels


def _timm_model(name: str, frozen_layers: int) -> tuple[nn.Module, list[int]]:
    import timm  # takes a second, and the paper's network does without it
    from timm.layers import Conv2dSame, freeze_batch_norm_2d

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
    use_fast_convolutions(body, Conv2dSame)
    return body, body.feature_info.channels()
