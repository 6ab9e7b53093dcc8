"""What stands in front in the generated videos: a pole, a branch, reeds; fixed in the world."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from slowfast_vos.videos.synthetic_textures import PALETTES, emboss, noise, ramp


@dataclass(frozen=True)
class Occluder:
    """A layer over the whole canvas."""

    colour: np.ndarray  # [H, W, 3] float32 in [0, 1]
    cover: np.ndarray  # [H, W] float32, the coverage
    shadow: np.ndarray  # [H, W] float32, the strength of its shadow

    def share(self, places: np.ndarray, radius: np.ndarray, margin: int) -> np.ndarray:
        """Share of the discs at world `places` [T, 2] of `radius` [T] that it hides, [T], by 17 points each."""
        turns = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        ring = np.stack([np.cos(turns), np.sin(turns)], -1)
        points = np.concatenate([np.zeros((1, 2)), 0.45 * ring, 0.85 * ring])
        at = (places[:, None] + points * radius[:, None, None] + margin).round().astype(int)  # [T, 17, 2]
        high, wide = self.cover.shape
        return self.cover[at[..., 1].clip(0, high - 1), at[..., 0].clip(0, wide - 1)].mean(-1)


def _stem(
    rng: np.random.Generator, start: tuple[float, float], end: tuple[float, float], width: float, sway: float
) -> tuple[np.ndarray, np.ndarray]:
    """A swaying stroke: points [64, 2] and widths [64], pixels."""
    s = np.linspace(0, 1, 64)[:, None]
    line = np.asarray(start) * (1 - s) + np.asarray(end) * s
    across = np.array([start[1] - end[1], end[0] - start[0]])
    across = across / max(float(np.linalg.norm(across)), 1e-6)
    bend = np.sin(2 * np.pi * (rng.uniform(0.4, 0.9) * s + rng.random()))
    return line + across * bend * sway, width * (1 + 0.12 * np.sin(9 * s[:, 0] + rng.uniform(0, 7)))


def _strokes(
    rng: np.random.Generator, kind: str, shape: tuple[int, int], unit: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    high, wide = shape
    if kind == "pole":
        x = wide * rng.uniform(0.42, 0.58)
        return [
            _stem(rng, (x, -20), (x + rng.uniform(-30, 30) * unit, high + 20), rng.uniform(28, 36) * unit, 3 * unit)
        ]
    if kind == "branch":
        y = high * rng.uniform(0.4, 0.6)
        ends = (-20.0, y), (wide + 20.0, y + rng.uniform(-70, 70) * unit)
        trunk = _stem(rng, *ends, rng.uniform(22, 28) * unit, 20 * unit)
        twigs = []
        for at in (14, 26, 38, 50):
            root, lift = trunk[0][at], rng.uniform(30, 55) * unit * rng.choice((-1, 1))
            tip = (float(root[0] + rng.uniform(15, 40) * unit), float(root[1] + lift))
            twigs.append(_stem(rng, (float(root[0]), float(root[1])), tip, 6 * unit, 3 * unit))
        return [*twigs, trunk]
    reeds = []
    for x in np.linspace(0.24, 0.76, 7) * wide + rng.uniform(-14, 14, 7) * unit:
        top = (float(x + rng.uniform(-35, 35) * unit), -20.0)
        reeds.append(_stem(rng, (float(x), high + 20.0), top, rng.uniform(9, 14) * unit, 9 * unit))
    return reeds


def draw_occluder(rng: np.random.Generator, kind: str, shape: tuple[int, int], unit: float) -> Occluder:
    """Draw a `pole`, a `branch` or `reeds` over a canvas [H, W]."""
    high, wide = shape
    raster = np.zeros((2 * high, 2 * wide), np.uint8)
    for points, widths in _strokes(rng, kind, shape, unit):
        along = np.gradient(points, axis=0)
        normal = np.stack([-along[:, 1], along[:, 0]], -1) / np.linalg.norm(along, axis=1)[:, None]
        edge = np.concatenate([points + normal * widths[:, None] / 2, (points - normal * widths[:, None] / 2)[::-1]])
        cv2.fillPoly(raster, [np.round(edge * 2 * 16).astype(np.int32)], 1, shift=4)
    depth = cv2.resize(cv2.distanceTransform(raster, cv2.DIST_L2, 5), (wide, high), interpolation=cv2.INTER_AREA) / 2
    cover = cv2.resize(raster.astype(np.float32), (wide, high), interpolation=cv2.INTER_AREA)
    reach = max(float(depth.max()), 1.0)
    dome = reach * np.sqrt(1 - np.square(1 - np.clip(depth / reach, 0, 1)))
    dome = cv2.GaussianBlur(dome, (0, 0), 1.2 * unit)
    cell = (70 * unit, 7 * unit) if kind != "branch" else (7 * unit, 70 * unit)
    bark = noise(rng, shape, cell, 3)
    palette = PALETTES["moss"] if kind == "reeds" else PALETTES["timber"]
    colour = ramp(0.1 + 0.75 * bark, palette) * emboss(1.6 * dome + 2 * bark, 0.55)[..., None]
    colour = colour * np.clip(0.45 + depth / (3 * unit), 0, 1)[..., None]
    drop = cv2.GaussianBlur(cover, (0, 0), 4 * unit)
    shift = np.float32([[1, 0, 7 * unit], [0, 1, 5 * unit]])
    return Occluder(np.clip(colour, 0, 1).astype(np.float32), cover, 0.45 * cv2.warpAffine(drop, shift, (wide, high)))
