"""What the verbs on data show: a bar while they work, and what a tree holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from slowfast_vos.progress import ProgressCallback

if TYPE_CHECKING:
    from rich.progress import TaskID

    from slowfast_vos.videos.check import TreeReport
    from slowfast_vos.videos.davis import DavisTree


@contextmanager
def progress_bar(*, of_bytes: tuple[str, ...] = ()) -> Iterator[ProgressCallback]:
    """Bars on stderr, one for each kind of work, with the time left.

    Args:
        of_bytes: the kinds that are counted in bytes.
    """
    from rich.console import Console
    from rich.filesize import decimal
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True)) as bar:

        def show(what: str, done: int, total: int | None) -> None:
            number = decimal if what in of_bytes else str
            count = number(done) if total is None else f"{number(done)} of {number(total)}"
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total, completed=done, count=count)
            bar.update(tasks[what], completed=done, total=total, count=count)

        yield show


def print_report(report: TreeReport, tree: DavisTree) -> None:
    """Print a table of a tree's splits, and notes on oddities that are handled."""
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
