"""Mask PNGs: ids in, ids out.

A mask is a [H, W] array of object ids, 0 for background. On disk it is an indexed (or grey) PNG whose stored samples
are the ids. Reading checks every chunk's checksum and the number of decoded bytes, so that a damaged file is
refused instead of being scored.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from zlib_ng import zlib_ng

from slowfast_vos.errors import UserError
from slowfast_vos.files import atomic_write

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _INDEXED, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_DEPTHS = {_GREY: (1, 2, 4, 8, 16), _RGB: (8, 16), _INDEXED: (1, 2, 4, 8), _GREY_ALPHA: (8, 16), _RGBA: (8, 16)}
_CHANNELS = {_GREY: 1, _RGB: 3, _INDEXED: 1, _GREY_ALPHA: 2, _RGBA: 4}
_NONE, _SUB, _UP = 0, 1, 2
_EXPECTED = "expected a mask as an indexed or grey PNG of object ids"
_MAX_PIXELS = 1 << 28


def _palette() -> np.ndarray:
    """The PASCAL VOC colours: bit b of a channel, from the highest, is bit 3 * (7 - b) + channel of the index."""
    index = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for level in range(8):
        for channel in range(3):
            colours[:, channel] |= (((index >> (3 * level + channel)) & 1) << (7 - level)).astype(np.uint8)
    return colours


DAVIS_PALETTE: np.ndarray = _palette()
"""[256, 3] uint8 RGB: 0 black, 1 (128, 0, 0), 2 (0, 128, 0), ..., the colours that DAVIS files carry."""
DAVIS_PALETTE.setflags(write=False)


class _DamagedError(Exception):
    """What is wrong with a PNG, without its file name."""


@dataclass(frozen=True)
class _Png:
    """The header and the compressed samples of a PNG whose checksums hold."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool
    data: bytes

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of samples, without its filter byte."""
        return (self.width * self.depth * _CHANNELS[self.colour] + 7) // 8


def read_mask(path: str | Path) -> np.ndarray:
    """Read the ids of a mask PNG as they are stored.

    Args:
        path: a PNG of Pillow's mode P, L, LA (its alpha is left aside), 1 or I;16, at any bit depth.

    Returns:
        [H, W] uint8, or uint16 for a 16-bit file. Grey samples of less than 8 bits are not scaled: a 2-bit grey
        file holds 0 to 3.

    Raises:
        UserError: the file is missing, unreadable, truncated, corrupt, no PNG, or holds colours; one line that
            names the file, what was found and what was expected.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; {_EXPECTED}") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: is a folder; {_EXPECTED}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); {_EXPECTED}") from error
    try:
        return _decode(content)
    except _DamagedError as error:
        raise UserError(f"{path}: {error}; {_EXPECTED}") from error


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
    from PIL import Image

    ids = np.asarray(ids)
    if ids.ndim != 2 or ids.size == 0 or ids.dtype.kind not in "bui":
        raise ValueError(f"a mask is [H, W] of integers, got {list(ids.shape)} of {ids.dtype}")
    if ids.dtype not in (np.uint8, np.bool_) and not 0 <= int(ids.min()) <= int(ids.max()) <= 255:
        raise ValueError(f"ids go from 0 to 255, got {int(ids.min())} to {int(ids.max())}")
    image = Image.fromarray(np.ascontiguousarray(ids, dtype=np.uint8))
    image.putpalette(DAVIS_PALETTE.tobytes())
    with atomic_write(path) as temporary:
        image.save(temporary, format="PNG")


def _decode(content: bytes) -> np.ndarray:
    png = _parse(content)
    if png.colour in (_RGB, _RGBA):
        raise _DamagedError(f"colour image ({'RGB' if png.colour == _RGB else 'RGBA'}, {png.depth} bits)")
    if png.interlaced:
        return _decode_by_library(content, png)
    rows = _inflate(png)
    one_byte_ids = png.depth == 8 and png.colour in (_GREY, _INDEXED)
    ids = _unfilter(rows) if one_byte_ids else None
    return _decode_by_library(content, png) if ids is None else ids


def _parse(content: bytes) -> _Png:
    """Walk the chunks; every checksum is verified, and the file must reach its end mark."""
    if not content:
        raise _DamagedError("empty file")
    if not content.startswith(_SIGNATURE):
        if _SIGNATURE.startswith(content):
            raise _DamagedError("truncated PNG")
        raise _DamagedError(f"not a PNG (it starts with {content[:8]!r})")
    header: tuple[int, ...] | None = None
    data: list[bytes] = []
    at = len(_SIGNATURE)
    while True:
        if at + 12 > len(content):
            raise _DamagedError(f"truncated PNG ({len(content)} bytes, no end mark)")
        size, kind = struct.unpack_from(">I4s", content, at)
        end = at + 12 + size
        if end > len(content):
            raise _DamagedError(f"truncated PNG ({len(content)} of at least {end} bytes)")
        if zlib.crc32(content[at + 4 : end - 4]) != struct.unpack_from(">I", content, end - 4)[0]:
            raise _DamagedError(f"corrupt PNG (checksum of {kind!r} does not hold)")
        if header is None:
            if kind != b"IHDR" or size != 13:
                raise _DamagedError(f"corrupt PNG (header missing, found {kind!r})")
            header = struct.unpack_from(">IIBBBBB", content, at + 8)
        elif kind == b"IDAT":
            data.append(content[at + 8 : end - 4])
        elif kind == b"IEND":
            return _checked_header(header, b"".join(data))
        at = end


def _checked_header(header: tuple[int, ...], data: bytes) -> _Png:
    width, height, depth, colour, compression, filtering, interlace = header
    if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise _DamagedError(f"corrupt PNG (colour type {colour} at {depth} bits)")
    if not 0 < width * height <= _MAX_PIXELS:
        raise _DamagedError(f"corrupt PNG ({width}x{height} pixels)")
    return _Png(width, height, depth, colour, bool(interlace), data)


def _inflate(png: _Png) -> np.ndarray:
    """The filtered rows, [H, 1 + row bytes] uint8, exactly as many as the header announces."""
    expected = png.height * (1 + png.row_bytes)
    if len(png.data) < 2 or png.data[0] & 15 != zlib.DEFLATED or png.data[1] & 32:
        raise _DamagedError("corrupt PNG (samples are not deflated)")
    try:
        # zlib-ng takes a fraction of zlib's time; the checksum over the decoded bytes is left out, the chunks' held.
        raw = zlib_ng.decompress(memoryview(png.data)[2:], -zlib.MAX_WBITS, expected)
    except zlib_ng.error as error:
        raise _DamagedError(f"corrupt PNG ({error})") from error
    if len(raw) != expected:
        raise _DamagedError(f"corrupt PNG ({len(raw)} bytes of samples for {expected})")
    return np.frombuffer(raw, dtype=np.uint8).reshape(png.height, 1 + png.row_bytes)


def _unfilter(rows: np.ndarray) -> np.ndarray | None:
    """Undo the filters of rows [H, 1 + W] of one-byte samples, or None where the library is faster.

    Masks as written by the usual tools use one filter throughout: none (indexed files) or the left neighbour
    (grey files, the real DAVIS 2016). Average and Paeth are sequential in both directions and are left to the library,
    as are files that change their filter often.
    """
    filters = rows[:, 0]
    if (filters == _NONE).all():
        return rows[:, 1:]
    if (filters == _SUB).all():
        return _sums_along_rows(rows)
    starts = np.flatnonzero(np.diff(filters, prepend=255))
    if len(starts) > 8 or filters.max() > _UP:
        return None
    ids = np.empty((rows.shape[0], rows.shape[1] - 1), dtype=np.uint8)
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        if filters[start] == _NONE:
            ids[start:end] = rows[start:end, 1:]
        elif filters[start] == _SUB:
            ids[start:end] = _sums_along_rows(rows[start:end])
        else:
            np.add.accumulate(rows[start:end, 1:], axis=0, dtype=np.uint8, out=ids[start:end])
            if start:
                ids[start:end] += ids[start - 1]
    return ids


def _sums_along_rows(rows: np.ndarray) -> np.ndarray:
    """Running sums modulo 256 of each row of [N, 1 + W] uint8; column 0, which must not be 0, counts as 0.

    A mask is constant but for a few steps in each row, so that the sums are taken over the steps alone and
    repeated between them: 4 times as fast as a running sum over all pixels.
    """
    flat = np.ascontiguousarray(rows).ravel()
    steps = _positions(flat)
    if len(steps) > flat.size // 8:
        return np.add.accumulate(rows[:, 1:], axis=1, dtype=np.uint8)
    sums = np.add.accumulate(flat[steps], dtype=np.uint8)
    row_starts = np.searchsorted(steps, np.arange(0, flat.size, rows.shape[1]))
    sums -= np.repeat(sums[row_starts], _lengths(row_starts, len(steps)))
    return np.repeat(sums, _lengths(steps, flat.size)).reshape(rows.shape)[:, 1:]


def _positions(flat: np.ndarray) -> np.ndarray:
    """Where [N] uint8 is not 0; by words of eight bytes, most of which are 0."""
    if flat.size % 8:
        return np.flatnonzero(flat != 0)
    words = np.flatnonzero(flat.view(np.uint64) != 0)
    within = np.flatnonzero(flat.reshape(-1, 8)[words] != 0)
    return (words[within >> 3] << 3) + (within & 7)


def _lengths(starts: np.ndarray, end: int) -> np.ndarray:
    """Lengths of the runs that begin at `starts` and leave no gap before `end`."""
    lengths = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1] = end - starts[-1]
    return lengths


def _decode_by_library(content: bytes, png: _Png) -> np.ndarray:
    if png.colour == _GREY_ALPHA and png.depth == 16:
        return _decode_deep_grey_alpha(content)
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            samples = np.array(image)
    except (OSError, SyntaxError, ValueError, zlib.error, struct.error, Image.DecompressionBombError) as error:
        raise _DamagedError(f"corrupt PNG ({error})") from error
    if png.colour == _GREY_ALPHA:
        samples = samples[..., 0]
    if png.colour == _GREY and png.depth in (2, 4):
        # Pillow stretches grey to the full range; the stored sample is the id.
        samples = samples // (255 // (2**png.depth - 1))
    return samples.astype(np.uint16 if png.depth == 16 else np.uint8)


def _decode_deep_grey_alpha(content: bytes) -> np.ndarray:
    """Grey with alpha at 16 bits, of which Pillow drops the lower eight."""
    import cv2

    samples = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16 or samples.ndim != 3:
        raise _DamagedError("corrupt PNG (16-bit grey with alpha that cannot be decoded)")
    return np.ascontiguousarray(samples[..., 0])
