"""The things in the generated videos: silhouettes of ten families, their coats, and the sprites made of both.

A species fixes family, coat and colours; an individual adds its own contour jitter and its own draw of the coat.
Body coordinates are (u, v): u points to the head, v to its right; the silhouette's box has area 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from slowfast_vos.videos.synthetic_textures import cells, noise, ramp

OVERSAMPLING = 1.5  # sprite pixels per frame pixel at scale 1
FINE = 3  # contour pixels per sprite pixel

Colour = tuple[int, int, int]
Parts = tuple[list[np.ndarray], list[np.ndarray]]  # polygons [N, 2] of the body, of the limbs


@dataclass(frozen=True)
class Species:
    """An appearance family: everything that a mover and its look-alikes share."""

    family: str
    coat: str
    colours: tuple[Colour, Colour, Colour]  # mark, main, limbs (8-bit RGB)
    frequency: float = 4.0  # of the coat's pattern, periods per body length


@dataclass(frozen=True)
class Sprite:
    """One individual, head to the right, `OVERSAMPLING` sprite pixels per frame pixel at scale 1."""

    colour: np.ndarray  # [S, S, 3] float32 in [0, 1], continued beyond the contour
    relief: np.ndarray  # [S, S, 2] float32: signed distance to the contour (inside positive), height; frame pixels
    size: float  # geometric mean of the box's sides, frame pixels
    area: float  # frame pixels at scale 1


def _polar(radius: np.ndarray, stretch: float = 1.0) -> np.ndarray:
    theta = np.linspace(0, 2 * np.pi, len(radius), endpoint=False)
    return np.stack([radius * np.cos(theta) * stretch, radius * np.sin(theta)], -1)


def _ellipse(u: float, v: float, a: float, b: float, turn: float = 0.0) -> np.ndarray:
    theta = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    x, y = a * np.cos(theta), b * np.sin(theta)
    return np.stack([u + x * np.cos(turn) - y * np.sin(turn), v + x * np.sin(turn) + y * np.cos(turn)], -1)


def _mirrored(polygons: list[np.ndarray]) -> list[np.ndarray]:
    return polygons + [polygon * (1, -1) for polygon in polygons]


def _blob(rng: np.random.Generator) -> Parts:
    theta = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    waves = [
        rng.uniform(0.5, 1) * a * np.cos(k * theta + rng.uniform(0, 7)) for k, a in ((2, 0.17), (3, 0.13), (5, 0.05))
    ]
    return [_polar(1 + sum(waves), 1.1)], []


def _pebble(rng: np.random.Generator) -> Parts:
    theta = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    power = rng.uniform(2.3, 3.0)
    radius = (np.abs(np.cos(theta)) ** power + np.abs(np.sin(theta)) ** power) ** (-1 / power)
    return [_polar(radius * (1 + 0.05 * np.cos(2 * theta + rng.uniform(0, 7)) + 0.03 * np.cos(3 * theta)), 1.25)], []


def _leaf(rng: np.random.Generator) -> Parts:
    s = np.linspace(0, 1, 120)
    width = 0.62 * np.sin(np.pi * s ** rng.uniform(0.75, 0.95)) ** 0.85 * (1 + 0.035 * np.sin(2 * np.pi * 11 * s))
    blade = np.concatenate([np.stack([2 * s - 1, width], -1), np.stack([2 * s - 1, -width], -1)[::-1]])
    return [blade], [np.array([[-1.2, -0.05], [-0.85, -0.05], [-0.85, 0.05], [-1.2, 0.05]])]


def _fish(rng: np.random.Generator) -> Parts:
    s = np.linspace(0, 1, 90)
    width = rng.uniform(0.52, 0.6) * np.sin(np.pi * s**0.6) ** 0.8
    body = np.concatenate([np.stack([1.1 - 1.8 * s, width], -1), np.stack([1.1 - 1.8 * s, -width], -1)[::-1]])
    tail = np.array([[-0.45, 0], [-1.1, 0.6], [-0.92, 0.0], [-1.1, -0.6]])
    fin = _ellipse(0.2, 0.62, 0.32, 0.14, rng.uniform(2.2, 2.5))
    return [body], [tail, *_mirrored([fin])]


def _beetle(rng: np.random.Generator) -> Parts:
    broad = rng.uniform(0.68, 0.76)
    legs = [
        np.array([[u, 0], [u + 0.12, 0], [u + 0.12 + lean, 1.0], [u - 0.06 + lean, 1.0]])
        for u, lean in ((0.45, 0.3), (-0.05, 0.0), (-0.5, -0.28))
    ]
    head = [_ellipse(0.88, 0, 0.28, 0.36)]
    return [_ellipse(-0.1, 0, 0.92, broad)], head + _mirrored(legs)


def _star(rng: np.random.Generator) -> Parts:
    theta = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    arms = 1 + rng.uniform(0.3, 0.36) * np.cos(5 * theta) + 0.05 * np.cos(10 * theta)
    return [_polar(arms + 0.05 * np.cos(theta + rng.uniform(0, 7)))], []


def _turtle(rng: np.random.Generator) -> Parts:
    fore, hind = rng.uniform(0.75, 1.05), rng.uniform(2.3, 2.7)
    limbs = [_ellipse(0.62, 0.72, 0.5, 0.2, fore), _ellipse(-0.7, 0.6, 0.34, 0.19, hind)]
    return [_ellipse(0, 0, 0.88, 0.7)], [_ellipse(1.02, 0, 0.3, 0.23), *_mirrored(limbs)]


def _moth(rng: np.random.Generator) -> Parts:
    sweep = rng.uniform(1.15, 1.3)
    wings = [_ellipse(0.28, 0.55, 0.62, 0.4, sweep), _ellipse(-0.38, 0.42, 0.48, 0.36, np.pi - 0.85)]
    return _mirrored(wings), [_ellipse(0, 0, 0.72, 0.13)]


def _ray(rng: np.random.Generator) -> Parts:
    theta = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    disc = 0.82 + 0.14 * np.cos(4 * theta) - rng.uniform(0.05, 0.1) * np.cos(2 * theta) + 0.05 * np.cos(theta)
    tail = np.array([[-0.6, 0.1], [-1.35, 0.035], [-1.35, -0.035], [-0.6, -0.1]])
    return [_polar(disc)], [tail]


def _jelly(rng: np.random.Generator) -> Parts:
    theta = np.linspace(-np.pi / 2, np.pi / 2, 90)
    dome = np.stack([0.95 * np.cos(theta), 0.85 * np.sin(theta)], -1)
    hem = np.linspace(0.85, -0.85, 60)
    skirt = np.stack([-0.12 - 0.07 * np.cos(2 * np.pi * 4 * hem / 1.7), hem], -1)
    arms = [
        np.array([[0, v - 0.1], [0, v + 0.1], [-rng.uniform(0.7, 0.95), v * 1.1 + 0.05], [-0.75, v * 1.1 - 0.07]])
        for v in (-0.55, -0.18, 0.18, 0.55)
    ]
    return [np.concatenate([dome, skirt])], arms


FAMILIES: dict[str, Callable[[np.random.Generator], Parts]] = {
    "blob": _blob,
    "pebble": _pebble,
    "leaf": _leaf,
    "fish": _fish,
    "beetle": _beetle,
    "star": _star,
    "turtle": _turtle,
    "moth": _moth,
    "ray": _ray,
    "jelly": _jelly,
}
SYMMETRIC = frozenset({"leaf", "fish", "beetle", "turtle", "moth", "ray", "jelly"})
COMPLEX = frozenset({"star", "moth", "turtle", "beetle"})


def coat(species: Species, rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Where the marks lie: weights [S, S] in [0, 1], 0 the main colour and 1 the mark's."""
    shape, turns = u.shape, 2 * np.pi * species.frequency / 1.2
    pitch = shape[0] / 1.9 / species.frequency
    warp = (noise(rng, shape, pitch * 2.2, 2) - 0.5) * 0.16
    phase = rng.uniform(0, 2 * np.pi)
    if species.coat == "bands":
        wave = np.sin((u + warp) * turns + phase)
    elif species.coat == "stripes":
        wave = np.sin((v + warp) * turns + (np.pi / 2 if species.family in SYMMETRIC else phase))
    elif species.coat == "spots":
        border, owner = cells(rng, shape, pitch)
        radius = rng.uniform(0.1, 0.3, int(owner.max()) + 1).astype(np.float32)[owner]
        wave = (border / pitch - radius) * 9
    elif species.coat == "scales":
        border, _ = cells(rng, shape, pitch)
        wave = 1 - border / pitch * 9
    elif species.coat == "rings":
        wave = np.sin(np.hypot(u + warp, v + warp) * turns + rng.uniform(-0.6, 0.6))
    else:
        wave = (noise(rng, shape, pitch * 1.6, 3) - 0.5) * 7
    return np.clip(0.5 + 0.9 * wave, 0, 1).astype(np.float32)


def _fill(parts: list[np.ndarray], side: int, scale: float) -> np.ndarray:
    """Union of polygons as a filled raster [side, side], uint8 of 0 and 1."""
    raster = np.zeros((side, side), np.uint8)
    for polygon in parts:
        points = np.round((polygon * scale + side / 2) * 16).astype(np.int32)
        cv2.fillPoly(raster, [points], 1, shift=4)
    return raster


def _distance(raster: np.ndarray, side: int, pixel: float) -> np.ndarray:
    """Signed distance [side, side] to the raster's contour, in frame pixels, inside positive."""
    soft = cv2.GaussianBlur(raster.astype(np.float32), (0, 0), 1.2 * FINE)
    solid = (soft >= 0.5).astype(np.uint8)
    signed = cv2.distanceTransform(solid, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - solid, cv2.DIST_L2, 5)
    signed -= np.sign(signed) * 0.5
    return cv2.resize(signed * pixel, (side, side), interpolation=cv2.INTER_AREA)


def make_sprite(species: Species, size: float, rng: np.random.Generator) -> Sprite:
    """Draw one individual of `size` frame pixels (geometric mean of its box's sides)."""
    body, limbs = FAMILIES[species.family](rng)
    points = np.concatenate(body + limbs)
    low, high = points.min(0), points.max(0)
    extent = float(np.sqrt(np.prod(high - low)))
    body, limbs = ([(p - (low + high) / 2) / extent for p in parts] for parts in (body, limbs))

    side = 2 * round(size * OVERSAMPLING * 0.85)
    fine, pixel = side * FINE, 1 / (FINE * OVERSAMPLING)
    trunk = _fill(body, fine, size / pixel)
    whole = trunk | _fill(limbs, fine, size / pixel)
    signed, inner = _distance(whole, side, pixel), _distance(trunk, side, pixel)

    ys, xs = (np.mgrid[:side, :side].astype(np.float32) + 0.5 - side / 2) / (size * OVERSAMPLING)
    marks = coat(species, rng, xs, ys)
    if species.family in SYMMETRIC:
        marks = np.concatenate([marks[side // 2 :][::-1], marks[side // 2 :]])
    mark, main, limb = (np.asarray(c, np.float32) / 255 for c in species.colours)
    tone = 1 + 0.24 * (noise(rng, (side, side), side / 5, 4) - 0.5)[..., None]
    colour = (main + (mark - main) * marks[..., None]) * tone
    on_limb = np.clip(0.5 - inner, 0, 1)[..., None]
    colour = colour * (1 - on_limb) + limb * tone * on_limb
    colour = _details(species, colour, mark, xs, ys, size)

    rim = 1 - 0.62 * np.exp(-np.square(np.maximum(signed, 0) / (0.045 * size)))
    seam = 1 - 0.4 * np.exp(-np.square(inner / (0.022 * size)))
    colour = np.clip(colour * (rim * seam)[..., None], 0, 1).astype(np.float32)
    height = cv2.GaussianBlur(_dome(signed) + 0.5 * _dome(inner), (0, 0), 0.035 * side)
    relief = np.stack([signed, height], -1).astype(np.float32)
    return Sprite(colour, relief, size, float(np.clip(signed + 0.5, 0, 1).sum() / OVERSAMPLING**2))


def _dome(signed: np.ndarray) -> np.ndarray:
    """A rounded height over the inside of a contour, in frame pixels."""
    reach = max(0.85 * float(signed.max()), 1e-3)
    return 0.75 * reach * np.sqrt(1 - np.square(1 - np.clip(signed / reach, 0, 1)))


def _details(
    species: Species, colour: np.ndarray, mark: np.ndarray, u: np.ndarray, v: np.ndarray, size: float
) -> np.ndarray:
    """Eyes, midribs and wing-case lines, drawn over the coat."""
    width = max(0.018, 0.8 / size)

    def paint(weight: np.ndarray, ink: np.ndarray) -> np.ndarray:
        return colour + (ink - colour) * np.clip(weight, 0, 1)[..., None]

    if species.family == "fish":
        eye = np.hypot(u - 0.4, np.abs(v) - 0.13)
        colour = paint((0.055 - eye) / width, np.float32([0.95, 0.94, 0.86]))
        colour = paint((0.035 - eye) / width, np.float32([0.05, 0.05, 0.06]))
    elif species.family in ("turtle", "ray"):
        eye = np.hypot(u - (0.56 if species.family == "turtle" else 0.3), np.abs(v) - 0.07)
        colour = paint((0.035 - eye) / width, np.float32([0.05, 0.05, 0.06]))
    elif species.family == "leaf":
        veins = np.abs(np.mod(u * 5 - np.abs(v) * 4, 1) - 0.5) * 0.2
        colour = paint(0.45 * (0.03 - veins) / width, mark)
        colour = paint((0.022 - np.abs(v)) / width, mark)
    elif species.family == "moth":
        eye = np.hypot(u - 0.16, np.abs(v) - 0.32)
        colour = paint((0.095 - eye) / width, mark)
        colour = paint((0.06 - eye) / width, np.float32([0.96, 0.93, 0.8]))
        colour = paint((0.035 - eye) / width, mark * 0.4)
    elif species.family == "beetle":
        seam = np.where(u < 0.22, np.abs(v), np.abs(u - 0.22))
        colour = paint((0.02 - seam) / width, mark * 0.5)
    return colour


def blend(colours: tuple[Colour, Colour, Colour], ground: list[Colour], share: float) -> tuple[Colour, Colour, Colour]:
    """Colours moved towards a ground's palette by `share`: camouflage."""
    hues = ramp(np.array([0.15, 0.6, 0.3]), ground) * 255
    mixed = np.asarray(colours) * (1 - share) + hues * share
    first, second, third = (tuple(int(c) for c in row) for row in mixed)
    return first, second, third
