"""The lists of sequences in a DAVIS tree, in both of their forms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slowfast_vos.errors import UserError


@dataclass(frozen=True)
class Split:
    """The sequences of a split and the file that lists them.

    Attributes:
        places: where the list may lie, best first.
        path: where it lies; None where it does not.
        names: the sequences in the file's order, each once; empty where the file names none.
    """

    places: tuple[Path, ...]
    path: Path | None
    names: tuple[str, ...]


def read_split(root: Path, name: str, year: int, resolution: str = "480p") -> Split:
    """Find and read a split's list.

    2017: `ImageSets/2017/NAME.txt`. 2016: `ImageSets/2016/NAME.txt`, or else DAVIS 2016's own pairs of paths in
    `ImageSets/480p/NAME.txt`. A `trainval` that has no list is train followed by val.

    Raises:
        UserError: the file cannot be read.
    """
    folders = (str(year), resolution) if year == 2016 else (str(year),)
    places = tuple(root / "ImageSets" / folder / f"{name}.txt" for folder in folders)
    path = next((place for place in places if place.is_file()), None)
    if path is not None:
        return Split(places, path, _names(path))
    if name == "trainval":
        parts = [read_split(root, part, year, resolution) for part in ("train", "val")]
        if all(part.names for part in parts):
            names = dict.fromkeys(name for part in parts for name in part.names)
            return Split(places, parts[0].path, tuple(names))
    return Split(places, None, ())


def _names(path: Path) -> tuple[str, ...]:
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); expected one sequence in each line") from error
    # A line is a sequence, or a pair of an image and a mask whose folders name it.
    names = [Path(words[0]).parent.name if "/" in words[0] else words[0] for words in lines]
    return tuple(dict.fromkeys(names)) if all(names) else ()
