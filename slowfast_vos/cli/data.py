"""Verbs that make and check the videos."""

from __future__ import annotations

import logging
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from slowfast_vos.cli.app import app, read_settings
from slowfast_vos.cli.running import note_begin
from slowfast_vos.cli.show import print_report, progress_bar
from slowfast_vos.errors import UserError
from slowfast_vos.locks import NoLocksError, try_lock
from slowfast_vos.scoring.command import Year

log = logging.getLogger(__name__)


@app.command()
def synthesize(
    root: Annotated[Path, typer.Option(help="Folder to write the dataset to.")],
    seed: Annotated[int, typer.Option(help="Seed of the whole dataset.")] = 63,
    train: Annotated[int, typer.Option(help="Training sequences.")] = 12,
    val: Annotated[int, typer.Option(help="Validation sequences.")] = 8,
    frames: Annotated[int, typer.Option(help="Frames of a sequence.")] = 24,
    height: Annotated[int, typer.Option(help="Height of a frame in pixels.")] = 240,
    width: Annotated[int, typer.Option(help="Width of a frame in pixels.")] = 400,
    processes: Annotated[int, typer.Option(help="Sequences drawn side by side.")] = 1,
) -> None:
    """Draw the generated dataset, in DAVIS's layout; the same options give the same bytes."""
    from slowfast_vos.videos.synthetic import synthesize as draw

    # Of a Snakemake that was killed, another may still draw here.
    try:
        while (lock := try_lock(root / ".lock")) is None:
            time.sleep(0.2)
    except NoLocksError as error:
        lock = None
        log.warning("%s; draw with one process only", error)
    with progress_bar() as tell:
        sizes = {"train": train, "val": val, "frames": frames, "height": height, "width": width}
        draw(root, seed=seed, **sizes, processes=processes, progress=partial(tell, "drawing sequences"))
    if lock:
        lock.release()
    typer.echo(f"{train} training and {val} validation sequences in {root}")


@app.command("check-data")
def check_data(
    config: Annotated[Path | None, typer.Option(help="Check what this configuration uses.")] = None,
    davis_root: Annotated[Path | None, typer.Option(help="Check a DAVIS tree instead, all of it.")] = None,
    year: Annotated[Year | None, typer.Option(help="Edition of the tree; each that it lists without it.")] = None,
    resolution: Annotated[str, typer.Option(help="480p, Full-Resolution or 1080p.")] = "480p",
    split: Annotated[
        list[str] | None,
        typer.Option(help="Split to check; may be repeated; train and val without it. trainval is both."),
    ] = None,
) -> None:
    """Read every frame and mask once; list all problems before anything trains.

    Either of a run (--config) or of any DAVIS tree (--davis-root).
    """
    if (config is None) == (davis_root is None):
        found = "neither" if config is None else "both"
        raise UserError(f"check-data: found {found} of --config and --davis-root; expected one")
    if config is not None:
        if year or split or resolution != "480p":
            raise UserError(
                "check-data: found --year, --resolution or --split with --config; expected them with --davis-root"
            )
        _check_run(config)
    elif davis_root is not None:
        _check_davis(davis_root, resolution, year, split or ["train", "val"])


def _check_run(config: Path) -> None:
    from slowfast_vos.files import write_json
    from slowfast_vos.paths import Results
    from slowfast_vos.progress import progress_lines
    from slowfast_vos.videos.dataset import check_dataset, describe_dataset, open_dataset

    settings = read_settings(config)
    note_begin(settings, "check-data")
    dataset = open_dataset(settings)
    checked = check_dataset(dataset, lambda videos: progress_lines(videos, "checked", lambda video: video.name))
    write_json(Results(settings).dataset, checked | describe_dataset(dataset))
    typer.echo(f"{len(checked['sequences'])} sequences, {sum(checked['sequences'].values())} frames: no problem")


def _check_davis(root: Path, resolution: str, year: Year | None, splits: list[str]) -> None:
    from slowfast_vos.videos.davis import DavisTree
    from slowfast_vos.videos.tree_check import check_tree, editions

    tree = DavisTree(root, resolution)
    years = editions(tree) if year is None else [int(year)]
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; expected a DAVIS tree")
    with progress_bar() as tell:
        reports = [check_tree(tree, one, splits, progress=partial(tell, f"checking DAVIS {one}")) for one in years]
    # A file may be wrong in both editions.
    problems = list(dict.fromkeys(problem for report in reports for problem in report.problems))
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
    for report in reports:
        print_report(report, tree)
    if problems:
        typer.echo(f"{len(problems)} problem{'s' * (len(problems) > 1)} in {root}")
        raise typer.Exit(1)
    typer.echo(f"no problem in {root}")
