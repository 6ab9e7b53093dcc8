"""Verbs that predict, score a run and measure its cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slowfast_vos.cli.app import Config, Seed, SetupOption, app, make_context, make_job, parse_setup
from slowfast_vos.errors import UserError

BASELINES = ("detector", "foreground")


@app.command("predict-parent")
def predict_parent(config: Config, setup: SetupOption, seed: Seed = None) -> None:
    """Predict the validation sequences with a setup's parent."""
    setup = parse_setup(setup)
    job = make_job(config, seed, f"predict {setup}", "predict", setup)
    from slowfast_vos.jobs.predict import predict_parent as run

    typer.echo(f"predictions in {run(job, setup)}")


@app.command("predict-baseline")
def predict_baseline(
    config: Config,
    baseline: Annotated[str, typer.Option(help="detector (all that it finds) or foreground (every pixel).")],
    seed: Seed = None,
) -> None:
    """Predict the validation sequences without any temporal model."""
    if baseline not in BASELINES:
        raise UserError(f'--baseline: found {baseline!r}; expected "detector" or "foreground"')
    job = make_job(config, seed, f"baseline {baseline}", "predict", baseline)
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
    from slowfast_vos.measuring.lease import lease_gpu

    lease_gpu(device)
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
    if task != "baseline" or setup not in BASELINES:
        setup = parse_setup(setup)
    job = make_context(config, seed, f"evaluate {task} {setup}", "evaluate", task, setup)
    from slowfast_vos.jobs.evaluate import evaluate as run

    record = run(job, task, setup)
    typer.echo(record.error or f"{task} {setup}: J&F {record.scores.jf_mean:.3f}")


@app.command()
def cost(config: Config, setup: SetupOption, seed: Seed = None) -> None:
    """Measure parameters, operations, memory and time of a setup."""
    setup = parse_setup(setup)
    job = make_job(config, seed, f"cost {setup}", "cost", setup)
    from slowfast_vos.jobs.cost import measure_cost

    measure_cost(job, setup)
