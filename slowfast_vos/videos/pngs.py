"""Mask PNGs: object ids in, object ids out.

A mask is a [H, W] array of object ids, 0 for background, stored as the samples of an indexed (or grey) PNG. Reading
checks every chunk's checksum and the number of decoded bytes, so that a damaged file is refused, not scored.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from zlib_ng import zlib_ng

from slowfast_vos.errors import UserError
from slowfast_vos.files import atomic_write, refuse_pipe

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _INDEXED, _GREY_ALPHA = 0, 3, 4
_NO_FILTER, _LEFT_NEIGHBOUR = 0, 1
_EXPECTED = "expected a mask as an indexed or grey PNG of object ids"
_MAX_PIXELS = 1 << 28

# The PASCAL VOC colours: bit b of a channel, from the highest, is bit 3 * (7 - b) + channel of the index.
DAVIS_PALETTE: np.ndarray = sum(
    (np.arange(256)[:, None] >> (3 * level + np.arange(3)) & 1) << (7 - level) for level in range(3)
).astype(np.uint8)
"""[256, 3] uint8 RGB: 0 black, 1 (128, 0, 0), 2 (0, 128, 0), ..., the colours that DAVIS files carry."""
DAVIS_PALETTE.setflags(write=False)


def read_mask(path: str | Path) -> np.ndarray:
    """Read the ids of a mask PNG as they are stored.

    Args:
        path: a PNG, indexed or grey, at any bit depth, or grey with an alpha of 8 bits, which is ignored.

    Returns:
        [H, W] uint8, or uint16 for a 16-bit file. Grey samples of less than 8 bits are not scaled: a 2-bit grey
        file holds 0 to 3.

    Raises:
        UserError: the file is missing, unreadable, truncated, corrupt, no PNG, or holds colours.
    """
    refuse_pipe(path, _EXPECTED)
    try:
        with open(path, "rb") as file:
            return _decode(file.read())
    except FileNotFoundError:
        problem = "missing"
    except OSError as error:
        problem = f"cannot be read ({error.strerror or error})"
    except ValueError as error:
        problem = str(error)
    raise UserError(f"{path}: {problem}; {_EXPECTED}")


def mask_mode(path: str | Path) -> str:
    """How a mask that `read_mask` takes is stored: "palette", "grey" or "grey with alpha"."""
    with open(path, "rb") as file:
        colour = file.read(26)[25]
    return {_INDEXED: "palette", _GREY: "grey", _GREY_ALPHA: "grey with alpha"}[colour]


def write_mask(path: str | Path, ids: np.ndarray) -> None:
    """Write ids as an 8-bit indexed PNG with the DAVIS palette, whole or not at all.

    Args:
        path: the file; its folder is made where it is missing.
        ids: [H, W] integer or bool, 0 to 255.

    Raises:
        ValueError: `ids` is not two-dimensional, empty, not of integers, or beyond 0 to 255.
        UserError: the file cannot be written.
    """
    ids = np.asarray(ids)
    if ids.ndim != 2 or ids.size == 0 or ids.dtype.kind not in "bui" or not 0 <= ids.min() <= ids.max() <= 255:
        raise ValueError(f"a mask is [H, W] of ids from 0 to 255, got {list(ids.shape)} of {ids.dtype}")
    image = Image.fromarray(np.ascontiguousarray(ids, dtype=np.uint8))
    image.putpalette(DAVIS_PALETTE.tobytes())
    with atomic_write(path) as temporary:
        image.save(temporary, format="PNG")


def _decode(content: bytes) -> np.ndarray:
    """The samples of a PNG; a damaged one raises ValueError.

    The files of the usual tools are decoded here, in a fraction of the library's time: bytes without a filter (indexed
    files) or filtered by the left neighbour (the grey files of DAVIS 2016).
    """
    (width, height, depth, colour, _, _, interlaced), data = _chunks(content)
    if colour not in (_GREY, _INDEXED, _GREY_ALPHA):
        name = {2: "RGB", 6: "RGBA"}.get(colour, f"type {colour}")
        raise ValueError(f"colour image ({name}, {depth} bits)")
    if not 0 < width * height <= _MAX_PIXELS:
        raise ValueError(f"corrupt PNG ({width}x{height} pixels)")
    if depth == 8 and colour != _GREY_ALPHA and not interlaced:
        expected = height * (1 + width)  # each row begins with the kind of its filter
        try:
            # zlib-ng takes a fraction of zlib's time. The decoded bytes' own checksum is left: the chunks' held.
            raw = zlib_ng.decompress(memoryview(data)[2:], -zlib.MAX_WBITS, expected)
        except zlib_ng.error as error:
            raise ValueError(f"corrupt PNG ({error})") from error
        if len(raw) != expected:
            raise ValueError(f"corrupt PNG ({len(raw)} bytes of samples for {expected})")
        rows = np.frombuffer(raw, dtype=np.uint8).reshape(height, 1 + width)
        if (rows[:, 0] == _NO_FILTER).all():
            return rows[:, 1:]
        if (rows[:, 0] == _LEFT_NEIGHBOUR).all():
            return _sums_along_rows(rows)
    return _decode_by_library(content, depth, colour)


def _chunks(content: bytes) -> tuple[tuple[int, ...], bytes]:
    """The header and the compressed samples; every checksum is verified, and the file must reach its end mark."""
    if not content:
        raise ValueError("empty file")
    if not content.startswith(_SIGNATURE):
        raise ValueError(f"not a PNG (it starts with {content[:8]!r})")
    header: tuple[int, ...] = ()
    data: list[bytes] = []
    end, kind = len(_SIGNATURE), b""
    while kind != b"IEND":
        start = end + 8
        size, kind = int.from_bytes(content[end : end + 4]), content[end + 4 : start]
        end = start + size + 4
        if end > len(content):
            raise ValueError(f"truncated PNG ({len(content)} bytes, no end mark)")
        if zlib.crc32(content[start - 4 : end - 4]) != int.from_bytes(content[end - 4 : end]):
            raise ValueError(f"corrupt PNG (checksum of {kind!r} does not hold)")
        if not header:
            if kind != b"IHDR" or size != 13:
                raise ValueError(f"corrupt PNG (header missing, found {kind!r})")
            header = struct.unpack_from(">IIBBBBB", content, start)
        elif kind == b"IDAT":
            data.append(content[start : end - 4])
    return header, b"".join(data)


def _sums_along_rows(rows: np.ndarray) -> np.ndarray:
    """Running sums modulo 256 of each row of [N, 1 + W] uint8; column 0, which is never 0, counts as 0.

    A mask is constant but for a few steps in each row, so that the sums are taken over the steps alone and
    repeated between them: 4 times as fast as a running sum over all pixels.
    """
    flat = rows.ravel()
    steps = np.flatnonzero(flat != 0)
    if len(steps) > flat.size // 8:
        return np.add.accumulate(rows[:, 1:], axis=1, dtype=np.uint8)
    sums = np.add.accumulate(flat[steps], dtype=np.uint8)
    first_steps = np.searchsorted(steps, np.arange(0, flat.size, rows.shape[1]))
    sums -= np.repeat(sums[first_steps], np.diff(first_steps, append=len(steps)))
    return np.repeat(sums, np.diff(steps, append=flat.size)).reshape(rows.shape)[:, 1:]


def _decode_by_library(content: bytes, depth: int, colour: int) -> np.ndarray:
    if colour == _GREY_ALPHA and depth == 16:  # Pillow drops the lower eight bits
        raise ValueError("grey with alpha of 16 bits")
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            samples = np.array(image)
    except (OSError, SyntaxError, zlib.error, struct.error, MemoryError, Image.DecompressionBombError) as error:
        raise ValueError(f"corrupt PNG ({error})") from error
    if colour == _GREY_ALPHA:
        samples = samples[..., 0]
    if colour == _GREY and depth in (2, 4):  # Pillow stretches grey to the full range; the stored sample is the id
        samples = samples // (255 // (2**depth - 1))
    return samples.astype(np.uint16 if depth == 16 else np.uint8)
