"""bfloat16 within backbone and SlowFast module, float32 between the parts."""

from __future__ import annotations

import pytest
import torch
from model_inputs import Build, clip, target
from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.model.backbones import FrozenNorm
from slowfast_vos.training.loop import total_loss
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

BACKBONES = ["tf_efficientnet_lite0", "resnet18"]
# bfloat16 keeps 8 bits: a rounding is off by up to 1/256 of the value, and a dozen layers add theirs up.
ROUNDING = 2**-8
TOLERANCE = 10 * ROUNDING


def deviation(found: Tensor, expected: Tensor) -> float:
    """Root mean square of the difference, as a share of the values' own."""
    return ((found - expected).square().mean() / expected.square().mean()).sqrt().item()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_features_are_float32_with_the_rounding_of_bfloat16(network: Build, backbone: str) -> None:
    images = torch.rand(2, 3, 64, 96)
    exact, rounded = (network(3, 7, backbone=backbone, precision=name) for name in ("fp32", "bf16"))
    weights = rounded.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in exact.state_dict().items())
    assert {value.dtype for name, value in weights.items() if "num_batches" not in name} == {torch.float32}
    features, found = exact.encode(images), rounded.encode(images)
    assert list(found) == list(features) == ["0", "1", "2", "3", "pool"]
    for level, maps in found.items():
        assert maps.dtype == torch.float32
        assert ROUNDING / 10 < deviation(maps, features[level]) < TOLERANCE
    window = torch.randn(1, 16, 7, 12, 16)
    enhanced = rounded.slow_fast(window)
    assert enhanced.dtype == torch.float32
    assert ROUNDING / 10 < deviation(enhanced, exact.slow_fast(window)) < TOLERANCE


def test_rpn_and_roi_heads_run_in_float32(network: Build) -> None:
    model, seen = network(precision="bf16"), {}
    parts = {"backbone": nn.Conv2d, "slow_fast": nn.Conv3d, "rpn": nn.Conv2d, "roi_heads": nn.Linear}
    for name, kind in parts.items():
        layer = next(module for module in model.part(name).modules() if isinstance(module, kind))
        layer.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out.dtype}))
    model(clip(3))
    half, full = torch.bfloat16, torch.float32
    assert seen == {"backbone": half, "slow_fast": half, "rpn": full, "roi_heads": full}


def trained(model: SlowFastMaskRCNN) -> dict[str, float]:
    torch.manual_seed(1)
    losses = model.train()(clip(3), [None, target(), None])
    total_loss(losses, "test").backward()
    return {name: value.item() for name, value in losses.items()}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_training_step_works(network: Build, backbone: str) -> None:
    exact, rounded = (network(backbone=backbone, precision=name) for name in ("fp32", "bf16"))
    losses = trained(rounded)
    assert losses == pytest.approx(trained(exact), rel=0.2, abs=0.05)
    gradients = [p.grad for p in rounded.parameters() if p.requires_grad]
    assert all(gradient is not None and gradient.dtype == torch.float32 for gradient in gradients)
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_the_frozen_norm_is_torchvisions() -> None:
    ours, theirs = FrozenNorm(4), FrozenBatchNorm2d(4)
    for name, buffer in theirs.named_buffers():
        torch.nn.init.uniform_(buffer, 0.5, 2)
        ours.get_buffer(name).copy_(buffer)
    features = torch.randn(2, 4, 5, 6)
    assert torch.equal(ours(features), theirs(features))
    rounded = ours(features.bfloat16())
    assert rounded.dtype == torch.bfloat16
    assert torch.allclose(rounded.float(), theirs(features), rtol=4 * ROUNDING, atol=4 * ROUNDING)
