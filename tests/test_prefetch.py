"""Items that are loaded while the caller works: the same ones in the same order, and no more than asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from slowfast_vos.prefetch import prefetch


@pytest.mark.parametrize(("count", "threads"), [(0, 1), (1, 1), (4, 2), (30, 3)])
def test_every_item_is_loaded_once_in_order_and_only_so_far_ahead(count: int, threads: int) -> None:
    asked, main, loading = [], threading.get_ident(), set()

    def items() -> Iterator[int]:
        for index in range(12):
            assert threading.get_ident() == main
            asked.append(index)
            yield index

    def load(index: int) -> int:
        loading.add(threading.get_ident())
        return index * index

    for index, loaded in enumerate(prefetch(load, items(), count, threads)):
        assert loaded == index * index
        assert len(asked) == min(index + 1 + count, 12)
    assert asked == list(range(12))
    assert (main in loading) == (count == 0)
    assert len(loading) <= threads


@pytest.mark.parametrize("count", [0, 2])
def test_an_error_is_raised_where_its_item_is_due(count: int) -> None:
    def load(index: int) -> int:
        if index == 3:
            raise ValueError("item 3")
        return index

    loaded = prefetch(load, range(9), count)
    assert [next(loaded) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="item 3"):
        next(loaded)


def test_what_is_not_asked_for_is_not_loaded_any_more() -> None:
    started, first, seen = threading.Event(), threading.Event(), []

    def load(index: int) -> int:
        if index == 1:
            started.set()
            assert first.wait(10)
        seen.append(index)
        return index

    loaded = prefetch(load, range(9), 3)
    assert next(loaded) == 0
    assert started.wait(10)
    threading.Timer(0.1, first.set).start()
    loaded.close()
    assert seen == [0, 1]
