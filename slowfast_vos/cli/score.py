"""The verb `score`: a results folder in, tables, CSV and JSON files out."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from slowfast_vos.cli.app import app, expect_one
from slowfast_vos.errors import UserError
from slowfast_vos.scoring import Scores, score, score_folders
from slowfast_vos.scoring.results import GLOBAL_COLUMNS

Year = StrEnum("Year", {"DAVIS_2016": "2016", "DAVIS_2017": "2017"})
Task = StrEnum("Task", {"UNSUPERVISED": "unsupervised", "SEMI_SUPERVISED": "semi-supervised"})
Frames = StrEnum("Frames", {"ALL": "all", "INNER": "inner", "AFTER_FIRST": "after-first"})
# The panels of `--help`, and which options go with one of the two forms.
DAVIS, FOLDERS = "With --davis-root", "With --annotations"
ONLY = {DAVIS: ("year", "split", "task", "resolution"), FOLDERS: ("single_object", "void")}


@app.command("score")
def score_command(
    context: typer.Context,
    predictions: Annotated[Path, typer.Option(help="Masks as SEQUENCE/FRAME.png, ids as in the annotations.")],
    out: Annotated[Path, typer.Option(help="Folder for global.csv and per-sequence.csv.")],
    davis_root: Annotated[
        Path | None, typer.Option(help="Score by a DAVIS protocol against this dataset: Annotations and ImageSets.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="Score against this folder of masks instead, SEQUENCE/FRAME.png of any dataset.")
    ] = None,
    frames: Annotated[
        Frames | None,
        typer.Option(
            help="inner: all annotated frames but the first and the last; after-first (--annotations): those after "
            "each object's first. Without it the protocol's own rule, inner for --annotations.",
        ),
    ] = None,
    sequence: Annotated[
        list[str] | None, typer.Option(help="Score this sequence instead of all; may be repeated.")
    ] = None,
    per_frame: Annotated[bool, typer.Option("--per-frame", help="Write per-frame.csv too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Write scores.json too, which holds the same.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="Sequences scored side by side.")] = 1,
    year: Annotated[
        Year, typer.Option(help="2016: one object; 2017: objects by id.", rich_help_panel=DAVIS)
    ] = Year.DAVIS_2016,
    split: Annotated[str, typer.Option(help="List of sequences in ImageSets.", rich_help_panel=DAVIS)] = "val",
    task: Annotated[Task, typer.Option(help="The official task.", rich_help_panel=DAVIS)] = Task.UNSUPERVISED,
    resolution: Annotated[str, typer.Option(help="Folder of the annotations.", rich_help_panel=DAVIS)] = "480p",
    single_object: Annotated[
        bool,
        typer.Option("--single-object", help="Every pixel that is not 0 is the one object.", rich_help_panel=FOLDERS),
    ] = False,
    void: Annotated[
        int | None,
        typer.Option(min=1, help="Annotated pixels of this value do not count.", rich_help_panel=FOLDERS),
    ] = None,
) -> None:
    """Score masks: J (region similarity) and F (contour accuracy), by a DAVIS protocol or of any two folders.

    The paper's own scoring: --davis-root DIR --year 2016 --frames all.
    """
    expect_one("score", "--davis-root and --annotations", davis_root, annotations)
    other, form = (DAVIS, FOLDERS) if davis_root is None else (FOLDERS, DAVIS)
    for name in ONLY[other]:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UserError(f"score: found --{name.replace('_', '-')} {form.lower()}; expected it {other.lower()}")
    how = {"sequences": sequence or None, "processes": processes, "progress": sys.stderr.isatty()}
    if annotations is not None:
        kind = frames or Frames.INNER
        scores = score_folders(
            annotations, predictions, frames=str(kind), single_object=single_object, void=void, **how
        )
    elif davis_root is not None:
        rules = {"year": int(year), "split": split, "task": str(task), "frames": frames and str(frames)}
        scores = score(davis_root, predictions, resolution=resolution, **rules, **how)
    written = scores.write(out, per_frame=per_frame, json=json)
    _print_tables(scores)
    if scores.unscored:
        typer.echo(f"Without scores, since no scored frame shows them: {', '.join(scores.unscored)}")
    typer.echo(f"Written: {', '.join(str(path) for path in written)}")


def _print_tables(scores: Scores) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title="J&F: over all objects, then over each sequence's", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("Sequence", overflow="fold")
    for column in GLOBAL_COLUMNS:
        table.add_column(column.replace("-", "\n"), justify="right", no_wrap=True)
    rows = {"all": scores.global_} | scores.per_sequence_means()
    for index, (name, figures) in enumerate(rows.items()):
        values = (f"{figures[column]:.3f}" for column in GLOBAL_COLUMNS)
        table.add_row(name, *values, end_section=index == 0)
    Console().print(table)
