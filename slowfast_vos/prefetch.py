"""Prefetching: threads load the next items while the caller works on the current one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
Loaded = TypeVar("Loaded")


def prefetch(load: Callable[[T], Loaded], items: Iterable[T], count: int, threads: int = 1) -> Iterator[Loaded]:
    """Yield `load(item)` of each item, in order, while `threads` threads load the next `count` of them.

    `items` is iterated by the caller's thread. An error that `load` raises is raised where its item is due. With a
    count of 0 each item is loaded when it is asked for: on a CPU, loading and computing would take turns on the cores.
    """
    if not count:
        yield from map(load, items)
        return
    pool = ThreadPoolExecutor(threads, "prefetch")
    waiting: deque[Future[Loaded]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(load, item))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
