"""The steps of the unsupervised stage: which frames, which start, which epoch is kept."""

from __future__ import annotations

import copy
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.measuring.record import Scores
from slowfast_vos.sections import Parent
from slowfast_vos.seeds import seed_everything
from slowfast_vos.training import parent as stage
from slowfast_vos.training.detector import read_sample
from slowfast_vos.training.loop import DivergedError, TrainingState
from slowfast_vos.training.parent import epoch_steps, rate, train_parent
from slowfast_vos.videos.davis import Video
from slowfast_vos.videos.pngs import write_mask
from slowfast_vos.videos.views import View
from stages_to_train import Build, MakeVideo, make_cache, scores
from torch import Tensor


def unread(name: str, length: int) -> Video:
    return Video(name, tuple(Path(f"{index:05d}.jpg") for index in range(length)))


def steps(videos: list[Video], **options: object) -> list[tuple[str, list[int]]]:
    return [(video.name, centres) for [(video, centres)] in epoch_steps(videos, Parent(**options))]


def test_an_epoch_goes_through_consecutive_frames_in_file_order() -> None:
    videos = [unread("b", 5), unread("a", 2)]
    assert steps(videos) == [("b", [0, 1]), ("b", [2, 3]), ("b", [4]), ("a", [0, 1])]
    assert steps(videos, frames_per_step=3) == [("b", [0, 1, 2]), ("b", [3, 4]), ("a", [0, 1])]
    # A budget of frames is spread over each video.
    assert steps([unread("a", 24)], train_frames=4) == [("a", [0, 1]), ("a", [12, 13])]
    assert steps([unread("a", 5)], train_frames=100) == steps([unread("a", 5)])
    assert len(steps([unread("a", 24)], train_frames=2, frames_per_step=4)) == 1


def test_shuffled_steps_are_the_same_steps_in_another_order() -> None:
    videos = [unread("a", 20)]
    seed_everything(1)
    first, second = steps(videos, shuffle=True), steps(videos, shuffle=True)
    assert sorted(first) == sorted(second) == sorted(steps(videos))
    assert first != second
    seed_everything(1)
    assert steps(videos, shuffle=True) == first


def test_a_step_holds_runs_of_several_videos_and_the_views_of_a_video_share_out_its_frames() -> None:
    videos = [unread(f"a, view {number}", 24) for number in range(3)] + [
        unread(f"b, view {number}", 8) for number in range(3)
    ]
    epoch = epoch_steps(videos, Parent(train_frames=4, views=3, videos_per_step=4))
    assert [len(step) for step in epoch] == [4, 4, 4]
    seen = [(video.name, centres[0]) for step in epoch for video, centres in step]
    firsts = {"a, view 0": [0, 12], "a, view 1": [4, 16], "a, view 2": [8, 20]}
    firsts |= {"b, view 0": [0, 4], "b, view 1": [0, 4], "b, view 2": [2, 6]}
    assert seen == [(name, first) for name, some in firsts.items() for first in some]


@pytest.mark.parametrize(("schedule", "factors"), [("constant", (1, 1, 1)), ("cosine", (1, 0.5, 0))])
def test_the_rate_stays_or_falls_along_a_cosine(schedule: str, factors: tuple[float, ...]) -> None:
    parent = Parent(lr="0.04", schedule=schedule)
    assert [rate(parent, progress) for progress in (0, 0.5, 1)] == pytest.approx([0.04 * one for one in factors])


@pytest.mark.parametrize("setup", [(1, 1), (1, 3)])
def test_a_module_starts_as_the_identity(network: Build, make_video: MakeVideo, setup: tuple[int, int]) -> None:
    video, model, cache = make_video(length=4), network(*setup), make_cache()
    before = {name: value.clone() for name, value in model.maskrcnn_model.state_dict().items()}
    parent = Parent(start="identity", epochs=1, lr="0.01", shuffle=True)
    stage.start_as_identity(parent, model, [video], cache, 1)
    found = model.maskrcnn_model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in before.items())
    step = (video, [1, 2])
    with torch.no_grad():
        centres = cache.centres(model, [step], [{}])["0"]
        given = model.enhance(cache._windows(model, [step], [{}]).enhanced)["0"]
    assert float((given - centres).var() / centres.var()) < 0.2
    fresh = network(*setup)
    train_parent(
        parent.model_copy(update={"lr": "0"}), fresh, [video], binary=False, seed=7, select=lambda *_: scores()
    )
    assert torch.equal(fresh.slow_fast.slow_conv1.weight, model.slow_fast.slow_conv1.weight)


def test_without_a_module_the_start_is_the_detectors(network: Build, make_video: MakeVideo) -> None:
    parent = Parent(start="identity", epochs=1, lr="0")
    model = network(1, 1, control="none")
    before = copy.deepcopy(model.state_dict())
    train_parent(parent, model, [make_video(length=2)], binary=False, seed=7, select=lambda *_: scores())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def trained(model: SlowFastMaskRCNN, videos: list[Video], **options: Any) -> tuple[dict[str, Tensor], TrainingState]:
    """The weights after a training, and its state."""
    parent = Parent(**{"epochs": 1, "lr": "0.01", **options})
    state = train_parent(parent, model, videos, binary=False, seed=7, select=lambda *_: scores())
    return model.state_dict(), state


def test_variant_a_is_one_forward_of_a_step_and_b_one_of_each_frame(network: Build, make_video: MakeVideo) -> None:
    video = make_video(length=4)
    (weights, state), (others, other) = (trained(network(), [video], step=step) for step in ("a", "b"))
    assert (state.curve[0].iteration, other.curve[0].iteration) == (2, 4)
    name = "slow_fast.slow_conv1.weight"
    assert not torch.equal(weights[name], others[name])
    # Batch norm counted two steps of two windows, or four of one.
    counts = [after["slow_fast.bn_s1.num_batches_tracked"].item() for after in (weights, others)]
    assert counts == [2 * 5, 4 * 5]


def test_scores_are_asked_for_as_often_as_set_and_the_best_epochs_weights_are_left(
    network: Build, make_video: MakeVideo
) -> None:
    asked: list[Tensor] = []

    def select(model: SlowFastMaskRCNN, _: TrainingState) -> Scores:
        assert not model.training
        asked.append(model.slow_fast.slow_conv1.weight.clone())
        return scores(0.1)

    parent, model = Parent(epochs=3, lr="0.001", score_every=2), network()
    state = train_parent(parent, model, [make_video(length=2)], binary=True, seed=1, select=select)
    assert [point.jf_selection for point in state.curve] == [None, 0.1, 0.1]
    assert state.best.epoch == 2
    second, third = asked
    assert torch.equal(model.slow_fast.slow_conv1.weight, second)
    assert not torch.equal(second, third)


def test_what_trains_changes_and_what_is_frozen_does_not(network: Build, make_video: MakeVideo) -> None:
    before, video = {name: value.clone() for name, value in network().state_dict().items()}, make_video(length=2)
    changed = {}
    for backbone in ("frozen", "trained"):
        after, _ = trained(network(), [video], epochs=2, backbone=backbone)
        changed[backbone] = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed["frozen"]
    assert all(name.startswith(("slow_fast.", "maskrcnn_model.roi_heads.")) for name in changed["frozen"])
    for part in ("maskrcnn_model.backbone.body.", "maskrcnn_model.rpn."):
        assert any(name.startswith(part) for name in changed["trained"])


def test_without_room_for_features_training_is_the_same_and_one_that_diverges_says_where(
    network: Build, make_video: MakeVideo
) -> None:
    video = make_video(length=4)
    without, cached = (trained(network(), [video], feature_cache_gib=gib)[0] for gib in (0, 1))
    assert all(torch.equal(without[name], cached[name]) for name in without)
    with pytest.raises(DivergedError, match=r"^parent, epoch 1, step \d, square: found a loss that is not finite"):
        trained(network(), [make_video(length=6)], lr="1e30")


@pytest.mark.parametrize(("backbone", "gib"), [("frozen", 0), ("frozen", 1), ("trained", 0)])
def test_prefetching_changes_nothing_and_reads_nothing_twice(
    network: Build, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch, backbone: str, gib: int
) -> None:
    main, reads, results = threading.get_ident(), [], []
    frame = Video.frame

    def noting(self: Video, index: int) -> Tensor:
        reads.append((self.name, index, threading.get_ident() == main))
        return frame(self, index)

    monkeypatch.setattr(Video, "frame", noting)
    videos = [make_video(length=7), make_video(name="other", length=3)]
    for count in (0, 1, 3):
        monkeypatch.setattr(stage, "steps_ahead", lambda *_, count=count: count)
        reads.clear()
        weights, _ = trained(network(1, 3), videos, epochs=2, backbone=backbone, feature_cache_gib=gib)
        results.append((weights, Counter(read[:2] for read in reads), [read[2] for read in reads]))
    (expected, plain, by_main), *others = results
    assert all(by_main)
    if gib:
        assert set(plain.values()) == {1}
    for found, prefetched, by_thread in others:
        assert all(torch.equal(found[name], value) for name, value in expected.items())
        assert prefetched == plain
        # Without room for features, the frames that two steps share are read again when they are needed.
        if gib or backbone == "trained":
            assert not any(by_thread)


def test_a_view_without_its_object_trains_as_ground(network: Build, make_video: MakeVideo) -> None:
    video = make_video(length=2)
    for path in video.masks:
        write_mask(path, np.zeros((64, 96), np.uint8))
    model = network(1, 1).freeze(("backbone", "rpn")).train()
    losses = make_cache().losses(model, [(View.of(video, 1, 16), [0, 1])], [{}])
    assert losses["loss_mask"] == 0
    assert all(torch.isfinite(value) for value in losses.values())
    frame, target = read_sample(video, 0, binary=True, flip=0.5, seed=1, min_size=16)
    found = network(1, 1).train().maskrcnn_model([frame], [target])
    assert all(torch.isfinite(value) for value in found.values())
