"""Tiny editions of DAVIS, and a server of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fetch_case import Case, files, pack_zip
from slowfast_vos.videos import fetch

from davis_trees import write_tree
from web_site import Site, serve

if TYPE_CHECKING:
    from click.testing import Result


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, bytes]]:
    """Files of tiny editions, laid out as in the official archives: all below DAVIS/."""
    folder = tmp_path_factory.mktemp("trees")
    for year in (2016, 2017):
        write_tree(folder / str(year) / "DAVIS", year=year)
    return {year: files(folder / str(year)) for year in (2016, 2017)}


@pytest.fixture
def case(
    invoke: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    trees: dict[int, dict[str, bytes]],
    tmp_path: Path,
) -> Iterator[Case]:
    monkeypatch.setattr(fetch, "FIRST_WAIT", 0.001)
    with serve(Site(pack_zip(trees[2017]))) as site:
        case = Case(invoke, monkeypatch, trees, site, tmp_path / "data" / "davis")
        case.state()
        yield case
