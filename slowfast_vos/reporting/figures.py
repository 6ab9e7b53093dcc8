"""Every figure of a run, from its records alone, as SVG and PNG: marks survive greyscale, files have no dates."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import Normal, Stroke

from slowfast_vos.dag import BASELINES, TASKS
from slowfast_vos.files import atomic_write
from slowfast_vos.reporting.run import Run, of_task

STYLE = Path(__file__).with_suffix(".mplstyle")
SINGLE, DOUBLE = 3.5, 7.2  # inches: the width of one or two columns
MARKERS = "os^Dvp*h"
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----")
EDGE = {"edgecolor": "0.15", "linewidth": 0.5}
FREEZES = {"none": "nothing frozen", "SF": "SlowFast frozen", "BB_SF": "backbone, RPN, SlowFast frozen"}
LEAST_REACH = 0.01
# Names that would run into each other.
TURNED = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}
MANY = 8
LEGEND_ROW = 7  # entries that fit side by side


class Look(NamedTuple):
    """A setup's colour, marker, line style and hatch, which survive greyscale."""

    colour: Any
    marker: str
    line: Any
    hatch: str


def looks(setups: Sequence[str]) -> dict[str, Look]:
    """A look for each setup, from dark to light."""
    shades, last = matplotlib.colormaps["viridis"], max(len(setups) - 1, 1)
    marks = ((every[index % len(every)] for every in (MARKERS, LINES, HATCHES)) for index in range(len(setups)))
    return {setup: Look(shades(0.88 * index / last), *next(marks)) for index, setup in enumerate(setups)}


def save(figure: Figure, path: Path) -> list[Path]:
    """Write `path`.svg and `path`.png; the same figure gives the same bytes."""
    paths = []
    figure.draw_without_rendering()  # the layout settles once ticks and labels have been laid out
    for suffix, stamps in {".svg": {"Date": None, "Creator": None}, ".png": {"Software": None}}.items():
        paths.append(path.with_name(path.name + suffix))
        with atomic_write(paths[-1]) as temporary:
            figure.savefig(temporary, format=suffix[1:], metadata=stamps)
    return paths


def jf_vs_time(run: Run) -> Figure:
    """J&F of both tasks against the time of one frame, inference alone; controls have a figure of their own."""
    figure = Figure(figsize=(SINGLE, 3.0))
    axes = figure.add_subplot()
    setups = [setup for setup in run.settings.setups if setup not in run.controls]
    styles = looks(setups)
    ends = [f"milliseconds_per_frame_{part}" for part in ("low", "median", "high")]
    times = run.costs.reindex(index=setups, columns=ends).dropna().astype(float).sort_values(ends[1])
    scores = [run.over_seeds(of_task(run.records, task), ["jf_mean"], run.names) for task in TASKS]
    tops: dict[str, tuple[float, float]] = {}
    for setup, low, median, high in times.itertuples():
        heights = [score.loc[setup, "jf_mean"] for score in scores]
        for score, marker, face in zip(scores, "oD", (styles[setup].colour, "white"), strict=True):
            mean, half = score.loc[setup, ["jf_mean", "jf_mean_half"]]
            axes.errorbar(
                median, mean, xerr=[[median - low], [high - median]], yerr=half, marker=marker,
                color=styles[setup].colour, markeredgecolor="0.1", markeredgewidth=0.7, markerfacecolor=face,
                elinewidth=0.9, capsize=1.8, zorder=3,
            )  # fmt: skip
        if not np.isnan(heights).all():
            axes.plot([median, median], heights, color="0.75", linewidth=0.7, zorder=1)
            tops[setup] = (median, np.nanmax(heights))
    best = scores[0].loc[setups, "jf_mean"].max()
    if best == best:
        line = {"color": "0.45", "linewidth": 0.8, "linestyle": (0, (4, 3)), "zorder": 0}
        axes.axhline(best - run.settings.claims.margin, **line)
    axes.margins(0.08, 0.08)
    _label_above(axes, tops)
    axes.set_xlabel("inference alone [ms per frame]\n" + textwrap.shorten(run.device, 48, placeholder="…"))
    axes.set_ylabel("J&F (validation)")
    axes.grid(True)
    handles = [
        Line2D([], [], linestyle="", marker="o", color="0.3", markeredgecolor="0.1", label=TASKS[0]),
        Line2D([], [], linestyle="", marker="D", markerfacecolor="white", markeredgecolor="0.1", label=TASKS[1]),
        Line2D([], [], color="0.45", linewidth=0.8, linestyle=(0, (4, 3)), label="best − margin"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, handletextpad=0.4)
    return figure


def _label_above(axes: Axes, points: dict[str, tuple[float, float]]) -> None:
    """Write each point's label above the axes, in the points' order from left to right and apart from each other."""
    left, right = axes.get_xlim()
    gap, last = 0.03 * (1 + max(map(len, points), default=0)), -1.0
    for label, point in points.items():
        last = max((point[0] - left) / (right - left), last + gap)
        axes.annotate(
            label, point, (last, 1.04), textcoords="axes fraction", ha="center", zorder=1,
            arrowprops={"arrowstyle": "-", "color": "0.75", "linewidth": 0.7, "shrinkB": 3},
        )  # fmt: skip


def per_sequence(run: Run) -> Figure:
    """J&F of every validation sequence and setup, one row per task; sequences with distractors first."""
    setups, styles = run.settings.setups, looks(run.settings.setups)
    scores = run.scores_over({name: [name] for name in run.val})
    level = scores.loc[TASKS[0]].loc[setups[0], "jf_mean"].fillna(0)
    order = sorted(run.val, key=lambda name: (name not in run.distractors, -level[name], name))
    places, width = np.arange(len(order)), 0.84 / len(setups)
    figure, rows = _row_per_task(4.6, "J&F")
    for task, axes in rows.items():
        for number, setup in enumerate(setups):
            shift = (number - (len(setups) - 1) / 2) * width
            _bars(axes, places + shift, scores.loc[task].loc[setup].loc[order], width, styles[setup])
        floor = scores.loc[task].loc[BASELINES["detector"]].loc[order, "jf_mean"]
        for colour, weight in (("white", 2.2), ("0.1", 1.0)):
            axes.hlines(floor, places - 0.46, places + 0.46, colors=colour, linewidth=weight, zorder=4)
        if run.distractors:
            axes.axvspan(-0.5, len(run.distractors) - 0.5, color="0.93", zorder=0)
        axes.set(ylim=(0, 1), xlim=(-0.5, len(order) - 0.5))
    if run.distractors:
        middle = (len(run.distractors) - 1) / 2
        rows[TASKS[0]].text(middle, 1.02, "look-alikes", ha="center", va="bottom")
    long = max(map(len, order)) * len(order) > 100
    turned = TURNED if long else {}
    axes.set_xticks(places, order, **turned)
    handles = [*_patches(styles), Line2D([], [], color="0.1", linewidth=1.0, label=BASELINES["detector"])]
    columns = legend_columns(len(handles))
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, columnspacing=1.4, handlelength=1.8)
    return figure


def look_alikes(run: Run) -> Figure:
    """Mean J&F over the sequences with distractors and over those without, by setup and baseline."""
    others = [name for name in run.val if name not in run.distractors]
    shades = matplotlib.colormaps["viridis"]
    groups = {f"with look-alikes ({len(run.distractors)})": run.distractors, f"without ({len(others)})": others}
    styles = dict(zip(groups, (Look(shades(0.2), "", "", ""), Look(shades(0.9), "", "", "////")), strict=True))
    scores = run.scores_over({group: members for group, members in groups.items() if members})
    figure, rows = _row_per_task(4.0, "mean J&F")
    many = len(run.names) > MANY
    for task, axes in rows.items():
        for shift, (group, means) in zip((-0.19, 0.19), scores.loc[task].groupby("group", sort=False), strict=False):
            places = np.arange(len(run.names)) + shift
            _bars(axes, places, means, 0.36, styles[group])
            heights = means["jf_mean"] + means["jf_mean_half"].fillna(0)
            for place, mean, height in zip(places, means["jf_mean"], heights, strict=True):
                if mean == mean:
                    label, size = f"{mean:.3f}".lstrip("0"), "x-small" if many else None  # no wider than its bar
                    axes.text(place, height + 0.012, label, size=size, ha="center", va="bottom")
        axes.axvline(len(BASELINES) - 0.5, color="0.6", linewidth=0.7, linestyle=(0, (4, 3)))
        axes.set_xticks(np.arange(len(run.names)), run.names, **(TURNED if many else {}))
    top = (scores["jf_mean"] + scores["jf_mean_half"].fillna(0)).fillna(0).max()
    axes.set_ylim(0, min(1.12, top + 0.13))
    figure.legend(handles=_patches(styles), loc="outside upper center", ncols=2)
    return figure


def _row_per_task(height: float, label: str) -> tuple[Figure, dict[str, Axes]]:
    figure = Figure(figsize=(DOUBLE, height))
    rows = dict(zip(TASKS, figure.subplots(2, 1, sharex=True, sharey=True), strict=True))
    for task, axes in rows.items():
        axes.set_ylabel(f"{label}, {task}")
        axes.grid(True, axis="y")
        axes.tick_params(axis="x", length=0)
    return figure, rows


def _bars(axes: Axes, places: np.ndarray, scores: pd.DataFrame, width: float, look: Look) -> None:
    """A bar for each row of `scores`, with its 95 % interval; a word where there is none."""
    axes.bar(
        places, scores["jf_mean"].fillna(0), width, yerr=scores["jf_mean_half"], color=look.colour, hatch=look.hatch,
        zorder=2, error_kw={"color": "0.1", "elinewidth": 0.7, "capsize": 1, "zorder": 3}, **EDGE,
    )  # fmt: skip
    missing = scores["jf_mean"].isna().to_numpy()
    for place, failed in zip(places[missing], scores["failed"][missing], strict=True):
        axes.text(place, 0.02, "failed" if failed else "–", rotation=90, ha="center", va="bottom")


def _patches(styles: dict[str, Look]) -> list[Patch]:
    return [Patch(facecolor=look.colour, hatch=look.hatch, label=label, **EDGE) for label, look in styles.items()]


def legend_columns(count: int) -> int:
    """Columns of a legend as wide as the figure, in as few rows of about equal length as fit."""
    return math.ceil(count / math.ceil(count / LEGEND_ROW))


def learning_curves(run: Run) -> Figure:
    """Over the epochs: each parent's loss and the J&F that chose its epoch, and the detector's loss."""
    figure = Figure(figsize=(DOUBLE, 2.5))
    loss, jf, detector = figure.subplots(1, 3)
    jf.sharex(loss)
    parents, styles = run.curves[run.curves["kind"] == "parent"], looks(run.settings.setups)
    for number, (setup, look) in enumerate(styles.items()):
        curves = parents[parents["setup"] == setup]
        _curve(loss, curves, "loss", look, number, setup)
        means = _curve(jf, curves, "jf_selection", look, number)
        best = means.reindex(run.of("parent", setup)["best_epoch"].dropna().unique())
        edge = {"markeredgecolor": "black", "markeredgewidth": 0.6}
        jf.plot(best.index, best, "*", markersize=9, color=look.colour, zorder=5, **edge)
    _curve(detector, run.curves[run.curves["kind"] == "detector"], "loss", Look("0.15", "o", "-", ""))
    chosen_on = "selection" if run.settings.option("selection") == "held_out" else "validation"
    titles = {loss: "parents: loss", jf: f"parents: J&F ({chosen_on}), ★ kept", detector: "detector: loss"}
    for axes, title in titles.items():
        axes.set(title=title, xlabel="epoch")
        axes.grid(True)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        if axes is not jf:
            axes.set_ylim(bottom=0)
    if loss.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper center", ncols=legend_columns(len(styles)), handlelength=3.2)
    return figure


def _curve(
    axes: Axes, curves: pd.DataFrame, value: str, look: Look, number: int = 0, label: str | None = None
) -> pd.Series:
    """Draw the mean over the seeds, with a band from lowest to highest; returns it by epoch.

    Marks are staggered by the curve's `number`, so that curves that coincide stay apart.
    """
    found = curves.astype({value: float}).groupby("epoch")[value].agg(["mean", "min", "max"]).dropna()
    if found.empty:
        return found["mean"]
    every = max(len(found) // 4, 1)
    axes.plot(
        found.index, found["mean"], color=look.colour, linestyle=look.line, marker=look.marker, label=label,
        markersize=4, markevery=(number % every, every), markeredgecolor="0.1", markeredgewidth=0.5,
    )  # fmt: skip
    if len(curves["seed"].unique()) > 1:
        axes.fill_between(found.index, found["min"], found["max"], color=look.colour, alpha=0.15, linewidth=0)
    return found["mean"]


def grid_scale(run: Run) -> tuple[float, bool]:
    """The colours that all grids share: gains over the parent from −reach to reach, and whether some lie beyond.

    A few configurations that gained or lost far more than the rest would leave few colours for it.
    """
    grid = run.of("grid")
    gains = (grid["jf_mean"] - grid["setup"].map(run.before_tuning()["jf_mean"])).abs().dropna()
    if gains.empty:
        return LEAST_REACH, False
    most, widest = gains.quantile(0.9), gains.max()
    reach = max(most if widest > 4 * most else widest, LEAST_REACH)
    return reach, widest > reach


def grid_map(run: Run, setup: str) -> Figure:
    """J&F on the selection sequences of every configuration: rate × scale, one panel per freeze."""
    grid, found, (reach, beyond) = run.settings.grid, run.grid(setup), grid_scale(run)
    before = run.before_tuning().loc[setup, "jf_mean"]
    figure = Figure(figsize=(DOUBLE, 1.35 + 0.34 * len(grid.scale)))
    panels = figure.subplots(1, len(grid.freeze), sharex=True, sharey=True, squeeze=False)[0]
    chosen = list(run.of("selected", setup)[found.index.names].itertuples(index=False, name=None))
    for axes, freeze in zip(panels, grid.freeze, strict=True):
        means = found["jf_mean"].loc[freeze].unstack().loc[grid.scale, grid.lr]
        gains = means - before if before == before else 0 * means
        axes.patch.set(hatch="//////", edgecolor="0.6", linewidth=0)  # seen where a configuration has no score
        mesh = axes.pcolormesh(gains, cmap="PuOr_r", norm=Normalize(-reach, reach), edgecolors="white", linewidth=0.8)
        for row, size in enumerate(grid.scale):
            for column, lr in enumerate(grid.lr):
                point = (freeze, size, lr)
                _cell(axes, column, row, found.loc[point], abs(gains.loc[size, lr]) > 0.7 * reach, point in chosen)
        axes.set_xticks(np.arange(len(grid.lr)) + 0.5, grid.lr)
        axes.set_yticks(np.arange(len(grid.scale)) + 0.5, grid.scale)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set(title=FREEZES.get(freeze, freeze), xlabel="rate")
    panels[0].set_ylabel("random scale")
    note = f"; parent before fine-tuning {before:.3f}".replace("0.", ".") if before == before else ""
    figure.suptitle(f"Setup {setup}: J&F on the selection sequences{note}", fontsize=8.5)
    bar = figure.colorbar(mesh, ax=list(panels), extend="both" if beyond else "neither", pad=0.015, aspect=12)
    bar.set_label("gain over the parent")
    bar.outline.set_linewidth(0.5)
    return figure


def _cell(axes: Axes, x: int, y: int, score: pd.Series, dark: bool, chosen: bool) -> None:
    """Write a configuration's score into its cell, or that it failed; frame the cell if it was chosen."""
    missing = pd.isna(score["jf_mean"])
    word = ("failed" if score["failed"] else "–") if missing else f"{score['jf_mean']:.3f}".lstrip("0")
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.2} if missing else None
    axes.text(x + 0.5, y + 0.5, word, ha="center", va="center", color="white" if dark else "black", bbox=box, zorder=6)
    if chosen:
        rim = [Stroke(linewidth=4.2, foreground="white"), Normal()]
        frame = Rectangle((x, y), 1, 1, fill=False, edgecolor="black", linewidth=2.6, path_effects=rim)
        frame.set(zorder=4, clip_on=False)
        axes.add_patch(frame)
