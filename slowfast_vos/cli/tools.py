"""The verbs that serve a person: a run's status, predictions of any video, scores of any masks, and the data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from slowfast_vos.cli.app import Config, app, expect_one, expect_torch, on_device, report_job
from slowfast_vos.cli.score import Year
from slowfast_vos.config import load_settings
from slowfast_vos.errors import UserError
from slowfast_vos.files import write_json
from slowfast_vos.jobs.runner import hold_lock
from slowfast_vos.progress import ProgressCallback, progress_lines
from slowfast_vos.reporting.status import last_lines, print_status, read_status
from slowfast_vos.videos.check import TreeReport, check_tree, editions
from slowfast_vos.videos.dataset import check_dataset, describe_dataset, open_dataset
from slowfast_vos.videos.davis import DavisTree

# Exit code of `status` where something failed.
FAILED = 3


@app.command()
def predict(
    checkpoint: Annotated[Path, typer.Option(help="A parent's checkpoint.")],
    video: Annotated[Path, typer.Option(help="A video file, or a folder of frames in the order of their names.")],
    out: Annotated[Path, typer.Option(help="Folder for the masks, out/VIDEO/FRAME.png.")],
    overlay: Annotated[Path | None, typer.Option(help="A new MP4 file: the masks over the frames.")] = None,
    instances: Annotated[
        Path | None,
        typer.Option(
            help="Folder for VIDEO/FRAME.png, whose values are the ids of a frame's detections (no tracks), and "
            "VIDEO/detections.csv, their boxes, labels and scores."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Segment any video with a parent's checkpoint."""
    expect_torch()
    with on_device(device):
        from slowfast_vos.jobs.segment import segment_video

        with progress_bar() as progress:
            options = {"with_instances": instances, "overlay": overlay, "progress": progress}
            folder = segment_video(checkpoint, video, out, device, **options)
    typer.echo(f"predictions in {folder}")


@app.command()
def summary(config: Config) -> None:
    """Print a run's main table, once it is there; count what is done, failed and skipped."""
    from rich.markdown import Markdown

    console, status = Console(), read_status(load_settings(config))
    reports = status.results.reports
    if all(one.state == "done" for one in status.jobs):
        console.print(Markdown((reports / "tables" / "table1.md").read_text(encoding="utf-8")))
        typer.echo("".join(f"{name}: {reports / name}\n" for name in ("tables", "figures", "strips")), nl=False)
    typer.echo("\n".join(last_lines(status)))
    if (reports / "report.html").is_file():
        typer.echo(f"what the run answers: {reports / 'report.html'}")


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, such as results/demo; two or more.")],
    out: Annotated[Path, typer.Option(help="Folder for the tables and pictures.")] = Path("reports/compare"),
) -> None:
    """Compare runs: seeds of equal runs are merged and judged, different runs are paired by seed and sequence."""
    from slowfast_vos.reporting.compare import write_comparison

    for line in write_comparison(runs, out):
        typer.echo(line)


@app.command()
def status(
    config: Annotated[Path | None, typer.Option("--config", help="Configuration; all runs here without it.")] = None,
) -> None:
    """Show where a run stands: done, running, failed, missing, and the time left. Exits with 3 if something failed."""
    console = Console()
    paths = [config] if config else sorted(Path("results").glob("*/settings.json"))
    if not paths:
        raise UserError("results: found no run (results/NAME/settings.json); expected one, or --config")
    failed, problems = False, []
    for index, path in enumerate(paths):
        if index:
            console.print()
        try:
            found = read_status(load_settings(path))
        except UserError as error:  # the other runs are shown all the same
            problems.append(str(error))
            continue
        print_status(found, console)
        failed |= bool(found.totals["failed"])
    if problems:
        raise UserError("\n".join(problems))
    if failed:
        raise typer.Exit(FAILED)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a configuration, for editors: `slowfast-vos schema > schema.json`."""
    from slowfast_vos.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@app.command()
def synthesize(
    root: Annotated[Path | None, typer.Option(help="Folder to write the dataset to.")] = None,
    config: Annotated[Path | None, typer.Option(help="Draw the dataset of this configuration instead.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the whole dataset.")] = 63,
    train: Annotated[int, typer.Option(help="Training sequences.")] = 12,
    val: Annotated[int, typer.Option(help="Validation sequences.")] = 8,
    frames: Annotated[int, typer.Option(help="Frames of a sequence.")] = 24,
    height: Annotated[int, typer.Option(help="Height of a frame in pixels.")] = 240,
    width: Annotated[int, typer.Option(help="Width of a frame in pixels.")] = 400,
    processes: Annotated[int, typer.Option(help="Sequences drawn side by side.")] = 1,
) -> None:
    """Draw the generated dataset, in DAVIS's layout; the same options give the same bytes.

    Either a run's (--config) or one of the sizes given here (--root).
    """
    expect_one("synthesize", "--root and --config", root, config)
    if root is not None:
        sizes = {"train": train, "val": val, "frames": frames, "height": height, "width": width}
        _draw(root, {"seed": seed, **sizes}, processes)
    elif config is not None:
        with report_job(config, "synthesize") as results:
            data = results.settings.data.synthetic
            _draw(results.settings.data_root, data.model_dump(), processes)


def _draw(root: Path, options: dict[str, int], processes: int) -> None:
    from slowfast_vos.generated import synthesize as draw

    # A job of a Snakemake that was killed may still draw here.
    with hold_lock(root / ".lock", lambda: f"another process draws {root}"), progress_bar() as progress:
        draw(root, **options, processes=processes, progress=partial(progress, "drawing sequences"))
    typer.echo(f"{options['train']} training and {options['val']} validation sequences in {root}")


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
    expect_one("check-data", "--config and --davis-root", config, davis_root)
    if davis_root is not None:
        _check_davis(davis_root, resolution, year, split or ["train", "val"])
    elif config is not None:
        if year or split or resolution != "480p":
            raise UserError(
                "check-data: found --year, --resolution or --split with --config; expected them with --davis-root"
            )
        with report_job(config, "check-data") as results:
            dataset = open_dataset(results.settings)
            checked = check_dataset(dataset, lambda videos: progress_lines(videos, "checked", lambda video: video.name))
            write_json(results.dataset, checked | describe_dataset(dataset))
            lengths = checked["sequences"].values()
            typer.echo(f"{len(lengths)} sequences, {sum(lengths)} frames: no problem")


def _check_davis(root: Path, resolution: str, year: Year | None, splits: list[str]) -> None:
    tree = DavisTree(root, resolution)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; expected a DAVIS tree")
    years = editions(tree) if year is None else [int(year)]
    with progress_bar() as progress:
        reports = [check_tree(tree, one, splits, progress=partial(progress, f"checking DAVIS {one}")) for one in years]
    for report in reports:
        print_report(report, tree)
    # A file may be wrong in both editions.
    problems = list(dict.fromkeys(problem for report in reports for problem in report.problems))
    if problems:
        typer.echo(f"{len(problems)} problem{'s' * (len(problems) > 1)} in {root}")
        raise UserError("\n".join(problems))
    typer.echo(f"no problem in {root}")


@app.command("fetch-davis")
def fetch_davis(
    out: Annotated[Path, typer.Option(help="Folder of the tree, such as data/davis; the archive stays beside it.")],
    year: Annotated[Year, typer.Option(help="2017 (train and val of both editions) or 2016.")] = Year.DAVIS_2017,
    resolution: Annotated[str, typer.Option(help="480p; Full-Resolution for 2017; 2016 brings 1080p too.")] = "480p",
    url: Annotated[str | None, typer.Option(help="A mirror of the official archive.")] = None,
    sha256: Annotated[
        str | None, typer.Option(help="The archive's SHA-256, to be checked instead of the checksum known here.")
    ] = None,
    retries: Annotated[int, typer.Option(min=0, help="Further tries of a download that breaks off.")] = 5,
) -> None:
    """Download, verify, unpack and check an official archive of DAVIS.

    A download that broke off goes on with the same command; a complete tree is verified and left as it is.
    """
    from slowfast_vos.videos.fetch import fetch

    if sha256 is not None and (len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef")):
        raise UserError(f"--sha256: found {sha256!r}; expected 64 hexadecimal digits")
    with progress_bar() as progress:
        report, archive = fetch(out, int(year), resolution, url=url, sha256=sha256, retries=retries, progress=progress)
    print_report(report, DavisTree(out, resolution))
    typer.echo(f"{out}: complete" + (", left as it is" if archive is None else f"; {archive} is no longer needed"))


@contextmanager
def progress_bar() -> Iterator[ProgressCallback]:
    """Bars on stderr, one for each kind of work, with the time left."""
    tasks: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True)) as bar:

        def show(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=total)

        yield show


def print_report(report: TreeReport, tree: DavisTree) -> None:
    """Print a table of a tree's splits, and notes on oddities that are handled."""
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
