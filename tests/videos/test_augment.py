"""Flips, scales and rotations that move frames and masks together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from slowfast_vos.sections import Finetune
from slowfast_vos.seeds import seed_everything
from slowfast_vos.videos.augment import Augment
from slowfast_vos.videos.davis import targets
from torch import Tensor


def first_mask(height: int = 40, width: int = 60) -> Tensor:
    ids = torch.zeros((height, width), dtype=torch.int64)
    ids[12:22, 20:36] = 1
    return ids


def frames(count: int = 3, height: int = 40, width: int = 60) -> Tensor:
    return torch.rand((count, 3, height, width), generator=torch.Generator().manual_seed(0))


def augment(scale: float = 0.0, **options: float) -> Augment:
    return Augment(Finetune(**{"flip": 0, "rotation": 0, **options}), scale)


def test_without_flip_scale_and_rotation_nothing_changes() -> None:
    given = frames()
    moved, target = augment()(given, first_mask())
    torch.testing.assert_close(moved, given, rtol=0, atol=1e-5)
    expected = targets(first_mask().numpy())
    assert all(torch.equal(target[key], value) for key, value in expected.items())


def test_a_flip_flips_all_frames_and_the_mask() -> None:
    moved, target = augment(flip=1)(frames(), first_mask())
    torch.testing.assert_close(moved, frames().flip(3), rtol=0, atol=1e-5)
    assert torch.equal(target["masks"][0], first_mask().flip(1).to(torch.uint8))
    assert target["boxes"].tolist() == [[24, 12, 39, 21]]


def test_draws_differ_and_follow_the_seed() -> None:
    moving = augment(scale=0.4, flip=0.5, rotation=30)
    seed_everything(1)
    first, second = moving(frames(), first_mask())[0], moving(frames(), first_mask())[0]
    assert not torch.equal(first, second)
    seed_everything(1)
    assert torch.equal(moving(frames(), first_mask())[0], first)


def test_frames_and_mask_move_together_and_boxes_are_those_of_the_moved_mask() -> None:
    """The object is drawn into the frames: wherever it goes, its mask goes too."""
    moving = augment(scale=0.4, flip=0.5, rotation=30)
    drawn = first_mask().float().expand(2, 3, -1, -1).contiguous()
    for seed in range(20):
        seed_everything(seed)
        moved, target = moving(drawn, first_mask())
        assert torch.equal(moved, moved[:1].expand_as(moved))
        mask = target["masks"][0].bool()
        assert ((moved[0, 0] > 0.5) ^ mask).float().mean() < 0.01
        rows, columns = np.nonzero(mask.numpy())
        assert target["boxes"].tolist() == [[columns.min(), rows.min(), columns.max(), rows.max()]]
        assert target["labels"].tolist() == [1]


@pytest.mark.parametrize("scale", [0.25, 0.4])
def test_the_scale_is_isotropic_and_within_its_range(scale: float) -> None:
    moving, sizes = augment(scale=scale), []
    for seed in range(40):
        seed_everything(seed)
        left, top, right, bottom = moving(frames(1), first_mask())[1]["boxes"][0].tolist()
        sizes.append(((right - left + 1) / 16, (bottom - top + 1) / 10))
    across, down = np.array(sizes).T
    assert np.abs(across - down).max() < 0.2  # a pixel or so at either end
    assert 1 - scale - 0.15 < across.min() < 1 < across.max() < 1 + scale + 0.15
    assert across.max() - across.min() > scale


def test_a_rotation_stays_within_its_range() -> None:
    drawn = torch.zeros((41, 61), dtype=torch.int64)
    drawn[20, 30:60] = 1  # a hand that points right from the centre
    drawn[19:22, 30:32] = 1
    angles = []
    for seed in range(40):
        seed_everything(seed)
        mask = augment(rotation=30)(torch.zeros(1, 3, 41, 61), drawn)[1]["masks"][0].numpy()
        rows, columns = np.nonzero(mask)
        far = columns.argmax()
        angles.append(np.degrees(np.arctan2(20 - rows[far], columns[far] - 30)))
    assert -32 < min(angles) < -15
    assert 15 < max(angles) < 32


def test_a_draw_that_loses_the_object_is_repeated_a_bounded_number_of_times() -> None:
    corner = torch.zeros((40, 60), dtype=torch.int64)
    corner[:2, :2] = 1
    for seed in range(20):
        seed_everything(seed)
        _, target = augment(rotation=30, redraws=50)(frames(1), corner)
        assert len(target["boxes"]) == 1
    draws = []
    moving = augment(redraws=5)
    moving.transform = lambda video, mask: draws.append(1) or (video, torch.zeros_like(mask))
    given = frames()
    moved, target = moving(given, corner)
    assert len(draws) == 5
    assert torch.equal(moved, given)
    assert target["boxes"].tolist() == [[0, 0, 1, 1]]
