"""How far long work is: lines in the log, and the function by which it reports to the command line."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 10.0
T = TypeVar("T")
ProgressCallback = Callable[[str, int, int | None], None]
"""Called with the kind of work, how much of it is done, and how much there is, where that is known."""


def progress_lines(items: Iterable[T], what: str, name: Callable[[T], str] = str) -> Iterator[T]:
    """Go through `items`; log a line now and then, with an estimate of the time left."""
    items = list(items)
    started = logged = time.monotonic()
    for index, item in enumerate(items):
        yield item
        now = time.monotonic()
        if now - logged > SECONDS_BETWEEN_LINES or index + 1 == len(items):
            logged = now
            left = (now - started) / (index + 1) * (len(items) - index - 1)
            log.info("%s: %d of %d (%s), %.0f s left", what, index + 1, len(items), name(item), left)
