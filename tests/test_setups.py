"""The arithmetic of the windows, against a simulation that shrinks frames one by one."""

from __future__ import annotations

import pytest
from slowfast_vos.errors import UserError
from slowfast_vos.setups import Setup, temporal_kernels

POSSIBLE = [(m, n) for n in range(1, 10) for m in range(1, n + 1) if (n - m) % 2 == 0]


def valid(frames: list[tuple[int, ...]], kernel: int) -> list[tuple[int, ...]]:
    """Slides a kernel over frames, each the set of those it was made of; no padding."""
    return [tuple(sorted(set().union(*frames[start : start + kernel]))) for start in range(len(frames) - kernel + 1)]


@pytest.mark.parametrize(("slow", "fast"), POSSIBLE)
def test_valid_convolutions_take_both_pathways_to_one_frame(slow: int, fast: int) -> None:
    setup = Setup(slow, fast)
    assert setup.before - setup.after in (0, 1)  # centred, or longer before
    window = [(index,) for index in range(-setup.before, setup.after + 1)]
    assert len(window) == fast
    assert Setup.parse(str(setup)) == setup
    trim = (fast - slow) // 2
    fast_frames, slow_frames = window, window[trim : fast - trim]
    assert len(slow_frames) == slow
    fusions = (*setup.fuse_kernels, None)
    for slow_kernel, fast_kernel, fusion in zip(setup.slow_kernels, setup.fast_kernels, fusions, strict=True):
        assert min(slow_kernel, fast_kernel) >= 1
        slow_frames, fast_frames = valid(slow_frames, slow_kernel), valid(fast_frames, fast_kernel)
        if fusion is not None:
            assert fusion >= 1
            fused = valid(fast_frames, fusion)
            assert len(fused) == len(slow_frames)
            # What is joined in the slow pathway lies around the same moment.
            assert [sum(some) / len(some) for some in fused] == pytest.approx(
                [sum(some) / len(some) for some in slow_frames]
            )
            slow_frames = [tuple(sorted({*a, *b})) for a, b in zip(slow_frames, fused, strict=True)]
    everything = tuple(range(-setup.before, setup.after + 1))
    # Through the fusions the slow pathway has seen the whole fast window too.
    assert fast_frames == slow_frames == [everything]


@pytest.mark.parametrize(
    ("name", "slow", "fast", "fuse"),
    [
        ("1-1", (1, 1, 1), (1, 1, 1), (1, 1)),
        ("3-3", (1, 2, 2), (1, 2, 2), (1, 1)),
        ("7-7", (3, 3, 3), (3, 3, 3), (1, 1)),
        ("1-7", (1, 1, 1), (3, 3, 3), (5, 3)),
        ("3-7", (1, 2, 2), (3, 3, 3), (3, 2)),
    ],
)
def test_the_five_setups_have_the_papers_kernels(
    name: str, slow: tuple[int, ...], fast: tuple[int, ...], fuse: tuple[int, ...]
) -> None:
    setup = Setup.parse(name)
    assert (setup.slow_kernels, setup.fast_kernels, setup.fuse_kernels) == (slow, fast, fuse)


@pytest.mark.parametrize("frames", range(1, 40))
def test_kernels_sum_to_frames_and_two_and_grow_with_depth(frames: int) -> None:
    kernels = temporal_kernels(frames)
    assert sum(kernels) == frames + 2
    assert 1 <= kernels[0] <= kernels[1] <= kernels[2] <= kernels[0] + 1 + (frames % 3 == 2)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("1-2", r"fast − slow is 1; expected an even number"),
        ("7-3", r"found 7 slow and 3 fast frames; expected 1 ≤ slow ≤ fast"),
        ("0-2", r"found 0 slow and 2 fast frames; expected 1 ≤ slow ≤ fast"),
        *[
            (name, rf"setup '{name}': expected \"slow-fast\" in frames, such as \"3-7\"")
            for name in ("", "3", "3-", "a-b", "-3-7", "3-7-9", "1.0-3")
        ],
    ],
)
def test_setups_that_cannot_be_are_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        Setup.parse(name)


@pytest.mark.parametrize(
    ("setup", "length", "order"),
    [
        ("3-7", 10, [3, 2, 1, 0, 1, 2, 3]),
        ("7-7", 10, [3, 2, 1, 0, 1, 2, 3]),
        ("3-7", 3, [2, 2, 1, 0, 1, 2, 2]),
        ("3-7", 1, [0] * 7),
        ("3-3", 10, [1, 0, 1]),
        ("1-1", 10, [0]),
        ("2-4", 10, [2, 1, 0, 1]),
    ],
)
def test_the_first_frames_window_is_mirrored_in_time(setup: str, length: int, order: list[int]) -> None:
    assert Setup.parse(setup).mirrored_window(length) == order


@pytest.mark.parametrize("frames", [(1.0, 3), (1, 3.0), (True, 3), ("1", 3)])
def test_a_setup_has_whole_numbers_of_frames(frames: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=r"^setup .*: found .* frames; expected a whole number$"):
        Setup(*frames)
