"""Single frames for the detector: which, with which targets, how they are flipped, at which rate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from slowfast_vos.config import parse_settings
from slowfast_vos.errors import UserError
from slowfast_vos.jobs.job import Job
from slowfast_vos.training.detector import Sample, learning_rate_factor, read_sample, train_detector
from slowfast_vos.training.loop import DivergedError, TrainingState
from slowfast_vos.videos.davis import Video, targets
from slowfast_vos.videos.pngs import write_mask
from slowfast_vos.videos.views import View
from stages_to_train import Build, MakeVideo, settings
from torch import nn
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.mask_rcnn import MaskRCNN


def read(video: Video, index: int, *, binary: bool = False, flip: float = 0.0, seed: int = 0) -> Sample:
    return read_sample(video, index, binary=binary, flip=flip, seed=seed)


@pytest.mark.parametrize("flip", [0, 1])
@pytest.mark.parametrize(("binary", "objects"), [(False, 2), (True, 1)])
def test_a_frame_comes_with_its_objects_and_a_flip_moves_both(
    make_video: MakeVideo, binary: bool, objects: int, flip: int
) -> None:
    video = make_video()
    frame, target = read(video, 2, binary=binary, flip=flip)
    assert torch.equal(frame, video.frame(2).flip(2) if flip else video.frame(2))
    assert len(target["boxes"]) == objects
    ids = video.ids(2, binary=binary)
    expected = targets(np.ascontiguousarray(ids[:, ::-1]) if flip else ids)
    assert all(torch.equal(target[key], value) for key, value in expected.items())


def test_a_flip_depends_on_its_seed_alone_and_leaves_torchs_generator_as_it_is(make_video: MakeVideo) -> None:
    video, state = make_video(length=1), torch.get_rng_state()

    def flips(seeds: list[int]) -> dict[int, bool]:
        return {seed: not torch.equal(read(video, 0, flip=0.5, seed=seed)[0], video.frame(0)) for seed in seeds}

    forward = flips(list(range(8)))
    assert forward == flips(list(range(7, -1, -1)))
    assert set(forward.values()) == {True, False}
    assert torch.equal(torch.get_rng_state(), state)


def test_a_random_view_of_a_frame_is_its_seeds_own_and_its_target_is_where_the_object_is(make_video: MakeVideo) -> None:
    video = make_video()
    (frame, target), (same, _), (other, _) = (
        read_sample(video, 2, binary=True, flip=0.5, seed=seed, min_size=16) for seed in (4, 4, 5)
    )
    assert torch.equal(frame, same)
    assert not torch.equal(frame, other)
    view = View.of(video, 4, 16)
    assert frame.shape == (3, 32, 48)
    assert torch.equal(target["masks"], targets(view.ids(2, binary=True))["masks"])


def train(model: MaskRCNN, video: Video, workers: int = 0, **stage: Any) -> TrainingState:
    run = settings(detector={"lr": "0.01", "epochs": 1, **stage}, loading_workers=workers)
    return train_detector(run, model, [video], binary=False, seed=1)


def test_workers_that_load_change_no_byte(network: Build, make_video: MakeVideo) -> None:
    video, trained = make_video(length=5), []
    for workers in (0, 2):
        model = network().maskrcnn_model
        state = train(model, video, workers, epochs=2, warmup_steps=1)
        trained.append((model.state_dict(), [point.losses for point in state.curve]))
    (alone, losses), (helped, others) = trained
    assert losses == others
    assert all(torch.equal(value, helped[name]) for name, value in alone.items())


def test_an_epoch_takes_every_frame_that_shows_an_object_with_flips_of_its_own(
    network: Build, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, drawn = make_video(), []
    write_mask(video.masks[3], np.zeros((64, 96), np.uint8))

    def noting(video: Video, index: int, *, seed: int, **options: Any) -> Sample:
        drawn.append((index, seed))
        return read_sample(video, index, seed=seed, **options)

    monkeypatch.setattr("slowfast_vos.training.detector.read_sample", noting)
    train(network().maskrcnn_model, video, epochs=2)
    assert sorted(index for index, _ in drawn) == [0, 0, 1, 1, 2, 2, 4, 4]
    assert len({seed for _, seed in drawn}) == 8
    drawn.clear()
    train(network().maskrcnn_model, video, train_frames=2)
    assert sorted(index for index, _ in drawn) == [0, 2]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_frame_that_cannot_be_loaded_is_named_in_one_line(
    network: Build, make_video: MakeVideo, workers: int
) -> None:
    video = make_video()
    video.frames[1].write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"^\S+00001\.jpg: cannot be read; expected a picture[^\n]*$"):
        train(network().maskrcnn_model, video, workers)


def test_a_detector_learns_and_says_where_it_diverges(network: Build, make_video: MakeVideo) -> None:
    video = make_video(length=2)
    state = train(network().maskrcnn_model, video, epochs=4, warmup_steps=0, views=True)
    assert all(map(math.isfinite, (point.loss for point in state.curve)))
    state = train(network().maskrcnn_model, video, epochs=4, warmup_steps=0)
    assert state.curve[-1].loss < state.curve[0].loss
    assert [point.iteration for point in state.curve] == [1, 2, 3, 4]
    with pytest.raises(DivergedError, match=r"^detector, epoch \d, step 1: found a loss that is not finite"):
        train(network().maskrcnn_model, video, epochs=4, lr="1e30", warmup_steps=0)


def test_the_detector_trains_what_torchvisions_own_builder_trains() -> None:
    sizes = {"fpn_channels": 16, "box_hidden": 16, "mask_channels": [8], "mask_hidden": 8}
    values = {"data": {"held_out": ["bear"]}, "model": {"backbone": "resnet50", **sizes}}
    theirs = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=3).body

    def trained(body: nn.Module) -> set[str]:
        return {name for name, value in body.named_parameters() if value.requires_grad}

    job = Job(parse_settings(values, "tests"), 63)
    assert trained(job.detector(trained=False).backbone.body) == trained(theirs)
    later = trained(job.network("1-3").maskrcnn_model.backbone.body)
    assert {"conv1.weight", "layer1.0.conv1.weight"} <= later
    fewer = parse_settings({**values, "model": {**values["model"], "trainable_backbone_layers": 1}}, "tests")
    body = Job(fewer, 63).detector(trained=False).backbone.body
    assert {name.split(".")[0] for name in trained(body)} == {"layer4"}


@pytest.mark.parametrize(
    ("warmup", "steps", "factors"),
    [
        (4, 100, {0: 0.001, 1: 0.25075, 2: 0.5005, 3: 0.75025, 4: 1, 5: 1}),
        # It ends with a short epoch, and takes at most 1000 steps, as in the authors' code.
        (1000, 11, {0: 0.001, 5: 0.001 + 0.999 / 2, 10: 1}),
        (1000, 1, {0: 1}),
        (1000, 2110, {999: 0.001 + 0.999 * 0.999, 1000: 1}),
    ],
)
def test_the_warm_up_is_linear_within_the_first_epoch(warmup: int, steps: int, factors: dict[int, float]) -> None:
    run = settings(detector={"warmup_steps": warmup})
    assert {step: learning_rate_factor(run, 0, step, steps) for step in factors} == pytest.approx(factors)
    assert learning_rate_factor(run, 1, 0, steps) == 1
    cosine = settings(detector={"warmup_steps": 2, "schedule": "cosine", "epochs": 4})
    rates = [learning_rate_factor(cosine, epoch, step, 4) for epoch, step in ((0, 0), (0, 2), (2, 0), (3, 2))]
    assert rates == pytest.approx([0.001, 0.9619398, 0.5, 0.0380602])
    # The rate decays by steps of epochs.
    factors = [learning_rate_factor(settings(), epoch, 50, 51) for epoch in range(1, 10)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001])
