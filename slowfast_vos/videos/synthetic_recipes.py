"""The sequences of the generated dataset, by name: who, on which ground, doing what."""

from __future__ import annotations

from dataclasses import dataclass, field

from slowfast_vos.videos.synthetic_shapes import Species
from slowfast_vos.videos.synthetic_tracks import Gait


@dataclass(frozen=True)
class Recipe:
    """The settings of one sequence; its chance events come from its seed."""

    species: tuple[Species, ...]  # of the objects in turn; look-alikes are of the first
    ground: tuple[str, str]  # texture, palette
    objects: int = 1
    twins: int = 0  # look-alikes that stand still
    passers: tuple[Species, ...] = ()  # others that move and are not annotated
    gait: Gait = field(default_factory=Gait)
    wobble: float = 0.04  # of the body length
    occluder: str = ""
    camouflage: float = 0.0  # how far the colours are moved to the ground's
    shake: bool = False
    relit: bool = False
    blur: bool = False
    crossing: bool = False


SPINS = Gait(faces=False)

TRAIN: dict[str, Recipe] = {
    "beetle-among-twins": Recipe(
        (Species("beetle", "spots", ((34, 22, 24), (196, 44, 36), (40, 32, 34)), 3.2),), ("soil", "moss"), twins=2
    ),
    "koi-in-the-pond": Recipe(
        (Species("fish", "marble", ((242, 236, 222), (232, 100, 36), (240, 190, 150)), 2.6),),
        ("water", "lagoon"),
        twins=3,
    ),
    "stone-that-rolls": Recipe(
        (Species("pebble", "marble", ((58, 72, 104), (136, 158, 186), (90, 90, 90)), 3.4),),
        ("ripples", "sand"),
        twins=2,
        gait=SPINS,
        shake=True,
    ),
    "leaves-two-blown": Recipe(
        (Species("leaf", "stripes", ((44, 92, 40), (122, 176, 60), (70, 80, 40)), 2.0),),
        ("planks", "timber"),
        objects=2,
        twins=2,
        gait=Gait(faces=False, speed=(12.0, 17.0)),
    ),
    "starfish-behind-pole": Recipe(
        (Species("star", "rings", ((250, 210, 170), (226, 92, 84), (200, 80, 70)), 3.2),),
        ("pebbles", "slate"),
        twins=2,
        gait=SPINS,
        occluder="pole",
    ),
    "amoeba-that-wobbles": Recipe(
        (Species("blob", "spots", ((92, 44, 128), (206, 158, 220), (120, 80, 150)), 3.0),),
        ("tiles", "terrazzo"),
        twins=2,
        gait=SPINS,
        wobble=0.1,
    ),
    "turtle-near-and-far": Recipe(
        (Species("turtle", "scales", ((66, 56, 30), (150, 140, 62), (104, 120, 70)), 3.2),),
        ("ripples", "lagoon"),
        twins=2,
        gait=Gait(swell=2.1),
    ),
    "beetle-low-contrast": Recipe(
        (Species("beetle", "bands", ((60, 40, 30), (170, 110, 50), (70, 50, 36)), 3.0),),
        ("litter", "autumn"),
        twins=2,
        camouflage=0.55,
    ),
    "koi-three-cross": Recipe(
        (Species("fish", "bands", ((40, 44, 70), (226, 214, 150), (220, 190, 110)), 2.6),),
        ("water", "deep"),
        objects=3,
        twins=1,
        crossing=True,
        shake=True,
    ),
    "puck-that-darts": Recipe(
        (Species("pebble", "bands", ((240, 236, 230), (40, 84, 170), (40, 40, 60)), 2.6),),
        ("tiles", "heather"),
        gait=Gait(speed=(22, 26), turn=0.55, faces=False),
        blur=True,
    ),
    "turtle-leaves-and-returns": Recipe(
        (Species("turtle", "rings", ((72, 48, 30), (190, 130, 70), (120, 96, 60)), 3.0),),
        ("soil", "sand"),
        twins=2,
        gait=Gait(speed=(14.0, 17.0), turn=0.6, leaves=True),
    ),
    "two-kinds-at-dusk": Recipe(
        (
            Species("blob", "stripes", ((30, 60, 60), (90, 180, 160), (60, 120, 110)), 3.0),
            Species("star", "spots", ((150, 70, 30), (244, 190, 70), (200, 120, 40)), 3.4),
        ),
        ("grass", "meadow"),
        objects=2,
        gait=SPINS,
        relit=True,
    ),
}

VAL: dict[str, Recipe] = {
    "moth-among-twins": Recipe(
        (Species("moth", "scales", ((70, 40, 32), (222, 150, 70), (60, 46, 44)), 2.4),),
        ("planks", "driftwood"),
        twins=2,
    ),
    "koi-behind-reeds": Recipe(
        (Species("fish", "spots", ((30, 30, 36), (238, 202, 92), (220, 180, 90)), 2.6),),
        ("water", "deep"),
        twins=2,
        occluder="reeds",
    ),
    "beetle-near-and-far": Recipe(
        (Species("beetle", "stripes", ((16, 60, 66), (60, 170, 150), (30, 44, 48)), 3.2),),
        ("grass", "meadow"),
        twins=2,
        gait=Gait(swell=2.1),
    ),
    "leaf-in-the-litter": Recipe(
        (Species("leaf", "marble", ((120, 60, 30), (200, 140, 60), (90, 60, 30)), 3.0),),
        ("litter", "autumn"),
        twins=3,
        gait=SPINS,
        camouflage=0.5,
    ),
    "ray-leaves-and-returns": Recipe(
        (Species("ray", "spots", ((226, 226, 214), (70, 92, 118), (60, 76, 96)), 3.6),),
        ("ripples", "sand"),
        twins=2,
        gait=Gait(speed=(14.0, 17.0), turn=0.6, leaves=True),
    ),
    "jelly-that-pulses": Recipe(
        (Species("jelly", "stripes", ((250, 226, 240), (222, 120, 178), (240, 176, 210)), 3.0),),
        ("soil", "deep"),
        twins=2,
        passers=(Species("turtle", "scales", ((40, 60, 40), (110, 150, 90), (90, 120, 80)), 3.2),),
        wobble=0.1,
    ),
    "disc-darts-past-crab": Recipe(
        (Species("pebble", "rings", ((250, 220, 60), (40, 130, 80), (40, 40, 60)), 3.0),),
        ("soil", "snow"),
        passers=(Species("beetle", "marble", ((120, 40, 30), (220, 110, 70), (170, 70, 50)), 2.6),),
        gait=Gait(speed=(22, 26), turn=0.55, faces=False),
        blur=True,
    ),
    "starfish-in-fading-light": Recipe(
        (Species("star", "scales", ((60, 40, 100), (150, 120, 200), (90, 70, 150)), 3.6),),
        ("pebbles", "shingle"),
        passers=(Species("blob", "rings", ((90, 30, 40), (230, 150, 110), (90, 30, 40)), 2.6),),
        gait=SPINS,
        relit=True,
        shake=True,
    ),
}
