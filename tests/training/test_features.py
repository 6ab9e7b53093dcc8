"""Features of a frozen backbone: losses from them are those of the frames, and each frame is encoded once."""

from __future__ import annotations

import pytest
import torch
from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.model.slowfast_maskrcnn import join
from slowfast_vos.seeds import seed_everything
from slowfast_vos.training.features import read_clip
from slowfast_vos.training.parent import clip_losses
from stages_to_train import Build, MakeVideo, make_cache
from torch import Tensor


def test_variant_b_takes_the_proposals_of_training_and_gives_them_back(network: Build, make_video: MakeVideo) -> None:
    model, video = network().freeze(("backbone", "rpn")).train(), make_video(length=2)
    counts, rpn = [], model.maskrcnn_model.rpn
    for many in (False, True):
        cache = make_cache(many_proposals=many)
        cache.losses(model, [(video, [0, 1])], [{}])
        counts.append([len(encoded.proposals) for encoded in cache.frames.values()])
        assert (rpn.pre_nms_top_n(), rpn.post_nms_top_n()) == (20, 12)
    assert all(few <= 12 < many <= 30 for few, many in zip(*counts, strict=True))


def gradients(model: SlowFastMaskRCNN, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    model.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("border", ["zeros", "replicate"])
@pytest.mark.parametrize("centres", [[0, 1], [2, 3], [4]])
@pytest.mark.parametrize("binary", [True, False])
def test_losses_from_cached_features_equal_those_of_the_clip(
    network: Build, make_video: MakeVideo, border: str, centres: list[int], binary: bool
) -> None:
    model, video = network(1, 3, border=border, chunk_length=2).freeze(("backbone", "rpn")).train(), make_video()
    cache, clip = make_cache(binary=binary), read_clip((video, list(range(5))), binary=binary)
    cache.losses(model, [(video, [1])], [{}])
    seed_everything(3)
    cached = cache.losses(model, [(video, centres)], [{}])
    cached_gradients = gradients(model, cached)
    seed_everything(3)
    direct = clip_losses(model, [(video, centres)], [clip])
    assert cached.keys() == direct.keys() == {"loss_classifier", "loss_box_reg", "loss_mask"}
    for name, value in direct.items():
        torch.testing.assert_close(cached[name], value, rtol=1e-4, atol=1e-5)
    direct_gradients = gradients(model, direct)
    assert cached_gradients.keys() == direct_gradients.keys()
    for name, value in direct_gradients.items():
        # A ReLU at nearly 0 may open in one and not in the other, since their batches round otherwise.
        assert (cached_gradients[name] - value).norm() <= 2e-3 * value.norm() + 1e-4, name


def test_batch_norm_sees_all_videos_of_a_step_and_smaller_frames_have_zeros_beside_them(
    network: Build, make_video: MakeVideo
) -> None:
    model = network(1, 3).freeze(("backbone", "rpn")).train()
    videos = [make_video(length=3), make_video(name="smaller", length=3, height=48)]
    steps, counted = [(video, [1]) for video in videos], model.slow_fast.bn_s1.num_batches_tracked
    clips = [read_clip((video, [0, 1, 2]), binary=True) for video in videos]
    found = []
    for losses in (make_cache().losses, clip_losses):
        before = counted.item()
        seed_everything(3)
        found.append({name: value.item() for name, value in losses(model, steps, clips).items()})
        assert counted.item() == before + 5  # once for each of the FPN's levels
    cached, direct = found
    assert cached == pytest.approx(direct, rel=1e-4)
    windows = [{"0": torch.ones(1, 2, 3, 4, 5)}, {"0": torch.ones(2, 2, 3, 6, 5)}]
    joined = join(windows)["0"]
    assert joined.shape == (3, 2, 3, 6, 5)
    assert joined[0, :, :, :4].min() == 1
    assert joined[0, :, :, 4:].max() == 0


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Frames of every batch that is encoded."""
    seen, encode = [], SlowFastMaskRCNN.encode
    monkeypatch.setattr(SlowFastMaskRCNN, "encode", lambda self, some: seen.append(len(some)) or encode(self, some))
    return seen


def test_the_frames_used_last_are_cached_within_the_bound(
    network: Build, make_video: MakeVideo, encoded: list[int]
) -> None:
    model, video = network(1, 1).freeze(("backbone", "rpn")).train(), make_video(length=4)
    one = make_cache()
    one.losses(model, [(video, [0])], [{}])
    for frames, expected in ((0, 6), (1.5, 5), (2.5, 4), (3.5, 4)):
        bound = frames * one.size_in_bytes
        cache = make_cache(bound / 2**30)
        encoded.clear()
        for index in (0, 1, 1, 2, 1, 3):
            cache.losses(model, [(video, [index])], [{}])
            assert cache.size_in_bytes == sum(frame.size_in_bytes for frame in cache.frames.values()) <= bound
        assert len(encoded) == expected
        assert len(cache.frames) == int(frames)


def test_only_the_frames_of_the_windows_are_encoded_each_once_in_an_epoch_and_without_a_graph(
    network: Build, make_video: MakeVideo, encoded: list[int]
) -> None:
    model = network(1, 3, chunk_length=2).freeze(("backbone", "rpn")).train()
    cache, video = make_cache(), make_video(length=8)
    for centres, expected in (([0], 2), ([1], 1), ([5, 6], 4), ([0, 1], 0), ([3], 1)):
        encoded.clear()
        cache.losses(model, [(video, centres)], [{}])
        assert encoded == [1] * expected
    for frame in cache.frames.values():
        assert not any(maps.requires_grad for maps in frame.features.values())
        assert not frame.proposals.requires_grad


def test_frames_encoded_as_one_batch_have_the_features_and_proposals_of_each_alone(
    network: Build, make_video: MakeVideo
) -> None:
    model, cache = network(1, 1).freeze(("backbone", "rpn")).train(), make_cache()
    read = list(read_clip((make_video(length=3), [0, 1, 2]), binary=True).values())
    for together, alone in zip(
        cache._encode(model, read), [cache._encode(model, [one])[0] for one in read], strict=True
    ):
        for level, maps in alone.features.items():
            torch.testing.assert_close(together.features[level], maps)
        torch.testing.assert_close(together.proposals, alone.proposals, rtol=1e-4, atol=1e-3)
        assert all(torch.equal(together.target[key], value) for key, value in alone.target.items())
        assert together.size_in_bytes == alone.size_in_bytes
