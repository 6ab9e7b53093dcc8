"""Bars: J&F of each sequence, and with and without look-alikes."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from slowfast_vos.reporting.collect import (
    BASELINES,
    TASKS,
    Run,
    Value,
    mean_over,
    over_seeds,
    sequence_score,
)
from slowfast_vos.reporting.style import DOUBLE, MAP, figure, looks

EDGE = {"edgecolor": "0.15", "linewidth": 0.5}


def per_sequence(run: Run) -> Figure:
    """J&F of every validation sequence and setup, one row per task; sequences with look-alikes first."""
    order = _order(run)
    made = figure(DOUBLE, 4.6)
    rows = made.subplots(2, 1, sharex=True, sharey=True)
    styles = looks(run.settings.setups)
    width = 0.84 / len(run.settings.setups)
    for axes, task in zip(rows, TASKS, strict=True):
        for index, setup in enumerate(run.settings.setups):
            records = run.seeds("evaluation", task, setup)
            values = [over_seeds(records, sequence_score(name, "jf_mean")) for name in order]
            places = np.arange(len(order)) + (index - (len(run.settings.setups) - 1) / 2) * width
            _bars(axes, places, values, width, styles[setup].colour, styles[setup].hatch)
        floor = run.seeds("baseline", "detector")
        for place, name in enumerate(order):
            value = over_seeds(floor, sequence_score(name, "jf_mean")).mean
            if value is not None:
                axes.hlines(value, place - 0.46, place + 0.46, colors="white", linewidth=2.2, zorder=4)
                axes.hlines(value, place - 0.46, place + 0.46, colors="0.1", linewidth=1.0, zorder=5)
        if run.look_alikes:
            axes.axvspan(-0.5, len(run.look_alikes) - 0.5, color="0.93", zorder=0)
        axes.set_ylabel(f"J&F, {task}")
        axes.set_ylim(0, 1)
        axes.set_xlim(-0.5, len(order) - 0.5)
        axes.grid(True, axis="y")
        axes.tick_params(axis="x", length=0)
    if run.look_alikes:
        middle = (len(run.look_alikes) - 1) / 2
        rows[0].annotate(
            "look-alikes", (middle, 1), (0, 2), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="center", va="bottom",
        )  # fmt: skip
    long = max(map(len, order)) * len(order) > 100
    turned = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if long else {}
    rows[1].set_xticks(range(len(order)), order, **turned)
    handles: list[Patch | Line2D] = [
        Patch(facecolor=styles[setup].colour, hatch=styles[setup].hatch, label=setup, **EDGE)
        for setup in run.settings.setups
    ]
    handles.append(Line2D([], [], color="0.1", linewidth=1.0, label=BASELINES["detector"]))
    made.legend(handles=handles, loc="outside upper center", ncols=len(handles), columnspacing=1.4, handlelength=1.8)
    return made


def _order(run: Run) -> list[str]:
    first = run.seeds("evaluation", TASKS[0], run.settings.setups[0])
    level = {name: over_seeds(first, sequence_score(name, "jf_mean")).mean or 0 for name in run.val}
    return sorted(run.val, key=lambda name: (name not in run.look_alikes, -level[name], name))


def _bars(
    axes: Axes, places: Sequence[float] | np.ndarray, values: Sequence[Value], width: float, colour: object, hatch: str
) -> None:
    heights = [value.mean or 0 for value in values]
    axes.bar(places, heights, width, color=colour, hatch=hatch, zorder=2, **EDGE)
    for place, value in zip(places, values, strict=True):
        if value.std is not None:
            axes.errorbar(place, value.mean, yerr=value.std, color="0.1", elinewidth=0.7, capsize=1, zorder=3)
        elif value.mean is None:
            axes.text(place, 0.02, "failed" if value.failed else "–", rotation=90, ha="center", va="bottom")


def look_alikes(run: Run) -> Figure:
    """Mean J&F over the sequences with look-alikes and over those without, by setup and baseline."""
    apart = {
        f"with look-alikes ({len(run.look_alikes)})": run.look_alikes,
        f"without ({len(run.val) - len(run.look_alikes)})": [name for name in run.val if name not in run.look_alikes],
    }
    shades = matplotlib.colormaps[MAP]
    fills = [(shades(0.2), ""), (shades(0.9), "////")]
    made = figure(DOUBLE, 4.0)
    rows = made.subplots(2, 1, sharex=True, sharey=True)
    top = 0.0
    for axes, task in zip(rows, TASKS, strict=True):
        found = run.columns(task)
        for index, members in enumerate(apart.values()):
            if not members:
                continue
            values = [over_seeds(records, mean_over(members)) for records in found.values()]
            places = np.arange(len(found)) + (index - 0.5) * 0.38
            _bars(axes, places, values, 0.36, *fills[index])
            for place, value in zip(places, values, strict=True):
                if value.mean is not None:
                    height = value.mean + (value.std or 0)
                    top = max(top, height)
                    axes.text(place, height + 0.012, f"{value.mean:.3f}".lstrip("0"), ha="center", va="bottom")
        axes.axvline(len(BASELINES) - 0.5, color="0.6", linewidth=0.7, linestyle=(0, (4, 3)))
        axes.set_xticks(range(len(found)), list(found))
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel(f"mean J&F, {task}")
        axes.grid(True, axis="y")
    rows[0].set_ylim(0, min(1.12, top + 0.13))
    handles = [
        Patch(facecolor=colour, hatch=hatch, label=name, **EDGE)
        for name, (colour, hatch) in zip(apart, fills, strict=True)
    ]
    made.legend(handles=handles, loc="outside upper center", ncols=2)
    return made
