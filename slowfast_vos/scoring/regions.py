"""One object's mask in packed bits: what region similarity and contour accuracy are counted on.

A frame lies on a grid of 64-bit words: pixel (y, x) is bit x % 64 of word x // 64 of row y, so that a move to the left
or right is a shift and a move up or down is a slice. A region keeps the window of the grid that holds its pixels and
everything within the tolerance of its boundary (the window may begin left of the frame, at a negative word); two
regions of a frame are compared where their windows overlap.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

_WORD = np.dtype("<u8")


class Region:
    """The foreground of a mask, its boundary, and the pixels near its boundary.

    Args:
        packed: [H, ceil(W / 8)] uint8, the mask's rows in bits, the lowest bit first.
        shape: H, W.
        radius: the tolerance in pixels, at least 1.

    Attributes:
        area: foreground pixels.
        pixels, edge, near: [rows, words] windows of the grid for the foreground, its boundary, and its boundary
            dilated by the disk of `radius`.
    """

    def __init__(self, packed: np.ndarray, shape: tuple[int, ...], radius: int) -> None:
        self.shape, self.radius = shape, radius
        self.top = self.left = self.area = 0
        self.pixels = np.zeros((0, 0), dtype=_WORD)
        columns = np.flatnonzero(np.bitwise_or.reduce(packed, axis=0))
        if not columns.size:
            return
        first, last = int(columns[0]), int(columns[-1]) + 1
        rows = np.flatnonzero(np.bitwise_or.reduce(packed[:, first:last], axis=1))
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        # The window reaches radius + 1 pixels beyond, since a boundary lies up to a pixel above and left.
        reach = radius + 1
        self.top = max(top - reach, 0)
        self.left = (8 * first - reach) // 64
        height = min(bottom + reach, shape[0]) - self.top
        width = -(-(8 * last + reach) // 64) - self.left
        self.pixels = np.zeros((height, width), dtype=_WORD)
        column = first - 8 * self.left
        window = self.pixels.view(np.uint8)
        window[top - self.top : bottom - self.top, column : column + last - first] = packed[top:bottom, first:last]
        self.area = _count(self.pixels)

    @classmethod
    def of_mask(cls, mask: np.ndarray, radius: int) -> Region:
        """The region of a mask [H, W] of bool or integers, whose foreground is all that is not 0."""
        return cls(np.packbits(mask, axis=1, bitorder="little"), mask.shape, radius)

    @classmethod
    def of_ids(cls, ids: np.ndarray, wanted: Sequence[int], radius: int) -> list[Region]:
        """The regions of the `wanted` ids, from 1 on, of a mask [H, W] of unsigned integers; others are background.

        The ids' binary digits are packed, instead of one mask for each id: 5 packed planes make 20 regions.
        """
        highest = max(wanted, default=0)
        if int(ids.max()) > highest:
            ids = np.where(ids > highest, 0, ids)
        digits = range(highest.bit_length())
        parts = [ids] if highest == 1 else [ids & (1 << digit) for digit in digits]
        planes = [np.packbits(part, axis=1, bitorder="little") for part in parts]
        regions = []
        for index in wanted:
            chosen = [planes[digit] if index >> digit & 1 else ~planes[digit] for digit in digits]
            regions.append(cls(functools.reduce(np.bitwise_and, chosen), ids.shape, radius))
        return regions

    @functools.cached_property
    def edge(self) -> np.ndarray:
        """Pixels that differ from their east, south or south-east neighbour; beyond the frame lies its last pixel."""
        pixels = self.pixels
        if not pixels.size:
            return pixels
        extended = pixels.copy()
        word, bit = divmod(self.shape[1] - 1 - 64 * self.left, 64)
        if 0 <= word < pixels.shape[1]:  # the frame's last column, repeated to its right
            word_after, bit_after = divmod(64 * word + bit + 1, 64)
            last_column = (pixels[:, word] >> np.uint64(bit)) & np.uint64(1)
            if word_after < pixels.shape[1]:
                extended[:, word_after] |= last_column << np.uint64(bit_after)
        east = _moved_left(extended.ravel()).reshape(pixels.shape)
        east[:, : max(-self.left, 0)] = 0  # what left the frame on its left
        edge = pixels ^ east
        # The window's last row is either the frame's, which counts as its own southern neighbour, or empty.
        _add(edge[:-1], pixels[:-1] ^ pixels[1:])
        _add(edge[:-1], pixels[:-1] ^ east[1:])
        return edge

    @functools.cached_property
    def edge_area(self) -> int:
        """Boundary pixels."""
        return _count(self.edge)

    @functools.cached_property
    def near(self) -> np.ndarray:
        """Pixels within `radius` of a boundary pixel, built from horizontal runs of growing width."""
        edge, radius = self.edge, self.radius
        run, half_width = edge.ravel(), 0
        near = run.copy()
        for offset in range(radius, -1, -1):
            target = math.isqrt(radius * radius - offset * offset)
            while half_width < target:
                # A run of 2 w + 1 pixels, moved by no more than that to both sides, stays without gaps.
                step = min(target - half_width, 2 * half_width + 1, 63)
                run = _widened(run, step)
                half_width += step
            if offset == 0:
                near |= run
            elif offset < len(edge):
                rows = offset * edge.shape[1]
                _add(near[rows:], run[:-rows])
                _add(near[:-rows], run[rows:])
        return near.reshape(edge.shape)


def shared(first: Region, one: np.ndarray, second: Region, other: np.ndarray) -> int:
    """Pixels set both in a window of `first` and in a window of `second`, of the same frame."""
    top, left = max(first.top, second.top), max(first.left, second.left)
    bottom = min(first.top + one.shape[0], second.top + other.shape[0])
    right = min(first.left + one.shape[1], second.left + other.shape[1])
    if top >= bottom or left >= right:
        return 0
    return _count(
        one[top - first.top : bottom - first.top, left - first.left : right - first.left]
        & other[top - second.top : bottom - second.top, left - second.left : right - second.left]
    )


def _count(words: np.ndarray) -> int:
    return int(np.bitwise_count(words).sum(dtype=np.int64))


def _moved_left(flat: np.ndarray) -> np.ndarray:
    """A string of words [N] moved by one pixel to the left."""
    moved = flat >> np.uint64(1)
    _add(moved[:-1], flat[1:] << np.uint64(63))
    return moved


def _widened(flat: np.ndarray, step: int) -> np.ndarray:
    """A string of words [N] together with itself moved by 0 < step < 64 pixels to both sides.

    A window's rows make one string: their margins keep them apart.
    """
    here, carried = np.uint64(step), np.uint64(64 - step)
    wide = flat << here
    wide |= flat >> here
    wide |= flat
    _add(wide[1:], flat[:-1] >> carried)
    _add(wide[:-1], flat[1:] << carried)
    return wide


def _add(part: np.ndarray, bits: np.ndarray) -> None:
    """`part |= bits` for a slice, which Python's own operator would copy onto itself once more."""
    np.bitwise_or(part, bits, out=part)
