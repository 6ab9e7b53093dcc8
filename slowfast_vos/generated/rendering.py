"""Pixels and exact masks of a generated scene."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from slowfast_vos.generated.drawing import slopes
from slowfast_vos.generated.scenes import Scene
from slowfast_vos.generated.sprites import COMPLEX, OVERSAMPLING

BEAT = 2 * np.pi / 11  # radians per frame of a body's deformation
LIGHT = (-0.45, -0.58, 0.68)  # towards the light: from the upper left


def render(scene: Scene) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Render a scene frame by frame.

    Yields:
        a frame [H, W, 3] uint8 RGB; its mask [H, W] uint8, 0 for whatever is not annotated; and areas [3, K] of the
        objects in pixels: all of each, what lies within the frame, and what is visible.
    """
    grain = np.random.default_rng(scene.grain_seed)
    objects = scene.recipe.objects
    for t in range(len(scene.camera)):
        canvas = _world(scene, scene.ground, t)
        ids = np.zeros(canvas.shape[:2], np.uint8)
        areas = np.zeros((3, objects))
        for thing in scene.order:
            (left, top), colour, cover = _pose(scene, thing, t)
            # Everything casts the same kind of shadow, moving or not.
            size = scene.sprites[thing].size
            blur = max(3, 2 * round(0.08 * size) + 1)
            shadow = cv2.blur(cv2.blur(cover, (blur, blur)), (blur, blur))
            here, there = _overlap(canvas, left + round(0.07 * size), top + round(0.09 * size), shadow)
            canvas[here] *= 1 - 0.42 * shadow[there][..., None]
            here, there = _overlap(canvas, left, top, cover)
            canvas[here] += (colour[there] - canvas[here]) * cover[there][..., None]
            ids[here][cover[there] >= 0.5] = thing + 1 if thing < objects else 0
            if thing < objects:
                areas[:2, thing] = (cover >= 0.5).sum(), (cover[there] >= 0.5).sum()
        if scene.occluder is not None:
            colour, cover, shadow = (_world(scene, layer, t) for layer in scene.occluder)
            canvas *= _grey(1 - shadow)
            cover = np.clip(cover, 0, 1)
            canvas += (colour - canvas) * _grey(cover)
            ids[cover >= 0.5] = 0
        light = _world(scene, scene.light, t)
        canvas *= cv2.merge([light * np.float32(255 * gain) for gain in scene.gain[t]])
        canvas += _grey(grain.standard_normal(ids.shape, dtype=np.float32) * (0.008 * 255) + 0.5)
        areas[2] = np.bincount(ids.ravel(), minlength=1 + objects)[1:]
        yield np.clip(canvas, 0, 255).astype(np.uint8), ids, areas


def _world(scene: Scene, layer: np.ndarray, t: int) -> np.ndarray:
    """What the camera sees at frame `t` of a layer fixed in the world, [H, W] or [H, W, 3]."""
    x, y = scene.camera[t] + scene.margin
    flags, shift = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, np.array([[1, 0, x], [0, 1, y]])
    return cv2.warpAffine(layer, shift, (scene.width, scene.height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def _grey(values: np.ndarray) -> np.ndarray:
    """The same values in three channels, [H, W, 3]; far faster to multiply by than [H, W, 1]."""
    return cv2.merge([values, values, values])


def _pose(scene: Scene, thing: int, t: int) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
    """Bend, turn, scale, place and light a sprite: its corner (x, y), colours [h, w, 3] and coverage [h, w]."""
    sprite, beat = scene.sprites[thing], scene.beats[thing]
    x, y = scene.seen[thing, t]
    _, _, angle, scale = scene.tracks[thing, t].tolist()
    reach = int(np.ceil(sprite.size * scale * 0.98)) + 2
    left, top = int(np.floor(x)) - reach, int(np.floor(y)) - reach
    ys, xs = np.mgrid[: 2 * reach, : 2 * reach].astype(np.float32)
    dx, dy = (xs + np.float32(left + 0.5 - x)) / scale, (ys + np.float32(top + 0.5 - y)) / scale
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    depth = np.float32(scene.recipe.wobble * sprite.size)
    across -= depth * np.sin(np.float32(beat[0] / sprite.size) * along + np.float32(beat[2] + BEAT * t))
    along -= depth * np.sin(np.float32(beat[1] / sprite.size) * across + np.float32(beat[3] + 0.8 * BEAT * t))

    middle = len(sprite.colour) / 2 - 0.5
    at = along * OVERSAMPLING + middle, across * OVERSAMPLING + middle
    colour = cv2.remap(sprite.colour, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    outside = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": (-99, 0)}
    distance, height = cv2.split(cv2.remap(sprite.relief, *at, cv2.INTER_LINEAR, **outside))
    cover = np.clip(distance * scale + 0.5, 0, 1)
    # Diffuse light and a soft highlight.
    slope_x, slope_y = slopes(height)
    length = np.sqrt(slope_x**2 + slope_y**2 + 1)
    facing = (LIGHT[2] - slope_x * LIGHT[0] - slope_y * LIGHT[1]) / length
    shine = np.clip(1.72 * facing / length - LIGHT[2], 0, 1) ** 14
    colour = colour * (0.5 + 0.72 * np.clip(facing, 0, 1))[..., None] + 0.16 * shine[..., None]
    if scene.recipe.blur:
        colour, cover = _smeared(colour, cover, scene.seen[thing], t)
    return (left, top), colour, cover


def _smeared(colour: np.ndarray, cover: np.ndarray, seen: np.ndarray, t: int) -> tuple[np.ndarray, np.ndarray]:
    """Motion blur over half a frame's movement (a 180 degree shutter)."""
    reach = np.gradient(seen, axis=0)[t] / 4
    pad = int(np.ceil(np.abs(reach).max())) + 1
    kernel = np.zeros((2 * pad + 1, 2 * pad + 1), np.uint8)
    start, end = np.round((pad + np.stack([-reach, reach])) * 16).astype(int).tolist()
    cv2.line(kernel, start, end, 255, 1, cv2.LINE_AA, shift=4)
    weights = kernel.astype(np.float32) / kernel.sum(dtype=np.float32)
    blurred = cv2.filter2D(cover, -1, weights, borderType=cv2.BORDER_CONSTANT)
    mixed = cv2.filter2D(colour * cover[..., None], -1, weights, borderType=cv2.BORDER_CONSTANT)
    return np.where(blurred[..., None] > 1e-3, mixed / np.maximum(blurred, 1e-3)[..., None], colour), blurred


def _overlap(canvas: np.ndarray, left: int, top: int, patch: np.ndarray) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a patch with its corner at (left, top) meets the canvas: slices of the canvas and of the patch."""
    ends = [np.clip((at, at + n), 0, size) for at, n, size in zip((top, left), patch.shape, canvas.shape, strict=False)]
    here = tuple(slice(start, stop) for start, stop in ends)
    there = tuple(slice(start - at, stop - at) for at, (start, stop) in zip((top, left), ends, strict=True))
    return here, there


def attributes_of(scene: Scene, areas: np.ndarray) -> list[str]:
    """A scene's attributes in alphabetical order, from its settings, its tracks and its rendered areas [T, 3, K]."""
    recipe = scene.recipe
    place, angle, scale = np.split(scene.tracks[: recipe.objects], (2, 3), -1)  # [K, T, 2], [K, T, 1], [K, T, 1]
    speed = np.linalg.norm(np.diff(place - scene.camera, axis=1), axis=-1)
    whole, inside, visible = areas.swapaxes(0, 1)  # [T, K] each
    rules = {
        "AC": recipe.relit,
        "BC": recipe.blend > 0,
        "CS": recipe.shake,
        "DB": bool(recipe.passer),
        "DEF": recipe.wobble >= 0.08,
        "FM": speed.mean() > scene.height / 12,
        "IM": _rests(place, 0.03 * scene.height),
        "LA": recipe.distractors > 0,
        "MB": recipe.blur,
        "OCC": (visible < 0.8 * inside).any(),
        "OV": (inside < 0.5 * whole).any(),
        "ROT": (np.ptp(np.unwrap(angle, axis=1), axis=1) > 2 * np.pi / 3).any(),
        "SC": any(look.split()[0] in COMPLEX for look in scene.looks[: recipe.objects]),
        "SV": ((scale.max(1) / scale.min(1)) ** 2 >= 2).any(),
    }
    return [name for name, holds in rules.items() if holds]


def _rests(place: np.ndarray, least: float) -> bool:
    """Whether objects at `place` [K, T, 2] often move less than `least` pixels in three frames, and more in seven."""

    def reach(before: int) -> np.ndarray:
        """How far an object gets from its place in up to `before` frames, before or after: [K, T − 6]."""
        middle = place[:, 3 : place.shape[1] - 3]
        shifts = [place[:, 3 + k : place.shape[1] - 3 + k] for k in range(-before, before + 1)]
        return np.max([np.linalg.norm(shift - middle, axis=-1) for shift in shifts], axis=0)

    return bool(place.shape[1] > 6 and ((reach(1) < least) & (reach(3) >= least)).mean() >= 0.25)
