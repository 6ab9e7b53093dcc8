"""A view changes all frames of a video alike, and masks with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from slowfast_vos.videos.davis import Video
from slowfast_vos.videos.views import Change, View

MakeVideo = Callable[..., Video]
STILL = Change(False, 1.0, 0.0, (0.0, 0.0), 1.0, 1.0, 1.0, 0.0)


def with_change(video: Video, **changed: object) -> View:
    view = View.of(video, 0, 240)
    object.__setattr__(view, "change", STILL._replace(**changed))
    return view


def test_a_view_that_changes_nothing_is_the_video(make_video: MakeVideo) -> None:
    video = make_video()
    view = with_change(video)
    torch.testing.assert_close(view.frame(2), video.frame(2), rtol=0, atol=1e-4)
    assert (view.ids(2, binary=False) == video.ids(2, binary=False)).all()


def test_a_mask_moves_as_its_frame_does(make_video: MakeVideo) -> None:
    video = make_video()
    ids = video.ids(2, binary=True)
    rows, columns = ids.any(1).nonzero()[0], ids.any(0).nonzero()[0]
    moved = with_change(video, shift=(0.125, -0.0625)).ids(2, binary=True)  # 12 to the right, 4 up
    assert moved.any(1).nonzero()[0][0] == rows[0] - 4
    assert moved.any(0).nonzero()[0][0] == columns[0] + 12
    flipped = with_change(video, flip=True)
    torch.testing.assert_close(flipped.frame(2), video.frame(2).flip(2), rtol=0, atol=1e-4)
    assert (flipped.ids(2, binary=True) == ids[:, ::-1]).all()
    assert with_change(video, zoom=0.5).ids(2, binary=True).sum() == pytest.approx(ids.sum() / 4, rel=0.2)


def test_large_frames_are_shrunk_to_twice_the_networks_size(make_video: MakeVideo) -> None:
    view = View.of(make_video(), 3, 16)
    assert view.frame(0).shape == (3, 32, 48)
    assert view.ids(0, binary=True).shape == (32, 48)
    assert 0 <= view.frame(0).min() < view.frame(0).max() <= 1


def test_a_view_is_its_seeds_own_and_the_same_for_all_frames(make_video: MakeVideo) -> None:
    video, state = make_video(), torch.get_rng_state()
    one, again, other = (View.of(video, seed, 240) for seed in (5, 5, 6))
    assert one.change == again.change != other.change
    assert torch.equal(one.frame(1), again.frame(1))
    assert torch.equal(torch.get_rng_state(), state)
    changes = [Change.draw(seed, 0.5) for seed in range(200)]
    assert 60 < sum(change.flip for change in changes) < 140
    assert min(change.zoom for change in changes) < 0.75
    assert max(change.zoom for change in changes) > 1.6
    assert not any(Change.draw(seed, 0).flip for seed in range(20))
