"""A DAVIS tree: which videos it has, and their frames and masks as tensors."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from PIL import Image, UnidentifiedImageError

from slowfast_vos.errors import UserError
from slowfast_vos.videos.splits import read_split

if TYPE_CHECKING:
    from torch import Tensor

VOID = 255


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
        import torch

        return torch.from_numpy(read_frame(self.frames[index])).permute(2, 0, 1).float().div(255)

    def iterate(self, ahead: int = 0) -> Iterator[Tensor]:
        """The frames in order, read as they are asked for; a thread reads the next `ahead` of them meanwhile."""
        if not ahead:
            yield from map(self.frame, range(len(self)))
            return
        thread = ThreadPoolExecutor(1, "frames")
        waiting: deque[Future[Tensor]] = deque()
        try:
            for index in range(len(self)):
                waiting.append(thread.submit(self.frame, index))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            thread.shutdown(cancel_futures=True)

    def ids(self, index: int, *, binary: bool) -> np.ndarray:
        """Object ids `[H, W]` of a mask; if `binary`, every pixel that is not 0 is object 1 (as in DAVIS 2016)."""
        from slowfast_vos.videos.pngs import read_mask

        ids = read_mask(self.masks[index])
        return (ids != 0).astype(np.uint8) if binary else np.where(ids == VOID, 0, ids)


def read_frame(path: Path) -> np.ndarray:
    """Read a picture as RGB, `[H, W, 3]` uint8.

    Raises:
        UserError: the file is missing or is no picture.
    """
    with _picture(path) as image:
        return np.array(image.convert("RGB"))


def check_frame(path: Path) -> tuple[int, int]:
    """Decode a picture to its last byte, at an eighth of its size where it is a JPEG: a third of the time.

    Returns:
        its height and width.

    Raises:
        UserError: as `read_frame`.
    """
    with _picture(path) as image:
        size = image.height, image.width
        image.draft("RGB", (image.width // 8, image.height // 8))
        image.load()
        return size


@contextmanager
def _picture(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise UserError(f"{path}: missing; expected a frame") from None
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: cannot be read; expected a picture ({error})") from None


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
        """Sequence names of a split, such as `val` of 2016; see `read_split`.

        Raises:
            UserError: the split file is missing, unreadable or names nothing.
        """
        split = read_split(self.root, name, year, self.resolution)
        if split.path is None:
            places = " or ".join(map(str, split.places))
            raise UserError(f"{places}: missing; expected the sequences of {year} {name}")
        if not split.names:
            raise UserError(f"{split.path}: found no sequence; expected one name a line")
        return list(split.names)

    def video(self, name: str) -> Video:
        """The frames and masks of a sequence.

        Raises:
            UserError: the sequence is missing, or its frames and masks do not correspond.
        """
        frames = self._files("JPEGImages", name, ".jpg")
        masks = self._files("Annotations", name, ".png")
        problems = self.unpaired(name, frames, masks)
        if problems:
            raise UserError("\n".join(problems))
        return Video(name, frames, masks)

    def unpaired(self, name: str, frames: Sequence[Path], masks: Sequence[Path]) -> list[str]:
        """What each frame without a mask, and each mask without a frame, lacks; one line for each."""
        annotated, shown = {path.stem for path in masks}, {path.stem for path in frames}
        missing_masks = [
            f"{self.folder('Annotations', name) / path.stem}.png: missing; expected a mask of {path}"
            for path in frames
            if path.stem not in annotated
        ]
        missing_frames = [
            f"{self.folder('JPEGImages', name) / path.stem}.jpg: missing; expected the frame of {path}"
            for path in masks
            if path.stem not in shown
        ]
        return missing_masks + missing_frames

    def videos(self, names: Sequence[str]) -> list[Video]:
        """As `video`, for several names."""
        return [self.video(name) for name in names]

    def attributes(self) -> dict[str, list[str]]:
        """Attributes of each sequence, from db_info.yml; empty where the tree has none."""
        return {entry["name"]: list(entry.get("attributes") or []) for entry in self._info()}

    def lengths(self) -> dict[str, int]:
        """Frames of each sequence, from db_info.yml; empty where the tree has none or it does not tell."""
        return {entry["name"]: entry["num_frames"] for entry in self._info() if "num_frames" in entry}

    def _info(self) -> list[dict[str, Any]]:
        for path in (self.root / "Annotations" / "db_info.yml", self.root / "db_info.yml"):
            if path.is_file():
                try:
                    entries = yaml.safe_load(path.read_text(encoding="utf-8"))["sequences"]
                    # What is wrong with an entry shows here, where its file is known.
                    return [
                        dict(entry, name=entry["name"], attributes=list(entry.get("attributes") or []))
                        for entry in entries
                    ]
                except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError, AttributeError, ValueError):
                    expected = "sequences with a name and attributes, as in DAVIS 2016"
                    raise UserError(f"{path}: cannot be read; expected {expected}") from None
        return []

    def lacks(self, name: str) -> bool:
        """Whether the tree has neither frames nor masks of a sequence, as a partial copy does."""
        return not any(self.folder(kind, name).exists() for kind in ("JPEGImages", "Annotations"))

    def folder(self, kind: str, name: str) -> Path:
        """`JPEGImages/480p/NAME`, say."""
        return self.root / kind / self.resolution / name

    def _files(self, kind: str, name: str, suffix: str) -> tuple[Path, ...]:
        folder = self.folder(kind, name)
        files = tuple(sorted(path for path in folder.glob(f"*{suffix}"))) if folder.is_dir() else ()
        if not files:
            found = "no such folder" if not folder.is_dir() else f"no {suffix} file"
            raise UserError(
                f"{folder}: found {found}; expected the {'frames' if suffix == '.jpg' else 'masks'} of {name}"
            )
        return files


def open_video(folder: Path) -> Video:
    """Any folder of pictures as a video, in the order of their names.

    Raises:
        UserError: no such folder, no picture in it, or pictures of several sizes.
    """
    suffixes = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes) if folder.is_dir() else []
    if not files:
        raise UserError(f"{folder}: found no pictures ({', '.join(suffixes)}); expected a folder of frames")
    sizes: dict[tuple[int, int], Path] = {}
    for path in files:
        with suppress(OSError), Image.open(path) as image:  # what is no picture is named when it is read
            sizes.setdefault(image.size, path)
    if len(sizes) > 1:
        found = ", ".join(f"{width}×{height} ({path.name})" for (width, height), path in sizes.items())
        raise UserError(f"{folder}: found frames of several sizes: {found}; expected one")
    return Video(folder.name, tuple(files))
