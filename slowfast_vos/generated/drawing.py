"""What the generated videos are drawn with: noise, cells, polygons, grounds, light and occluders.

Colours are RGB float32 in [0, 1]; a palette is written in hexadecimal. Lengths of a ground are pixels of a 240-line
frame and are multiplied by `unit`. The order of the random draws decides the files' bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import cv2
import numpy as np
from scipy.spatial import cKDTree

Rng = np.random.Generator
Shape = tuple[int, int]  # height, width

PALETTES = {  # from dark to light
    "moss": "202c18 425626 687c3a 98a05c",
    "meadow": "243816 486622 74923a b2bc66",
    "sand": "927450 be9e70 d8bc8e eedab2",
    "slate": "30363e 58606a 828a92 b6bcc0",
    "shingle": "544e48 847a6e a8a094 d4cec2",
    "lagoon": "0a4258 166c80 409ca4 aaded4",
    "deep": "0a1c3a 143660 2a5c8a 70a0be",
    "timber": "523620 7e5836 a47a50 c6a072",
    "driftwood": "5e5850 867e72 aca294 cec6b8",
    "autumn": "482a16 864e1e b2762e cea656",
    "heather": "3a2e42 684e6c 90748a bea8ae",
    "snow": "96a4b8 bcc8d6 d8e0e8 f2f4f6",
    "terrazzo": "8a8078 b4aca2 cec8be e4e0d8",
}


def random_stream(*identity: object) -> Rng:
    """A generator seeded by an identity alone, so that no draw elsewhere changes it."""
    digest = hashlib.sha256("/".join(map(str, identity)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def rgb(colours: str) -> np.ndarray:
    """Colours such as "202c18 425626" as 8-bit RGB, [N, 3]."""
    return np.frombuffer(bytes.fromhex(colours), np.uint8).reshape(-1, 3)


def ramp(values: np.ndarray, colours: str) -> np.ndarray:
    """Map values [...] in [0, 1] through evenly spaced colours to RGB [..., 3]."""
    table = rgb(colours).astype(np.float32) / 255
    fine, anchors = np.linspace(0, 1, 512), np.linspace(0, 1, len(table))
    lookup = np.stack([np.interp(fine, anchors, channel) for channel in table.T], -1).astype(np.float32)
    return lookup[(np.clip(values, 0, 1) * 511).astype(np.int32)]


def noise(rng: Rng, shape: Shape, cell: float | tuple[float, float], octaves: int = 4) -> np.ndarray:
    """Multi-octave value noise [H, W] in [0, 1], mean 0.5; `cell` is the coarsest period (y, x) in pixels."""
    periods = np.broadcast_to(cell, 2)
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        knots = [min(round(n / period * 2**octave) + 2, n) for n, period in zip(shape, periods, strict=True)]
        grid = rng.random(knots, dtype=np.float32) - 0.5
        total += 0.5**octave * cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(0.5 + 0.22 * total / max(float(total.std()), 1e-6), 0, 1)


def cells(rng: Rng, shape: Shape, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Voronoi cells of about `size` pixels: distance to the border [H, W] in pixels, cell number [H, W]."""
    rows, columns = (int(n / size) + 3 for n in shape)
    grid = np.stack(np.meshgrid(np.arange(rows) - 1.0, np.arange(columns) - 1.0, indexing="ij"), -1)
    seeds = ((grid + 0.5 + rng.uniform(-0.36, 0.36, grid.shape)) * size).reshape(-1, 2)
    ys, xs = np.mgrid[: shape[0], : shape[1]] + 0.5
    distance, owner = cKDTree(seeds).query(np.stack([ys, xs], -1), k=2)
    apart = np.linalg.norm(seeds[owner[..., 0]] - seeds[owner[..., 1]], axis=-1)
    border = (distance[..., 1] ** 2 - distance[..., 0] ** 2) / (2 * apart)  # to the two seeds' bisector
    return border.astype(np.float32), owner[..., 0]


def slopes(height: np.ndarray) -> list[np.ndarray]:
    """Slope of a height map [H, W] along x and along y."""
    return [cv2.Sobel(height, cv2.CV_32F, *axis, scale=0.125) for axis in ((1, 0), (0, 1))]


def _emboss(height: np.ndarray, strength: float) -> np.ndarray:
    """Shade a height map [H, W] by a light from the upper left: factors [H, W, 1] around 1."""
    return np.clip(1 + strength * sum(slopes(height)), 0.45, 1.6)[..., None]


def fill(shape: Shape, polygons: Sequence[np.ndarray]) -> np.ndarray:
    """Union of polygons [N, 2] (x, y) as a raster [H, W], uint8 of 0 and 1."""
    raster = np.zeros(shape, np.uint8)
    for polygon in polygons:
        cv2.fillPoly(raster, [np.round(polygon * 16).astype(np.int32)], 1, shift=4)
    return raster


def dome(depth: np.ndarray, reach: float) -> np.ndarray:
    """A quarter circle's height in [0, 1] over a depth that ends at `reach`."""
    return np.sqrt(1 - np.square(1 - np.clip(depth / reach, 0, 1)))


def draw_ground(rng: Rng, kind: str, shape: Shape, colours: str, unit: float) -> np.ndarray:
    """Draw a ground [H, W, 3], larger than the frame so that the camera can move over it."""
    if kind in ("grass", "litter"):
        strew, cell, darkness = (_grass, 60, 0.45) if kind == "grass" else (_litter, 30, 0.4)
        mottled = ramp(noise(rng, shape, cell * unit) * darkness, colours) * 255
        canvas = np.ascontiguousarray(mottled.astype(np.uint8))
        strew(canvas, rng, colours, unit)
        return canvas.astype(np.float32) / 255
    ys, xs = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    shade = 1.0
    match kind:
        case "soil":  # mossy, mottled earth
            coarse, fine = noise(rng, shape, 70 * unit, 3), noise(rng, shape, 14 * unit, 3)
            value, shade = 0.55 * coarse + 0.45 * fine, _emboss(fine, 2.2 * unit)
        case "ripples":  # of wind in sand
            angle, period = rng.uniform(0.9, 2.2), rng.uniform(15, 22) * unit
            warp = (noise(rng, shape, 110 * unit, 3) - 0.5) * 90 * unit
            turns = 2 * np.pi * (xs * np.cos(angle) + ys * np.sin(angle) + warp) / period
            wave = 0.5 + 0.5 * np.sin(turns + 0.6 * np.sin(turns))
            grain = noise(rng, shape, 5 * unit, 2)
            value = 0.42 * wave + 0.3 * noise(rng, shape, 90 * unit, 3) + 0.28 * grain
        case "pebbles":  # rounded stones with dark gaps between them
            size = rng.uniform(15, 22) * unit
            border, owner = cells(rng, shape, size)
            stone = np.sqrt(np.clip((border - 0.5 * unit) / (0.42 * size), 0, 1))
            tone = rng.random(int(owner.max()) + 1, dtype=np.float32)[owner]
            value = 0.15 + 0.6 * tone + 0.35 * (noise(rng, shape, 12 * unit, 3) - 0.5)
            relief = cv2.GaussianBlur(stone * size, (0, 0), 2.2 * unit)
            shade = (0.26 + 0.74 * stone)[..., None] * _emboss(relief, 0.22)
        case "planks":  # wooden boards with grain and dark joints
            width = rng.uniform(34, 48) * unit
            down = (ys + (noise(rng, shape, (60 * unit, 240 * unit), 2) - 0.5) * 3 * unit) / width
            board = np.floor(down)
            tone = rng.random(int(board.max() - board.min()) + 2)[(board - board.min()).astype(int)]
            rings = (noise(rng, shape, (26 * unit, 260 * unit), 3) + tone) * 7
            grain = 0.5 + 0.5 * np.sin(2 * np.pi * rings)
            value = 0.14 + 0.34 * tone + 0.24 * grain + 0.3 * noise(rng, shape, (4 * unit, 60 * unit), 2)
            joint = np.clip(np.abs(down - board - 0.5) * width - width / 2 + 2.2 * unit, 0, 1)
            shade = (1 - 0.62 * joint)[..., None].astype(np.float32)
        case "tiles":  # slightly turned, each with its own tone
            angle, side = rng.uniform(0.1, 0.7), rng.uniform(36, 52) * unit
            across = (xs * np.cos(angle) + ys * np.sin(angle)) / side
            down = (ys * np.cos(angle) - xs * np.sin(angle)) / side
            row, column = np.floor(down), np.floor(across)
            tone = rng.random((64, 64), dtype=np.float32)[row.astype(int) % 64, column.astype(int) % 64]
            edge = np.minimum(0.5 - np.abs(across - column - 0.5), 0.5 - np.abs(down - row - 0.5)) * side
            value = 0.2 + 0.45 * tone + 0.5 * (noise(rng, shape, 24 * unit, 4) - 0.35)
            shade = (1 - 0.42 * np.clip(2.4 * unit - edge, 0, 1))[..., None]
        case _:  # water: a shallow bed under a net of caustic light
            base, net = noise(rng, shape, 90 * unit, 4), np.zeros(shape, np.float32)
            for cell in (58, 37):
                ridge = 1 - np.abs(2 * noise(rng, shape, (0.7 * cell * unit, cell * unit), 2) - 1)
                net += np.clip((ridge - 0.72) / 0.28, 0, 1) ** 2
            value = 0.12 + 0.5 * base + 0.38 * net
    return ramp(value, colours) * shade


def _grass(canvas: np.ndarray, rng: Rng, colours: str, unit: float) -> None:
    """Thousands of blades, drawn from the darkest to the lightest."""
    shape = canvas.shape[:2]
    patchy = noise(rng, shape, 80 * unit, 2)
    count = 3600
    roots = rng.random((count, 2)) * shape[::-1]
    lean = rng.normal(-np.pi / 2, 0.5, count)
    length = rng.uniform(8, 22, count) * unit
    tips = roots + np.stack([np.cos(lean), np.sin(lean)], -1) * length[:, None]
    tone = np.sort(rng.random(count)) * 0.75
    local = patchy[roots[:, 1].astype(int), roots[:, 0].astype(int)]
    shades = ramp(tone * 0.8 + (local - 0.5) * 0.7 + 0.1, colours) * 255
    ends = np.round(np.stack([roots, tips], 1) * 16).astype(int)
    for (root, tip), shade in zip(ends.tolist(), shades.tolist(), strict=True):
        cv2.line(canvas, root, tip, shade, max(1, round(1.6 * unit)), cv2.LINE_AA, shift=4)


def _litter(canvas: np.ndarray, rng: Rng, colours: str, unit: float) -> None:
    """Fallen leaves: small overlapping ellipses, each with its own tone and a darker border."""
    count = 1500
    tones = ramp(rng.random(count) * 0.9 + 0.05, colours) * 255 * rng.uniform(0.8, 1.08, (count, 1))
    places = (rng.random((count, 2)) * canvas.shape[1::-1] * 16).astype(int)
    axes = (rng.uniform((5, 2.5), (12, 5.5), (count, 2)) * unit * 16).astype(int)
    inner = np.maximum(1, (axes - 14 * unit).astype(int))
    turns = rng.uniform(0, 360, count)
    for place, outline, blade, turn, tone in zip(places, axes, inner, turns, tones, strict=True):
        for size, colour in ((outline, tone * 0.55), (blade, np.clip(tone, 0, 255))):
            cv2.ellipse(canvas, place, size, turn, 0, 360, colour.tolist(), -1, cv2.LINE_AA, shift=4)


def lighting(rng: Rng, shape: Shape, unit: float) -> np.ndarray:
    """Uneven light [H, W], factors between about 0.75 and 1.15: a gradient and soft dapples."""
    ys, xs = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = (xs / shape[1] - 0.5) * np.cos(angle) + (ys / shape[0] - 0.5) * np.sin(angle)
    dapple = noise(rng, shape, 130 * unit, 2) - 0.5
    return np.clip(0.98 + 0.2 * slope + 0.35 * dapple, 0.7, 1.2).astype(np.float32)


def draw_occluder(rng: Rng, kind: str, shape: Shape, unit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a `pole` or `reeds`, in front of all: colour [H, W, 3], coverage [H, W], strength of its shadow [H, W]."""
    high, wide = shape
    if kind == "pole":
        palette, start, end, lean, widths, sway = PALETTES["timber"], -20, high + 20, 30, (28, 36), 3
        stems = [wide * rng.uniform(0.42, 0.58)]
    else:
        palette, start, end, lean, widths, sway = PALETTES["moss"], high + 20, -20, 35, (9, 14), 9
        stems = np.linspace(0.24, 0.76, 7) * wide + rng.uniform(-14, 14, 7) * unit
    strokes = []
    for x in stems:
        place, width = x + rng.uniform(-lean, lean) * unit, rng.uniform(*widths) * unit
        strokes.append(2 * _stroke(rng, (x, start), (place, end), width, sway * unit))
    raster = fill((2 * high, 2 * wide), strokes)
    depth = cv2.resize(cv2.distanceTransform(raster, cv2.DIST_L2, 5), (wide, high), interpolation=cv2.INTER_AREA) / 2
    cover = cv2.resize(raster.astype(np.float32), (wide, high), interpolation=cv2.INTER_AREA)
    reach = max(float(depth.max()), 1.0)
    relief = cv2.GaussianBlur(reach * dome(depth, reach), (0, 0), 1.2 * unit)
    bark = noise(rng, shape, (70 * unit, 7 * unit), 3)
    colour = ramp(0.1 + 0.75 * bark, palette) * _emboss(1.6 * relief + 2 * bark, 0.55)
    colour = colour * np.clip(0.45 + depth / (3 * unit), 0, 1)[..., None]
    shift = np.float32([[1, 0, 7 * unit], [0, 1, 5 * unit]])
    shadow = 0.45 * cv2.warpAffine(cv2.GaussianBlur(cover, (0, 0), 4 * unit), shift, (wide, high))
    return np.clip(colour, 0, 1).astype(np.float32), cover, shadow


def _stroke(rng: Rng, start: tuple[float, float], end: tuple[float, float], width: float, sway: float) -> np.ndarray:
    """The outline [128, 2] of a swaying stroke, pixels."""
    s = np.linspace(0, 1, 64)[:, None]
    across = np.array([start[1] - end[1], end[0] - start[0]])
    across = across / np.linalg.norm(across)
    bend = np.sin(2 * np.pi * (rng.uniform(0.4, 0.9) * s + rng.random()))
    points = np.asarray(start) * (1 - s) + np.asarray(end) * s + across * bend * sway
    widths = width * (1 + 0.12 * np.sin(9 * s + rng.uniform(0, 7)))
    along = np.gradient(points, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], -1) / np.linalg.norm(along, axis=1)[:, None]
    return np.concatenate([points + normal * widths / 2, (points - normal * widths / 2)[::-1]])
