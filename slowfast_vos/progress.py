"""The function by which long work reports its progress, for the command line to show."""

from __future__ import annotations

from collections.abc import Callable

ProgressCallback = Callable[[str, int, int | None], None]
"""Called with the kind of work, how much of it is done, and how much there is, where that is known."""
