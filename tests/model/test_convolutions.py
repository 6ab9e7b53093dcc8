"""Convolutions that are fast on a CPU: the values and gradients of those that they replace."""

from __future__ import annotations

from itertools import product

import pytest
import timm
import torch
from slowfast_vos.model.backbones import BackboneFPN
from slowfast_vos.model.convolutions import ContiguousNorm, DepthwiseConv, PointwiseConv, SameDepthwiseConv
from timm.layers import Conv2dSame
from torch import Tensor, nn

REPLACED = {
    PointwiseConv: nn.Conv2d,
    DepthwiseConv: nn.Conv2d,
    SameDepthwiseConv: Conv2dSame,
    ContiguousNorm: nn.GroupNorm,
}


def close(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).abs().max() <= 1e-5 * expected.abs().max())


def gradients(network: nn.Module, maps: Tensor, weights: list[Tensor]) -> tuple[list[Tensor], dict[str, Tensor]]:
    """The outputs, and the gradients of their sum weighted at random; `input` names the input's."""
    maps = maps.clone().requires_grad_()
    network.zero_grad()
    outputs = network(maps)
    outputs = list(outputs.values()) if isinstance(outputs, dict) else [outputs]
    weights += [torch.randn_like(output) for output in outputs[len(weights) :]]
    torch.stack([(output * weight).sum() for output, weight in zip(outputs, weights, strict=True)]).sum().backward()
    found = {name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None}
    return outputs, found | {"input": maps.grad}


def compare(network: nn.Module, maps: Tensor) -> set[type[nn.Module]]:
    """Compare a network with what torch and timm make of it; gives the classes that it was made of."""
    weights: list[Tensor] = []
    outputs, found = gradients(network, maps, weights)
    replaced = [(module, type(module)) for module in network.modules() if type(module) in REPLACED]
    for module, kind in replaced:
        module.__class__ = REPLACED[kind]
    plain, expected = gradients(network, maps, weights)
    assert all(close(one, other) for one, other in zip(outputs, plain, strict=True))
    assert found.keys() == expected.keys()
    assert [name for name, value in found.items() if not close(value, expected[name])] == []
    return {kind for _, kind in replaced}


@pytest.mark.parametrize("kind", [DepthwiseConv, SameDepthwiseConv])
@pytest.mark.parametrize("kernel", [(5, 5), (7, 5)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(3, 5), (8, 11)])
def test_a_depthwise_convolution_has_the_same_gradients(
    kind: type[nn.Conv2d], kernel: tuple[int, int], stride: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    padding = (kernel[0] // 2, kernel[1] // 2) if kind is DepthwiseConv else (0, 0)
    conv = kind(6, 6, kernel, stride, padding, groups=6, bias=False)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        assert compare(conv, torch.randn(3, 6, *size).contiguous(memory_format=memory_format)) == {kind}
        conv.__class__ = kind


@pytest.mark.parametrize("layouts", [*product((torch.contiguous_format, torch.channels_last), repeat=2)])
@pytest.mark.parametrize("shape", [(1, 6, 8, 11), (2, 6, 1, 5), (3, 6, 8, 11)])
def test_a_depthwise_gradient_is_right_in_every_layout(
    shape: tuple[int, ...], layouts: tuple[torch.memory_format, torch.memory_format]
) -> None:
    torch.manual_seed(0)
    conv, maps = DepthwiseConv(6, 6, 5, 2, 2, groups=6, bias=False), torch.randn(shape)
    weights = torch.randn_like(conv(maps))
    found = []
    for precise in (False, True):
        used, given = conv.double() if precise else conv, maps.double() if precise else maps
        used.__class__ = nn.Conv2d if precise else DepthwiseConv
        given = given.contiguous(memory_format=layouts[0]).requires_grad_()
        gradient = weights.to(given.dtype).contiguous(memory_format=layouts[1])
        found.append(torch.autograd.grad(used(given), (given, used.weight), gradient))
    assert all(close(one.double(), exact) for one, exact in zip(*found, strict=True))


@pytest.mark.parametrize("stride", [1, 2])
def test_a_1x1_convolution_is_the_same(stride: int) -> None:
    torch.manual_seed(0)
    assert compare(PointwiseConv(8, 5, 1, stride), torch.randn(2, 8, 7, 9)) == {PointwiseConv}


def test_a_small_backbone_is_made_of_them_and_gives_the_same_gradients_under_the_same_names() -> None:
    torch.manual_seed(0)
    backbone = BackboneFPN("tf_efficientnet_lite0", 16, 5, "fp32", 0.0)
    names = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(1, 2, 3, 4)).state_dict()
    counted = {name for name in names if not name.endswith("num_batches_tracked")}
    assert set(backbone.body.state_dict()) == counted
    maps = torch.randn(2, 3, 64, 96).contiguous(memory_format=torch.channels_last)
    assert compare(backbone, maps) == set(REPLACED)


def test_the_paper_s_backbone_has_the_same_gradients() -> None:
    torch.manual_seed(0)
    backbone = BackboneFPN("resnet18", 16, 5, "fp32", 1e-5)
    assert compare(backbone, torch.randn(2, 3, 64, 96)) == {PointwiseConv}


@pytest.mark.parametrize(
    ("name", "trainable", "shape"),
    [
        ("tf_efficientnet_lite0", 3, (24, 16, 24)),
        ("tf_efficientnet_lite0", 5, (3, 64, 96)),
        ("resnet18", 3, (64, 16, 24)),
        ("resnet18", 4, (3, 64, 96)),
        ("mobilenetv3_small_050", 3, (3, 64, 96)),
    ],
)
def test_layers_that_never_train_are_split_off_and_change_nothing(
    name: str, trainable: int, shape: tuple[int, int, int]
) -> None:
    torch.manual_seed(0)
    backbone, images = BackboneFPN(name, 16, trainable, "fp32", 1e-5), torch.rand(2, 3, 64, 96)
    stem = backbone.stem(images)
    assert tuple(stem.shape) == (2, *shape)
    assert not stem.requires_grad
    maps = backbone.body(images)
    maps = maps if isinstance(maps, dict) else {str(level): features for level, features in enumerate(maps)}
    expected = backbone.fpn(maps)
    found = backbone(images)
    assert found.keys() == expected.keys()
    assert all(torch.equal(features, expected[level]) for level, features in found.items())
