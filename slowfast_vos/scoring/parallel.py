"""Scoring sequence after sequence, or several side by side; all problems are gathered before any stops the work."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from slowfast_vos.errors import UserError
from slowfast_vos.scoring.results import SequenceScores

Files = TypeVar("Files")


def score_each(
    work: Callable[[Files], SequenceScores],
    sequences: Sequence[Files],
    problems: Sequence[str],
    processes: int = 1,
    progress: bool = False,
) -> list[SequenceScores]:
    """Apply `work` to each sequence; results come in the given order.

    Args:
        problems: what is amiss already, one line each.
        processes: sequences scored side by side.
        progress: show a bar on stderr.

    Raises:
        UserError: all problems together, those of the sequences included.
    """
    done = _in_parallel(work, sequences, processes)
    if progress:
        from rich.console import Console
        from rich.progress import track

        done = track(done, "Scoring", total=len(sequences), console=Console(stderr=True), transient=True)
    scored = list(done)
    problems = [*problems, *(problem for sequence in scored for problem in sequence.problems)]
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))
    return scored


def _in_parallel(
    work: Callable[[Files], SequenceScores], sequences: Sequence[Files], processes: int
) -> Iterable[SequenceScores]:
    if min(processes, len(sequences)) <= 1:
        yield from map(work, sequences)
    else:
        # Forking starts at once and needs no guard around a caller's main module, but is not safe beside other threads.
        alone = threading.active_count() == 1 and "torch" not in sys.modules
        method = "fork" if alone and sys.platform == "linux" else "spawn"
        with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context(method)) as pool:
            yield from pool.map(work, sequences)
