"""A DAVIS tree: which videos it has, and their frames and masks as tensors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from PIL import Image, UnidentifiedImageError

from slowfast_vos.errors import UserError
from slowfast_vos.files import refuse_pipe
from slowfast_vos.prefetch import prefetch

if TYPE_CHECKING:
    from torch import Tensor

YEARS = (2016, 2017)
VOID = 255
MAX_RATIO = 50  # of a frame's sides
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


@dataclass(frozen=True)
class Video:
    """One sequence: paths of its frames and, where it is annotated, of their masks."""

    name: str
    frames: tuple[Path, ...]
    masks: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)

    def frame(self, index: int) -> Tensor:
        """The frame as `[3, H, W]` float32 in [0, 1]."""
        return as_tensor(read_frame(self.frames[index]))

    def stems(self) -> Iterator[str]:
        """The frames' names, without a suffix."""
        return (path.stem for path in self.frames)

    def iterate(self, count: int = 0) -> Iterator[Tensor]:
        """The frames in order; a thread prefetches the next `count` of them."""
        return prefetch(self.frame, range(len(self)), count)

    def ids(self, index: int, *, binary: bool) -> np.ndarray:
        """Object ids `[H, W]` of a mask; if `binary`, every pixel that is not 0 is object 1 (as in DAVIS 2016)."""
        from slowfast_vos.videos.pngs import read_mask  # a machine that only measures may lack zlib-ng

        ids = read_mask(self.masks[index])
        return (ids != 0).astype(np.uint8) if binary else np.where(ids == VOID, 0, ids)


def read_frame(path: Path) -> np.ndarray:
    """Read a picture as RGB, `[H, W, 3]` uint8.

    Raises:
        UserError: the file is missing or is no picture.
    """
    with open_picture(path) as image:
        return np.array(image.convert("RGB"))


def as_tensor(picture: np.ndarray) -> Tensor:
    """`[H, W, 3]` uint8 as `[3, H, W]` float32 in [0, 1]."""
    import torch

    return torch.from_numpy(picture).permute(2, 0, 1).float().div(255)


@contextmanager
def open_picture(path: Path) -> Iterator[Image.Image]:
    """Open a picture; a UserError says that it is missing or is none."""
    refuse_pipe(path, "expected a picture")
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise UserError(f"{path}: missing; expected a frame") from None
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot be read; expected a picture ({error})") from None


def frame_size(image: Image.Image, path: Path) -> tuple[int, int]:
    """Height and width of a picture; a UserError where it is so thin that nothing is left of it once it is resized."""
    return check_sides(image.height, image.width, path)


def check_sides(height: int, width: int, path: Path) -> tuple[int, int]:
    """The size of a frame; a UserError as `frame_size`."""
    if max(height, width) > MAX_RATIO * min(height, width):
        found = f"found {width}×{height} pixels"
        raise UserError(f"{path}: {found}; expected a frame whose sides differ by a factor of {MAX_RATIO} at most")
    return height, width


def targets(ids: np.ndarray) -> dict[str, Tensor]:
    """torchvision's training target of one frame: every object is of class 1.

    Boxes are inclusive, as in the authors' code: `[xmin, ymin, xmax, ymax]` of the mask's pixels; objects one pixel
    wide or high are dropped.

    Args:
        ids: object ids `[H, W]`, 0 is background.

    Returns:
        boxes `[N, 4]` float32, labels `[N]` int64, masks `[N, H, W]` uint8.
    """
    import torch
    from torchvision.ops import masks_to_boxes

    present = np.flatnonzero(np.bincount(ids.ravel()))  # ten times as fast as sorting the pixels
    masks = torch.from_numpy(ids[None] == present[present > 0][:, None, None])
    boxes = masks_to_boxes(masks) if len(masks) else torch.zeros((0, 4))
    keep = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return {
        "boxes": boxes[keep],
        "labels": torch.ones(int(keep.sum()), dtype=torch.int64),
        "masks": masks[keep].to(torch.uint8),
    }


@dataclass(frozen=True)
class DavisTree:
    """A folder in DAVIS's layout: JPEGImages, Annotations, ImageSets."""

    root: Path
    resolution: str = "480p"

    def split(self, name: str, year: int) -> list[str]:
        """Sequence names of a split, such as `val` of 2016, in the order of its list.

        2017: `ImageSets/2017/NAME.txt`. 2016: `ImageSets/2016/NAME.txt`, or else DAVIS 2016's own pairs of paths in
        `ImageSets/480p/NAME.txt`. A `trainval` that has no list is train followed by val.

        Raises:
            UserError: the list is missing, unreadable or names nothing.
        """
        places = self.split_places(name, year)
        path = next((place for place in places if place.is_file()), None)
        if path is None and name == "trainval":
            return list(dict.fromkeys(self.split("train", year) + self.split("val", year)))
        if path is None:
            raise UserError(f"{' or '.join(map(str, places))}: missing; expected the sequences of {year} {name}")
        try:
            lines = [line.split()[0] for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot be read ({error}); expected one sequence in each line") from error
        # A line is a sequence, or a pair of an image and a mask whose folders name it.
        names = [Path(line).parent.name if "/" in line else line for line in lines]
        if not names or not all(names):
            raise UserError(f"{path}: found no sequence; expected one name a line")
        if odd := [name for name in names if name in (".", "..") or {*name} & {*"{}"}]:  # they name paths of a run
            raise UserError(f"{path}: found sequence {odd[0]!r}; expected the name of a folder, without braces")
        return list(dict.fromkeys(names))

    def split_places(self, name: str, year: int) -> list[Path]:
        """Where the list of a split may lie, best first."""
        folders = (str(year), self.resolution) if year == 2016 else (str(year),)
        return [self.root / "ImageSets" / folder / f"{name}.txt" for folder in folders]

    def video(self, name: str) -> Video:
        """The frames and masks of a sequence.

        Raises:
            UserError: the sequence is missing, or its frames and masks do not correspond.
        """
        frames, masks, problems = self.files(name)
        if problems:  # where both folders are missing, one line is enough
            raise UserError("\n".join(problems if frames and masks else problems[:1]))
        return Video(name, frames, masks)

    def files(self, name: str) -> tuple[tuple[Path, ...], tuple[Path, ...], list[str]]:
        """The frames and masks of a sequence that are there, and what is missing of them, one line each."""
        frame_folder, mask_folder = self.folder("JPEGImages", name), self.folder("Annotations", name)
        frames, masks = _visible(frame_folder.glob("*.jpg")), _visible(mask_folder.glob("*.png"))
        problems = []
        kinds = (frame_folder, frames, "frames", ".jpg"), (mask_folder, masks, "masks", ".png")
        for folder, paths, what, suffix in kinds:
            if not paths:
                found = f"no {suffix} file" if folder.is_dir() else "no such folder"
                problems.append(f"{folder}: found {found}; expected the {what} of {name}")
        if problems:
            return frames, masks, problems
        stems = {path.stem for path in frames}
        for stem in sorted(stems ^ {path.stem for path in masks}):
            frame, mask = frame_folder / f"{stem}.jpg", mask_folder / f"{stem}.png"
            what, lost, other = ("a mask", mask, frame) if stem in stems else ("the frame", frame, mask)
            problems.append(f"{lost}: missing; expected {what} of {other}")
        return frames, masks, problems

    def info(self) -> dict[str, dict[str, Any]]:
        """The entry of each sequence in db_info.yml (`attributes`, `num_frames`); empty where the tree has none.

        Raises:
            UserError: the file is no such list.
        """
        for path in (self.root / "Annotations" / "db_info.yml", self.root / "db_info.yml"):
            if path.is_file():
                try:
                    entries = {entry["name"]: entry for entry in yaml.safe_load(path.read_bytes())["sequences"]}
                    names = [[name, *(entry.get("attributes") or [])] for name, entry in entries.items()]
                    if not all(isinstance(one, str) for some in names for one in some):
                        raise TypeError
                    return entries
                except (yaml.YAMLError, TypeError, KeyError, ValueError, AttributeError, RecursionError):
                    expected = "sequences with a name and attributes, as in DAVIS 2016"
                    raise UserError(f"{path}: cannot be read; expected {expected}") from None
        return {}

    def lacks(self, name: str) -> bool:
        """Whether the tree has neither frames nor masks of a sequence, as may be in a partial copy."""
        return not any(self.folder(kind, name).exists() for kind in ("JPEGImages", "Annotations"))

    def folder(self, kind: str, name: str) -> Path:
        """For instance `JPEGImages/480p/NAME`."""
        return self.root / kind / self.resolution / name


def _visible(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Paths in order, without the hidden ones, such as macOS's ._00000.jpg and half-written files."""
    return tuple(sorted(path for path in paths if not path.name.startswith(".")))


def open_video(folder: Path) -> Video:
    """Any folder of pictures as a video, in the order of their names; hidden files are left out.

    Raises:
        UserError: no such folder, no picture in it, what is no picture, two of one name, or pictures of several sizes.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: found {'a file' if folder.exists() else 'no such folder'}; expected frames in it")
    files = _visible(path for path in folder.glob("*") if path.suffix.lower() in PICTURES)
    if not files:
        raise UserError(f"{folder}: found no pictures ({', '.join(PICTURES)}); expected a folder of frames")
    stems: dict[str, Path] = {}
    for path in files:
        refuse_pipe(path, "expected a picture")
        if (other := stems.setdefault(path.stem, path)) is not path:
            raise UserError(
                f"{path}: found {other.name} beside it; expected one frame of this name, as its mask has it"
            )
    sizes: dict[tuple[int, int], Path] = {}
    for path in files:
        with open_picture(path) as image:
            sizes.setdefault(frame_size(image, path), path)
    if len(sizes) > 1:
        found = ", ".join(f"{width}×{height} ({path.name})" for (height, width), path in sizes.items())
        raise UserError(f"{folder}: found frames of several sizes: {found}; expected one")
    return Video(Path(os.path.abspath(folder)).name, files)  # also of "." and "clip/sub/.."
