"""The official archives of DAVIS: where they are, how they are recognised, and what their trees hold."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from slowfast_vos.errors import UserError
from slowfast_vos.files import write_text

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Archive:
    """An official archive of DAVIS."""

    year: int
    resolutions: tuple[str, ...]  # folders below JPEGImages
    url: str
    splits: dict[str, int]  # sequences of each split
    size: int | None  # bytes, where they are known
    checksum: tuple[str, str]  # algorithm and digest
    source: str  # who states size and checksum


# DAVIS states no checksum of the 2017 archives; TensorFlow Datasets recorded these, and others the same ones.
ARCHIVES = (
    Archive(
        2017,
        ("480p",),
        "https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-480p.zip",
        {"train": 60, "val": 30},
        832_766_765,
        ("sha256", "e3d0b5b77c3d031b000a19e0e25e3e2cac65d183755601bc2cf066df1a2aa492"),
        "recorded by TensorFlow Datasets",
    ),
    Archive(
        2017,
        ("Full-Resolution",),
        "https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-Full-Resolution.zip",
        {"train": 60, "val": 30},
        2_956_935_323,
        ("sha256", "519494b320e7a333b98188e0f44e028f379c3312a1fc1a3e8bddd64b2c9ecfaf"),
        "recorded by TensorFlow Datasets",
    ),
    Archive(
        2016,
        ("480p", "1080p"),
        "https://graphics.ethz.ch/Downloads/Data/Davis/DAVIS-data.zip",
        {"train": 30, "val": 20},
        None,
        ("md5", "0cb3cf9c5617209fa3cc4794e52a2ffa"),
        "stated in the DAVIS 2016 toolkit's get_davis.sh",
    ),
)

DAVIS_2016 = {
    "train": "bear bmx-bumps boat breakdance-flare bus car-turn dance-jump dog-agility drift-turn elephant flamingo "
    "hike hockey horsejump-low kite-walk lucia mallard-fly mallard-water motocross-bumps motorbike paragliding rhino "
    "rollerblade scooter-gray soccerball stroller surf swing tennis train",
    "val": "blackswan bmx-trees breakdance camel car-roundabout car-shadow cows dance-twirl dog drift-chicane "
    "drift-straight goat horsejump-high kite-surf libby motocross-jump paragliding-launch parkour scooter-black "
    "soapbox",
}
"""The sequences of DAVIS 2016, all of which DAVIS 2017 has too."""


def find_archive(year: int, resolution: str) -> Archive:
    """The official archive of an edition at a resolution.

    Raises:
        UserError: there is none.
    """
    known = {name: archive for archive in ARCHIVES if archive.year == year for name in archive.resolutions}
    if resolution not in known:
        raise UserError(f"--resolution: found {resolution!r}; expected one of {', '.join(known)} for DAVIS {year}")
    return known[resolution]


def add_lists_of_2016(root: Path) -> None:
    """Write the lists `ImageSets/2016` that a tree of DAVIS 2017 may lack; the paper validates on 2016's sequences."""
    for split, names in DAVIS_2016.items():
        path = root / "ImageSets" / "2016" / f"{split}.txt"
        if not path.exists():
            write_text(path, "".join(f"{name}\n" for name in names.split()))
            log.info("ImageSets/2016/%s.txt is not in this release of DAVIS 2017, and was added", split)
