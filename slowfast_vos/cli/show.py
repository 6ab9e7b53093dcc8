"""What the verbs on data show: a bar while they work, and what a tree holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.progress import TaskID

    from slowfast_vos.videos.check import TreeReport
    from slowfast_vos.videos.davis import DavisTree

Tell = Callable[[str, int, int | None], None]
"""Told what is being done, how much of it is done, and of how much, where that is known."""


@contextmanager
def progress_bar(*, of_bytes: tuple[str, ...] = ()) -> Iterator[Tell]:
    """Bars on stderr, one for each thing that is told of, with the time left.

    Args:
        of_bytes: the things that are counted in bytes.
    """
    from rich.console import Console
    from rich.filesize import decimal
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True)) as bar:

        def tell(what: str, done: int, total: int | None) -> None:
            word = decimal if what in of_bytes else str
            count = word(done) if total is None else f"{word(done)} of {word(total)}"
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total, completed=done, count=count)
            bar.update(tasks[what], completed=done, total=total, count=count)

        yield tell


def print_report(report: TreeReport, tree: DavisTree) -> None:
    """A table of a tree's splits, and notes on what is odd and handled."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if not report.splits:
        return
    title = f"DAVIS {report.year}, {tree.resolution}"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("split", no_wrap=True)
    for column in ("sequences", "frames", "objects"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("sizes")
    for split, sequences in report.splits.items():
        counts = len(sequences), sum(one.frames for one in sequences), sum(one.objects for one in sequences)
        sizes = sorted({size for one in sequences for size in one.sizes}, reverse=True)
        named = ", ".join(f"{width}×{height}" for height, width in sizes[:4]) + ", …" * (len(sizes) > 4)
        table.add_row(split, *(f"{count:,}" for count in counts), named)
    Console().print(table)
    for note in report.notes():
        typer.echo(f"  note: {note}")
