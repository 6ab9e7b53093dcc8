"""The things in the generated videos: silhouettes of ten families, their coats, and the sprites made of both.

A look such as "star spots 3.4 96461e f4be46 c87828" fixes the family, the coat, its periods per body length, and the
colours of marks, body and limbs; an individual adds its own contour jitter and its own draw of the coat.
Body coordinates are (u, v): u points to the head, v to its right; the silhouette's box has area 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from slowfast_vos.generated.drawing import Rng, cells, dome, fill, noise, rgb

OVERSAMPLING = 1.5  # sprite pixels per frame pixel at scale 1
FINE = 3  # contour pixels per sprite pixel
SYMMETRIC = frozenset({"leaf", "fish", "beetle", "turtle", "moth", "ray", "jelly"})
COMPLEX = frozenset({"star", "moth", "turtle", "beetle"})  # limbs, arms or wings


@dataclass(frozen=True)
class Sprite:
    """One individual, head to the right, `OVERSAMPLING` sprite pixels per frame pixel at scale 1."""

    colour: np.ndarray  # [S, S, 3], continued beyond the contour
    relief: np.ndarray  # [S, S, 2] float32: signed distance to the contour (inside positive), height; frame pixels
    size: float  # geometric mean of the box's sides, frame pixels


def _circle(points: int) -> np.ndarray:
    return np.linspace(0, 2 * np.pi, points, endpoint=False)


def _polar(radius: np.ndarray, stretch: float = 1.0) -> list[np.ndarray]:
    theta = _circle(len(radius))
    return [np.stack([radius * np.cos(theta) * stretch, radius * np.sin(theta)], -1)]


def _ellipse(u: float, v: float, a: float, b: float, turn: float = 0.0) -> np.ndarray:
    x, y = a * np.cos(_circle(60)), b * np.sin(_circle(60))
    return np.stack([u + x * np.cos(turn) - y * np.sin(turn), v + x * np.sin(turn) + y * np.cos(turn)], -1)


def _spindle(u: np.ndarray, width: np.ndarray) -> list[np.ndarray]:
    return [np.concatenate([np.stack([u, width], -1), np.stack([u, -width], -1)[::-1]])]


def _mirrored(*polygons: np.ndarray) -> list[np.ndarray]:
    return [*polygons, *(polygon * (1, -1) for polygon in polygons)]


def _silhouette(family: str, rng: Rng) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draw an individual's contours: polygons [N, 2] of its body, and of its limbs."""
    theta, s = _circle(240), np.linspace(0, 1, 120)
    match family:
        case "blob":
            theta, waves = _circle(180), ((2, 0.17), (3, 0.13), (5, 0.05))
            waves = [rng.uniform(0.5, 1) * depth * np.cos(k * theta + rng.uniform(0, 7)) for k, depth in waves]
            return _polar(1 + sum(waves), 1.1), []
        case "pebble":
            theta, power = _circle(180), rng.uniform(2.3, 3.0)
            radius = (np.abs(np.cos(theta)) ** power + np.abs(np.sin(theta)) ** power) ** (-1 / power)
            bumps = 1 + 0.05 * np.cos(2 * theta + rng.uniform(0, 7)) + 0.03 * np.cos(3 * theta)
            return _polar(radius * bumps, 1.25), []
        case "leaf":
            width = 0.62 * np.sin(np.pi * s ** rng.uniform(0.75, 0.95)) ** 0.85
            stalk = np.array([[-1.2, -0.05], [-0.85, -0.05], [-0.85, 0.05], [-1.2, 0.05]])
            return _spindle(2 * s - 1, width * (1 + 0.035 * np.sin(2 * np.pi * 11 * s))), [stalk]
        case "fish":
            s = np.linspace(0, 1, 90)
            width = rng.uniform(0.52, 0.6) * np.sin(np.pi * s**0.6) ** 0.8
            tail = np.array([[-0.45, 0], [-1.1, 0.6], [-0.92, 0.0], [-1.1, -0.6]])
            fin = _ellipse(0.2, 0.62, 0.32, 0.14, rng.uniform(2.2, 2.5))
            return _spindle(1.1 - 1.8 * s, width), [tail, *_mirrored(fin)]
        case "beetle":
            feet = ((0.45, 0.3), (-0.05, 0.0), (-0.5, -0.28))
            legs = [np.array([[u, 0], [u + 0.12, 0], [u + 0.12 + x, 1.0], [u - 0.06 + x, 1.0]]) for u, x in feet]
            head = _ellipse(0.88, 0, 0.28, 0.36)
            return [_ellipse(-0.1, 0, 0.92, rng.uniform(0.68, 0.76))], [head, *_mirrored(*legs)]
        case "star":
            arms = 1 + rng.uniform(0.3, 0.36) * np.cos(5 * theta) + 0.05 * np.cos(10 * theta)
            return _polar(arms + 0.05 * np.cos(theta + rng.uniform(0, 7))), []
        case "turtle":
            fore = _ellipse(0.62, 0.72, 0.5, 0.2, rng.uniform(0.75, 1.05))
            hind = _ellipse(-0.7, 0.6, 0.34, 0.19, rng.uniform(2.3, 2.7))
            return [_ellipse(0, 0, 0.88, 0.7)], [_ellipse(1.02, 0, 0.3, 0.23), *_mirrored(fore, hind)]
        case "moth":
            fore = _ellipse(0.28, 0.55, 0.62, 0.4, rng.uniform(1.15, 1.3))
            hind = _ellipse(-0.38, 0.42, 0.48, 0.36, np.pi - 0.85)
            return _mirrored(fore, hind), [_ellipse(0, 0, 0.72, 0.13)]
        case "ray":
            disc = 0.82 + 0.14 * np.cos(4 * theta) - rng.uniform(0.05, 0.1) * np.cos(2 * theta) + 0.05 * np.cos(theta)
            return _polar(disc), [np.array([[-0.6, 0.1], [-1.35, 0.035], [-1.35, -0.035], [-0.6, -0.1]])]
        case _:  # jelly
            theta, hem = np.linspace(-np.pi / 2, np.pi / 2, 90), np.linspace(0.85, -0.85, 60)
            bell = np.stack([0.95 * np.cos(theta), 0.85 * np.sin(theta)], -1)
            skirt = np.stack([-0.12 - 0.07 * np.cos(2 * np.pi * 4 * hem / 1.7), hem], -1)
            places = (-0.55, -0.18, 0.18, 0.55)
            ends = [[[-rng.uniform(0.7, 0.95), v * 1.1 + 0.05], [-0.75, v * 1.1 - 0.07]] for v in places]
            arms = [np.array([[0, v - 0.1], [0, v + 0.1], *end]) for v, end in zip(places, ends, strict=True)]
            return [np.concatenate([bell, skirt])], arms


def draw_sprite(look: str, size: float, rng: Rng) -> Sprite:
    """Draw one individual of `size` frame pixels (geometric mean of its box's sides)."""
    family, coat, frequency, colours = look.split(maxsplit=3)
    body, limbs = _silhouette(family, rng)
    points = np.concatenate(body + limbs)
    low, high = points.min(0), points.max(0)
    extent = float(np.sqrt(np.prod(high - low)))
    side = 2 * round(size * OVERSAMPLING * 0.85)
    fine, pixel = side * FINE, 1 / (FINE * OVERSAMPLING)
    trunk, rest = (
        fill((fine, fine), [(p - (low + high) / 2) / extent * (size / pixel) + fine / 2 for p in parts])
        for parts in (body, limbs)
    )
    whole, inner = _distance(trunk | rest, side, pixel), _distance(trunk, side, pixel)

    v, u = (np.mgrid[:side, :side].astype(np.float32) + 0.5 - side / 2) / (size * OVERSAMPLING)
    marks = _coat(family, coat, float(frequency), rng, u, v)
    if family in SYMMETRIC:
        marks = np.concatenate([marks[side // 2 :][::-1], marks[side // 2 :]])
    mark, main, limb = rgb(colours).astype(np.float32) / 255
    tone = 1 + 0.24 * (noise(rng, (side, side), side / 5, 4) - 0.5)[..., None]
    colour = (main + (mark - main) * marks[..., None]) * tone
    on_limb = np.clip(0.5 - inner, 0, 1)[..., None]
    colour = colour * (1 - on_limb) + limb * tone * on_limb
    for weight, ink in _details(family, mark, u, np.abs(v)):
        colour = colour + (ink - colour) * np.clip(weight / max(0.018, 0.8 / size), 0, 1)[..., None]

    rim = 1 - 0.62 * np.exp(-np.square(np.maximum(whole, 0) / (0.045 * size)))
    seam = 1 - 0.4 * np.exp(-np.square(inner / (0.022 * size)))
    colour = np.clip(colour * (rim * seam)[..., None], 0, 1).astype(np.float32)
    height = cv2.GaussianBlur(_height(whole) + 0.5 * _height(inner), (0, 0), 0.035 * side)
    return Sprite(colour, np.stack([whole, height], -1).astype(np.float32), size)


def _distance(raster: np.ndarray, side: int, pixel: float) -> np.ndarray:
    """Signed distance [side, side] to the raster's contour, in frame pixels, inside positive."""
    soft = cv2.GaussianBlur(raster.astype(np.float32), (0, 0), 1.2 * FINE)
    solid = (soft >= 0.5).astype(np.uint8)
    signed = cv2.distanceTransform(solid, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - solid, cv2.DIST_L2, 5)
    signed -= np.sign(signed) * 0.5
    return cv2.resize(signed * pixel, (side, side), interpolation=cv2.INTER_AREA)


def _height(signed: np.ndarray) -> np.ndarray:
    reach = max(0.85 * float(signed.max()), 1e-3)
    return 0.75 * reach * dome(signed, reach)


def _coat(family: str, coat: str, frequency: float, rng: Rng, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Where the marks lie: weights [S, S] in [0, 1], 0 the main colour and 1 the mark's."""
    turns, pitch = 2 * np.pi * frequency / 1.2, len(u) / 1.9 / frequency
    warp = (noise(rng, u.shape, pitch * 2.2, 2) - 0.5) * 0.16
    phase = rng.uniform(0, 2 * np.pi)
    match coat:
        case "bands":
            wave = np.sin((u + warp) * turns + phase)
        case "stripes":
            wave = np.sin((v + warp) * turns + (np.pi / 2 if family in SYMMETRIC else phase))
        case "rings":
            wave = np.sin(np.hypot(u + warp, v + warp) * turns + rng.uniform(-0.6, 0.6))
        case "spots":
            border, owner = cells(rng, u.shape, pitch)
            radius = rng.uniform(0.1, 0.3, int(owner.max()) + 1).astype(np.float32)[owner]
            wave = (border / pitch - radius) * 9
        case "scales":
            wave = 1 - cells(rng, u.shape, pitch)[0] / pitch * 9
        case _:  # marble
            wave = (noise(rng, u.shape, pitch * 1.6, 3) - 0.5) * 7
    return np.clip(0.5 + 0.9 * wave, 0, 1).astype(np.float32)


def _details(family: str, mark: np.ndarray, u: np.ndarray, v: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Eyes, veins and wing-case lines to paint over the coat: depths [S, S] inside each, and its colour."""
    cream, pale, black = np.float32([[0.95, 0.94, 0.86], [0.96, 0.93, 0.8], [0.05, 0.05, 0.06]])
    eyes = {
        "fish": (0.4, 0.13, [(0.055, cream), (0.035, black)]),
        "turtle": (0.56, 0.07, [(0.035, black)]),
        "ray": (0.3, 0.07, [(0.035, black)]),
        "moth": (0.16, 0.32, [(0.095, mark), (0.06, pale), (0.035, mark * 0.4)]),
    }
    if family in eyes:
        x, y, rings = eyes[family]
        return [(radius - np.hypot(u - x, v - y), ink) for radius, ink in rings]
    if family == "leaf":
        veins = np.abs(np.mod(u * 5 - v * 4, 1) - 0.5) * 0.2
        return [(0.45 * (0.03 - veins), mark), (0.022 - v, mark)]
    if family == "beetle":
        return [(0.02 - np.where(u < 0.22, v, np.abs(u - 0.22)), mark * 0.5)]
    return []
