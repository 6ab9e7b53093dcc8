"""Streaming inference equals a window per frame, and holds no more than a chunk."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_inputs import Build, clip
from slowfast_vos.model.streaming import Detection, detect, detect_chunks, encode_chunk, foreground, instances, paste
from torch import Tensor
from windowed import largest_difference, windowed

SETUPS = [(1, 1), (3, 3), (7, 7), (1, 7), (3, 7)]


@pytest.mark.parametrize(
    ("setup", "options"),
    [
        *((setup, {"border": border}) for setup in SETUPS for border in ("zeros", "replicate")),
        *((setup, {"border": "replicate"}) for setup in ((2, 4), (4, 4), (1, 9))),
        ((3, 7), {"backbone": "resnet18"}),
    ],
)
def test_streaming_equals_a_window_per_frame(network: Build, setup: tuple[int, int], options: dict[str, Any]) -> None:
    model = network(*setup, **options)
    differences = {}
    for length, chunks in ((1, (1, 32)), (2, (1, 2)), (9, (1, 2, 5, 32))):
        frames = clip(length)
        expected = windowed(model, frames)
        assert min(len(one["boxes"]) for one in expected) > 1
        for chunk in chunks:
            model.chunk_length = chunk
            differences[length, chunk] = largest_difference(model(frames), expected)
    assert max(differences.values()) < 1e-4, differences


def test_the_compared_detections_depend_on_frame_border_and_order(network: Build) -> None:
    model, frames = network(3, 7), clip(4)
    found = model(frames)
    assert largest_difference(found[:1], found[1:2]) > 1e-2
    assert largest_difference(model(frames[::-1])[::-1], found) > 1e-2
    model.border = "replicate"
    assert largest_difference(model(frames), found) > 1e-2


def test_detections_follow_torchvisions_contract(network: Build) -> None:
    model = network(3, 7)
    assert model([]) == []
    for one in model(clip(3)):
        assert not any(value.requires_grad for value in one.values())
        count = len(one["boxes"])
        assert 0 < count <= 5
        assert set(one) == {"boxes", "labels", "scores", "masks"}
        assert one["boxes"].shape == (count, 4)
        assert one["labels"].tolist() == [1] * count
        assert one["scores"].shape == (count,)
        assert one["masks"].shape == (count, 1, 48, 72)
        assert 0 <= one["masks"].min() <= one["masks"].max() <= 1
        assert (one["boxes"][:, 2:] <= torch.tensor([72, 48])).all()


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_features_held_are_bounded_by_the_chunk(network: Build, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(3, 7, chunk_length=chunk)
    encoded: list[weakref.ref[Tensor]] = []
    encode, slow_fast = model.encode, model.slow_fast.forward
    alive, batches, lengths, read = [], [], [], 0

    def recording_encode(images: Tensor) -> dict[str, Tensor]:
        alive.append(sum(one() is not None for one in encoded))
        batches.append(len(images))
        features = encode(images)
        encoded.append(weakref.ref(features["0"]))
        return features

    def recording_slow_fast(features: Tensor, first: int) -> Tensor:
        lengths.append(features.shape[2])
        return slow_fast(features, first)

    def frames() -> Iterator[Tensor]:
        nonlocal read
        for frame in clip(12):
            read += 1
            yield frame

    monkeypatch.setattr(model, "encode", recording_encode)
    monkeypatch.setattr(model.slow_fast, "forward", recording_slow_fast)
    for index, _ in enumerate(detect(model, frames())):
        assert read <= min(index + model.setup.after + chunk, 12)
    assert max(batches) == chunk
    assert sum(batches) == 12
    # At the video's end the window's second half is appended to what is left.
    assert max(lengths) <= max(chunk, model.setup.after) + model.setup.fast - 1
    assert max(alive) <= 2


def test_encoded_chunks_give_the_same_detections(network: Build) -> None:
    model, frames = network(1, 7, chunk_length=3), clip(7)
    chunks = [encode_chunk(model, frames[start : start + 3]) for start in range(0, 7, 3)]
    for _ in range(2):  # What is encoded once serves several times.
        assert largest_difference([paste(one) for one in detect_chunks(model, chunks)], model(frames)) == 0


@pytest.mark.parametrize(
    "shapes", [[(3, 48, 72), (3, 48, 64)], [(48, 72)], [(1, 48, 72)], [(1, 3, 48, 72)]], ids=lambda shapes: str(shapes)
)
def test_frames_of_two_sizes_or_another_shape_are_refused(network: Build, shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"expected \[3, H, W\], one size for all"):
        network()([torch.zeros(shape) for shape in shapes])


coordinates = st.floats(-30, 90, width=32)
sides = st.one_of(st.floats(0, 3, width=32), st.floats(0, 80, width=32))
boxes = st.lists(st.tuples(coordinates, coordinates, sides, sides), max_size=4)


def overlaps(box: tuple[float, ...], height: int, width: int) -> bool:
    """Whether a box shows in the frame; torchvision clips boxes, and cannot paste those that lie outside."""
    left, top, wide, high = box
    return left < width and top < height and left + wide > 0 and top + high > 0


@settings(max_examples=200)
@given(boxes, st.integers(1, 50), st.integers(1, 60), st.sampled_from([4, 28]), st.integers(0, 10**6))
def test_foreground_equals_pasting_and_thresholding(
    found: list[tuple[float, ...]], height: int, width: int, side: int, seed: int
) -> None:
    found = [box for box in found if overlaps(box, height, width)]
    corners = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in found]).reshape(-1, 4)
    masks = torch.rand((len(found), 1, side, side), generator=torch.Generator().manual_seed(seed))
    detection = Detection(corners, torch.ones(len(found)), torch.ones(len(found)), masks, (height, width))
    pasted = paste(detection)["masks"]
    expected = (pasted >= 0.5).any(0)[0] if len(found) else torch.zeros((height, width), dtype=torch.bool)
    assert torch.equal(foreground(detection), expected)
    assert torch.equal(instances(detection) > 0, expected)


def test_the_best_instance_is_on_top() -> None:
    corners = torch.tensor([[0.0, 0, 8, 8], [4, 4, 12, 12], [0, 0, 16, 16]])
    scores, size = torch.tensor([0.5, 0.9, 0.2]), (16, 16)
    ids = instances(Detection(corners, torch.ones(3), scores, torch.ones((3, 1, 28, 28)), size))
    assert (ids[2, 2], ids[6, 6], ids[10, 10], ids[14, 14]) == (1, 2, 2, 3)
    many = Detection(torch.zeros((256, 4)), torch.ones(256), torch.ones(256), torch.ones((256, 1, 2, 2)), size)
    with pytest.raises(ValueError, match="found 256 detections; expected 255 at most"):
        instances(many)
