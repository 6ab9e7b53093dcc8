"""The official archives of DAVIS: where they are, how they are recognised, and what their trees hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slowfast_vos.files import write_text

_ETH = "https://data.vision.ee.ethz.ch/csergi/share/davis"


@dataclass(frozen=True)
class Archive:
    """One archive.

    Attributes:
        year: edition of DAVIS.
        resolutions: folders below JPEGImages.
        url: the address that davischallenge.org gives.
        splits: how many sequences each split has.
        size: bytes, where they are known.
        checksum: algorithm and digest, where they are known.
        source: who states size and checksum.
    """

    year: int
    resolutions: tuple[str, ...]
    url: str
    splits: dict[str, int]
    size: int | None = None
    checksum: tuple[str, str] | None = None
    source: str = ""

    @property
    def name(self) -> str:
        """File name of the archive."""
        return self.url.rpartition("/")[2]


# The 2017 archives come without an official checksum; TensorFlow Datasets recorded these, and others the same ones.
ARCHIVES = (
    Archive(
        2017,
        ("480p",),
        f"{_ETH}/DAVIS-2017-trainval-480p.zip",
        {"train": 60, "val": 30},
        832_766_765,
        ("sha256", "e3d0b5b77c3d031b000a19e0e25e3e2cac65d183755601bc2cf066df1a2aa492"),
        "recorded by TensorFlow Datasets",
    ),
    Archive(
        2017,
        ("Full-Resolution",),
        f"{_ETH}/DAVIS-2017-trainval-Full-Resolution.zip",
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


def add_lists_of_2016(root: Path) -> bool:
    """Write `ImageSets/2016` into a tree of DAVIS 2017 that lacks it; the paper validates on 2016's sequences.

    Returns:
        whether anything was missing.
    """
    paths = {split: root / "ImageSets" / "2016" / f"{split}.txt" for split in DAVIS_2016}
    missing = [split for split, path in paths.items() if not path.exists()]
    for split in missing:
        write_text(paths[split], "".join(f"{name}\n" for name in DAVIS_2016[split].split()))
    return bool(missing)
