"""What the next step of a training reads, read while this step works."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from slowfast_vos.videos.davis import Video


@dataclass(frozen=True)
class VideoAhead(Video):
    """A video of which some frames and masks are read already, or about to be."""

    read: dict[tuple[str, int], Future[Any]] = field(default_factory=dict)

    def frame(self, index: int) -> Tensor:
        """As `Video.frame`; what was read ahead is handed out once."""
        found = self.read.pop(("frame", index), None)
        return super().frame(index) if found is None else found.result()

    def ids(self, index: int, *, binary: bool) -> np.ndarray:
        """As `Video.ids`; what was read ahead is handed out once."""
        found = self.read.pop((f"ids, binary={binary}", index), None)
        return super().ids(index, binary=binary) if found is None else found.result()


class ReadAhead:
    """A thread that reads for the next step; one step's frames are all that it holds."""

    def __init__(self, thread: ThreadPoolExecutor | None) -> None:
        self._thread = thread
        self._next: VideoAhead | None = None

    def take(self, video: Video) -> Video:
        """The video, with what was read of it ahead."""
        ready, self._next = self._next, None
        return ready if ready is not None and ready.name == video.name else video

    def begin(self, video: Video, frames: Sequence[int], masks: Sequence[int], *, binary: bool) -> None:
        """Read some frames and masks, in this order, for the next `take`."""
        if self._thread is None:
            return
        submit, key = self._thread.submit, f"ids, binary={binary}"
        read = {("frame", index): submit(video.frame, index) for index in frames}
        read |= {(key, index): submit(video.ids, index, binary=binary) for index in masks}
        self._next = VideoAhead(video.name, video.frames, video.masks, read)


@contextmanager
def read_ahead(*, wanted: bool) -> Iterator[ReadAhead]:
    """Begin to read ahead, where it is wanted: on a CPU, reading and training would take turns on the same cores."""
    if not wanted:
        yield ReadAhead(None)
        return
    thread = ThreadPoolExecutor(1, "frames")
    try:
        yield ReadAhead(thread)
    finally:
        thread.shutdown(cancel_futures=True)
