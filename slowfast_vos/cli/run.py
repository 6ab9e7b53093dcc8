"""The verbs of a run's jobs, one per rule of the workflow, in the order of its stages."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from itertools import product
from pathlib import Path
from typing import Annotated

import typer

from slowfast_vos.cli.app import Config, Out, Part, Seed, SetupOption, app, open_job, parse_part, report_job
from slowfast_vos.config import load_settings
from slowfast_vos.dag import BASELINES, TASKS, planned_jobs, read_output
from slowfast_vos.errors import UserError
from slowfast_vos.files import atomic_folder, write_json
from slowfast_vos.jobs.evaluate import evaluate_predictions, select_best
from slowfast_vos.setups import Setup


@app.command("train-detector")
def train_detector(config: Config, seed: Seed = None) -> None:
    """Train Mask R-CNN on single frames."""
    with open_job(config, seed, "detector") as job:
        from slowfast_vos.jobs.train import run_detector

        run_detector(job)


@app.command("train-parent")
def train_parent(config: Config, setup: SetupOption, seed: Seed = None) -> None:
    """Train the unsupervised parent of a setup."""
    with open_job(config, seed, "parent", setup) as job:
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
    tuning = load_settings(config).tuning
    if (backbone, lr) not in product(tuning.backbone, tuning.lr):
        raise UserError(f"--backbone {backbone} --lr {lr}: found a point that is not in {config}'s tuning")
    with open_job(config, seed, "tuning", setup, f"backbone={backbone}", f"lr={lr}") as job:
        from slowfast_vos.jobs.train import run_tuning

        run_tuning(job, setup, backbone, lr)


@app.command()
def grid(config: Config, setup: SetupOption, seed: Seed = None, part: Part = "1/1") -> None:
    """Fine-tune and score the configurations of a setup's grid, or one part of them."""
    shard = parse_part(part)
    with open_job(config, seed, "grid", setup, part=shard) as job:
        from slowfast_vos.jobs.finetune import run_grid

        records = run_grid(job, setup, *shard)
        failed = sum(record.status == "failed" for record in records)
        typer.echo(f"{len(records) - failed} done, {failed} failed")


@app.command()
def select(config: Config, setup: SetupOption, seed: Seed = None) -> None:
    """Choose the best configuration of a setup's grid on the selection sequences."""
    with open_job(config, seed, "select", setup, network=False) as job:
        best = select_best(job, setup)
        typer.echo(f"{setup}: {best.error or f'{best.job}, J&F on selection {best.scores.jf_mean:.3f}'}")


@app.command()
def finetune(config: Config, setup: SetupOption, seed: Seed = None, part: Part = "1/1") -> None:
    """Fine-tune one final model per validation sequence with the chosen configuration, and predict."""
    shard = parse_part(part)
    with open_job(config, seed, "final", setup, part=shard) as job:
        from slowfast_vos.jobs.finetune import run_final

        run_final(job, setup, *shard)


@app.command("predict-parent")
def predict_parent(config: Config, setup: SetupOption, seed: Seed = None) -> None:
    """Predict the validation sequences with a setup's parent."""
    with open_job(config, seed, "predict", setup) as job:
        from slowfast_vos.jobs import predict

        typer.echo(f"predictions in {predict.predict_parent(job, setup)}")


@app.command("predict-baseline")
def predict_baseline(
    config: Config,
    baseline: Annotated[str, typer.Option(help="detector (all that it finds) or foreground (every pixel).")],
    seed: Seed = None,
) -> None:
    """Predict the validation sequences without any temporal model."""
    check_baseline("--baseline", baseline)
    with open_job(config, seed, "predict", baseline) as job:
        from slowfast_vos.jobs import predict

        typer.echo(f"predictions in {predict.predict_baseline(job, baseline)}")


def check_baseline(option: str, name: str) -> None:
    """Refuse what is no baseline."""
    if name not in BASELINES:
        raise UserError(f'{option}: found {name!r}; expected "detector" or "foreground"')


@app.command()
def evaluate(
    config: Config,
    task: Annotated[str, typer.Option(help="unsupervised, semi-supervised or baseline.")],
    setup: Annotated[str, typer.Option(help="A setup, or the baseline's name.")],
    seed: Seed = None,
) -> None:
    """Score a run's predictions of the validation sequences."""
    if task not in (*TASKS, "baseline"):
        raise UserError(f"--task: found {task!r}; expected unsupervised, semi-supervised or baseline")
    if task == "baseline":
        check_baseline("--setup", setup)
    else:
        setup = str(Setup.parse(setup))
    with open_job(config, seed, "evaluate", task, setup, network=False) as job:
        record = evaluate_predictions(job, task, setup)
        typer.echo(record.error or f"{task} {setup}: J&F {record.scores.jf_mean:.3f}")


@app.command()
def cost(config: Config, setup: SetupOption, seed: Seed = None) -> None:
    """Measure parameters, operations, memory and time of a setup."""
    with open_job(config, seed, "cost", setup) as job:
        from slowfast_vos.jobs.cost import measure_cost

        measure_cost(job, setup)


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
