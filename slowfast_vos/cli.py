"""The command line: one verb per stage; every verb also serves a person without Snakemake."""

from __future__ import annotations

import logging
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer
from typer.core import TyperGroup

from slowfast_vos.errors import UserError
from slowfast_vos.scoring.command import score_command

if TYPE_CHECKING:
    from slowfast_vos.config import Settings
    from slowfast_vos.jobs.common import Job
    from slowfast_vos.jobs.context import Context


class OneLineErrors(TyperGroup):
    """Prints a user's mistake in one line, without a traceback, and exits with code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            for line in str(error).splitlines():
                typer.echo(f"error: {line}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="SlowFast networks for video object segmentation: train, fine-tune, predict, score, measure, report.",
)
app.command("score")(score_command)

Config = Annotated[Path, typer.Option("--config", help="Configuration, such as config/config.yaml.")]
Seed = Annotated[int | None, typer.Option(help="One of the run's seeds; the first without it.")]
SetupOption = Annotated[str, typer.Option(help='Slow-fast frames, such as "3-7".')]
Part = Annotated[str, typer.Option(help='Which part of how many, such as "1/4".')]
Out = Annotated[Path | None, typer.Option(help="Folder to write to; the run's own without it.")]


@app.callback()
def main() -> None:
    """Log to stderr, times included."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)


def _settings(config: Path) -> Settings:
    from slowfast_vos.config import load_settings

    return load_settings(config)


def _context(config: Path, seed: int | None, label: str) -> Context:
    """A job without a network."""
    from slowfast_vos.jobs.context import Context

    return Context(*_settings_and_seed(config, seed, label))


def _job(config: Path, seed: int | None, label: str) -> Job:
    """A job with one; importing torch takes seconds."""
    settings, seed = _settings_and_seed(config, seed, label)
    from slowfast_vos.jobs.common import Job

    return Job(settings, seed)


def _settings_and_seed(config: Path, seed: int | None, label: str) -> tuple[Settings, int]:
    settings = _settings(config)
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {label}: %(message)s", datefmt="%H:%M:%S", force=True)
    if seed is not None and seed not in settings.seeds:
        raise UserError(f"--seed: found {seed}; expected one of seeds {settings.seeds} in {config}")
    return settings, settings.seeds[0] if seed is None else seed


def _part(part: str) -> tuple[int, int]:
    index, slash, count = part.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise UserError(f'--part: found {part!r}; expected one such as "1/4", from 1/N to N/N')
    return int(index) - 1, int(count)


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

    settings = _settings(config)
    dataset = open_dataset(settings)
    checked = check_dataset(dataset, lambda videos: progress_lines(videos, "checked", lambda video: video.name))
    write_json(Results(settings).dataset, checked | describe_dataset(dataset))
    typer.echo(f"{len(checked['sequences'])} sequences, {sum(checked['sequences'].values())} frames: no problem")


@app.command("train-detector")
def train_detector(config: Config, seed: Seed = None) -> None:
    """Train Mask R-CNN on single frames."""
    job = _job(config, seed, "detector")
    from slowfast_vos.jobs.train import run_detector

    run_detector(job)


@app.command("train-parent")
def train_parent(config: Config, setup: SetupOption, seed: Seed = None) -> None:
    """Train the unsupervised parent of a setup."""
    job = _job(config, seed, f"parent {setup}")
    from slowfast_vos.jobs.train import run_parent

    run_parent(job, _setup(setup))


@app.command()
def tune(
    config: Config,
    setup: SetupOption,
    backbone: Annotated[str, typer.Option(help="frozen or trained.")],
    lr: Annotated[str, typer.Option(help="Learning rate.")],
    seed: Seed = None,
) -> None:
    """Train one point of the unsupervised stage's tuning."""
    job = _job(config, seed, f"tuning {setup} {backbone} {lr}")
    if (backbone, lr) not in product(job.settings.tuning.backbone, job.settings.tuning.lr):
        raise UserError(f"--backbone {backbone} --lr {lr}: found a point that is not in {config}'s tuning")
    from slowfast_vos.jobs.train import run_tuning

    run_tuning(job, _setup(setup), backbone, lr)


@app.command()
def grid(config: Config, setup: SetupOption, seed: Seed = None, part: Part = "1/1") -> None:
    """Fine-tune and score the configurations of a setup's grid, or one part of them."""
    job = _job(config, seed, f"grid {setup}")
    from slowfast_vos.jobs.finetune import run_grid

    records = run_grid(job, _setup(setup), *_part(part))
    failed = sum(record.status == "failed" for record in records)
    typer.echo(f"{len(records) - failed} done, {failed} failed")


@app.command()
def select(config: Config, setup: SetupOption, seed: Seed = None) -> None:
    """Choose the best configuration of a setup's grid on the selection sequences."""
    job = _context(config, seed, f"select {setup}")
    from slowfast_vos.jobs.evaluate import select_best

    results = job.results
    paths = [results.grid(setup, *point, job.seed) for point in results.configurations()]
    best = select_best(job, _setup(setup), paths)
    typer.echo(f"{setup}: {best.job}, J&F on selection {best.scores.jf_mean:.3f}")


@app.command()
def finetune(config: Config, setup: SetupOption, seed: Seed = None, part: Part = "1/1") -> None:
    """Fine-tune one final model per validation sequence with the chosen configuration, and predict."""
    job = _job(config, seed, f"final {setup}")
    from slowfast_vos.jobs.finetune import run_final

    run_final(job, _setup(setup), *_part(part))


@app.command("predict-parent")
def predict_parent(config: Config, setup: SetupOption, seed: Seed = None) -> None:
    """Predict the validation sequences with a setup's parent."""
    job = _job(config, seed, f"predict {setup}")
    from slowfast_vos.jobs.predict import predict_parent as run

    typer.echo(f"predictions in {run(job, _setup(setup))}")


@app.command("predict-baseline")
def predict_baseline(
    config: Config,
    baseline: Annotated[str, typer.Option(help="detector (all that it finds) or foreground (every pixel).")],
    seed: Seed = None,
) -> None:
    """Predict the validation sequences without any temporal model."""
    if baseline not in ("detector", "foreground"):
        raise UserError(f'--baseline: found {baseline!r}; expected "detector" or "foreground"')
    job = _job(config, seed, f"baseline {baseline}")
    from slowfast_vos.jobs.predict import predict_baseline as run

    typer.echo(f"predictions in {run(job, baseline)}")


@app.command()
def predict(
    checkpoint: Annotated[Path, typer.Option(help="A parent's checkpoint.")],
    video: Annotated[Path, typer.Option(help="A folder of frames, in the order of their names.")],
    out: Annotated[Path, typer.Option(help="Folder for the masks, out/VIDEO/FRAME.png.")],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Segment any folder of frames with a checkpoint of ours."""
    from slowfast_vos.jobs.predict import predict_video

    typer.echo(f"predictions in {predict_video(checkpoint, video, out, device)}")


@app.command()
def evaluate(
    config: Config,
    task: Annotated[str, typer.Option(help="unsupervised, semi-supervised or baseline.")],
    setup: Annotated[str, typer.Option(help="A setup, or the baseline's name.")],
    seed: Seed = None,
) -> None:
    """Score a run's predictions of the validation sequences."""
    if task not in ("unsupervised", "semi-supervised", "baseline"):
        raise UserError(f"--task: found {task!r}; expected unsupervised, semi-supervised or baseline")
    job = _context(config, seed, f"evaluate {task} {setup}")
    from slowfast_vos.jobs.evaluate import evaluate as run

    record = run(job, task, setup)
    typer.echo(record.error or f"{task} {setup}: J&F {record.scores.jf_mean:.3f}")


@app.command()
def cost(config: Config, setup: SetupOption, seed: Seed = None) -> None:
    """Measure parameters, operations, memory and time of a setup."""
    job = _job(config, seed, f"cost {setup}")
    from slowfast_vos.jobs.cost import measure_cost

    measure_cost(job, _setup(setup))


@app.command()
def tables(config: Config, out: Out = None) -> None:
    """Write the tables of a run, from its records alone."""
    from slowfast_vos.paths import Results
    from slowfast_vos.reporting.tables import write_tables

    settings = _settings(config)
    results = Results(settings)
    write_tables(settings, results.root, out or results.reports / "tables", results.reports / "figures")


@app.command()
def plots(config: Config, out: Out = None) -> None:
    """Draw the figures of a run, from its records alone."""
    from slowfast_vos.paths import Results
    from slowfast_vos.reporting.plots import write_plots

    settings = _settings(config)
    results = Results(settings)
    write_plots(settings, results.root, out or results.reports / "figures")


@app.command()
def strips(config: Config, out: Out = None) -> None:
    """Draw predictions over their frames, as pictures and animations."""
    from slowfast_vos.paths import Results
    from slowfast_vos.reporting.overlays import write_strips

    settings = _settings(config)
    results = Results(settings)
    write_strips(settings, results.root, out or results.reports / "strips")


@app.command()
def summary(config: Config) -> None:
    """Print a run's main table, and where its tables and figures lie."""
    from rich.console import Console

    from slowfast_vos.paths import Results
    from slowfast_vos.reporting.tables import summary as summarise

    settings = _settings(config)
    results = Results(settings)
    places = {name: results.reports / name for name in ("tables", "figures", "strips")}
    Console().print(summarise(settings, results.root, places))


def _setup(name: str) -> str:
    from slowfast_vos.setups import Setup

    return str(Setup.parse(name))
