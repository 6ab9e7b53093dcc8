"""Reading and writing mask PNGs: every kind of file against Pillow, every kind of damage refused in one line."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from slowfast_vos.errors import UserError
from slowfast_vos.videos.pngs import DAVIS_PALETTE, read_mask, write_mask

GREY, RGB, INDEXED, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack(samples: np.ndarray, depth: int) -> np.ndarray:
    """Rows of samples [H, N] as bytes [H, ceil(N * depth / 8)], high bits first."""
    if depth == 16:
        return samples.astype(">u2").view(np.uint8).reshape(len(samples), -1)
    bits = (samples[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.reshape(len(samples), -1).astype(np.uint8), axis=1)


def encode(
    samples: np.ndarray,
    colour: int = INDEXED,
    depth: int = 8,
    kinds: np.ndarray | int = 0,
    interlaced: bool = False,
    data: bytes | None = None,
    size: tuple[int, int] | None = None,
) -> bytes:
    """A PNG of samples [H, W] or [H, W, channels]; `kinds` are the rows' filters, 0 for none and 1 for the left."""
    height, width = samples.shape[:2]
    rows = pack(samples.reshape(height, -1), depth)
    kinds = np.broadcast_to(np.reshape(kinds, (-1, 1)), (height, 1)).astype(np.uint8)
    rows = np.where(kinds, np.diff(rows, axis=1, prepend=np.uint8(0)), rows)
    data = zlib.compress(np.hstack([kinds, rows]).tobytes()) if data is None else data
    height, width = size or (height, width)
    middle = len(data) // 2
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    palette = chunk(b"PLTE", bytes(3 * 2**depth)) if colour == INDEXED else b""
    samples_in_two = chunk(b"IDAT", data[:middle]) + chunk(b"IDAT", data[middle:])
    return b"\x89PNG\r\n\x1a\n" + header + palette + samples_in_two + chunk(b"IEND", b"")


def blobs(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Ids with long runs, as masks have."""
    ids = np.zeros((height, width), dtype=np.int64)
    for _ in range(4):
        y, x = rng.integers(height), rng.integers(width)
        ids[y : y + rng.integers(1, height + 1), x : x + rng.integers(1, width + 1)] = rng.integers(0, 256)
    return ids


@settings(max_examples=150, deadline=None)
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    seed=st.integers(0, 2**32 - 1),
    colour=st.sampled_from([GREY, INDEXED]),
    filters=st.sampled_from([(0,), (1,), (0, 1)]),
    top=st.sampled_from([0, 1, 3, 255]),
)
def test_eight_bits_with_the_usual_filters(
    tmp_path_factory: pytest.TempPathFactory, size: tuple[int, int], seed: int, colour: int, filters: Any, top: int
) -> None:
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, top + 1, size) if top else blobs(rng, *size)
    path = tmp_path_factory.getbasetemp() / "filters.png"
    path.write_bytes(encode(ids, colour, kinds=rng.choice(filters, size[0])))
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.array(image), ids)
    found = read_mask(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, ids)
    # Whatever filters the library chooses.
    Image.fromarray(ids.astype(np.uint8)).save(path)
    np.testing.assert_array_equal(read_mask(path), ids)


@pytest.mark.parametrize(
    ("colour", "depth"),
    [(GREY, 1), (GREY, 2), (GREY, 4), (GREY, 8), (GREY, 16), (INDEXED, 1), (INDEXED, 2), (INDEXED, 4), (INDEXED, 8)],
)
@pytest.mark.parametrize("width", [1, 5, 33])
def test_every_depth_as_stored(tmp_path: Path, colour: int, depth: int, width: int) -> None:
    ids = np.random.default_rng(depth).integers(0, 2**depth, (19, width))
    (tmp_path / "a.png").write_bytes(encode(ids, colour, depth))
    found = read_mask(tmp_path / "a.png")
    assert found.dtype == (np.uint16 if depth == 16 else np.uint8)
    np.testing.assert_array_equal(found, ids)


def test_interlaced_rows_are_put_in_order(tmp_path: Path) -> None:
    passes = "0000000400141800020016000a0c0e000103000b0d001517000506070809000f1011121300191a1b1c1d"
    ids = np.arange(30).reshape(6, 5)
    data = zlib.compress(bytes.fromhex(passes))
    (tmp_path / "a.png").write_bytes(encode(ids, GREY, interlaced=True, data=data))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), ids)


def test_grey_with_alpha_ignores_the_alpha(tmp_path: Path) -> None:
    samples = np.random.default_rng(8).integers(0, 256, (9, 14, 2))
    (tmp_path / "a.png").write_bytes(encode(samples, GREY_ALPHA))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), samples[..., 0])


def test_written_masks_are_indexed_with_the_davis_palette(tmp_path: Path) -> None:
    ids = np.arange(256, dtype=np.int64).reshape(8, 32)
    write_mask(tmp_path / "new" / "a.png", ids)
    with Image.open(tmp_path / "new" / "a.png") as image:
        assert image.mode == "P"
        assert image.getpalette() == DAVIS_PALETTE.ravel().tolist()
        np.testing.assert_array_equal(np.array(image), ids)
    assert DAVIS_PALETTE[[0, 1, 2, 8, 255]].ravel().tolist() == [0, 0, 0, 128, 0, 0, 0, 128, 0, 64, 0, 0, 224, 224, 192]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]
    write_mask(tmp_path / "b.png", ids == 3)
    np.testing.assert_array_equal(read_mask(str(tmp_path / "b.png")), ids == 3)
    assert (tmp_path / "b.png").read_bytes()[24] == 8, "8 bits also for few ids"


@pytest.mark.parametrize(
    "ids",
    [np.zeros((2, 2)), np.zeros((0, 2), int), np.zeros((2, 2, 1), int), np.full((2, 2), 256), np.full((2, 2), -1)],
)
def test_what_is_no_mask_is_not_written(tmp_path: Path, ids: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"mask|ids"):
        write_mask(tmp_path / "a.png", ids)
    assert not any(tmp_path.iterdir())


GOOD = encode(blobs(np.random.default_rng(0), 20, 30))
RAW = zlib.compress(bytes(20 * 31))


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "empty file"),
        (b"\x89PNG", "not a PNG"),
        (GOOD[:20], "truncated PNG"),
        (GOOD[:-12], "no end mark"),
        (b"\xff\xd8\xff\xe0 a photograph", "not a PNG"),
        (flipped(GOOD, 20), "checksum"),
        (flipped(GOOD, len(GOOD) - 20), "checksum"),
        (GOOD[:8] + chunk(b"IEND", b""), "header missing"),
        (encode(np.zeros((20, 30), int), depth=8, colour=5), "colour image (type 5, 8 bits)"),
        (encode(np.zeros((20, 30), int), data=b"not deflated at all"), "corrupt PNG"),
        (encode(np.zeros((20, 30), int), data=RAW, size=(21, 30)), "620 bytes of samples for 651"),
        (encode(np.zeros((20, 30), int), data=RAW, size=(19, 30)), "620 bytes of samples for 589"),
        (encode(np.zeros((20, 30), int), data=RAW, size=(0, 30)), "30x0 pixels"),
        (encode(np.zeros((20, 30), int), data=RAW, size=(2**30, 2**30)), "pixels"),
        (encode(np.zeros((20, 30), int), data=zlib.compress((b"\x07" + bytes(30)) * 20)), "corrupt PNG"),
        (encode(np.zeros((20, 30), int), interlaced=True, data=zlib.compress(bytes(40))), "corrupt PNG"),
        (encode(np.zeros((20, 30, 3), int), RGB), "colour image (RGB"),
        (encode(np.zeros((20, 30, 4), int), RGBA, 16), "colour image (RGBA"),
        (encode(np.zeros((20, 30, 2), int), GREY_ALPHA, 16), "grey with alpha of 16 bits"),
    ],
)
def test_damage_is_refused_in_one_line(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "00007.png"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_mask(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert found in message
    assert message.endswith("expected a mask as an indexed or grey PNG of object ids")
    assert "\n" not in message


def test_every_truncation_and_every_flipped_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for content in (flip for at in range(len(GOOD)) for flip in (GOOD[:at], flipped(GOOD, at))):
        path.write_bytes(content)
        with pytest.raises(UserError):
            read_mask(path)


def test_missing_files_folders_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to("loop.png")
    for name, found in (("none.png", "missing"), ("folder.png", "cannot be read"), ("loop.png", "cannot be read")):
        with pytest.raises(UserError, match=rf"{name}: {found}.*expected a mask"):
            read_mask(tmp_path / name)


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "00000.png")
    with pytest.raises(UserError, match=r"00000\.png: cannot be read \(no regular file\); expected a mask"):
        read_mask(tmp_path / "00000.png")
