"""Verbs that train: the detector, the parents, the grid, the final models."""

from __future__ import annotations

from itertools import product
from typing import Annotated

import typer

from slowfast_vos.cli.app import Config, Part, Seed, SetupOption, app, make_context, make_job, parse_part, parse_setup
from slowfast_vos.errors import UserError


@app.command("train-detector")
def train_detector(config: Config, seed: Seed = None) -> None:
    """Train Mask R-CNN on single frames."""
    job = make_job(config, seed, "detector")
    from slowfast_vos.jobs.train import run_detector

    run_detector(job)


@app.command("train-parent")
def train_parent(config: Config, setup: SetupOption, seed: Seed = None) -> None:
    """Train the unsupervised parent of a setup."""
    job = make_job(config, seed, f"parent {setup}")
    from slowfast_vos.jobs.train import run_parent

    run_parent(job, parse_setup(setup))


@app.command()
def tune(
    config: Config,
    setup: SetupOption,
    backbone: Annotated[str, typer.Option(help="frozen or trained.")],
    lr: Annotated[str, typer.Option(help="Learning rate.")],
    seed: Seed = None,
) -> None:
    """Train one point of the unsupervised stage's tuning."""
    job = make_job(config, seed, f"tuning {setup} {backbone} {lr}")
    if (backbone, lr) not in product(job.settings.tuning.backbone, job.settings.tuning.lr):
        raise UserError(f"--backbone {backbone} --lr {lr}: found a point that is not in {config}'s tuning")
    from slowfast_vos.jobs.train import run_tuning

    run_tuning(job, parse_setup(setup), backbone, lr)


@app.command()
def grid(config: Config, setup: SetupOption, seed: Seed = None, part: Part = "1/1") -> None:
    """Fine-tune and score the configurations of a setup's grid, or one part of them."""
    job = make_job(config, seed, f"grid {setup}")
    from slowfast_vos.jobs.finetune import run_grid

    records = run_grid(job, parse_setup(setup), *parse_part(part))
    failed = sum(record.status == "failed" for record in records)
    typer.echo(f"{len(records) - failed} done, {failed} failed")


@app.command()
def select(config: Config, setup: SetupOption, seed: Seed = None) -> None:
    """Choose the best configuration of a setup's grid on the selection sequences."""
    job = make_context(config, seed, f"select {setup}")
    from slowfast_vos.jobs.evaluate import select_best

    results = job.results
    paths = [results.grid(setup, *point, job.seed) for point in results.configurations()]
    best = select_best(job, parse_setup(setup), paths)
    typer.echo(f"{setup}: {best.job}, J&F on selection {best.scores.jf_mean:.3f}")


@app.command()
def finetune(config: Config, setup: SetupOption, seed: Seed = None, part: Part = "1/1") -> None:
    """Fine-tune one final model per validation sequence with the chosen configuration, and predict."""
    job = make_job(config, seed, f"final {setup}")
    from slowfast_vos.jobs.finetune import run_final

    run_final(job, parse_setup(setup), *parse_part(part))
