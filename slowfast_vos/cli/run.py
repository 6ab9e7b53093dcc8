"""The verbs of a run's jobs, one per rule of the workflow, in the order of its stages."""

from __future__ import annotations

import multiprocessing
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from slowfast_vos.cli.app import (
    Config,
    Out,
    Part,
    Seed,
    SetupOption,
    app,
    expect_torch,
    parse_part,
    report_job,
    run_jobs,
)
from slowfast_vos.config import load_settings
from slowfast_vos.dag import BASELINES, TASKS, planned_jobs, read_output
from slowfast_vos.errors import UserError
from slowfast_vos.files import atomic_folder, write_json
from slowfast_vos.jobs.evaluate import evaluate_predictions, select_best
from slowfast_vos.jobs.job import Job
from slowfast_vos.paths import Results
from slowfast_vos.setups import Setup


@app.command("train-detector")
def train_detector(config: Config, seed: Seed = None) -> None:
    """Train Mask R-CNN on single frames."""

    def train(job: Job) -> None:
        from slowfast_vos.jobs.train import run_detector

        run_detector(job)

    run_jobs(config, seed, train, [("detector",)])


@app.command("train-parent")
def train_parent(config: Config, setup: SetupOption, seed: Seed = None) -> None:
    """Train the unsupervised parents of some setups."""

    def train(job: Job, name: str) -> None:
        from slowfast_vos.jobs.train import run_parent

        run_parent(job, name)

    run_jobs(config, seed, train, [("parent", name) for name in setup])


@app.command()
def tune(
    config: Config,
    point: Annotated[list[str], typer.Option(help="SETUP/BACKBONE/RATE, such as 3-7/frozen/0.001; may be repeated.")],
    seed: Seed = None,
) -> None:
    """Train points of the unsupervised stage's tuning."""
    known = {"/".join(point): point for point in Results(load_settings(config)).tunings()}
    for name in point:
        if name not in known:
            raise UserError(f"--point: found {name}, which is not in {config}'s tuning; expected some of {[*known]}")

    def train(job: Job, *words: str) -> None:
        from slowfast_vos.jobs.train import run_tuning

        run_tuning(job, *words)

    run_jobs(config, seed, train, [("tuning", *known[name]) for name in point])


@app.command()
def grid(config: Config, setup: SetupOption, seed: Seed = None, part: Part = "1/1") -> None:
    """Fine-tune and score the configurations of a setup's grid, or one part of them."""
    shard = parse_part(part)

    def search(job: Job, name: str) -> None:
        from slowfast_vos.jobs.finetune import run_grid

        records = run_grid(job, name, *shard)
        failed = sum(record.status == "failed" for record in records)
        typer.echo(f"{name}: {len(records) - failed} done, {failed} failed")

    run_jobs(config, seed, search, [("grid", name) for name in setup], part=shard)


@app.command()
def select(config: Config, setup: SetupOption, seed: Seed = None) -> None:
    """Choose the best configuration of a setup's grid on the selection sequences."""

    def choose(job: Job, name: str) -> None:
        best = select_best(job, name)
        typer.echo(f"{name}: {best.error or f'{best.job}, J&F on selection {best.scores.jf_mean:.3f}'}")

    run_jobs(config, seed, choose, [("select", name) for name in setup], network=False)


@app.command()
def finetune(config: Config, setup: SetupOption, seed: Seed = None, part: Part = "1/1") -> None:
    """Fine-tune one final model per validation sequence with the chosen configuration, and predict."""
    shard = parse_part(part)

    def train(job: Job, name: str) -> None:
        from slowfast_vos.jobs.finetune import run_final

        run_final(job, name, *shard)

    run_jobs(config, seed, train, [("final", name) for name in setup], part=shard)


def parse_subjects(names: list[str]) -> list[tuple[str, str]]:
    """Task and subject of names such as "unsupervised/3-7" and "baseline/detector"."""
    parsed = []
    for name in names:
        task, _, subject = name.partition("/")
        if task not in (*TASKS, "baseline") or (task == "baseline" and subject not in BASELINES):
            expected = "unsupervised/SETUP, semi-supervised/SETUP, baseline/detector or baseline/foreground"
            raise UserError(f"--subject: found {name!r}; expected {expected}")
        parsed.append((task, subject if task == "baseline" else str(Setup.parse(subject))))
    return parsed


Subjects = Annotated[
    list[str],
    typer.Option(
        "--subject",
        help="TASK/SETUP such as unsupervised/3-7, baseline/detector (all that it finds) or baseline/foreground "
        "(every pixel); may be repeated.",
    ),
]


@app.command("predict-val")
def predict_val(config: Config, subject: Subjects, seed: Seed = None) -> None:
    """Predict the validation sequences with parents, or without any temporal model."""
    subjects = parse_subjects(subject)
    if any(task == "semi-supervised" for task, _ in subjects):
        raise UserError("--subject: found semi-supervised; expected others, since finetune writes its predictions")

    def predict(job: Job, task: str, name: str) -> None:
        from slowfast_vos.jobs.predict import predict_baseline, predict_parent

        typer.echo(f"predictions in {(predict_baseline if task == 'baseline' else predict_parent)(job, name)}")

    run_jobs(config, seed, predict, [("predict", *one) for one in subjects])


@app.command()
def evaluate(config: Config, subject: Subjects, seed: Seed = None) -> None:
    """Score a run's predictions of the validation sequences."""

    def measure(job: Job, task: str, name: str) -> None:
        record = evaluate_predictions(job, task, name)
        typer.echo(record.error or f"{task} {name}: J&F {record.scores.jf_mean:.3f}")

    run_jobs(config, seed, measure, [("evaluate", *one) for one in parse_subjects(subject)], network=False)


@app.command()
def cost(config: Config, setup: SetupOption, seed: Seed = None) -> None:
    """Measure parameters, operations, memory and time of some setups."""
    if len(setup) > 1:
        _measure_apart(config, setup, seed)
        return

    def measure(job: Job, name: str) -> None:
        from slowfast_vos.jobs.cost import measure_cost

        measure_cost(job, name)

    run_jobs(config, seed, measure, [("cost", name) for name in setup])


def _measure_apart(config: Path, setups: list[str], seed: int | None) -> None:
    """Measure each setup in a process of its own, whose peak is its memory; a fork need not import torch again."""
    expect_torch()
    import slowfast_vos.jobs.cost  # noqa: F401

    context, codes = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn"), []
    chosen = [] if seed is None else ["--seed", str(seed)]
    for name in setups:
        process = context.Process(target=_run, args=(["cost", "--config", str(config), "--setup", name, *chosen],))
        process.start()
        process.join()
        codes.append(process.exitcode or 0)
    if any(codes):
        raise typer.Exit(next(code if code > 0 else 128 - code for code in codes if code))


def _run(arguments: list[str]) -> None:
    app(arguments)


@app.command()
def tables(config: Config, out: Out = None) -> None:
    """Write the tables of a run, from its records alone."""
    with report_job(config, "tables") as results:
        from slowfast_vos.reporting.tables import write_tables

        write_tables(results, out or results.reports / "tables")


@app.command()
def plots(config: Config, out: Out = None) -> None:
    """Draw the figures of a run, from its records alone."""
    with report_job(config, "plots") as results, folder_for(out, results.reports / "figures") as folder:
        from slowfast_vos.reporting.plots import write_plots

        write_plots(results, folder)


@app.command()
def strips(config: Config, out: Out = None) -> None:
    """Draw predictions over their frames, as pictures and animations."""
    with report_job(config, "strips") as results, folder_for(out, results.reports / "strips") as folder:
        from slowfast_vos.reporting.qualitative import write_strips

        write_strips(results, folder)


@app.command()
def report(config: Config, out: Out = None) -> None:
    """Write a run's page, report.html and report.md, from its records, figures and strips."""
    with report_job(config, "report") as results:
        from slowfast_vos.reporting.page import write_page

        typer.echo(f"the run's page: {write_page(results, out or results.reports)[0]}")


def folder_for(out: Path | None, default: Path) -> AbstractContextManager[Path]:
    """A folder to write to: a person's as it is; the run's own is replaced as a whole."""
    return atomic_folder(default) if out is None else nullcontext(out)


@app.command("check-records")
def check_records(config: Config, out: Annotated[Path, typer.Option(help="File that says so.")]) -> None:
    """Check a run's records, which makes its exit code: none may be a failed one, nor of other settings.

    Snakemake does not know the settings of jobs that ended while it was dead.
    """
    with report_job(config, "check-records") as results:
        from slowfast_vos.reporting.records import has_settings

        jobs = [job for job in planned_jobs(results) if job.recorded]
        records = {path: read_output(results, job, path) for job in jobs for path in job.outputs}
        if others := [path for path, record in records.items() if not has_settings(record, results.settings)]:
            expected = "expected the run's; remove it, and the same command makes it again"
            raise UserError("\n".join(f"{path}: found other settings of its stage; {expected}" for path in others))
        if failed := sum(record.status == "failed" for record in records.values()):
            table = results.reports / "tables" / "records.csv"
            raise UserError(f"{table}: found {failed} of {len(records)} records failed; `slowfast-vos status` says why")
        write_json(out, {"done": len(records), "failed": 0})
