"""Grounds for the generated videos: procedural textures with natural palettes.

A ground is an RGB canvas [H, W, 3], float32 in [0, 1], larger than the frame so that the camera can move over it.
All lengths are in pixels of a 240-line frame and are multiplied by `unit` = height / 240.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from scipy.spatial import cKDTree

Colours = Sequence[tuple[int, int, int]]

PALETTES: dict[str, Colours] = {
    # Dark to light, 8-bit RGB.
    "moss": ((32, 44, 24), (66, 86, 38), (104, 124, 58), (152, 160, 92)),
    "meadow": ((36, 56, 22), (72, 102, 34), (116, 146, 58), (178, 188, 102)),
    "sand": ((146, 116, 80), (190, 158, 112), (216, 188, 142), (238, 218, 178)),
    "clay": ((92, 50, 36), (140, 80, 54), (178, 116, 80), (206, 156, 116)),
    "slate": ((48, 54, 62), (88, 96, 106), (130, 138, 146), (182, 188, 192)),
    "shingle": ((84, 78, 72), (132, 122, 110), (168, 160, 148), (212, 206, 194)),
    "lagoon": ((10, 66, 88), (22, 108, 128), (64, 156, 164), (170, 222, 212)),
    "deep": ((10, 28, 58), (20, 54, 96), (42, 92, 138), (112, 160, 190)),
    "timber": ((82, 54, 32), (126, 88, 54), (164, 122, 80), (198, 160, 114)),
    "driftwood": ((94, 88, 80), (134, 126, 114), (172, 162, 148), (206, 198, 184)),
    "autumn": ((72, 42, 22), (134, 78, 30), (178, 118, 46), (206, 166, 86)),
    "heather": ((58, 46, 66), (104, 78, 108), (144, 116, 138), (190, 168, 174)),
    "snow": ((150, 164, 184), (188, 200, 214), (216, 224, 232), (242, 244, 246)),
    "terrazzo": ((138, 128, 120), (180, 172, 162), (206, 200, 190), (228, 224, 216)),
    "night": ((18, 20, 36), (36, 40, 62), (62, 66, 92), (104, 108, 132)),
}


def noise(
    rng: np.random.Generator, shape: tuple[int, int], cell: float | tuple[float, float], octaves: int = 4
) -> np.ndarray:
    """Multi-octave value noise [H, W] in [0, 1], mean 0.5; `cell` is the coarsest period (y, x) in pixels."""
    high, wide = shape
    step_y, step_x = (cell, cell) if isinstance(cell, (int, float)) else cell
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        rows = max(2, round(high / step_y * 2**octave) + 2)
        columns = max(2, round(wide / step_x * 2**octave) + 2)
        grid = rng.random((min(rows, high), min(columns, wide)), dtype=np.float32) - 0.5
        total += 0.5**octave * cv2.resize(grid, (wide, high), interpolation=cv2.INTER_CUBIC)
    return np.clip(0.5 + 0.22 * total / max(float(total.std()), 1e-6), 0, 1)


def ramp(values: np.ndarray, colours: Colours) -> np.ndarray:
    """Map values [...] in [0, 1] through evenly spaced colours (8-bit RGB) to RGB [..., 3] in [0, 1]."""
    anchors = np.linspace(0, 1, len(colours))
    table = np.asarray(colours, np.float32) / 255
    fine = np.linspace(0, 1, 512)
    lookup = np.stack([np.interp(fine, anchors, table[:, channel]) for channel in range(3)], -1)
    return lookup.astype(np.float32)[(np.clip(values, 0, 1) * 511).astype(np.int32)]


def cells(rng: np.random.Generator, shape: tuple[int, int], size: float) -> tuple[np.ndarray, np.ndarray]:
    """Voronoi cells of about `size` pixels: distance to the border [H, W] in pixels, cell number [H, W]."""
    high, wide = shape
    rows, columns = int(high / size) + 3, int(wide / size) + 3
    grid = np.stack(np.meshgrid(np.arange(rows) - 1.0, np.arange(columns) - 1.0, indexing="ij"), -1)
    seeds = ((grid + 0.5 + rng.uniform(-0.36, 0.36, grid.shape)) * size).reshape(-1, 2)
    ys, xs = np.mgrid[:high, :wide] + 0.5
    distance, owner = cKDTree(seeds).query(np.stack([ys, xs], -1), k=2)
    apart = np.linalg.norm(seeds[owner[..., 0]] - seeds[owner[..., 1]], axis=-1)
    border = (distance[..., 1] ** 2 - distance[..., 0] ** 2) / (2 * apart)  # to the two seeds' bisector
    return border.astype(np.float32), owner[..., 0]


def emboss(height: np.ndarray, strength: float) -> np.ndarray:
    """Shade a height map [H, W] by a light from the upper left: factors [H, W] around 1."""
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=0.125)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=0.125)
    return np.clip(1 + strength * (slope_x + slope_y), 0.45, 1.6)


def soil(rng: np.random.Generator, shape: tuple[int, int], colours: Colours, unit: float) -> np.ndarray:
    """Mossy, mottled earth."""
    coarse, fine = noise(rng, shape, 70 * unit, 3), noise(rng, shape, 14 * unit, 3)
    value = 0.55 * coarse + 0.45 * fine
    return ramp(value, colours) * emboss(fine, 2.2 * unit)[..., None]


def grass(rng: np.random.Generator, shape: tuple[int, int], colours: Colours, unit: float) -> np.ndarray:
    """Thousands of blades, drawn from the darkest to the lightest."""
    high, wide = shape
    canvas = np.ascontiguousarray((ramp(noise(rng, shape, 60 * unit) * 0.45, colours) * 255).astype(np.uint8))
    patchy = noise(rng, shape, 80 * unit, 2)
    count = 3600
    roots = rng.random((count, 2)) * (wide, high)
    lean = rng.normal(-np.pi / 2, 0.5, count)
    length = rng.uniform(8, 22, count) * unit
    tips = roots + np.stack([np.cos(lean), np.sin(lean)], -1) * length[:, None]
    tone = np.sort(rng.random(count)) * 0.75
    local = patchy[roots[:, 1].astype(int), roots[:, 0].astype(int)]
    shades = ramp(tone * 0.8 + (local - 0.5) * 0.7 + 0.1, colours) * 255
    thickness = max(1, round(1.6 * unit))
    for root, tip, shade in zip(np.round(roots * 16), np.round(tips * 16), shades, strict=True):
        start, end = tuple(map(int, root)), tuple(map(int, tip))
        cv2.line(canvas, start, end, shade.tolist(), thickness, cv2.LINE_AA, shift=4)
    return canvas.astype(np.float32) / 255


def ripples(rng: np.random.Generator, shape: tuple[int, int], colours: Colours, unit: float) -> np.ndarray:
    """Wind ripples in sand."""
    ys, xs = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle, period = rng.uniform(0.9, 2.2), rng.uniform(15, 22) * unit
    warp = (noise(rng, shape, 110 * unit, 3) - 0.5) * 90 * unit
    along = xs * np.cos(angle) + ys * np.sin(angle) + warp
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * along / period + 0.6 * np.sin(2 * np.pi * along / period))
    grain = noise(rng, shape, 5 * unit, 2)
    return ramp(0.42 * wave + 0.3 * noise(rng, shape, 90 * unit, 3) + 0.28 * grain, colours)


def pebbles(rng: np.random.Generator, shape: tuple[int, int], colours: Colours, unit: float) -> np.ndarray:
    """Rounded stones with dark gaps between them."""
    size = rng.uniform(15, 22) * unit
    border, owner = cells(rng, shape, size)
    dome = np.sqrt(np.clip((border - 0.5 * unit) / (0.42 * size), 0, 1))
    tone = rng.random(int(owner.max()) + 1, dtype=np.float32)[owner]
    value = 0.15 + 0.6 * tone + 0.35 * (noise(rng, shape, 12 * unit, 3) - 0.5)
    shade = (0.26 + 0.74 * dome) * emboss(cv2.GaussianBlur(dome * size, (0, 0), 2.2 * unit), 0.22)
    return ramp(value, colours) * shade[..., None]


def planks(rng: np.random.Generator, shape: tuple[int, int], colours: Colours, unit: float) -> np.ndarray:
    """Wooden boards with grain and dark joints."""
    ys = np.mgrid[: shape[0], : shape[1]][0].astype(np.float32)
    width = rng.uniform(34, 48) * unit
    bend = (noise(rng, shape, (60 * unit, 240 * unit), 2) - 0.5) * 3 * unit
    board = np.floor((ys + bend) / width)
    tone = rng.random(int(board.max() - board.min()) + 2)[(board - board.min()).astype(int)]
    rings = (noise(rng, shape, (26 * unit, 260 * unit), 3) + tone) * 7
    grain = 0.5 + 0.5 * np.sin(2 * np.pi * rings)
    fibre = noise(rng, shape, (4 * unit, 60 * unit), 2)
    joint = np.clip(np.abs((ys + bend) / width - board - 0.5) * width - width / 2 + 2.2 * unit, 0, 1)
    value = 0.14 + 0.34 * tone + 0.24 * grain + 0.3 * fibre
    return ramp(value, colours) * (1 - 0.62 * joint)[..., None].astype(np.float32)


def tiles(rng: np.random.Generator, shape: tuple[int, int], colours: Colours, unit: float) -> np.ndarray:
    """A tiled floor, slightly turned, every tile its own tone."""
    ys, xs = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle, side = rng.uniform(0.1, 0.7), rng.uniform(36, 52) * unit
    across, down = (xs * np.cos(angle) + ys * np.sin(angle)) / side, (ys * np.cos(angle) - xs * np.sin(angle)) / side
    row, column = np.floor(down), np.floor(across)
    tone = rng.random((64, 64), dtype=np.float32)[row.astype(int) % 64, column.astype(int) % 64]
    edge = np.minimum(0.5 - np.abs(across - column - 0.5), 0.5 - np.abs(down - row - 0.5)) * side
    grout = np.clip(2.4 * unit - edge, 0, 1)
    value = 0.2 + 0.45 * tone + 0.5 * (noise(rng, shape, 24 * unit, 4) - 0.35)
    return ramp(value, colours) * (1 - 0.42 * grout)[..., None]


def water(rng: np.random.Generator, shape: tuple[int, int], colours: Colours, unit: float) -> np.ndarray:
    """A shallow bed under a net of caustic light."""
    base = noise(rng, shape, 90 * unit, 4)
    net = np.zeros(shape, np.float32)
    for cell in (58, 37):
        ridge = 1 - np.abs(2 * noise(rng, shape, (0.7 * cell * unit, cell * unit), 2) - 1)
        net += np.clip((ridge - 0.72) / 0.28, 0, 1) ** 2
    return ramp(0.12 + 0.5 * base + 0.38 * net, colours)


def litter(rng: np.random.Generator, shape: tuple[int, int], colours: Colours, unit: float) -> np.ndarray:
    """Fallen leaves: small overlapping ellipses, each with its own tone and a darker border."""
    high, wide = shape
    canvas = np.ascontiguousarray((ramp(noise(rng, shape, 30 * unit) * 0.4, colours) * 255).astype(np.uint8))
    count = 1500
    tones = ramp(rng.random(count) * 0.9 + 0.05, colours) * 255 * rng.uniform(0.8, 1.08, (count, 1))
    places = rng.random((count, 2)) * (wide, high)
    axes = rng.uniform((5, 2.5), (12, 5.5), (count, 2)) * unit
    turns = rng.uniform(0, 360, count)
    for place, axis, turn, tone in zip(places, axes, turns, tones, strict=True):
        centre, size = tuple(int(v * 16) for v in place), tuple(int(v * 16) for v in axis)
        dark, light = (tone * 0.55).tolist(), np.clip(tone, 0, 255).tolist()
        cv2.ellipse(canvas, centre, size, turn, 0, 360, dark, -1, cv2.LINE_AA, shift=4)
        inner = tuple(max(1, int(v - 14 * unit)) for v in size)
        cv2.ellipse(canvas, centre, inner, turn, 0, 360, light, -1, cv2.LINE_AA, shift=4)
    return canvas.astype(np.float32) / 255


GROUNDS: dict[str, Callable[[np.random.Generator, tuple[int, int], Colours, float], np.ndarray]] = {
    "soil": soil,
    "grass": grass,
    "ripples": ripples,
    "pebbles": pebbles,
    "planks": planks,
    "tiles": tiles,
    "water": water,
    "litter": litter,
}


def lighting(rng: np.random.Generator, shape: tuple[int, int], unit: float) -> np.ndarray:
    """Uneven light [H, W], factors between about 0.75 and 1.15: a gradient and soft dapples."""
    ys, xs = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = (xs / shape[1] - 0.5) * np.cos(angle) + (ys / shape[0] - 0.5) * np.sin(angle)
    dapple = noise(rng, shape, 130 * unit, 2) - 0.5
    return np.clip(0.98 + 0.2 * slope + 0.35 * dapple, 0.7, 1.2).astype(np.float32)
