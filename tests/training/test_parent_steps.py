"""The steps of the unsupervised stage: which frames, which losses, and that caching changes nothing."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from equal_scores import scores
from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.measuring.record import Scores
from slowfast_vos.sections import Parent
from slowfast_vos.training.ahead import read_ahead
from slowfast_vos.training.encoder import Encoder, training_proposals
from slowfast_vos.training.loop import DivergedError, seed_everything
from slowfast_vos.training.parent import clip_losses, epoch_steps, parts_of_step, train_parent
from slowfast_vos.training.state import TrainingState
from slowfast_vos.videos.davis import Video
from torch import Tensor

Build = Callable[..., SlowFastMaskRCNN]
MakeVideo = Callable[..., Video]


def unread(name: str, length: int) -> Video:
    return Video(name, tuple(Path(f"{index:05d}.jpg") for index in range(length)))


def steps(videos: list[Video], **options: object) -> list[tuple[str, list[int]]]:
    return [(video.name, centres) for video, centres in epoch_steps(videos, Parent(**options))]


def test_an_epoch_goes_through_consecutive_frames_in_file_order() -> None:
    videos = [unread("b", 5), unread("a", 2)]
    assert steps(videos) == [("b", [0, 1]), ("b", [2, 3]), ("b", [4]), ("a", [0, 1])]
    assert steps(videos, frames_per_step=3) == [("b", [0, 1, 2]), ("b", [3, 4]), ("a", [0, 1])]


def test_shuffled_steps_are_the_same_steps_in_another_order() -> None:
    videos = [unread("a", 20)]
    seed_everything(1)
    first, second = steps(videos, shuffle=True), steps(videos, shuffle=True)
    assert sorted(first) == sorted(second) == sorted(steps(videos))
    assert first != second
    seed_everything(1)
    assert steps(videos, shuffle=True) == first


def test_a_budget_of_frames_is_spread_over_the_video() -> None:
    assert steps([unread("a", 24)], train_frames=4) == [("a", [0, 1]), ("a", [12, 13])]
    assert steps([unread("a", 5)], train_frames=100) == steps([unread("a", 5)])
    assert len(steps([unread("a", 24)], train_frames=2, frames_per_step=4)) == 1


def test_variant_a_is_one_forward_and_b_one_for_each_frame() -> None:
    assert list(parts_of_step([4, 5], Parent(step="a"))) == [[4, 5]]
    assert list(parts_of_step([4, 5], Parent(step="b"))) == [[4], [5]]


def test_variant_b_takes_the_proposals_of_training_and_gives_them_back(network: Build) -> None:
    rpn = network().maskrcnn_model.rpn
    assert (rpn.pre_nms_top_n(), rpn.post_nms_top_n()) == (20, 12)
    with training_proposals(rpn, wanted=True):
        assert (rpn.pre_nms_top_n(), rpn.post_nms_top_n()) == (40, 30)
    assert (rpn.pre_nms_top_n(), rpn.post_nms_top_n()) == (20, 12)
    with training_proposals(rpn, wanted=False):
        assert rpn.post_nms_top_n() == 12


def test_an_encoder_of_variant_b_proposes_more(network: Build, make_video: MakeVideo) -> None:
    model, video = network().freeze(("backbone", "rpn")).train(), make_video(length=2)
    counts = []
    for step in ("a", "b"):
        encoder = Encoder(model, Parent(step=step), binary=True)
        encoder.losses(video, [0, 1])
        counts.append([len(encoded.centre[0]) for encoded in encoder.kept.values()])
    assert all(few <= 12 < many <= 30 for few, many in zip(*counts, strict=True))


def gradients(model: SlowFastMaskRCNN, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    model.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("border", ["zeros", "replicate"])
@pytest.mark.parametrize("centres", [[0, 1], [2, 3], [4]])
@pytest.mark.parametrize("binary", [True, False])
def test_losses_from_kept_features_equal_those_of_the_clip(
    network: Build, make_video: MakeVideo, border: str, centres: list[int], binary: bool
) -> None:
    model, video = network(1, 3, border=border, chunk_length=2).freeze(("backbone", "rpn")).train(), make_video()
    encoder = Encoder(model, Parent(), binary=binary)
    encoder.losses(video, [1])
    seed_everything(3)
    kept = encoder.losses(video, centres)
    kept_gradients = gradients(model, kept)
    seed_everything(3)
    direct = clip_losses(model, video, centres, binary=binary)
    assert kept.keys() == direct.keys() == {"loss_classifier", "loss_box_reg", "loss_mask"}
    for name, value in direct.items():
        torch.testing.assert_close(kept[name], value, rtol=1e-4, atol=1e-5)
    direct_gradients = gradients(model, direct)
    assert kept_gradients.keys() == direct_gradients.keys()
    for name, value in direct_gradients.items():
        torch.testing.assert_close(kept_gradients[name], value, rtol=1e-3, atol=1e-4, msg=name)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Frames of every batch that is encoded."""
    seen: list[int] = []
    encode = SlowFastMaskRCNN.encode
    monkeypatch.setattr(
        SlowFastMaskRCNN, "encode", lambda self, images: seen.append(len(images)) or encode(self, images)
    )
    return seen


def test_the_encoder_keeps_the_frames_used_last_within_its_bound(
    network: Build, make_video: MakeVideo, encoded: list[int]
) -> None:
    model, video = network(1, 1).freeze(("backbone", "rpn")).train(), make_video(length=4)
    one = Encoder(model, Parent(), binary=True)
    one.losses(video, [0])
    for frames, expected in ((0, 6), (1.5, 5), (2.5, 4), (3.5, 4)):
        bound = frames * one.size_in_bytes
        encoder = Encoder(model, Parent(feature_cache_gib=bound / 2**30), binary=True)
        encoded.clear()
        for index in (0, 1, 1, 2, 1, 3):
            encoder.losses(video, [index])
            assert encoder.size_in_bytes == sum(kept.size_in_bytes for kept in encoder.kept.values()) <= bound
        assert len(encoded) == expected
        assert len(encoder.kept) == int(frames)


def test_only_the_frames_of_the_windows_are_encoded_and_each_once_in_an_epoch(
    network: Build, make_video: MakeVideo, encoded: list[int]
) -> None:
    model = network(1, 3, chunk_length=2).freeze(("backbone", "rpn")).train()
    encoder, video = Encoder(model, Parent(), binary=True), make_video(length=8)
    for centres, expected in (([0], 2), ([1], 1), ([5, 6], 4), ([0, 1], 0), ([3], 1)):
        encoded.clear()
        encoder.losses(video, centres)
        assert encoded == [1] * expected


def test_features_of_a_frozen_backbone_carry_no_graph(network: Build, make_video: MakeVideo) -> None:
    model = network().freeze(("backbone", "rpn")).train()
    encoder = Encoder(model, Parent(), binary=True)
    encoder.losses(make_video(length=2), [0, 1])
    for kept in encoder.kept.values():
        assert not any(maps.requires_grad for maps in kept.features.values())
        assert not kept.centre[0].requires_grad


def test_without_room_for_features_training_is_the_same(network: Build, make_video: MakeVideo) -> None:
    video, states = make_video(length=4), []
    for gib in (0, 1):
        model = network()
        parent = Parent(epochs=1, lr="0.01", feature_cache_gib=gib)
        train_parent(parent, model, [video], binary=False, seed=2, select=lambda *_: scores())
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_two_variants_train_differently(network: Build, make_video: MakeVideo) -> None:
    video, states, losses = make_video(length=4), [], []
    for step in ("a", "b"):
        model = network()
        parent = Parent(epochs=1, lr="0.01", step=step)
        state = train_parent(parent, model, [video], binary=False, seed=2, select=lambda *_: scores())
        states.append(model.state_dict())
        losses.append(state.curve[0].loss)
    weight = "slow_fast.slow_conv1.weight"
    assert not torch.equal(states[0][weight], states[1][weight])
    # Batch norm counted two steps of two windows, or four of one.
    counts = [state["slow_fast.bn_s1.num_batches_tracked"].item() for state in states]
    assert counts == [2 * 5, 4 * 5]


def test_scores_are_asked_for_as_often_as_set_and_at_the_end(network: Build, make_video: MakeVideo) -> None:
    asked = []

    def select(model: SlowFastMaskRCNN, _: TrainingState) -> Scores:
        assert not model.training
        asked.append(1)
        return scores(0.1)

    parent = Parent(epochs=3, lr="0.001", score_every=2)
    state = train_parent(parent, network(), [make_video(length=2)], binary=True, seed=1, select=select)
    assert [point.jf_selection for point in state.curve] == [None, 0.1, 0.1]
    assert len(asked) == 2
    assert state.best.epoch == 2


def trained(model: SlowFastMaskRCNN, video: Video, backbone: str) -> dict[str, Tensor]:
    parent = Parent(epochs=2, lr="0.01", backbone=backbone)
    train_parent(parent, model, [video], binary=False, seed=7, select=lambda *_: scores())
    return model.state_dict()


def test_what_trains_changes_and_what_is_frozen_does_not(network: Build, make_video: MakeVideo) -> None:
    before = {name: value.clone() for name, value in network().state_dict().items()}
    after = trained(network(), make_video(length=2), "frozen")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith(("slow_fast.", "maskrcnn_model.roi_heads.")) for name in changed)
    after = trained(network(), make_video(length=2), "trained")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("maskrcnn_model.backbone.body.") for name in changed)
    assert any(name.startswith("maskrcnn_model.rpn.") for name in changed)


def test_a_parent_that_diverges_says_where(network: Build, make_video: MakeVideo) -> None:
    parent = Parent(epochs=3, lr="1e30")
    with pytest.raises(DivergedError, match=r"^parent, epoch 1, step \d, square: found a loss that is not finite"):
        train_parent(parent, network(), [make_video(length=6)], binary=True, seed=1, select=lambda *_: scores())


@pytest.mark.parametrize("backbone", ["frozen", "trained"])
@pytest.mark.parametrize("gib", [0, 1])
def test_reading_ahead_changes_nothing_and_reads_nothing_twice(
    network: Build, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch, backbone: str, gib: int
) -> None:
    main, reads, states = threading.get_ident(), [], []
    frame = Video.frame

    def noted(self: Video, index: int) -> Tensor:
        reads.append((self.name, index, threading.get_ident() == main))
        return frame(self, index)

    monkeypatch.setattr(Video, "frame", noted)
    videos = [make_video(length=7), make_video(name="other", length=3)]
    options = {"epochs": 2, "lr": "0.01", "backbone": backbone, "feature_cache_gib": gib}
    counts = []
    for wanted in (False, True):
        chosen = partial(read_ahead, wanted=wanted)
        monkeypatch.setattr("slowfast_vos.training.parent.read_ahead", lambda chosen=chosen, **_: chosen())
        reads.clear()
        model = network(1, 3)
        train_parent(Parent(**options), model, videos, binary=True, seed=7, select=lambda *_: scores())
        states.append(model.state_dict())
        counts.append((Counter(read[:2] for read in reads), [read[2] for read in reads]))
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    (plain, by_main), (ahead, by_threads) = counts
    assert plain == ahead
    assert all(by_main)
    # Nothing is read ahead of an epoch's first step; without room for features, neighbours are not either.
    if gib or backbone == "trained":
        assert by_threads.count(True) == (3 if gib and backbone == "frozen" else 2 * 3)
