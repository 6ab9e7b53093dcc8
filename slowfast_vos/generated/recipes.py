"""The sequences of the generated dataset, by name: which object, on which ground, moving how."""

from __future__ import annotations

from dataclasses import dataclass, replace

from slowfast_vos.generated.drawing import random_stream
from slowfast_vos.generated.sprites import Species


@dataclass(frozen=True)
class Motion:
    """How objects move; lengths in pixels of a 240-line frame."""

    speed: tuple[float, float] = (13.0, 17.0)  # pixels per frame
    turn: float = 0.6  # sharpest turn, radians per frame
    faces: bool = True  # the head points where it goes; otherwise it spins slowly
    swell: float = 1.0  # largest over smallest scale
    leaves: bool = False  # goes out of the frame and comes back
    crosses: bool = False  # one object passes in front of another


WALK = Motion()
CROSS = Motion(crosses=True)
APPROACH = Motion(swell=2.1)
LEAVE = Motion(speed=(14.0, 17.0), leaves=True)
SPIN = Motion(faces=False)
DRIFT = Motion(speed=(12.0, 17.0), faces=False)
DART = Motion(speed=(22.0, 26.0), turn=0.55, faces=False)


@dataclass(frozen=True)
class Recipe:
    """The settings of one sequence; its chance events come from its seed."""

    species: Species  # of the objects and of their distractors
    ground: str  # see drawing.GROUNDS
    palette: str  # see drawing.PALETTES
    motion: Motion
    second: Species | None = None  # of every second object
    objects: int = 1
    distractors: int = 0  # look-alikes that stand still
    passer: Species | None = None  # a passer-by that moves, looks different and is not annotated
    wobble: float = 0.04  # how far bodies bend, of their length
    occluder: str = ""  # "pole" or "reeds"
    blend: float = 0.0  # how far the colours are moved to the ground's: camouflage
    shake: bool = False  # a hand-held camera instead of a slow pan
    relit: bool = False  # the light fades and returns
    blur: bool = False  # motion blur

    @property
    def kinds(self) -> tuple[Species, ...]:
        """The species of the objects in turn."""
        return (self.species, self.second) if self.second else (self.species,)


STARFISH = Species("star", "spots", 3.4, "96461e f4be46 c87828")
TURTLE = Species("turtle", "scales", 3.2, "283c28 6e965a 5a7850")
CRAB = Species("beetle", "marble", 2.6, "78281e dc6e46 aa4632")
SLUG = Species("blob", "rings", 2.6, "5a1e28 e6966e 5a1e28")

TRAIN = {
    "beetle-among-twins": Recipe(
        Species("beetle", "spots", 3.2, "221618 c42c24 282022"), "soil", "moss", WALK, distractors=2
    ),
    "koi-in-the-pond": Recipe(
        Species("fish", "marble", 2.6, "f2ecde e86424 f0be96"), "water", "lagoon", WALK, distractors=3
    ),
    "stone-that-rolls": Recipe(
        Species("pebble", "marble", 3.4, "3a4868 889eba 5a5a5a"), "ripples", "sand", SPIN, distractors=2, shake=True
    ),
    "leaves-two-blown": Recipe(
        Species("leaf", "stripes", 2.0, "2c5c28 7ab03c 465028"), "planks", "timber", DRIFT, objects=2, distractors=2
    ),
    "starfish-behind-pole": Recipe(
        Species("star", "rings", 3.2, "fad2aa e25c54 c85046"), "pebbles", "slate", SPIN, distractors=2, occluder="pole"
    ),
    "amoeba-that-wobbles": Recipe(
        Species("blob", "spots", 3.0, "5c2c80 ce9edc 785096"), "tiles", "terrazzo", SPIN, distractors=2, wobble=0.1
    ),
    "turtle-near-and-far": Recipe(
        Species("turtle", "scales", 3.2, "42381e 968c3e 687846"), "ripples", "lagoon", APPROACH, distractors=2
    ),
    "beetle-low-contrast": Recipe(
        Species("beetle", "bands", 3.0, "3c281e aa6e32 463224"), "litter", "autumn", WALK, distractors=2, blend=0.55
    ),
    "koi-three-cross": Recipe(
        Species("fish", "bands", 2.6, "282c46 e2d696 dcbe6e"),
        "water",
        "deep",
        CROSS,
        objects=3,
        distractors=1,
        shake=True,
    ),
    "puck-that-darts": Recipe(
        Species("pebble", "bands", 2.6, "f0ece6 2854aa 28283c"), "tiles", "heather", DART, blur=True
    ),
    "turtle-leaves-and-returns": Recipe(
        Species("turtle", "rings", 3.0, "48301e be8246 78603c"), "soil", "sand", LEAVE, distractors=2
    ),
    "two-kinds-at-dusk": Recipe(
        Species("blob", "stripes", 3.0, "1e3c3c 5ab4a0 3c786e"),
        "grass",
        "meadow",
        SPIN,
        second=STARFISH,
        objects=2,
        relit=True,
    ),
}

VAL = {
    "moth-among-twins": Recipe(
        Species("moth", "scales", 2.4, "462820 de9646 3c2e2c"), "planks", "driftwood", WALK, distractors=2
    ),
    "koi-behind-reeds": Recipe(
        Species("fish", "spots", 2.6, "1e1e24 eeca5c dcb45a"), "water", "deep", WALK, distractors=2, occluder="reeds"
    ),
    "beetle-near-and-far": Recipe(
        Species("beetle", "stripes", 3.2, "103c42 3caa96 1e2c30"), "grass", "meadow", APPROACH, distractors=2
    ),
    "leaf-in-the-litter": Recipe(
        Species("leaf", "marble", 3.0, "783c1e c88c3c 5a3c1e"), "litter", "autumn", SPIN, distractors=3, blend=0.5
    ),
    "ray-leaves-and-returns": Recipe(
        Species("ray", "spots", 3.6, "e2e2d6 465c76 3c4c60"), "ripples", "sand", LEAVE, distractors=2
    ),
    "jelly-that-pulses": Recipe(
        Species("jelly", "stripes", 3.0, "fae2f0 de78b2 f0b0d2"),
        "soil",
        "deep",
        WALK,
        distractors=2,
        passer=TURTLE,
        wobble=0.1,
    ),
    "disc-darts-past-crab": Recipe(
        Species("pebble", "rings", 3.0, "fadc3c 288250 28283c"), "soil", "snow", DART, passer=CRAB, blur=True
    ),
    "starfish-in-fading-light": Recipe(
        Species("star", "scales", 3.6, "3c2864 9678c8 5a4696"),
        "pebbles",
        "shingle",
        SPIN,
        passer=SLUG,
        relit=True,
        shake=True,
    ),
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
    coats = [species for recipe in known for species in recipe.kinds]
    kinds = [replace(coats[rng.integers(len(coats))], family=own.family) for own in base.kinds]
    other = known[rng.integers(len(known))]
    recipe = replace(base, species=kinds[0], second=kinds[1] if base.second else None)
    name = f"{base.species.family}-on-{other.ground}-{index:02d}"
    return name, replace(recipe, ground=other.ground, palette=other.palette)
