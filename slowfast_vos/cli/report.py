"""Verbs that turn records into tables, figures and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slowfast_vos.cli.app import Config, Out, app, read_settings
from slowfast_vos.cli.running import note_begin
from slowfast_vos.errors import UserError

if TYPE_CHECKING:
    from slowfast_vos.config import Settings
    from slowfast_vos.paths import Results

FAILED = 3


@app.command()
def tables(config: Config, out: Out = None) -> None:
    """Write the tables of a run, from its records alone."""
    from slowfast_vos.reporting.tables import write_tables

    settings, results = _begin(config, "tables")
    write_tables(settings, results.root, out or results.reports / "tables", results.reports / "figures")


@app.command()
def plots(config: Config, out: Out = None) -> None:
    """Draw the figures of a run, from its records alone."""
    from slowfast_vos.reporting.figures import write_plots

    settings, results = _begin(config, "plots")
    write_plots(settings, results.root, out or results.reports / "figures")


@app.command()
def strips(config: Config, out: Out = None) -> None:
    """Draw predictions over their frames, as pictures and animations."""
    from slowfast_vos.reporting.qualitative import write_strips

    settings, results = _begin(config, "strips")
    write_strips(settings, results.root, out or results.reports / "strips")


@app.command()
def summary(config: Config) -> None:
    """Print a run's main table, once it is there; count what is done, failed and skipped."""
    from rich.console import Console

    from slowfast_vos.paths import Results
    from slowfast_vos.reporting.status import ending, print_plain, read_status

    settings = read_settings(config)
    results, console, status = Results(settings), Console(), read_status(settings)
    if all(job.state == "done" for job in status.jobs):
        from slowfast_vos.reporting.summary import summary as summarise

        places = {name: results.reports / name for name in ("tables", "figures", "strips")}
        console.print(summarise(settings, results.root, places))
    print_plain(console, *ending(status))


@app.command()
def status(
    config: Annotated[Path | None, typer.Option("--config", help="Configuration; all runs here without it.")] = None,
) -> None:
    """Show where a run stands: done, running, failed, missing, and the time left. Exits with 3 if something failed."""
    from rich.console import Console

    from slowfast_vos.reporting.status import print_status, read_status

    console = Console()
    paths = [config] if config else sorted(Path("results").glob("*/settings.json"))
    if not paths:
        raise UserError("results: found no run (results/NAME/settings.json); expected one, or --config")
    failed, problems = False, []
    for index, path in enumerate(paths):
        if index:
            console.print()
        try:
            found = read_status(read_settings(path))
        except UserError as error:  # the other runs are shown all the same
            problems.append(str(error))
            continue
        print_status(found, console)
        failed |= bool(found.totals["failed"])
    if problems:
        raise UserError("\n".join(problems))
    if failed:
        raise typer.Exit(FAILED)


@app.command("check-records")
def check_records(config: Config, out: Annotated[Path, typer.Option(help="File that says so.")]) -> None:
    """Check a run's records: what makes its exit code.

    None may be a failed one, nor be made with other settings: of jobs that ended while no Snakemake watched them, it
    does not know these.
    """
    from slowfast_vos.files import write_json
    from slowfast_vos.measuring.record import read_record
    from slowfast_vos.paths import Results
    from slowfast_vos.reporting.collect import has_settings
    from slowfast_vos.reporting.plan import plan

    settings = read_settings(config)
    results = Results(settings)
    records = {path: read_record(path) for step in plan(settings) if step.recorded for path in step.results}
    # All is there, so that what trainings of earlier settings left behind is of no use.
    for pattern in ("*.pt", "*.attempt"):
        for left in (results.root / "work").rglob(pattern):
            left.unlink()
    if others := [path for path, record in records.items() if not has_settings(record, settings)]:
        expected = "expected the run's; remove it, and the same command makes it again"
        raise UserError("\n".join(f"{path}: found other settings of its stage; {expected}" for path in others))
    if failed := sum(record.status == "failed" for record in records.values()):
        table = results.reports / "tables" / "records.csv"
        raise UserError(f"{table}: found {failed} of {len(records)} records failed; `slowfast-vos status` says why")
    write_json(out, {"done": len(records), "failed": 0})


def _begin(config: Path, verb: str) -> tuple[Settings, Results]:
    from slowfast_vos.paths import Results

    settings = read_settings(config)
    note_begin(settings, verb)
    return settings, Results(settings)
