"""Single frames for the detector: which, with which targets, and how they are flipped."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import numpy as np
import pytest
import torch
from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.config import parse_settings
from slowfast_vos.errors import LostError, UserError
from slowfast_vos.jobs.common import Job
from slowfast_vos.training.detector import Frames, load_batches, train_detector
from slowfast_vos.training.loop import DivergedError
from slowfast_vos.videos.davis import Video, targets
from slowfast_vos.videos.pngs import write_mask
from torch import nn
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

Build = Callable[..., SlowFastMaskRCNN]
MakeVideo = Callable[..., Video]


@pytest.mark.parametrize(("binary", "objects"), [(False, 2), (True, 1)])
def test_a_frame_comes_with_its_objects(make_video: MakeVideo, binary: bool, objects: int) -> None:
    video = make_video()
    data = Frames([video], binary=binary, flip=0, train_frames=None)
    assert len(data) == len(video)
    frame, target = data[1]
    assert torch.equal(frame, video.frame(1))
    assert type(frame) is torch.Tensor
    expected = targets(video.ids(1, binary=binary))
    assert len(target["boxes"]) == objects
    assert all(torch.equal(target[key], value) for key, value in expected.items())


def test_a_flip_moves_the_mask_with_the_frame_and_boxes_follow(make_video: MakeVideo) -> None:
    video = make_video()
    frame, target = Frames([video], binary=False, flip=1, train_frames=None)[2]
    assert torch.equal(frame, video.frame(2).flip(2))
    expected = targets(np.ascontiguousarray(video.ids(2, binary=False)[:, ::-1]))
    assert all(torch.equal(target[key], value) for key, value in expected.items())


def test_a_frames_flip_depends_on_the_frame_and_the_seed_alone(make_video: MakeVideo) -> None:
    video = make_video(length=8)

    def flips(order: list[int], seed: int) -> dict[int, bool]:
        data = Frames([video], binary=False, flip=0.5, train_frames=None)
        data.seed = seed
        return {index: not torch.equal(data[index][0], video.frame(index)) for index in order}

    forward, backward = flips(list(range(8)), seed=1), flips(list(range(7, -1, -1)), seed=1)
    assert forward == backward
    assert set(forward.values()) == {True, False}
    assert forward != flips(list(range(8)), seed=2)


def test_loading_a_frame_leaves_torchs_generator_as_it_is(make_video: MakeVideo) -> None:
    data, state = Frames([make_video()], binary=False, flip=0.5, train_frames=None), torch.get_rng_state()
    _ = data[0]
    assert torch.equal(torch.get_rng_state(), state)


def test_frames_without_an_object_are_left_out(make_video: MakeVideo) -> None:
    video = make_video()
    write_mask(video.masks[3], np.zeros((64, 96), np.uint8))
    data = Frames([video, video], binary=True, flip=0, train_frames=None)
    assert [index for _, index in data.items] == [0, 1, 2, 4] * 2
    assert [index for _, index in Frames([video], binary=True, flip=0, train_frames=2).items] == [0, 2]


def test_workers_that_load_change_no_byte(network: Build, make_video: MakeVideo) -> None:
    video, trained = make_video(length=5), []
    stage = {"epochs": 2, "lr": "0.01", "warmup_steps": 1}
    for workers in (0, 2):
        values = {"data": {"held_out": ["bear"]}, "detector": stage, "loading_workers": workers}
        model = network().maskrcnn_model
        state = train_detector(parse_settings(values, "tests"), model, [video], binary=False, seed=1)
        trained.append((model.state_dict(), [point.losses for point in state.curve]))
    (alone, losses), (helped, others) = trained
    assert losses == others
    assert all(torch.equal(value, helped[name]) for name, value in alone.items())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_frame_that_cannot_be_loaded_is_named_in_one_line(make_video: MakeVideo, workers: int) -> None:
    video = make_video()
    data = Frames([video], binary=False, flip=0, train_frames=None)
    video.frames[1].write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"^\S+00001\.jpg: cannot be read; expected a picture[^\n]*$"):
        list(load_batches(data, [[0, 1]], workers))


def test_a_worker_that_is_killed_is_no_fault_of_the_job(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Frames([make_video()], binary=False, flip=0, train_frames=None)
    monkeypatch.setattr(Frames, "__getitem__", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(LostError, match=r"^loading_workers: a process that reads frames was killed \("):
        list(load_batches(data, [[0, 1]], 1))


def test_a_detector_learns_and_says_where_it_diverges(network: Build, make_video: MakeVideo) -> None:
    video = make_video(length=2)
    values = {"data": {"held_out": ["bear"]}, "detector": {"epochs": 4, "lr": "0.01", "warmup_steps": 0}}
    state = train_detector(
        parse_settings(values, "tests"), network().maskrcnn_model, [video], binary=False, seed=1, resume=None
    )
    assert state.curve[-1].loss < state.curve[0].loss
    assert [point.iteration for point in state.curve] == [1, 2, 3, 4]
    values["detector"]["lr"] = "1e30"
    with pytest.raises(DivergedError, match=r"^detector, epoch \d, step 1: found a loss that is not finite"):
        train_detector(parse_settings(values, "tests"), network().maskrcnn_model, [video], binary=False, seed=1)


def test_the_detector_trains_what_torchvisions_own_builder_trains() -> None:
    sizes = {"fpn_channels": 16, "box_hidden": 16, "mask_channels": [8], "mask_hidden": 8}
    values = {"data": {"held_out": ["bear"]}, "model": {"backbone": "resnet50", **sizes}}
    theirs = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=3).body

    def trained(body: nn.Module) -> set[str]:
        return {name for name, value in body.named_parameters() if value.requires_grad}

    job = Job(parse_settings(values, "tests"), 63)
    assert trained(job.detector(state=False).backbone.body) == trained(theirs)
    later = trained(job.network("1-3").maskrcnn_model.backbone.body)
    assert {"conv1.weight", "layer1.0.conv1.weight"} <= later
    fewer = parse_settings({**values, "model": {**values["model"], "trainable_backbone_layers": 1}}, "tests")
    body = Job(fewer, 63).detector(state=False).backbone.body
    assert {name.split(".")[0] for name in trained(body)} == {"layer4"}
