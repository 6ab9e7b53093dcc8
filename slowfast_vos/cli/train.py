"""Verbs that train: the detector, the parents, the grid, the final models."""

from __future__ import annotations

from itertools import product
from typing import Annotated

import typer

from slowfast_vos.cli.app import (
    Config,
    Part,
    Seed,
    SetupOption,
    app,
    make_context,
    make_job,
    parse_part,
    parse_setup,
    read_settings,
)
from slowfast_vos.errors import UserError


@app.command("train-detector")
def train_detector(config: Config, seed: Seed = None) -> None:
    """Train Mask R-CNN on single frames."""
    job = make_job(config, seed, "detector", "detector")
    from slowfast_vos.jobs.train import run_detector

    run_detector(job)


@app.command("train-parent")
def train_parent(config: Config, setup: SetupOption, seed: Seed = None) -> None:
    """Train the unsupervised parent of a setup."""
    setup = parse_setup(setup)
    job = make_job(config, seed, f"parent {setup}", "parent", setup)
    from slowfast_vos.jobs.train import run_parent

    run_parent(job, setup)


@app.command()
def tune(
    config: Config,
    setup: SetupOption,
    backbone: Annotated[str, typer.Option(help="frozen or trained.")],
    lr: Annotated[str, typer.Option(help="Learning rate.")],
    seed: Seed = None,
) -> None:
    """Train one point of the unsupervised stage's tuning."""
    setup, tuning = parse_setup(setup), read_settings(config).tuning
    if (backbone, lr) not in product(tuning.backbone, tuning.lr):
        raise UserError(f"--backbone {backbone} --lr {lr}: found a point that is not in {config}'s tuning")
    parts = ("tuning", setup, f"backbone={backbone}", f"lr={lr}")
    job = make_job(config, seed, f"tuning {setup} {backbone} {lr}", *parts)
    from slowfast_vos.jobs.train import run_tuning

    run_tuning(job, setup, backbone, lr)


@app.command()
def grid(config: Config, setup: SetupOption, seed: Seed = None, part: Part = "1/1") -> None:
    """Fine-tune and score the configurations of a setup's grid, or one part of them."""
    setup, shard = parse_setup(setup), parse_part(part)
    job = make_job(config, seed, f"grid {setup}", "grid", setup, part=shard)
    from slowfast_vos.jobs.finetune import run_grid

    records = run_grid(job, setup, *shard)
    failed = sum(record.status == "failed" for record in records)
    typer.echo(f"{len(records) - failed} done, {failed} failed")


@app.command()
def select(config: Config, setup: SetupOption, seed: Seed = None) -> None:
    """Choose the best configuration of a setup's grid on the selection sequences."""
    setup = parse_setup(setup)
    job = make_context(config, seed, f"select {setup}", "select", setup)
    from slowfast_vos.jobs.evaluate import select_best

    results = job.results
    paths = [results.grid(setup, *point, job.seed) for point in results.configurations()]
    best = select_best(job, setup, paths)
    typer.echo(f"{setup}: {best.error or f'{best.job}, J&F on selection {best.scores.jf_mean:.3f}'}")


@app.command()
def finetune(config: Config, setup: SetupOption, seed: Seed = None, part: Part = "1/1") -> None:
    """Fine-tune one final model per validation sequence with the chosen configuration, and predict."""
    setup, shard = parse_setup(setup), parse_part(part)
    job = make_job(config, seed, f"final {setup}", "final", setup, part=shard)
    from slowfast_vos.jobs.finetune import run_final

    run_final(job, setup, *shard)
