"""The sequences of the generated dataset, by name: which object, on which ground, moving how."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from slowfast_vos.generated.drawing import PALETTES, ramp, random_stream, rgb


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
