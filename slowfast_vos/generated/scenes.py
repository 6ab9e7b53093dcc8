"""The scene behind each generated video: who stands or moves where, in which light, before anything is rendered."""

from __future__ import annotations

import math

import numpy as np

from slowfast_vos.generated.drawing import PALETTES, Rng, draw_ground, draw_occluder, lighting, random_stream
from slowfast_vos.generated.recipes import Recipe
from slowfast_vos.generated.sprites import draw_sprite

DRAWS = 400  # of the tracks, at most
SIZES = (60.0, 76.0)  # geometric mean of a thing's box sides, pixels of a 240-line frame
MAX_CAMERA = 46.0  # how far the camera strays along an axis, in pixels of a 240-line frame


class Scene:
    """Everything that a video shows, before it is rendered; it depends on the arguments alone.

    World coordinates are the first frame's pixels. The N things are in order the objects, the distractors and the
    passer-by that the recipe asks for. Only the objects are annotated, by numbers from 1.

    Attributes:
        unit: pixels per pixel of a 240-line frame.
        margin: pixels of the ground beyond the first frame, on each side.
        camera: [T, 2] offsets (x, y) of the frame in the world, pixels.
        ground, light: [H + 2 margin, W + 2 margin, 3] colours and [H + 2 margin, W + 2 margin] factors, float32.
        gain: [T, 3] the light's colour over time, factors.
        occluder: see `drawing.Occluder`; None where there is none.
        looks, sprites: of the N things.
        tracks: [N, T, 4] world x, y in pixels, angle in radians, scale.
        seen: [N, T, 2] places in the frame (x, y), pixels.
        beats: [N, 4] how bodies bend: two wave numbers per body length, two phases.
        order: [N] the things from the hindmost to the foremost.
    """

    def __init__(
        self, split: str, name: str, recipe: Recipe, *, seed: int, frames: int, height: int, width: int
    ) -> None:
        rng, moves = random_stream(seed, split, name, "looks"), random_stream(seed, split, name, "moves")
        self.recipe, self.height, self.width = recipe, height, width
        self.unit = unit = min(height / 240, width / 400)
        self.margin = int(np.ceil(MAX_CAMERA * unit)) + 4
        canvas = (height + 2 * self.margin, width + 2 * self.margin)
        fade = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frames) / frames)
        self.gain = 1 - recipe.relit * fade[:, None] * np.array([0.3, 0.4, 0.5])  # dimmer and warmer in the middle
        self.looks = recipe.looks()

        # The order of these draws decides the videos' bytes.
        self.ground = draw_ground(rng, recipe.ground, canvas, PALETTES[recipe.palette], unit).astype(np.float32)
        self.camera = camera_path(rng, frames, unit, recipe.shake)
        self.sprites = [draw_sprite(look, rng.uniform(*SIZES) * unit, rng) for look in self.looks]
        self.occluder = draw_occluder(rng, recipe.occluder, canvas, unit) if recipe.occluder else None
        self.tracks = self._draw_tracks(moves)
        self.seen = self.tracks[..., :2] - self.camera
        self.beats = rng.uniform((3, 3, 0, 0), (5, 5, 2 * np.pi, 2 * np.pi), (len(self.sprites), 4))
        self.order = rng.permutation(len(self.sprites))
        self.light = lighting(rng, canvas, unit)
        self.grain_seed = int(rng.integers(2**31))

    def _draw_tracks(self, rng: Rng) -> np.ndarray:
        """Draw all tracks [N, T, 4] until they keep the recipe's promises; the best of `DRAWS` where none does."""
        best, least = np.empty(0), math.inf
        for _ in range(DRAWS):
            tracks = np.stack([self._track(rng, thing, sprite.size) for thing, sprite in enumerate(self.sprites)])
            fault = self._fault(tracks)
            if fault < least:
                best, least = tracks, fault
            if fault < 0.35:
                break
        return best

    def _track(self, rng: Rng, thing: int, size: float) -> np.ndarray:
        """A curved track [T, 4] of a thing of `size` pixels, at nearly constant speed and within the moving frame.

        A distractor is a mover frozen at one instant, so that its place and pose have a mover's distribution.
        """
        leaves = self.recipe.motion.leaves and thing < self.recipe.objects
        motion, frames, wide, high = self.recipe.motion, len(self.camera), self.width, self.height
        pace = rng.uniform(*motion.speed) * self.unit
        edge = 0.42 * size  # how near its middle comes to the frame's border
        far = np.array([wide, high]) - edge
        x, y = rng.uniform(np.minimum(edge * 1.35, far), np.maximum(far - 0.35 * edge, edge)).tolist()
        heading, curl = rng.uniform(-np.pi, np.pi), 0.0
        side = rng.choice((-1, 1))
        if leaves:
            x = 0.8 * size if side < 0 else wide - 0.8 * size
            heading = rng.uniform(-0.5, 0.5) + (np.pi if side < 0 else 0.0)
        places = []
        for t, (camera_x, camera_y) in enumerate(self.camera.tolist()):
            places.append((x, y, heading))
            curl = 0.8 * curl + rng.normal(0, 0.06)
            seen_x, seen_y = x - camera_x, y - camera_y
            to_x, to_y = seen_x + 3.2 * pace * math.cos(heading), seen_y + 3.2 * pace * math.sin(heading)
            if leaves and t < 0.3 * frames:
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
        track = np.column_stack([places, np.exp(0.5 * math.log(motion.swell) * swing)])
        if not motion.faces:
            track[:, 2] = spin
        still = self.recipe.objects <= thing < self.recipe.objects + self.recipe.distractors
        return np.broadcast_to(track[rng.integers(frames)], track.shape) if still else track

    def _fault(self, tracks: np.ndarray) -> float:
        """How far a draw is from what the recipe promises: 1 or more for a broken promise, less for crowding."""
        recipe, motion = self.recipe, self.recipe.motion
        sizes = np.array([sprite.size for sprite in self.sprites])
        radius = 0.5 * sizes[:, None] * tracks[..., 3]  # [N, T]
        seen = tracks[..., :2] - self.camera  # [N, T, 2]
        outward = np.maximum(-seen, seen - (self.width, self.height)).max(-1)  # [N, T], pixels beyond the border
        objects, still = slice(recipe.objects), slice(recipe.objects, recipe.objects + recipe.distractors)

        i, j = np.tril_indices(len(sizes), -1)
        apart = np.linalg.norm(seen[i] - seen[j], axis=-1) / (radius[i] + radius[j])  # [pairs, T], touching at 1
        overlap = np.clip(1 - apart, 0, 1).sum(0)
        fault = 10 * np.maximum(0, 1.1 - apart[:, 0]).sum()
        fault += 10 * np.clip(outward[:, 0] + 0.9 * radius[:, 0], 0, None).sum() / self.height
        if recipe.distractors:
            fault += (outward[still] > 0).mean()
        if motion.crosses and overlap.max() <= 0.3:
            fault += 2
        if motion.leaves:
            gone = (outward[objects] > 1.6 * radius[objects]).sum(-1)
            back = outward[objects, -1] < -0.4 * radius[objects, -1]
            fault += 2 * ((gone < 3) | (gone > 0.4 * len(self.camera))).mean() + 2 * (~back).mean()
        if self.occluder is not None:
            hidden = self._hidden(tracks[objects, :, :2], radius[objects])
            fault += 10 * max(0, hidden[:, 0].max() - 0.05) + (0 if hidden.max() > 0.3 else 2)
        return fault + (0.9 if motion.crosses else 3) * overlap.mean()

    def _hidden(self, places: np.ndarray, radius: np.ndarray) -> np.ndarray:
        """Share that is hidden of the discs at `places` [K, T, 2] of `radius` [K, T], by 17 points each: [K, T]."""
        turns = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        ring = np.stack([np.cos(turns), np.sin(turns)], -1)
        points = np.concatenate([np.zeros((1, 2)), 0.45 * ring, 0.85 * ring])
        at = ((places + self.margin)[..., None, :] + points * radius[..., None, None]).round().astype(int)
        _, cover, _ = self.occluder
        high, wide = cover.shape
        return cover[at[..., 1].clip(0, high - 1), at[..., 0].clip(0, wide - 1)].mean(-1)


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
