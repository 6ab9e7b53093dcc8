"""Pixels and exact masks of a generated scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from slowfast_vos.videos.synthetic_scenes import Actor, Scene
from slowfast_vos.videos.synthetic_shapes import OVERSAMPLING

BEAT = 2 * np.pi / 11  # radians per frame of a body's deformation
LIGHT = np.float32([-0.45, -0.58, 0.68])  # towards the light: from the upper left


@dataclass(frozen=True)
class Picture:
    """One rendered frame; the counts are pixels per object, by number."""

    image: np.ndarray  # [H, W, 3] uint8 RGB
    ids: np.ndarray  # [H, W] uint8, 0 for whatever is not annotated
    whole: np.ndarray  # [K] the object's area, in the frame or not
    inside: np.ndarray  # [K] within the frame, hidden or not
    visible: np.ndarray  # [K]


@dataclass(frozen=True)
class _Patch:
    """An actor's pixels at one instant; its corner may lie outside the frame."""

    corner: tuple[int, int]  # x, y
    colour: np.ndarray  # [h, w, 3]
    cover: np.ndarray  # [h, w]


def render(scene: Scene) -> Iterator[Picture]:
    """Render a scene frame by frame."""
    grain = np.random.default_rng(scene.noise_seed)
    for t in range(scene.frames):
        yield _render_frame(scene, t, grain)


def _render_frame(scene: Scene, t: int, grain: np.random.Generator) -> Picture:
    canvas = _view(scene, scene.ground, t)
    ids = np.zeros(scene.frame, np.uint8)
    count = len(scene.objects)
    whole, inside = np.zeros(count), np.zeros(count)
    for actor in scene.actors:
        patch = _pose(scene, actor, t)
        window = _clip(patch, scene.frame)
        _drop_shadow(canvas, patch, actor.sprite.size)
        if actor.number:
            whole[actor.number - 1] = (patch.cover >= 0.5).sum()
        if window is None:
            continue
        here, there = window
        cover = patch.cover[there]
        canvas[here] += (patch.colour[there] - canvas[here]) * cover[..., None]
        ids[here][cover >= 0.5] = actor.number
        if actor.number:
            inside[actor.number - 1] = (cover >= 0.5).sum()
    if scene.occluder is not None:
        shade = 1 - _view(scene, scene.occluder.shadow, t)
        canvas *= cv2.merge([shade, shade, shade])
        cover = np.clip(_view(scene, scene.occluder.cover, t), 0, 1)
        canvas += (_view(scene, scene.occluder.colour, t) - canvas) * cv2.merge([cover, cover, cover])
        ids[cover >= 0.5] = 0
    light = _view(scene, scene.light, t)
    speckle = grain.standard_normal(scene.frame, dtype=np.float32) * (0.008 * 255) + 0.5
    canvas *= cv2.merge([light * np.float32(255 * gain) for gain in scene.gain[t]])
    canvas += cv2.merge([speckle, speckle, speckle])
    image = np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)
    visible = np.bincount(ids.ravel(), minlength=count + 1)[1:]
    return Picture(image, ids, whole, inside, visible)


def _view(scene: Scene, layer: np.ndarray, t: int) -> np.ndarray:
    """What the camera sees at frame `t` of a layer fixed in the world, [H, W] or [H, W, 3]."""
    x, y = scene.view.camera[t] + scene.margin
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
    size = (scene.frame[1], scene.frame[0])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(layer, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def _pose(scene: Scene, actor: Actor, t: int) -> _Patch:
    """Bend, turn, scale and place a sprite, then light it where it lies."""
    sprite, scale = actor.sprite, float(actor.track.scale[t])
    x, y = scene.seen(actor)[t]
    reach = int(np.ceil(sprite.size * scale * 0.98)) + 2
    left, top = int(np.floor(x)) - reach, int(np.floor(y)) - reach
    ys, xs = np.mgrid[: 2 * reach, : 2 * reach].astype(np.float32)
    dx, dy = (xs + np.float32(left + 0.5 - x)) / scale, (ys + np.float32(top + 0.5 - y)) / scale
    cos, sin = np.float32(np.cos(actor.track.angle[t])), np.float32(np.sin(actor.track.angle[t]))
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    swing, depth = actor.beat, np.float32(actor.wobble * sprite.size)
    across -= depth * np.sin(np.float32(swing[0] / sprite.size) * along + np.float32(swing[2] + BEAT * t))
    along -= depth * np.sin(np.float32(swing[1] / sprite.size) * across + np.float32(swing[3] + 0.8 * BEAT * t))

    middle = sprite.colour.shape[0] / 2 - 0.5
    map_x, map_y = along * OVERSAMPLING + middle, across * OVERSAMPLING + middle
    colour = cv2.remap(sprite.colour, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    relief = cv2.remap(
        sprite.relief, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(-99, 0)
    )
    cover = np.clip(relief[..., 0] * scale + 0.5, 0, 1)
    patch = _Patch((left, top), _lit(colour, relief[..., 1]), cover)
    return _smeared(patch, scene, actor, t) if scene.recipe.blur else patch


def _lit(colour: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Shade [h, w, 3] by a height map [h, w]: diffuse light and a soft highlight."""
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=0.125)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=0.125)
    length = np.sqrt(slope_x**2 + slope_y**2 + 1)
    facing = (LIGHT[2] - slope_x * LIGHT[0] - slope_y * LIGHT[1]) / length
    shine = np.clip(1.72 * facing / length - LIGHT[2], 0, 1) ** 14
    return colour * (0.5 + 0.72 * np.clip(facing, 0, 1))[..., None] + 0.16 * shine[..., None]


def _smeared(patch: _Patch, scene: Scene, actor: Actor, t: int) -> _Patch:
    """Motion blur over half a frame's movement (a 180 degree shutter)."""
    seen = scene.seen(actor)
    step = (seen[min(t + 1, scene.frames - 1)] - seen[max(t - 1, 0)]) / (1 if 0 < t < scene.frames - 1 else 0.5)
    reach = step / 8
    pad = int(np.ceil(np.abs(reach).max())) + 1
    kernel = np.zeros((2 * pad + 1, 2 * pad + 1), np.uint8)
    ends = [tuple(int(v) for v in np.round((pad + sign * reach) * 16)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 255, 1, cv2.LINE_AA, shift=4)
    weights = kernel.astype(np.float32) / kernel.sum(dtype=np.float32)
    cover = cv2.filter2D(patch.cover, -1, weights, borderType=cv2.BORDER_CONSTANT)
    blended = cv2.filter2D(patch.colour * patch.cover[..., None], -1, weights, borderType=cv2.BORDER_CONSTANT)
    colour = np.where(cover[..., None] > 1e-3, blended / np.maximum(cover, 1e-3)[..., None], patch.colour)
    return _Patch(patch.corner, colour, cover)


def _clip(patch: _Patch, frame: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Where a patch meets the frame: slices of the frame and of the patch."""
    (left, top), (high, wide) = patch.corner, patch.cover.shape
    x0, x1 = max(left, 0), min(left + wide, frame[1])
    y0, y1 = max(top, 0), min(top + high, frame[0])
    if x0 >= x1 or y0 >= y1:
        return None
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def _drop_shadow(canvas: np.ndarray, patch: _Patch, size: float) -> None:
    """Darken the canvas beside a patch; everything casts the same kind of shadow, moving or not."""
    blur = max(3, 2 * round(0.08 * size) + 1)
    soft = cv2.blur(cv2.blur(patch.cover, (blur, blur)), (blur, blur))
    corner = (patch.corner[0] + round(0.07 * size), patch.corner[1] + round(0.09 * size))
    window = _clip(_Patch(corner, patch.colour, soft), canvas.shape[:2])
    if window is not None:
        here, there = window
        canvas[here] *= 1 - 0.42 * soft[there][..., None]
