"""Every figure of a run, from its records alone, as SVG and PNG."""

from __future__ import annotations

import textwrap
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from slowfast_vos.config import Settings
from slowfast_vos.reporting.bars import look_alikes, per_sequence
from slowfast_vos.reporting.collect import TASKS, Run, over_seeds, read_run, score
from slowfast_vos.reporting.curves import grid_map, grid_scale, learning_curves
from slowfast_vos.reporting.style import SINGLE, Point, draw, figure, looks, place_labels, save
from slowfast_vos.reporting.summary import figure_titles


def write_plots(settings: Settings, results: Path, out: Path) -> list[Path]:
    """Write every figure as SVG and PNG.

    Args:
        results: the run's folder of records.

    Raises:
        UserError: records are missing or do not follow the schema.
    """
    run = read_run(settings, results)
    makers = {
        "jf-vs-time": lambda: draw(jf_vs_time, run),
        "look-alikes": lambda: draw(look_alikes, run),
        "per-sequence": lambda: draw(per_sequence, run),
        "learning-curves": lambda: draw(learning_curves, run),
    }
    scale = grid_scale(run)
    for setup in settings.setups:
        makers[f"grid-{setup}"] = lambda setup=setup: draw(grid_map, run, setup, scale)
    names = figure_titles(settings.setups, bool(run.look_alikes))
    return [path for name in names for path in save(makers[name](), out / name)]


def jf_vs_time(run: Run) -> Figure:
    """J&F of both tasks against the time of one frame, inference alone."""
    made = figure(SINGLE, 3.0)
    axes = made.add_subplot()
    styles = looks(run.settings.setups)
    points: list[Point] = []
    for setup in run.settings.setups:
        costs = [record.cost for record in run.seeds("cost", setup) if record.cost]
        if not costs:
            continue
        spread = costs[0].milliseconds_per_frame
        reach = [[spread.median - spread.low], [spread.high - spread.median]]
        drawn = []
        for task in TASKS:
            value = over_seeds(run.seeds("evaluation", task, setup), score("jf_mean"))
            if value.mean is None:
                continue
            filled = task == TASKS[0]
            axes.errorbar(
                spread.median, value.mean, xerr=reach, yerr=value.std,
                marker="o" if filled else "D", color=styles[setup].colour, markeredgecolor="0.1", markeredgewidth=0.7,
                markerfacecolor=styles[setup].colour if filled else "white", elinewidth=0.9, capsize=1.8, zorder=3,
            )  # fmt: skip
            drawn.append(value.mean)
            half = value.std or 0.0
            x = (spread.low, spread.median, spread.high)
            points.append(Point(setup, x, (value.mean - half, value.mean, value.mean + half)))
        if len(drawn) == 2:
            axes.plot([spread.median] * 2, drawn, color="0.8", linewidth=0.7, zorder=1)
    axes.set_xlabel("inference alone [ms per frame]\n" + textwrap.shorten(run.device, 48, placeholder="…"))
    axes.set_ylabel("J&F (validation)")
    axes.grid(True)
    axes.margins(0.16, 0.14)
    handles = [
        Line2D([], [], linestyle="", marker="o", color="0.3", markeredgecolor="0.1", label=TASKS[0]),
        Line2D([], [], linestyle="", marker="D", markerfacecolor="white", markeredgecolor="0.1", label=TASKS[1]),
    ]
    made.legend(handles=handles, loc="outside upper center", ncols=2, handletextpad=0.2)
    place_labels(axes, points)
    return made
