"""A video file: its frames, decoded one after another."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import count, repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slowfast_vos.errors import UserError
from slowfast_vos.prefetch import prefetch
from slowfast_vos.videos.davis import PICTURES, Video, as_tensor, check_sides, open_video

if TYPE_CHECKING:
    from av.container import InputContainer
    from torch import Tensor

log = logging.getLogger(__name__)
FOLDER_RATE = Fraction(24)  # frames per second of a folder's video: DAVIS's


@dataclass(frozen=True)
class Clip:
    """A video file: it is decoded anew each time, and never held as a whole."""

    path: Path
    rate: Fraction  # frames per second, a mean where they vary
    length: int | None  # frames, as the file says

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.stem

    def stems(self) -> Iterator[str]:
        """Names of the frames: 00000, 00001, …"""
        return (f"{index:05d}" for index in count())

    def iterate(self, count: int = 0) -> Iterator[Tensor]:
        """The frames in order, `[3, H, W]` float32 in [0, 1]; a thread decodes the next `count` of them.

        Raises:
            UserError: the file is damaged, or ends before the frames that it announces.
        """
        with closing(self.pictures()) as pictures:
            # A decoder that is exhausted gives None for as long as it is asked.
            frames = prefetch(lambda _: next(pictures, None), repeat(None), count)
            with closing(frames):  # first: its thread decodes
                for picture in frames:
                    if picture is None:
                        return
                    yield as_tensor(picture)

    def pictures(self) -> Iterator[np.ndarray]:
        """The frames as `[H, W, 3]` uint8 RGB, upright; a UserError as `iterate`."""
        from av.error import FFmpegError

        read, size = 0, None
        with _open(self.path) as file:
            try:
                for frame in file.decode(video=0):
                    if frame.is_corrupt:
                        log.warning("%s: frame %d is damaged; its mask may be wrong", self.path, read)
                    turns = round(frame.rotation / 90)  # anticlockwise: a telephone that was held upright
                    picture = np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))
                    if picture.shape != (size := size or picture.shape):
                        found, first = (f"{width}×{height} pixels" for height, width, _ in (picture.shape, size))
                        raise UserError(f"{self.path}: found {found} in frame {read}; expected {first}, as before")
                    yield picture
                    read += 1
            except FFmpegError as error:
                raise UserError(f"{self.path}: cannot be decoded after {read} frames ({error.strerror})") from error
        if self.length is not None and read < self.length:
            # Editing may cut frames that a file still counts, so that a second of them is no sign of damage.
            found = f"found {read} frames; expected {self.length}, as the file announces"
            if self.length - read > self.rate:
                raise UserError(f"{self.path}: {found} (is it cut off?)")
            log.warning("%s: %s", self.path, found)


@contextmanager
def _open(path: Path) -> Iterator[InputContainer]:
    import av

    try:
        # `file:` keeps colons in a name from being a protocol.
        file = av.open(f"file:{path}")
    except (av.error.FFmpegError, OSError) as error:
        reason = error.strerror or error
        raise UserError(f"{path}: cannot be read; expected a video file or a folder of frames ({reason})") from None
    with file:
        if not file.streams.video:
            raise UserError(f"{path}: found no video in it; expected a video file or a folder of frames")
        yield file


def open_clip(path: Path) -> Clip:
    """A video file, whose first frame is decoded.

    Raises:
        UserError: the file is no video, or is damaged, or its first frame is too thin.
    """
    with _open(path) as file:
        stream = file.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate or FOLDER_RATE
        length = stream.frames or None
        if length is None and file.duration is not None:
            length = round(file.duration * rate / 1_000_000)
    clip = Clip(path, Fraction(rate), length)
    with closing(clip.pictures()) as pictures:
        first = next(pictures, None)
    if first is None:
        raise UserError(f"{path}: found no frame; expected a video")
    check_sides(*first.shape[:2], path)
    return clip


def open_source(path: Path) -> Video | Clip:
    """A video: a file, or a folder of pictures (`open_clip` and `open_video` say what they refuse)."""
    if not path.exists():
        raise UserError(f"{path}: missing; expected a video file or a folder of frames")
    if not path.is_file():
        return open_video(path)
    if path.suffix.lower() in PICTURES:
        raise UserError(f"{path}: found a picture; expected a video file or a folder of frames")
    return open_clip(path)
