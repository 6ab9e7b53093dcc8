"""What happens in each generated video: recipes, and the scenes drawn from them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from slowfast_vos.videos.synthetic_occluders import Occluder, draw_occluder
from slowfast_vos.videos.synthetic_recipes import Recipe
from slowfast_vos.videos.synthetic_shapes import COMPLEX, Species, Sprite, blend, make_sprite
from slowfast_vos.videos.synthetic_textures import GROUNDS, PALETTES, lighting
from slowfast_vos.videos.synthetic_tracks import MAX_CAMERA, Gait, Track, View, camera_path, wander

ATTEMPTS = 400
SIZES = (60.0, 76.0)  # geometric mean of a thing's box sides, pixels of a 240-line frame

Role = Literal["object", "look-alike", "passer-by"]


@dataclass(frozen=True)
class Actor:
    """One thing in a scene; only an object is annotated, by its `number` from 1."""

    role: Role
    number: int
    species: Species
    sprite: Sprite
    track: Track
    wobble: float  # of the body length
    beat: np.ndarray  # [4]: two wave numbers per body length, two phases


@dataclass(frozen=True)
class Scene:
    """Everything that a video shows, before it is rendered."""

    name: str
    split: str
    recipe: Recipe
    ground: np.ndarray  # [H + 2 margin, W + 2 margin, 3] float32
    light: np.ndarray  # [H + 2 margin, W + 2 margin] float32
    margin: int
    view: View
    gain: np.ndarray  # [T, 3] the light's colour
    actors: tuple[Actor, ...]  # from the hindmost to the foremost
    occluder: Occluder | None
    noise_seed: int = field(repr=False)

    @property
    def frame(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.view.height, self.view.width

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.view.frames

    @property
    def objects(self) -> list[Actor]:
        """The annotated ones, by number."""
        return sorted((actor for actor in self.actors if actor.role == "object"), key=lambda actor: actor.number)

    def seen(self, actor: Actor) -> np.ndarray:
        """Places in the frame, [T, 2] pixels (x, y)."""
        return actor.track.place - self.view.camera


def stream(*identity: object) -> np.random.Generator:
    """A generator seeded by an identity alone, so that no draw elsewhere changes it."""
    digest = hashlib.sha256("/".join(map(str, identity)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def draw_scene(recipe: Recipe, name: str, split: str, seed: int, frames: int, height: int, width: int) -> Scene:
    """Draw the scene of one sequence from its recipe; it depends on the arguments alone."""
    unit = min(height / 240, width / 400)
    rng = stream(seed, split, name, "looks")
    margin = int(np.ceil(MAX_CAMERA * unit)) + 4
    canvas = (height + 2 * margin, width + 2 * margin)
    colours = PALETTES[recipe.ground[1]]
    ground = GROUNDS[recipe.ground[0]](rng, canvas, colours, unit)
    view = View(height, width, camera_path(rng, frames, unit, recipe.shake), unit)
    cast = [_costume(recipe, role, number, rng, unit) for role, number in _roles(recipe)]
    occluder = draw_occluder(rng, recipe.occluder, canvas, unit) if recipe.occluder else None

    moves = stream(seed, split, name, "moves")
    best: tuple[float, list[Track]] | None = None
    for _ in range(ATTEMPTS):
        tracks = [_track(moves, recipe, role, sprite.size, view) for role, _, _, sprite in cast]
        fault = _faults(recipe, cast, tracks, view, occluder, margin)
        if best is None or fault < best[0]:
            best = fault, tracks
        if fault < 0.35:
            break
    assert best is not None
    actors = [
        Actor(role, number, species, sprite, track, recipe.wobble, _beat(rng))
        for (role, number, species, sprite), track in zip(cast, best[1], strict=True)
    ]
    order = rng.permutation(len(actors))
    return Scene(
        name=name,
        split=split,
        recipe=recipe,
        ground=ground.astype(np.float32),
        light=lighting(rng, canvas, unit),
        margin=margin,
        view=view,
        gain=_gain(frames, recipe.relit),
        actors=tuple(actors[i] for i in order),
        occluder=occluder,
        noise_seed=int(rng.integers(2**31)),
    )


Part = tuple[Role, int, Species, Sprite]


def _roles(recipe: Recipe) -> list[tuple[Role, int]]:
    roles: list[tuple[Role, int]] = [("object", number + 1) for number in range(recipe.objects)]
    return roles + [("look-alike", 0)] * recipe.twins + [("passer-by", 0)] * len(recipe.passers)


def _costume(recipe: Recipe, role: Role, number: int, rng: np.random.Generator, unit: float) -> Part:
    species = recipe.passers[0] if role == "passer-by" else recipe.species[max(number - 1, 0) % len(recipe.species)]
    if recipe.camouflage and role != "passer-by":
        hidden = blend(species.colours, list(PALETTES[recipe.ground[1]]), recipe.camouflage)
        species = Species(species.family, species.coat, hidden, species.frequency)
    return role, number, species, make_sprite(species, rng.uniform(*SIZES) * unit, rng)


def _beat(rng: np.random.Generator) -> np.ndarray:
    return np.array([rng.uniform(3, 5), rng.uniform(3, 5), rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)])


def _track(rng: np.random.Generator, recipe: Recipe, role: Role, size: float, view: View) -> Track:
    """A look-alike is a mover frozen at one instant, so that its place and pose have a mover's distribution."""
    gait = recipe.gait
    if role == "object":
        return wander(rng, gait, size, view)
    roaming = Gait(gait.speed, gait.turn, gait.faces, gait.swell)
    track = wander(rng, roaming, size, view)
    return track if role == "passer-by" else track.frozen(int(rng.integers(view.frames)))


def _faults(
    recipe: Recipe,
    cast: list[Part],
    tracks: list[Track],
    view: View,
    occluder: Occluder | None,
    margin: int,
) -> float:
    """How far a draw is from what the recipe promises: 1 or more for a broken promise, less for crowding."""
    size = np.array([sprite.size for *_, sprite in cast])
    radius = np.stack([0.5 * s * track.scale for s, track in zip(size, tracks, strict=True)])  # [N, T]
    seen = np.stack([track.place - view.camera for track in tracks])  # [N, T, 2]
    box = np.array([view.width, view.height])
    outward = np.maximum(-seen, seen - box).max(-1)  # [N, T], pixels beyond the frame's border
    mine = [i for i, part in enumerate(cast) if part[0] == "object"]
    still = [i for i, part in enumerate(cast) if part[0] == "look-alike"]

    overlap = np.zeros(view.frames)
    fault = 0.0
    for i in range(len(cast)):
        for j in range(i):
            apart = np.linalg.norm(seen[i] - seen[j], axis=-1) / (radius[i] + radius[j])
            fault += 10 * max(0.0, 1.1 - float(apart[0]))
            overlap += np.clip(1.0 - apart, 0, 1)
    crowding = float(overlap.mean())
    fault += 10 * float(np.clip(outward[:, 0] + 0.9 * radius[:, 0], 0, None).sum()) / view.height
    fault += float((outward[still] > 0).mean()) if still else 0.0
    if recipe.crossing:
        fault += 0.0 if overlap.max() > 0.3 else 2.0
        crowding *= 0.3
    if recipe.gait.leaves:
        gone = (outward[mine] > 1.6 * radius[mine]).sum(-1)
        back = outward[mine][:, -1] < -0.4 * radius[mine][:, -1]
        fault += 2.0 * float(((gone < 3) | (gone > 0.4 * view.frames)).mean()) + 2.0 * float((~back).mean())
    if occluder is not None:
        hidden = np.array([occluder.share(tracks[i].place, radius[i], margin) for i in mine])
        fault += 10 * max(0.0, float(hidden[:, 0].max()) - 0.05) + (0.0 if hidden.max() > 0.3 else 2.0)
    return fault + 3 * crowding


def _gain(frames: int, relit: bool) -> np.ndarray:
    """The light's colour over time, [T, 3] factors: dimmer and warmer in the middle of a relit video."""
    fade = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frames) / max(frames, 2))
    return 1 - (fade[:, None] * np.array([0.3, 0.4, 0.5]) if relit else np.zeros((frames, 3)))


def declared(scene: Scene) -> set[str]:
    """The attributes that follow from a scene's settings alone, without its pixels."""
    recipe, objects = scene.recipe, scene.objects
    speed = np.mean([np.linalg.norm(np.diff(scene.seen(a), axis=0), axis=1).mean() for a in objects])
    turned = max(float(np.ptp(np.unwrap(a.track.angle))) for a in objects)
    swollen = max(float(a.track.scale.max() / a.track.scale.min()) ** 2 for a in objects)
    rules = {
        "AC": recipe.relit,
        "BC": recipe.camouflage > 0,
        "CS": recipe.shake,
        "DB": bool(recipe.passers),
        "DEF": recipe.wobble >= 0.08,
        "FM": speed > scene.frame[0] / 12,
        "LA": recipe.twins > 0,
        "MB": recipe.blur,
        "ROT": turned > 2 * np.pi / 3,
        "SC": any(a.species.family in COMPLEX for a in objects),
        "SV": swollen >= 2,
    }
    return {name for name, holds in rules.items() if holds}
