"""The authors' numbers, DAVIS 2016 validation at 480p: the only figures in this package that are typed in.

They come from the authors' final report: one seed, the GPU not recorded, every frame scored, checkpoints and
hyper-parameters chosen on the validation set. The time is the wall clock of loading, inference, pasting masks,
writing PNGs and computing J&F, without warm-up. GPU memory was never reported.
"""

from __future__ import annotations

from typing import NamedTuple

SEQUENCES = 20
FRAMES = 1376


class Published(NamedTuple):
    """The authors' results of one setup."""

    unsupervised: float
    semi_supervised: float
    parameters: int
    seconds: int


SETUPS = {
    "1-1": Published(0.645, 0.747, 45_421_851, 477),
    "3-3": Published(0.679, 0.747, 46_398_747, 544),
    "7-7": Published(0.673, 0.755, 48_407_835, 853),
    "1-7": Published(0.655, 0.741, 45_618_459, 528),
    "3-7": Published(0.676, 0.758, 46_570_779, 584),
}

# Unsupervised J and F of each sequence, of setups 1-1 and 3-7; published for these two alone.
_SEQUENCES = """
blackswan           0.344 0.524  0.380 0.582
bmx-trees           0.339 0.583  0.412 0.644
breakdance          0.286 0.306  0.268 0.293
camel               0.769 0.808  0.774 0.822
car-roundabout      0.728 0.704  0.726 0.702
car-shadow          0.910 0.942  0.908 0.940
cows                0.893 0.897  0.894 0.921
dance-twirl         0.519 0.568  0.577 0.599
dog                 0.806 0.780  0.827 0.814
drift-chicane       0.666 0.696  0.774 0.846
drift-straight      0.871 0.804  0.878 0.816
goat                0.851 0.809  0.865 0.879
horsejump-high      0.791 0.863  0.800 0.873
kite-surf           0.539 0.383  0.574 0.429
libby               0.695 0.827  0.690 0.842
motocross-jump      0.460 0.462  0.551 0.535
paragliding-launch  0.588 0.192  0.592 0.209
parkour             0.802 0.837  0.870 0.927
scooter-black       0.565 0.577  0.571 0.593
soapbox             0.357 0.459  0.377 0.470
"""
PER_SEQUENCE: dict[str, dict[str, tuple[float, float]]] = {
    setup: {
        name: (float(figures[at]), float(figures[at + 1]))
        for name, *figures in map(str.split, _SEQUENCES.strip().splitlines())
    }
    for setup, at in (("1-1", 0), ("3-7", 2))
}
