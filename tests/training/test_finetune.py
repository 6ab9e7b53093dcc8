"""Fine-tuning on the first frame: its window, what changes and what does not."""

from __future__ import annotations

import copy
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.errors import UserError
from slowfast_vos.jobs.finetune import SampleCache, sample_caches
from slowfast_vos.jobs.job import Job
from slowfast_vos.model.backbones import BackboneFPN
from slowfast_vos.sections import FREEZES, Configuration
from slowfast_vos.seeds import derived_seed, seed_everything
from slowfast_vos.training import finetune
from slowfast_vos.training.finetune import fine_tune
from slowfast_vos.training.loop import DivergedError, make_sgd
from slowfast_vos.videos.augment import Augment
from slowfast_vos.videos.davis import Video
from slowfast_vos.videos.pngs import write_mask
from stages_to_train import Build, MakeVideo, settings
from torch import Tensor


def tuned(
    parent: SlowFastMaskRCNN,
    video: Video,
    freeze: str = "none",
    *,
    lr: str = "0.01",
    iterations: int = 2,
    **values: Any,
) -> SlowFastMaskRCNN:
    point = Configuration(freeze=freeze, scale="0.25", lr=lr)
    return fine_tune(settings(**values), parent, video, point, iterations=iterations, seed=3)[0]


def snapshot(model: SlowFastMaskRCNN) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def parts_that_differ(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    return {re.match(r"(?:maskrcnn_model\.)?(backbone\.body|backbone\.fpn|\w+)\.", name)[1] for name in changed}


@pytest.mark.parametrize(
    ("freeze", "changed"),
    [
        ("none", {"backbone.body", "backbone.fpn", "rpn", "roi_heads", "slow_fast"}),
        ("SF", {"backbone.body", "backbone.fpn", "rpn", "roi_heads"}),
        ("BB_SF", {"roi_heads"}),
    ],
)
def test_only_what_is_not_frozen_changes_and_the_parent_never(
    network: Build, make_video: MakeVideo, freeze: str, changed: set[str]
) -> None:
    parent = network()
    before = snapshot(parent)
    model = tuned(parent, make_video(), freeze)
    assert parts_that_differ(before, snapshot(model)) == changed
    assert not parts_that_differ(before, snapshot(parent))
    assert not model.training
    assert not parent.training
    assert all(parameter.requires_grad for parameter in parent.parameters())
    assert all(parameter.grad is None for parameter in parent.parameters())


@pytest.mark.parametrize("freeze", ["SF", "BB_SF"])
def test_frozen_statistics_drift_only_where_the_2020_code_is_asked_for(
    network: Build, make_video: MakeVideo, freeze: str
) -> None:
    parent = network()
    drifted = tuned(parent, make_video(), freeze, protocol="paper")
    changed = {
        name for name, value in parent.state_dict().items() if not torch.equal(value, drifted.state_dict()[name])
    }
    moved = {name for name in changed if name.startswith("slow_fast.")}
    assert moved
    assert all(name.rpartition(".")[2].startswith(("running_", "num_batches")) for name in moved)


@pytest.mark.parametrize(("freeze", "accumulate", "steps"), [("SF", 2, 3), ("BB_SF", 1, 5)])
def test_two_samples_make_a_step_and_200_a_point_of_the_curve_with_rpn_losses_where_the_rpn_trains(
    network: Build, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch, freeze: str, accumulate: int, steps: int
) -> None:
    counted, step = [], torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self: counted.append(1) or step(self))
    assert finetune.SAMPLES_PER_EPOCH == 200
    monkeypatch.setattr(finetune, "SAMPLES_PER_EPOCH", 2)
    run, point = settings(finetune={"accumulate": accumulate}), Configuration(freeze=freeze, scale="0", lr="0.001")
    _, state = fine_tune(run, network(), make_video(), point, iterations=5, seed=1)
    assert len(counted) == steps
    assert [point.iteration for point in state.curve] == [2, 4, 5]
    assert ("loss_objectness" in state.curve[0].losses) == (freeze == "SF")
    assert "loss_mask" in state.curve[0].losses


def test_the_window_that_trains_is_mirrored(
    network: Build, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What reaches the SlowFast module is [f3 f2 f1 f0 f1 f2 f3], each frame encoded once."""
    seen, batches = [], []
    windows, pyramid = SlowFastMaskRCNN.windows, BackboneFPN.pyramid

    def recording(self: SlowFastMaskRCNN, features: dict[str, Tensor], centres: list[int]) -> dict[str, Tensor]:
        cut = windows(self, features, centres)
        seen.extend(cut.values())
        return cut

    def counting(self: BackboneFPN, stem: Tensor) -> dict[str, Tensor]:
        batches.append(len(stem))
        return pyramid(self, stem)

    monkeypatch.setattr(SlowFastMaskRCNN, "windows", recording)
    monkeypatch.setattr(BackboneFPN, "pyramid", counting)
    tuned(network(3, 7), make_video(length=6), "BB_SF", iterations=1)
    assert batches == [4]
    assert len(seen) == 4  # of the levels that RoIs are pooled from
    for cut in seen:
        assert cut.shape[:3] == (1, 16, 7)
        assert torch.equal(cut, cut.flip(2))
        assert not torch.equal(cut[:, :, 3], cut[:, :, 2])
        assert not torch.equal(cut[:, :, 2], cut[:, :, 1])


@pytest.mark.parametrize("length", [1, 2])
def test_a_video_shorter_than_the_window_can_be_learned(network: Build, make_video: MakeVideo, length: int) -> None:
    model = tuned(network(3, 7), make_video(length=length), "SF", iterations=1)
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_a_first_frame_without_object_is_named(network: Build, make_video: MakeVideo) -> None:
    video = make_video()
    one_pixel = np.zeros((64, 96), np.uint8)
    one_pixel[3, 3] = 1
    for mask in (np.zeros((64, 96), np.uint8), one_pixel):
        write_mask(video.masks[0], mask)
        with pytest.raises(UserError, match=r"square/00000\.png: found no object; expected one to fine-tune on"):
            tuned(network(), video)


def test_a_rate_that_is_too_high_is_named(network: Build, make_video: MakeVideo) -> None:
    with pytest.raises(DivergedError, match=r"^square, iteration \d: found a loss that is not finite"):
        tuned(network(), make_video(), "BB_SF", lr="1e30", iterations=8)


def draws_of(
    monkeypatch: pytest.MonkeyPatch, model: SlowFastMaskRCNN, video: Video, *points: Configuration, **values: Any
) -> list[Tensor]:
    """The augmented frames that each configuration sees, one tensor for each."""
    seen: list[Tensor] = []
    resize = SlowFastMaskRCNN.resize

    def recording(self: SlowFastMaskRCNN, frames: list[Tensor], *rest: Any) -> Any:
        seen.append(torch.stack(frames))
        return resize(self, frames, *rest)

    monkeypatch.setattr(SlowFastMaskRCNN, "resize", recording)
    for point in points:
        fine_tune(settings(**values), model, video, point, iterations=4, seed=5)
    return [torch.stack(seen[start : start + 4]) for start in range(0, len(seen), 4)]


POINTS = [
    Configuration(freeze="none", scale="0.25", lr="0.001"),
    Configuration(freeze="BB_SF", scale="0.25", lr="0.01"),
    Configuration(freeze="SF", scale="0", lr="0.001"),
]


def test_all_configurations_see_the_same_draws(
    network: Build, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, unscaled = draws_of(monkeypatch, network(), make_video(), *POINTS)
    assert torch.equal(one, other)
    assert not torch.equal(one, unscaled)
    assert not torch.equal(one[0], one[1])


def test_the_paper_seeds_a_step_and_no_sample(
    network: Build, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, _ = draws_of(monkeypatch, network(), make_video(), *POINTS, protocol="paper")
    assert torch.equal(one[0], other[0])  # the first of a step
    assert not torch.equal(one[1], other[1])  # the heads of the first have drawn boxes meanwhile


@pytest.mark.parametrize(("gib", "cached"), [(1.0, {"resized": 8, "windowed": 3, "prepared": 3}), (0.0, {})])
@pytest.mark.parametrize("backbone", [{}, {"backbone": "tf_efficientnet_lite0", "trainable_backbone_layers": 3}])
def test_cached_samples_and_a_copy_of_the_parent_give_the_same_weights(
    network: Build, make_video: MakeVideo, backbone: dict[str, Any], gib: float, cached: dict[str, int]
) -> None:
    few = {"rpn_batch_size_per_image": 8, "box_batch_size_per_image": 4}  # both draw, and do not take all
    parent, video, kept = network(**few, **backbone), make_video(), SampleCache(gib)
    copied = copy.deepcopy(parent)
    points = [("SF", "0.25", 6), ("none", "0.25", 6), ("BB_SF", "0.25", 6), ("BB_SF", "0.25", 6), ("SF", "0.4", 2)]
    for freeze, scale, iterations in points:
        point = Configuration(freeze=freeze, scale=scale, lr="0.01")
        plain, other = (
            fine_tune(settings(), parent, video, point, iterations=iterations, seed=3, **more)[0].state_dict()
            for more in ({}, {"reuse": kept.get, "model": copied})
        )
        assert all(torch.equal(value, other[name]) for name, value in plain.items())
    assert Counter(kind for kind, *_ in kept.samples) == cached


def test_setups_of_a_seed_share_samples(network: Build, make_video: MakeVideo) -> None:
    """Frames if they see as many, and what the backbone makes of these if it is the same one."""
    video, job = make_video(), Job(settings(one_job_per="seed"), 1)
    detector = network().maskrcnn_model.state_dict()
    for setup, freeze, own in [
        ((3, 7), "SF", False),
        ((7, 7), "BB_SF", False),
        ((3, 3), "SF", False),
        ((1, 7), "BB_SF", False),
        ((3, 3), "BB_SF", False),
        ((1, 7), "BB_SF", True),
    ]:
        parent, point = network(*setup), Configuration(freeze=freeze, scale="0.25", lr="0.01")
        if not own:
            parent.maskrcnn_model.load_state_dict(detector)
        plain, other = (
            fine_tune(settings(), parent, video, point, iterations=2, seed=3, **more)[0].state_dict()
            for more in ({}, {"reuse": sample_caches(job, parent, among=1)})
        )
        assert all(torch.equal(value, other[name]) for name, value in plain.items())
    shared = [Counter(key.frames for key in cache.samples) for cache in job.encoded.values()]
    assert shared == [{4: 2, 2: 2}, {4: 1, 2: 1}, {4: 1}]


def test_samples_that_are_cached_need_no_frame(
    network: Build, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, video, kept = network(), make_video(), SampleCache(1.0)
    for freeze in ("SF", "none"):
        fine_tune(
            settings(),
            parent,
            video,
            Configuration(freeze=freeze, scale="0", lr="0.01"),
            iterations=2,
            seed=3,
            reuse=kept.get,
        )
        monkeypatch.setattr(Video, "frame", lambda *_: pytest.fail("a frame was read"))


@pytest.mark.parametrize("freeze", ["SF", "none"])
def test_a_step_sums_the_gradients_of_its_samples(network: Build, make_video: MakeVideo, freeze: str) -> None:
    """The same weights, but for rounding, as where each sample passes the network by itself."""
    run, video, parent = settings(), make_video(), network(3, 7, box_batch_size_per_image=4)
    tuned = fine_tune(run, parent, video, Configuration(freeze=freeze, scale="0.25", lr="0.01"), iterations=2, seed=3)[
        0
    ].state_dict()
    augment, order = Augment(run.finetune, 0.25), parent.setup.mirrored_window(len(video))
    frames = torch.stack([video.frame(index) for index in range(4)])
    ids = torch.from_numpy(video.ids(0, binary=True)).long()
    parent.freeze(FREEZES[freeze]).train()
    optimizer = make_sgd(parent, run.finetune, "0.01")
    for sample in (0, 1):
        seed_everything(derived_seed(3, "sample", sample))
        moved, target = augment(frames, ids)
        prepared = parent.prepare(list(moved), [target, None, None, None], order)
        seed_everything(derived_seed(3, "boxes", sample))
        torch.stack(list(parent.head_losses(prepared).values())).sum().backward()
    optimizer.step()
    start = network(3, 7, box_batch_size_per_image=4).state_dict()
    for name, value in parent.state_dict().items():
        moved = (value - start[name]).float().norm()
        assert (tuned[name] - value).float().norm() <= 1e-3 * moved + 1e-6, name
