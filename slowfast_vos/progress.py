"""Progress of long loops, as lines in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 10.0


def progress_lines(items: Iterable[Any], what: str, name: Callable[[Any], str] = str) -> Iterator[Any]:
    """Go through `items`, with a line in the log now and then and an estimate of the time left."""
    items = list(items)
    started = said = time.monotonic()
    for index, item in enumerate(items):
        yield item
        now = time.monotonic()
        if now - said > SECONDS_BETWEEN_LINES or index + 1 == len(items):
            said = now
            left = (now - started) / (index + 1) * (len(items) - index - 1)
            log.info("%s: %d of %d (%s), %.0f s left", what, index + 1, len(items), name(item), left)
