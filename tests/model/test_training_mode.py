"""The network in training: losses, windows, frozen parts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import pytest
import torch
from model_inputs import Build, Target, clip, target
from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.model.slowfast_maskrcnn import PARTS
from torch import Tensor, nn

ROI_LOSSES = {"loss_classifier", "loss_box_reg", "loss_mask"}
RPN_LOSSES = {"loss_objectness", "loss_rpn_box_reg"}


def seeded(losses: Callable[[], dict[str, Tensor]]) -> dict[str, float]:
    """Losses as numbers; the heads sample boxes at random."""
    torch.manual_seed(1)
    return {name: value.item() for name, value in losses().items()}


def statistics(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.named_buffers() if "running" in name}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_training_returns_torchvisions_losses_without_the_rpns_where_it_is_frozen(network: Build) -> None:
    losses = network().train()(clip(3), [target(), target(20), target(30)])
    assert set(losses) == ROI_LOSSES | RPN_LOSSES
    assert all(value.shape == () and value.isfinite() and value > 0 for value in losses.values())
    model = network().freeze(("backbone", "rpn")).train()
    assert set(model(clip(2), [target(), None])) == ROI_LOSSES


def test_a_frame_without_target_gives_context_alone(network: Build) -> None:
    model, frames = network(3, 3).train(), clip(3)
    model.slow_fast.eval()
    alone = seeded(lambda: model(frames, [None, target(), None]))
    assert seeded(lambda: model(frames, [target(), target(), target()])) != alone
    changed = [frames[0] * 0.5, frames[1], frames[2]]
    assert seeded(lambda: model(changed, [None, target(), None]))["loss_classifier"] != alone["loss_classifier"]
    # The RPN sees the features of the centre frame itself.
    assert seeded(lambda: model(changed, [None, target(), None]))["loss_objectness"] == pytest.approx(
        alone["loss_objectness"]
    )


@pytest.mark.parametrize("part", ["backbone", "slow_fast", "roi_heads"])
@pytest.mark.parametrize("setup", [(1, 1), (3, 3), (3, 7)])
def test_losses_change_as_their_gradients_say(network: Build, setup: tuple[int, int], part: str) -> None:
    """Along the gradient, by finite differences; the proposals are those of the first time."""
    model, frames = network(*setup).freeze("slow_fast").train(), clip(4)
    order, targets = model.setup.mirrored_window(4), [target(), None, None, None]
    proposals = model.prepare(frames, targets, order).proposals
    weights = list(model.part(part).requires_grad_().parameters())

    def loss() -> Tensor:
        prepared = model.prepare(frames, targets, order)._replace(proposals=proposals, rpn_losses={})
        torch.manual_seed(1)
        return torch.stack(list(model.head_losses(prepared).values())).sum()

    gradients = torch.autograd.grad(loss(), weights, materialize_grads=True)
    norm = torch.stack([value.square().sum() for value in gradients]).sum().sqrt()
    step, found = 1e-3, []
    with torch.no_grad():
        for times in (1, -2):
            for weight, value in zip(weights, gradients, strict=True):
                weight += times * step * value / norm
            found.append(loss())
    assert ((found[0] - found[1]) / (2 * step)).item() == pytest.approx(norm.item(), rel=0.05)


@pytest.mark.parametrize("others", [[], [target()]])
def test_a_frame_without_an_object_has_finite_losses(network: Build, others: list[Target]) -> None:
    empty = {key: value[:0] for key, value in target().items()}
    losses = network().train()(clip(1 + len(others)), [empty, *others])
    assert all(value.isfinite() for value in losses.values())


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (None, "^targets: found 0 for 2 frames; expected one or None per frame$"),
        ([None] * 3, "^targets: found 3 for 2 frames; "),
        ([None] * 2, "^targets: found None for every frame; expected one at least$"),
    ],
)
def test_each_frame_has_one_target_or_none_and_some_frame_has_one(
    network: Build, targets: list[None] | None, expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        network().train()(clip(2), targets)


@pytest.mark.parametrize("border", ["zeros", "replicate"])
@pytest.mark.parametrize("setup", [(3, 7), (2, 4)])
def test_an_order_equals_the_frames_repeated(network: Build, border: str, setup: tuple[int, int]) -> None:
    model, frames = network(*setup, border=border).train(), clip(4)
    model.freeze(("rpn",)).train()
    order = [3, 2, 1, 0, 1, 2, 3]
    given = seeded(lambda: model.losses(frames, [target(), None, None, None], order))
    repeated = [frames[index] for index in order]
    wanted = [target() if index == 3 else None for index in range(7)]
    assert given == pytest.approx(seeded(lambda: model.losses(repeated, wanted)), rel=1e-4)
    assert given != pytest.approx(seeded(lambda: model.losses(frames, [target(), None, None, None])), rel=1e-4)
    # A frame that comes repeatedly stands at the middle of its places.
    given = seeded(lambda: model.losses(frames[:1], [target()], [0] * 7))
    wanted = [target() if index == 3 else None for index in range(7)]
    assert given == pytest.approx(seeded(lambda: model.losses(frames[:1] * 7, wanted)), rel=1e-4)


@pytest.mark.parametrize("border", ["zeros", "replicate"])
def test_windows_are_cut_around_their_centres(network: Build, border: str) -> None:
    model = network(3, 7, border=border, roi_levels=["0"])
    frames = torch.arange(1.0, 6.0).reshape(5, 1, 1, 1).expand(5, 2, 3, 4)
    windows = model.windows({"0": frames}, [0, 2, 4])["0"]
    assert windows.shape == (3, 2, 7, 3, 4)
    beyond = {"zeros": (0.0, 0.0), "replicate": (1.0, 5.0)}[border]
    first, last = beyond
    assert windows[:, 0, :, 0, 0].tolist() == [
        [first, first, first, 1, 2, 3, 4],
        [first, 1, 2, 3, 4, 5, last],
        [2, 3, 4, 5, last, last, last],
    ]
    # An even window is longer before its centre.
    assert network(2, 4, roi_levels=["0"]).windows({"0": frames}, [2])["0"][0, 0, :, 0, 0].tolist() == [1, 2, 3, 4]


def with_gradients(model: SlowFastMaskRCNN) -> set[str]:
    model.zero_grad()
    losses = model(clip(3), [None, target(), None])
    torch.stack(list(losses.values())).sum().backward()
    touched = {name for name in PARTS if any(p.grad is not None for p in model.part(name).parameters())}
    for name in touched:
        assert any(p.grad is not None and p.grad.any() for p in model.part(name).parameters())
    return touched


@pytest.mark.parametrize(
    "frozen",
    [(), ("slow_fast",), ("backbone", "rpn"), ("backbone", "rpn", "slow_fast")],
)
def test_what_is_frozen_gets_no_gradient_and_all_else_does(network: Build, frozen: Iterable[str]) -> None:
    model = network().freeze(frozen).train()
    assert with_gradients(model) == set(PARTS) - set(frozen)
    for name in PARTS:
        assert {p.requires_grad for p in model.part(name).parameters()} == {name not in frozen}
        assert model.part(name).training == (name not in frozen)
    assert not any(module.training for module in model.eval().modules())
    assert [model.train().part(name).training for name in PARTS] == [name not in frozen for name in PARTS]
    # Freezing is undone by freezing less.
    assert with_gradients(model.freeze(())) == set(PARTS)
    assert all(model.part(name).training for name in PARTS)


def test_drifting_statistics_move_and_are_used_though_weights_are_frozen_and_frozen_ones_stay(network: Build) -> None:
    model = network().freeze(("slow_fast",), drifting_statistics=True).train()
    before = statistics(model)
    drifting = seeded(lambda: model(clip(2), [target(), None]))
    assert moved(before, statistics(model)) == {name for name in before if name.startswith("slow_fast.")}
    assert not any(parameter.requires_grad for parameter in model.slow_fast.parameters())
    frozen = network().freeze(("slow_fast",)).train()
    before = statistics(frozen)
    assert seeded(lambda: frozen(clip(2), [target(), None])) != pytest.approx(drifting)
    assert not moved(before, statistics(frozen))
    before = statistics(model)
    model.eval()(clip(2))
    assert not moved(before, statistics(model))


@pytest.mark.parametrize(
    ("levels", "trained", "frozen"),
    [(["0", "1", "2", "3"], [24, 12, 6, 3, 2], [24, 12, 6, 3]), (["0"], [24], [24])],
)
def test_the_pooled_level_shares_in_the_statistics_as_in_the_authors_code_and_no_other_that_no_roi_reads(
    network: Build, levels: list[str], trained: list[int], frozen: list[int]
) -> None:
    seen = []
    model = network(1, 1, roi_levels=levels).train()
    model.slow_fast.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-1]))
    losses = model(clip(1), [target()])
    assert all(value.isfinite() for value in losses.values())
    assert seen == trained
    seen.clear()
    model.freeze(("slow_fast",)).train()(clip(1), [target()])
    model.eval()(clip(2))
    assert seen == frozen * 2


def never_trained(model: SlowFastMaskRCNN) -> set[str]:
    return {name for name, p in model.maskrcnn_model.backbone.named_parameters() if not p.requires_grad}


@pytest.mark.parametrize("backbone", ["resnet18", "tf_efficientnet_lite0"])
def test_layers_that_never_train_stay_frozen_whatever_is_unfrozen(network: Build, backbone: str) -> None:
    assert not never_trained(network(backbone=backbone))
    model = network(backbone=backbone, trainable_backbone_layers=3)
    never = never_trained(model)
    assert never
    assert {name.split(".")[0] for name in never} == {"body"}
    for one in (model, copy.deepcopy(model)):
        assert never_trained(one.freeze(("backbone",)).freeze(())) == never
