"""The scenes of the generated videos: recipes by name, and who stands or moves where, before anything is rendered."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from slowfast_vos.generated.drawing import PALETTES, Rng, draw_ground, draw_occluder, lighting, ramp, random_stream, rgb
from slowfast_vos.generated.sprites import draw_sprite

DRAWS = 400  # of the tracks, at most
SIZES = (60.0, 76.0)  # geometric mean of a thing's box sides, pixels of a 240-line frame
MAX_CAMERA = 46.0  # how far the camera strays along an axis, in pixels of a 240-line frame


@dataclass(frozen=True)
class Motion:
    """How objects move; lengths in pixels of a 240-line frame."""

    speed: tuple[float, float] = (13.0, 17.0)  # pixels per frame
    turn: float = 0.6  # sharpest turn, radians per frame
    faces: bool = True  # the head points where it goes; otherwise it spins slowly
    swell: float = 1.0  # largest over smallest scale
    leaves: bool = False  # goes out of the frame and comes back
    crosses: bool = False  # one object passes in front of another
    steps: int = 1  # frames of going before each rest
    rests: int = 0  # frames of standing still between them


WALK = Motion()
CROSS = Motion(crosses=True)
APPROACH = Motion(swell=2.1)
LEAVE = Motion(speed=(14.0, 17.0), leaves=True)
SPIN = Motion(faces=False)
DRIFT = Motion(speed=(12.0, 17.0), faces=False)
DART = Motion(speed=(22.0, 26.0), turn=0.55, faces=False)
# What three adjacent frames often do not show, and seven do.
PAUSE = Motion(steps=3, rests=5)
JERK = Motion(speed=(24.0, 30.0), rests=3)
CREEP = Motion(speed=(3.2, 4.4), turn=0.3)


@dataclass(frozen=True)
class Recipe:
    """The settings of one sequence; its chance events come from its seed."""

    look: str  # of the objects and of their distractors, see sprites.py; a second one after a slash is every second's
    ground: str  # see drawing.draw_ground
    palette: str  # see drawing.PALETTES
    motion: Motion
    objects: int = 1
    distractors: int = 2  # look-alikes that stand still
    passer: str = ""  # the look of a passer-by that moves and is not annotated
    wobble: float = 0.04  # how far bodies bend, of their length
    occluder: str = ""  # "pole" or "reeds"
    blend: float = 0.0  # how far the colours are moved to the ground's: camouflage
    shake: bool = False  # a hand-held camera instead of a slow pan
    relit: bool = False  # the light fades and returns
    blur: bool = False  # motion blur

    def looks(self) -> list[str]:
        """The looks of the objects, the distractors and the passer-by, in this order."""
        own = self.look.split(" / ")
        looks = []
        for look in [own[i % len(own)] for i in range(self.objects)] + own[:1] * self.distractors:
            *words, mark, main, limb = look.split()
            ground = ramp(np.array([0.15, 0.6, 0.3]), PALETTES[self.palette]) * 255
            mixed = rgb(mark + main + limb) * (1 - self.blend) + ground * self.blend
            looks.append(" ".join([*words, mixed.astype(np.uint8).tobytes().hex(" ", 3)]))
        return [*looks, self.passer] if self.passer else looks


BLOB_AND_STAR = "blob stripes 3.0 1e3c3c 5ab4a0 3c786e / star spots 3.4 96461e f4be46 c87828"
INDIGO_STAR = "star scales 3.6 3c2864 9678c8 5a4696"
TURTLE = "turtle scales 3.2 283c28 6e965a 5a7850"
CRAB = "beetle marble 2.6 78281e dc6e46 aa4632"
SLUG = "blob rings 2.6 5a1e28 e6966e 5a1e28"

TRAIN = {
    "beetle-among-twins": Recipe("beetle spots 3.2 221618 c42c24 282022", "soil", "moss", WALK),
    "koi-in-the-pond": Recipe("fish marble 2.6 f2ecde e86424 f0be96", "water", "lagoon", WALK, distractors=3),
    "stone-that-rolls": Recipe("pebble marble 3.4 3a4868 889eba 5a5a5a", "ripples", "sand", SPIN, shake=True),
    "leaves-two-blown": Recipe("leaf stripes 2.0 2c5c28 7ab03c 465028", "planks", "timber", DRIFT, objects=2),
    "starfish-behind-pole": Recipe("star rings 3.2 fad2aa e25c54 c85046", "pebbles", "slate", SPIN, occluder="pole"),
    "amoeba-that-wobbles": Recipe("blob spots 3.0 5c2c80 ce9edc 785096", "tiles", "terrazzo", SPIN, wobble=0.1),
    "turtle-near-and-far": Recipe("turtle scales 3.2 42381e 968c3e 687846", "ripples", "lagoon", APPROACH),
    "beetle-low-contrast": Recipe("beetle bands 3.0 3c281e aa6e32 463224", "litter", "autumn", WALK, blend=0.55),
    "koi-three-cross": Recipe(
        "fish bands 2.6 282c46 e2d696 dcbe6e", "water", "deep", CROSS, objects=3, distractors=1, shake=True
    ),
    "puck-that-darts": Recipe(
        "pebble bands 2.6 f0ece6 2854aa 28283c", "tiles", "heather", DART, distractors=0, blur=True
    ),
    "turtle-leaves-and-returns": Recipe("turtle rings 3.0 48301e be8246 78603c", "soil", "sand", LEAVE),
    "two-kinds-at-dusk": Recipe(BLOB_AND_STAR, "grass", "meadow", SPIN, objects=2, distractors=0, relit=True),
    "beetle-stops-and-goes": Recipe("beetle rings 3.0 2a2436 8a5ab4 2c2030", "planks", "heather", PAUSE),
    "koi-in-jerks": Recipe("fish spots 2.8 283246 c8d2dc 8c96aa", "water", "lagoon", JERK, distractors=3),
    "turtle-that-creeps": Recipe("turtle marble 3.0 3c2c1e a08250 64503c", "pebbles", "shingle", CREEP),
    "moth-stops-and-goes": Recipe("moth stripes 2.6 5a3214 e6b478 463220", "litter", "driftwood", PAUSE),
}

VAL = {
    "moth-among-twins": Recipe("moth scales 2.4 462820 de9646 3c2e2c", "planks", "driftwood", WALK),
    "koi-behind-reeds": Recipe("fish spots 2.6 1e1e24 eeca5c dcb45a", "water", "deep", WALK, occluder="reeds"),
    "beetle-near-and-far": Recipe("beetle stripes 3.2 103c42 3caa96 1e2c30", "grass", "meadow", APPROACH),
    "leaf-in-the-litter": Recipe(
        "leaf marble 3.0 783c1e c88c3c 5a3c1e", "litter", "autumn", SPIN, distractors=3, blend=0.5
    ),
    "ray-leaves-and-returns": Recipe("ray spots 3.6 e2e2d6 465c76 3c4c60", "ripples", "sand", LEAVE),
    "jelly-that-pulses": Recipe(
        "jelly stripes 3.0 fae2f0 de78b2 f0b0d2", "soil", "deep", WALK, passer=TURTLE, wobble=0.1
    ),
    "disc-darts-past-crab": Recipe(
        "pebble rings 3.0 fadc3c 288250 28283c", "soil", "snow", DART, distractors=0, passer=CRAB, blur=True
    ),
    "starfish-in-fading-light": Recipe(
        INDIGO_STAR, "pebbles", "shingle", SPIN, distractors=0, passer=SLUG, relit=True, shake=True
    ),
    "turtle-stops-and-goes": Recipe("turtle bands 3.0 1e3228 5aa078 3c6e50", "grass", "moss", PAUSE),
    "beetle-in-jerks": Recipe("beetle marble 2.8 501e14 e6a03c 3c2820", "tiles", "terrazzo", JERK, distractors=3),
    "ray-alone": Recipe("ray rings 3.2 3c5064 b4c8d2 506478", "ripples", "lagoon", WALK, distractors=0),
    "leaf-past-snail": Recipe(
        "leaf bands 2.6 6e2814 dc7832 5a3220", "soil", "autumn", DRIFT, distractors=0, passer=SLUG
    ),
    "moth-in-the-heather": Recipe("moth rings 2.6 3c283c c896c8 503c50", "grass", "heather", WALK, distractors=0),
    "stone-in-shaky-hands": Recipe(
        "pebble spots 3.0 2c3c50 a0b4c8 3c4650", "pebbles", "slate", SPIN, distractors=0, shake=True
    ),
    "koi-past-turtle": Recipe(
        "fish stripes 2.8 a0321e fae6c8 dc8c50", "water", "deep", APPROACH, distractors=0, passer=TURTLE
    ),
    "amoeba-at-dusk": Recipe(
        "blob scales 3.0 28503c 8cd2aa 468264", "litter", "timber", SPIN, distractors=0, wobble=0.1, relit=True
    ),
    "moth-that-creeps": Recipe("moth marble 2.6 3c3c28 c8c88c 505032", "soil", "sand", CREEP),
    "koi-stops-and-goes": Recipe("fish rings 2.6 1e2850 8cb4e6 5078b4", "water", "lagoon", PAUSE, distractors=3),
    "ray-in-jerks": Recipe("ray marble 3.4 503c28 d2b48c 78643c", "ripples", "shingle", JERK),
    "beetle-that-creeps": Recipe("beetle spots 3.0 143228 46c8a0 1e3c32", "tiles", "snow", CREEP),
}


def sequences(split: str, count: int) -> dict[str, Recipe]:
    """The first `count` sequences of `train` or `val` by name; those beyond the recipes are variations, numbered."""
    known = TRAIN if split == "train" else VAL
    more = [_variation(split, list(known.values()), index) for index in range(len(known), count)]
    return dict([*known.items(), *more][:count])


def sequence_names(split: str, count: int) -> list[str]:
    """The names of the first `count` sequences of `train` or `val`."""
    return list(sequences(split, count))


def _variation(split: str, known: list[Recipe], index: int) -> tuple[str, Recipe]:
    """One of the recipes with the coats and the ground of others, named after its object and its ground."""
    rng = random_stream("extra", split, index)
    base = known[index % len(known)]
    coats = [look.partition(" ")[2] for recipe in known for look in recipe.look.split(" / ")]
    families = [look.partition(" ")[0] for look in base.look.split(" / ")]
    look = " / ".join(f"{family} {coats[rng.integers(len(coats))]}" for family in families)
    other = known[rng.integers(len(known))]
    recipe = replace(base, look=look, ground=other.ground, palette=other.palette)
    return f"{families[0]}-on-{other.ground}-{index:02d}", recipe


class Scene:
    """Everything that a video shows, before it is rendered; it depends on the arguments alone.

    World coordinates are the first frame's pixels. The N things are in order the objects, the distractors and the
    passer-by that the recipe asks for. Only the objects are annotated, by numbers from 1.
    """

    def __init__(
        self, split: str, name: str, recipe: Recipe, *, seed: int, frames: int, height: int, width: int
    ) -> None:
        rng, moves = random_stream(seed, split, name, "looks"), random_stream(seed, split, name, "moves")
        self.recipe, self.height, self.width = recipe, height, width
        self.unit = unit = min(height / 240, width / 400)  # pixels per pixel of a 240-line frame
        self.margin = int(np.ceil(MAX_CAMERA * unit)) + 4  # pixels of the ground beyond the first frame, on each side
        canvas = (height + 2 * self.margin, width + 2 * self.margin)
        fade = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frames) / frames)
        # [T, 3] the light's colour over time, factors: dimmer and warmer in the middle
        self.gain = 1 - recipe.relit * fade[:, None] * np.array([0.3, 0.4, 0.5])
        self.looks = recipe.looks()

        # The order of these draws decides the videos' bytes.
        ground = draw_ground(rng, recipe.ground, canvas, PALETTES[recipe.palette], unit)
        self.ground = ground.astype(np.float32)  # [H + 2 margin, W + 2 margin, 3]
        self.camera = camera_path(rng, frames, unit, recipe.shake)  # [T, 2] the frame's place in the world, pixels
        self.sprites = [draw_sprite(look, rng.uniform(*SIZES) * unit, rng) for look in self.looks]
        self.occluder = draw_occluder(rng, recipe.occluder, canvas, unit) if recipe.occluder else None
        self.tracks = self._draw_tracks(moves)  # [N, T, 4] world x, y in pixels, angle in radians, scale
        self.seen = self.tracks[..., :2] - self.camera  # [N, T, 2] places in the frame (x, y), pixels
        # [N, 4] how bodies bend: two wave numbers per body length, two phases
        self.beats = rng.uniform((3, 3, 0, 0), (5, 5, 2 * np.pi, 2 * np.pi), (len(self.sprites), 4))
        self.order = rng.permutation(len(self.sprites))  # [N] from the hindmost to the foremost
        self.light = lighting(rng, canvas, unit)  # [H + 2 margin, W + 2 margin] factors
        self.grain_seed = int(rng.integers(2**31))

    def _draw_tracks(self, rng: Rng) -> np.ndarray:
        """Draw all tracks [N, T, 4] until they keep the recipe's promises; the best of `DRAWS` where none does."""
        drawn = []
        for _ in range(DRAWS):
            tracks = np.stack([self._track(rng, thing, sprite.size) for thing, sprite in enumerate(self.sprites)])
            drawn.append((self._fault(tracks), tracks))
            if drawn[-1][0] < 0.35:
                break
        return min(drawn, key=lambda one: one[0])[1]

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
        if motion.rests:
            goes = (np.arange(frames) + rng.integers(8)) % (motion.steps + motion.rests) < motion.steps
            track = track[np.cumsum(goes) - goes[0]]
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
