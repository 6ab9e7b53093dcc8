"""Where things are in the generated videos: the camera's path and the paths of those that move.

World coordinates are the first frame's pixels; a thing at world point p is seen at p - camera[t].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

MAX_CAMERA = 46.0  # how far the camera strays along an axis, in pixels of a 240-line frame


@dataclass(frozen=True)
class Track:
    """Pose of one thing in every frame."""

    place: np.ndarray  # [T, 2] world (x, y), pixels
    angle: np.ndarray  # [T] radians
    scale: np.ndarray  # [T]

    @property
    def steps(self) -> np.ndarray:
        """Movement relative to the ground from each frame to the next, [T - 1] pixels."""
        return np.linalg.norm(np.diff(self.place, axis=0), axis=1)

    def frozen(self, t: int) -> Track:
        """The same thing standing still in its pose of frame `t`."""
        frames = len(self.angle)
        return Track(
            np.repeat(self.place[t : t + 1], frames, 0),
            np.repeat(self.angle[t], frames),
            np.repeat(self.scale[t], frames),
        )


@dataclass(frozen=True)
class Gait:
    """How the things of a scene move; lengths in pixels of a 240-line frame, per frame where they are speeds."""

    speed: tuple[float, float] = (13.0, 17.0)
    turn: float = 0.6  # sharpest turn, radians per frame
    faces: bool = True  # the head points where it goes; otherwise it spins slowly
    swell: float = 1.0  # largest over smallest scale
    leaves: bool = False  # goes out of the frame and comes back


@dataclass(frozen=True)
class View:
    """The moving frame through which the world is seen."""

    height: int
    width: int
    camera: np.ndarray  # [T, 2] offsets, pixels
    unit: float  # pixels per pixel of a 240-line frame

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.camera)


def camera_path(rng: np.random.Generator, frames: int, unit: float, shake: bool) -> np.ndarray:
    """Camera offsets [T, 2] in pixels from (0, 0): a gentle pan of up to 1.6 a frame, or a hand-held shake."""
    t = np.arange(frames)
    if shake:
        jitter = rng.normal(0, 1, (frames + 4, 2))
        path = np.stack([np.convolve(jitter[:, axis], (0.3, 0.5, 0.8, 0.5, 0.3), "valid") for axis in (0, 1)], -1)
        return np.clip(path - path[0], -5, 5) * unit
    direction, phase = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
    pace, period = rng.uniform(0.7, 1.6), 90.0
    along = pace * period / (2 * np.pi) * (np.sin(2 * np.pi * t / period + phase) - np.sin(phase))
    return along[:, None] * np.array([np.cos(direction), 0.6 * np.sin(direction)]) * unit


def wander(rng: np.random.Generator, gait: Gait, size: float, view: View) -> Track:
    """A curved path of a thing of `size` pixels at nearly constant speed, which keeps within the moving view."""
    frames, camera, unit, frame = view.frames, view.camera, view.unit, (view.height, view.width)
    pace = rng.uniform(*gait.speed) * unit
    low = np.array([0.42, 0.42]) * size
    high = np.array([frame[1], frame[0]]) - low
    place = rng.uniform(np.minimum(low * 1.35, high), np.maximum(high - 0.35 * low, low))
    heading, curl = rng.uniform(-np.pi, np.pi), 0.0
    side = rng.choice((-1, 1))
    if gait.leaves:
        place[0] = 0.8 * size if side < 0 else frame[1] - 0.8 * size
        heading = rng.uniform(-0.5, 0.5) + (np.pi if side < 0 else 0.0)
    x, y = (float(v) for v in place)
    places, headings = [], []
    for t in range(frames):
        places.append((x, y))
        headings.append(heading)
        curl = 0.8 * curl + rng.normal(0, 0.06)
        ahead = 3.2 * pace
        seen_x, seen_y = x - camera[t, 0], y - camera[t, 1]
        to_x, to_y = seen_x + ahead * math.cos(heading), seen_y + ahead * math.sin(heading)
        inside = low[0] <= to_x <= high[0] and low[1] <= to_y <= high[1]
        if gait.leaves and t < 0.3 * frames:
            curl = 0.0
        elif not inside:
            home = math.atan2(frame[0] / 2 - seen_y, frame[1] / 2 - seen_x)
            off = (home - heading + math.pi) % (2 * math.pi) - math.pi
            curl = max(-gait.turn, min(gait.turn, off))
        heading += curl
        stride = pace * rng.uniform(0.94, 1.06)
        x, y = x + stride * math.cos(heading), y + stride * math.sin(heading)
    spin = rng.uniform(0, 2 * np.pi) + rng.uniform(-0.09, 0.09) * np.arange(frames)
    swing = np.cos(np.pi * np.arange(frames) / max(frames - 1, 1) + (np.pi if rng.random() < 0.5 else 0))
    scale = np.exp(0.5 * math.log(gait.swell) * swing)
    return Track(np.array(places), np.array(headings) if gait.faces else spin, scale)
