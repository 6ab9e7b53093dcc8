"""Attempts that end with their whole process: killed, out of the host's memory, a GPU that no longer answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from slowfast_vos.files import read_json, write_json
from slowfast_vos.jobs.failures import DiedError, takes_the_process

# As often as a cluster's profile tries a job again.
DEATHS = 2


@contextmanager
def attempt(path: Path, states: Iterable[Path]) -> Iterator[None]:
    """Count the attempts that take their process with them, so that not every next one dies of the same.

    An attempt that got further than the one before, that ended in an error of its own, or that was asked to stop does
    not count.

    Args:
        path: where the count is kept while an attempt lasts.
        states: what it has saved so far, by which it is seen to get further.

    Raises:
        DiedError: `DEATHS` of them died with nothing saved in between; the next one is made.
    """
    saved = sorted(f"{state.name} {state.stat().st_mtime_ns}" for state in states)
    before = read_json(path) if path.is_file() else {}
    deaths = before["deaths"] if before.get("saved") == saved else 0
    if deaths >= DEATHS:
        path.unlink()
        raise DiedError(
            f"its process died {deaths} times without getting further (killed, the host's memory full, or a CUDA error)"
        )
    write_json(path, {"deaths": deaths + 1, "saved": saved})
    try:
        yield
    except BaseException as error:
        if not takes_the_process(error):
            path.unlink()
        raise
    path.unlink()
