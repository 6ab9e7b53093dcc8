"""The verbs that hand a finished run to others: to this repository, to trackers, to a hub of models."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from slowfast_vos.cli.app import Config, app, expect_one
from slowfast_vos.config import load_settings
from slowfast_vos.paths import Results


class Tracker(StrEnum):
    """Where `export` writes to."""

    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"


@app.command()
def publish(
    config: Annotated[Path | None, typer.Option("--config", help="A finished run's configuration.")] = None,
    tables_of: Annotated[Path | None, typer.Option(help="A published run: write its tables again instead.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; results/published/NAME without it.")] = None,
) -> None:
    """Put a run's page, tables and records into a folder to commit; or make the tables of such a folder again."""
    from slowfast_vos.reporting import publish

    expect_one("publish", "--config and --tables-of", config, tables_of)
    if tables_of is not None:
        typer.echo(f"tables: {publish.rebuild_tables(tables_of, out or Path('reports') / tables_of.name)}")
    elif config is not None:
        results = Results(load_settings(config))
        typer.echo(f"published: {publish.publish(results, out or Path('results/published') / results.settings.name)}")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A finished run's folder, such as results/demo, or a published one.")],
    to: Annotated[Tracker, typer.Option(help="tensorboard (event files) or mlflow (a database or a server).")],
    out: Annotated[
        str | None,
        typer.Option(
            help="Folder of event files, or MLflow's tracking URI; exports/tensorboard or sqlite:///exports/mlflow.db "
            "without it."
        ),
    ] = None,
) -> None:
    """Export a run's curves, scores, hyper-parameters, tables and figures; the same records are exported once."""
    from slowfast_vos.reporting import export as exports
    from slowfast_vos.reporting.records import open_folder

    with open_folder(run) as results:
        if to is Tracker.TENSORBOARD:
            folder = exports.export_tensorboard(results, Path(out or "exports/tensorboard"))
            typer.echo(
                f"exported: {folder} (tensorboard --logdir {folder}, or {folder}/parent for the parents' curves)"
            )
        else:
            uri = out or "sqlite:///exports/mlflow.db"
            typer.echo(f"{exports.export_mlflow(results, uri)} (mlflow ui --backend-store-uri {uri})")


@app.command()
def release(
    config: Config,
    out: Annotated[Path | None, typer.Option(help="Folder; releases/NAME without it.")] = None,
) -> None:
    """Put a run's weights, masks, model card and checksums into a folder for a hub of models."""
    from slowfast_vos.reporting.release import write_release

    results = Results(load_settings(config))
    folder = write_release(results, out or Path("releases") / results.settings.name)
    typer.echo(f"released: {folder}\npublish it: hf upload USER/NAME {folder} .")
