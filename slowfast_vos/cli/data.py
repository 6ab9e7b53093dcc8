"""Verbs that make and check the videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slowfast_vos.cli.app import Config, app, read_settings
from slowfast_vos.cli.running import note_begin


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
    from rich.console import Console
    from rich.progress import Progress

    from slowfast_vos.videos.synthetic import synthesize as draw

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("drawing sequences", total=train + val)
        sizes = {"train": train, "val": val, "frames": frames, "height": height, "width": width}
        draw(root, seed=seed, **sizes, processes=processes, progress=lambda done, _: bar.update(task, completed=done))
    typer.echo(f"{train} training and {val} validation sequences in {root}")


@app.command("check-data")
def check_data(config: Config) -> None:
    """Read every frame and mask of a run once; list all problems before anything trains."""
    from slowfast_vos.files import write_json
    from slowfast_vos.paths import Results
    from slowfast_vos.training.loop import progress_lines
    from slowfast_vos.videos.dataset import check_dataset, describe_dataset, open_dataset

    settings = read_settings(config)
    note_begin(settings, "check-data")
    dataset = open_dataset(settings)
    checked = check_dataset(dataset, lambda videos: progress_lines(videos, "checked", lambda video: video.name))
    write_json(Results(settings).dataset, checked | describe_dataset(dataset))
    typer.echo(f"{len(checked['sequences'])} sequences, {sum(checked['sequences'].values())} frames: no problem")
