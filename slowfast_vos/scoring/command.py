"""The verb `score`: a results folder in, tables and CSV files out."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from slowfast_vos.scoring.protocols import score
from slowfast_vos.scoring.results import GLOBAL_COLUMNS, Scores

Year = StrEnum("Year", {"DAVIS_2016": "2016", "DAVIS_2017": "2017"})
Task = StrEnum("Task", {"UNSUPERVISED": "unsupervised", "SEMI_SUPERVISED": "semi-supervised"})
Frames = StrEnum("Frames", {"ALL": "all", "INNER": "inner"})


def score_command(
    davis_root: Annotated[Path, typer.Option(help="The dataset: Annotations/480p and ImageSets.")],
    predictions: Annotated[Path, typer.Option(help="Masks as SEQUENCE/FRAME.png, ids as in the annotations.")],
    out: Annotated[Path, typer.Option(help="Folder for global.csv and per-sequence.csv.")],
    year: Annotated[Year, typer.Option(help="2016: one object; 2017: objects by id.")] = Year.DAVIS_2016,
    split: Annotated[str, typer.Option(help="List of sequences in ImageSets.")] = "val",
    task: Annotated[Task, typer.Option(help="The official task.")] = Task.UNSUPERVISED,
    frames: Annotated[
        Frames | None,
        typer.Option(help="inner: all but the first and the last. Without it the protocol's own rule."),
    ] = None,
    per_frame: Annotated[bool, typer.Option("--per-frame", help="Write per-frame.csv too.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="Sequences scored side by side.")] = 1,
    sequence: Annotated[
        list[str] | None, typer.Option(help="Score this sequence instead of the split's; may be repeated.")
    ] = None,
    resolution: Annotated[str, typer.Option(help="Folder of the annotations.")] = "480p",
) -> None:
    """Score masks by the DAVIS protocols: J (region similarity) and F (contour accuracy).

    The paper's own scoring: --year 2016 --frames all.
    """
    scores = score(
        davis_root,
        predictions,
        year=int(year),
        split=split,
        task=task,
        frames=frames,
        sequences=sequence or None,
        resolution=resolution,
        processes=processes,
        progress=sys.stderr.isatty(),
    )
    written = scores.write(out, per_frame=per_frame)
    _print_tables(scores)
    typer.echo(f"Written: {', '.join(str(path) for path in written)}")


def _print_tables(scores: Scores) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title="J&F: over all objects, then over each sequence's", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("Sequence", no_wrap=True, overflow="fold")
    for column in GLOBAL_COLUMNS:
        table.add_column(column.replace("-", "\n"), justify="right", no_wrap=True)
    rows = {"all": scores.global_} | scores.per_sequence_means()
    for index, (name, figures) in enumerate(rows.items()):
        values = (f"{figures[column]:.3f}" for column in GLOBAL_COLUMNS)
        table.add_row(name, *values, end_section=index == 0)
    Console().print(table)
