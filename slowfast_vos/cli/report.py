"""Verbs that turn records into tables, figures and pictures."""

from __future__ import annotations

from slowfast_vos.cli.app import Config, Out, app, read_settings


@app.command()
def tables(config: Config, out: Out = None) -> None:
    """Write the tables of a run, from its records alone."""
    from slowfast_vos.paths import Results
    from slowfast_vos.reporting.tables import write_tables

    settings = read_settings(config)
    results = Results(settings)
    write_tables(settings, results.root, out or results.reports / "tables", results.reports / "figures")


@app.command()
def plots(config: Config, out: Out = None) -> None:
    """Draw the figures of a run, from its records alone."""
    from slowfast_vos.paths import Results
    from slowfast_vos.reporting.plots import write_plots

    settings = read_settings(config)
    results = Results(settings)
    write_plots(settings, results.root, out or results.reports / "figures")


@app.command()
def strips(config: Config, out: Out = None) -> None:
    """Draw predictions over their frames, as pictures and animations."""
    from slowfast_vos.paths import Results
    from slowfast_vos.reporting.overlays import write_strips

    settings = read_settings(config)
    results = Results(settings)
    write_strips(settings, results.root, out or results.reports / "strips")


@app.command()
def summary(config: Config) -> None:
    """Print a run's main table, and where its tables and figures lie."""
    from rich.console import Console

    from slowfast_vos.paths import Results
    from slowfast_vos.reporting.tables import summary as summarise

    settings = read_settings(config)
    results = Results(settings)
    places = {name: results.reports / name for name in ("tables", "figures", "strips")}
    Console().print(summarise(settings, results.root, places))
