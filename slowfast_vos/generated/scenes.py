"""The scene behind each generated video: who stands or moves where, in which light, before anything is rendered.

World coordinates are the first frame's pixels; a thing at world point p is seen at p - camera[t].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from slowfast_vos.generated.drawing import GROUNDS, PALETTES, Occluder, Rng, draw_occluder, lighting, random_stream
from slowfast_vos.generated.recipes import Motion, Recipe
from slowfast_vos.generated.sprites import Sprite, draw_sprite

DRAWS = 400  # of the tracks, at most
SIZES = (60.0, 76.0)  # geometric mean of a thing's box sides, pixels of a 240-line frame
MAX_CAMERA = 46.0  # how far the camera strays along an axis, in pixels of a 240-line frame


@dataclass(frozen=True)
class View:
    """The moving frame through which the world is seen."""

    height: int
    width: int
    unit: float  # pixels per pixel of a 240-line frame
    margin: int  # pixels of the ground beyond the first frame, on each side
    camera: np.ndarray  # [T, 2] offsets (x, y), pixels


@dataclass(frozen=True)
class Scene:
    """Everything that a video shows, before it is rendered.

    The N things are in order the objects, the distractors and the passer-by that the recipe asks for. Only the objects
    are annotated, by numbers from 1.
    """

    recipe: Recipe
    view: View
    ground: np.ndarray  # [H + 2 margin, W + 2 margin, 3] float32
    light: np.ndarray  # [H + 2 margin, W + 2 margin] float32
    gain: np.ndarray  # [T, 3] the light's colour
    occluder: Occluder | None
    sprites: list[Sprite]  # N
    tracks: np.ndarray  # [N, T, 4]: world x, y in pixels, angle in radians, scale
    beats: np.ndarray  # [N, 4] how bodies bend: two wave numbers per body length, two phases
    order: np.ndarray  # [N] the things from the hindmost to the foremost
    noise_seed: int

    @property
    def seen(self) -> np.ndarray:
        """Places in the frame, [N, T, 2] pixels (x, y)."""
        return self.tracks[..., :2] - self.view.camera


def make_scene(split: str, name: str, recipe: Recipe, *, seed: int, frames: int, height: int, width: int) -> Scene:
    """Draw the scene of one sequence; it depends on the arguments alone."""
    looks, moves = random_stream(seed, split, name, "looks"), random_stream(seed, split, name, "moves")
    unit = min(height / 240, width / 400)
    margin = int(np.ceil(MAX_CAMERA * unit)) + 4
    canvas = (height + 2 * margin, width + 2 * margin)
    palette = PALETTES[recipe.palette]

    # The order of these draws decides the videos' bytes.
    ground = GROUNDS[recipe.ground](looks, canvas, palette, unit).astype(np.float32)
    view = View(height, width, unit, margin, camera_path(looks, frames, unit, recipe.shake))
    kinds = [recipe.kinds[i % len(recipe.kinds)] for i in range(recipe.objects)] + [recipe.species] * recipe.distractors
    kinds = [species.camouflaged(palette, recipe.blend) for species in kinds]
    kinds += [recipe.passer] if recipe.passer else []
    sprites = [draw_sprite(species, looks.uniform(*SIZES) * unit, looks) for species in kinds]
    occluder = draw_occluder(looks, recipe.occluder, canvas, unit) if recipe.occluder else None
    tracks = _draw_tracks(moves, recipe, np.array([sprite.size for sprite in sprites]), view, occluder)
    beats = looks.uniform((3, 3, 0, 0), (5, 5, 2 * np.pi, 2 * np.pi), (len(sprites), 4))
    order = looks.permutation(len(sprites))
    light = lighting(looks, canvas, unit)
    noise_seed = int(looks.integers(2**31))
    gain = _gain(frames, recipe.relit)
    return Scene(recipe, view, ground, light, gain, occluder, sprites, tracks, beats, order, noise_seed)


def camera_path(rng: Rng, frames: int, unit: float, shake: bool) -> np.ndarray:
    """Camera offsets [T, 2] in pixels from (0, 0): a gentle pan of up to 1.6 a frame, or a hand-held shake."""
    if shake:
        jitter = rng.normal(0, 1, (frames + 4, 2))
        path = np.stack([np.convolve(jitter[:, axis], (0.3, 0.5, 0.8, 0.5, 0.3), "valid") for axis in (0, 1)], -1)
        return np.clip(path - path[0], -5, 5) * unit
    direction, phase = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
    pace, period = rng.uniform(0.7, 1.6), 90.0
    t = np.arange(frames)
    along = pace * period / (2 * np.pi) * (np.sin(2 * np.pi * t / period + phase) - np.sin(phase))
    return along[:, None] * np.array([np.cos(direction), 0.6 * np.sin(direction)]) * unit


def _gain(frames: int, relit: bool) -> np.ndarray:
    """The light's colour over time, [T, 3] factors: dimmer and warmer in the middle of a relit video."""
    fade = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frames) / frames)
    return 1 - relit * fade[:, None] * np.array([0.3, 0.4, 0.5])


def _draw_tracks(rng: Rng, recipe: Recipe, sizes: np.ndarray, view: View, occluder: Occluder | None) -> np.ndarray:
    """Draw all tracks [N, T, 4] until they keep the recipe's promises; the best of `DRAWS` where none does."""
    best, least = np.empty(0), math.inf
    for _ in range(DRAWS):
        tracks = np.stack([_track(rng, recipe, i, size, view) for i, size in enumerate(sizes.tolist())])
        fault = _fault(recipe, sizes, tracks, view, occluder)
        if fault < least:
            best, least = tracks, fault
        if fault < 0.35:
            break
    return best


def _track(rng: Rng, recipe: Recipe, thing: int, size: float, view: View) -> np.ndarray:
    """A distractor is a mover frozen at one instant, so that its place and pose have a mover's distribution."""
    if thing < recipe.objects:
        return wander(rng, recipe.motion, size, view)
    track = wander(rng, replace(recipe.motion, leaves=False), size, view)
    still = thing < recipe.objects + recipe.distractors
    return np.broadcast_to(track[rng.integers(len(track))], track.shape) if still else track


def wander(rng: Rng, motion: Motion, size: float, view: View) -> np.ndarray:
    """A curved track [T, 4] of a thing of `size` pixels, at nearly constant speed and within the moving view."""
    frames, wide, high = len(view.camera), view.width, view.height
    pace = rng.uniform(*motion.speed) * view.unit
    edge = 0.42 * size  # how near its middle comes to the frame's border
    far = np.array([wide, high]) - edge
    x, y = rng.uniform(np.minimum(edge * 1.35, far), np.maximum(far - 0.35 * edge, edge)).tolist()
    heading, curl = rng.uniform(-np.pi, np.pi), 0.0
    side = rng.choice((-1, 1))
    if motion.leaves:
        x = 0.8 * size if side < 0 else wide - 0.8 * size
        heading = rng.uniform(-0.5, 0.5) + (np.pi if side < 0 else 0.0)
    places, headings = [], []
    for t, (camera_x, camera_y) in enumerate(view.camera.tolist()):
        places.append((x, y))
        headings.append(heading)
        curl = 0.8 * curl + rng.normal(0, 0.06)
        seen_x, seen_y = x - camera_x, y - camera_y
        to_x, to_y = seen_x + 3.2 * pace * math.cos(heading), seen_y + 3.2 * pace * math.sin(heading)
        if motion.leaves and t < 0.3 * frames:
            curl = 0.0
        elif not (edge <= to_x <= wide - edge and edge <= to_y <= high - edge):
            home = math.atan2(high / 2 - seen_y, wide / 2 - seen_x)
            off = (home - heading + math.pi) % (2 * math.pi) - math.pi
            curl = max(-motion.turn, min(motion.turn, off))
        heading += curl
        stride = pace * rng.uniform(0.94, 1.06)
        x, y = x + stride * math.cos(heading), y + stride * math.sin(heading)
    spin = rng.uniform(0, 2 * np.pi) + rng.uniform(-0.09, 0.09) * np.arange(frames)
    swing = np.cos(np.pi * np.arange(frames) / (frames - 1) + (np.pi if rng.random() < 0.5 else 0))
    scale = np.exp(0.5 * math.log(motion.swell) * swing)
    return np.column_stack([places, headings if motion.faces else spin, scale])


def _fault(recipe: Recipe, sizes: np.ndarray, tracks: np.ndarray, view: View, occluder: Occluder | None) -> float:
    """How far a draw is from what the recipe promises: 1 or more for a broken promise, less for crowding."""
    radius = 0.5 * sizes[:, None] * tracks[..., 3]  # [N, T]
    seen = tracks[..., :2] - view.camera  # [N, T, 2]
    outward = np.maximum(-seen, seen - (view.width, view.height)).max(-1)  # [N, T], pixels beyond the frame's border
    objects, still = slice(recipe.objects), slice(recipe.objects, recipe.objects + recipe.distractors)

    i, j = np.tril_indices(len(sizes), -1)
    apart = np.linalg.norm(seen[i] - seen[j], axis=-1) / (radius[i] + radius[j])  # [pairs, T], touching at 1
    overlap = np.clip(1 - apart, 0, 1).sum(0)
    fault = 10 * np.maximum(0, 1.1 - apart[:, 0]).sum()
    fault += 10 * np.clip(outward[:, 0] + 0.9 * radius[:, 0], 0, None).sum() / view.height
    if recipe.distractors:
        fault += (outward[still] > 0).mean()
    if recipe.motion.crosses and overlap.max() <= 0.3:
        fault += 2
    if recipe.motion.leaves:
        gone = (outward[objects] > 1.6 * radius[objects]).sum(-1)
        back = outward[objects, -1] < -0.4 * radius[objects, -1]
        fault += 2 * ((gone < 3) | (gone > 0.4 * len(view.camera))).mean() + 2 * (~back).mean()
    if occluder is not None:
        hidden = _hidden(occluder, tracks[objects, :, :2] + view.margin, radius[objects])
        fault += 10 * max(0, hidden[:, 0].max() - 0.05) + (0 if hidden.max() > 0.3 else 2)
    return fault + (0.9 if recipe.motion.crosses else 3) * overlap.mean()


def _hidden(occluder: Occluder, places: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Share of the discs at canvas `places` [K, T, 2] of `radius` [K, T] that is hidden, [K, T], by 17 points each."""
    turns = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    ring = np.stack([np.cos(turns), np.sin(turns)], -1)
    points = np.concatenate([np.zeros((1, 2)), 0.45 * ring, 0.85 * ring])
    at = (places[..., None, :] + points * radius[..., None, None]).round().astype(int)  # [K, T, 17, 2]
    high, wide = occluder.cover.shape
    return occluder.cover[at[..., 1].clip(0, high - 1), at[..., 0].clip(0, wide - 1)].mean(-1)
