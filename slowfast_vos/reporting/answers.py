"""Figures of paired comparisons: claims with their intervals, controls, what fine-tuning gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from slowfast_vos.claims.intervals import Estimate, complete, estimate
from slowfast_vos.claims.verdicts import Contrast, Finding
from slowfast_vos.dag import TASKS
from slowfast_vos.reporting.figures import DOUBLE, SINGLE, legend_columns, looks
from slowfast_vos.reporting.run import Run
from slowfast_vos.setups import Setup

VERDICTS = {
    "": ("0.2", "o"),
    "supported": ("#1b7837", "o"),
    "contradicted": ("#b2182b", "X"),
    "undecided": ("0.45", "D"),
}
MARGIN = {"color": "0.9", "linewidth": 0, "zorder": 0}


def forest(rows: Mapping[str, tuple[Contrast, str]], margin: float) -> Figure:
    """Paired differences by label, each with its verdict: the interval, the mean of each seed, and the margin."""
    figure = Figure(figsize=(DOUBLE, 0.9 + 0.33 * max(len(rows), 1)))
    axes = figure.add_subplot()
    axes.axvspan(-margin, margin, **MARGIN)
    axes.axvline(0, color="0.3", linewidth=0.7, zorder=1)
    for place, (contrast, verdict) in enumerate(rows.values()):
        colour, marker = VERDICTS[verdict]
        _point(axes, place, contrast.values, contrast.estimate, {"color": colour, "marker": marker})
    axes.set_yticks(range(len(rows)), rows, fontsize=7, linespacing=1.15)
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axes.set_xlabel(f"difference of J&F (95 % interval; ticks: seeds; grey: the margin of ±{margin:g})")
    axes.grid(True, axis="x")
    _cut(axes, [contrast.estimate for contrast, _ in rows.values()])
    shown = {verdict for _, verdict in rows.values()}
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=colour, label=verdict)
        for verdict, (colour, marker) in VERDICTS.items()
        if verdict in shown
    ]
    if shown != {""}:
        figure.legend(handles=handles, loc="outside upper center", ncols=3, handletextpad=0.2)
    return figure


def _cut(axes: Axes, estimates: Sequence[Estimate]) -> None:
    """Let no interval that says nothing shrink the others: one that reaches far beyond 0 on both sides ends in arrows.

    Far is more than twice the reach of all other intervals and means.
    """
    ends = [one.interval() if one.error == one.error else (one.mean, one.mean) for one in estimates]
    both = [min(-low, high) for low, high in ends]
    if len(ends) < 2 or (wide := max(both)) <= 0:
        return
    row = both.index(wide)
    others = [abs(end) for place, some in enumerate(ends) for end in some if place != row]
    reach = 1.15 * max(*others, abs(estimates[row].mean))
    if wide > 2 * reach:
        axes.set_xlim(-reach, reach)
        for end, marker in ((-reach, "<"), (reach, ">")):
            axes.plot(end, row, marker, color=VERDICTS["undecided"][0], markersize=5, clip_on=False, zorder=5)


def of_claims(findings: Sequence[Finding]) -> dict[str, tuple[Contrast, str]]:
    """The rows of a forest plot: the contrast that decides each claim."""
    shown = [one for one in findings if one.contrast is not None]
    return {f"{one.claim.id}\n{one.contrast.label}": (one.contrast, one.verdict) for one in shown}


def _point(axes: Axes, row: int, values: pd.DataFrame, one: Estimate, look: Mapping[str, str]) -> None:
    """A mean with its interval, and below it a tick for each seed."""
    axes.plot(one.mean, row, **look, markersize=6, zorder=4)
    if one.error == one.error:
        colour = look.get("markeredgecolor", look["color"])
        axes.errorbar(one.mean, row, xerr=one.half_width(), color=colour, elinewidth=1.3, capsize=2.5, zorder=3)
    if len(values) > 1 and one.variances is not None:  # not of a difference of groups
        axes.plot(values.mean(axis=1), [row + 0.27] * len(values), "|", color="0.25", markersize=6, zorder=2)


def controls(run: Run) -> Figure:
    """Mean J&F, unsupervised, of setups beside their controls: what is due to capacity, what to motion."""
    plain = {name: Setup.parse(name).plain for name in run.controls}
    setups = [setup for setup in run.settings.setups if setup in plain.values()]
    rows = [name for setup in setups for name in (setup, *(one for one in run.controls if plain[one] == setup))]
    rows += [name for name in run.controls if name not in rows]
    figure = Figure(figsize=(SINGLE + 1.5, 0.8 + 0.27 * len(rows)))
    axes = figure.add_subplot()
    for row, name in enumerate(rows):
        values = complete(run.evidence.cells.get(f"{TASKS[0]}/{name}", pd.DataFrame()))
        if not values.empty:
            varied = name in run.controls
            look = {"marker": "D" if varied else "o", "color": "white" if varied else "0.15"}
            _point(axes, row, values, estimate(values.to_numpy()), look | {"markeredgecolor": "0.15"})
    axes.set_yticks(range(len(rows)), [described(name) for name in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("J&F, unsupervised (95 % interval; ticks: seeds)")
    axes.grid(True, axis="x")
    return figure


def described(setup: str) -> str:
    """A setup's name, a control in words."""
    plain, _, control = setup.replace("@", "+").partition("+")
    if "@" in setup:
        return f"{plain}, tested on {control} frames"
    words = {"none": "without the module", "still": "trained on still frames", "shuffled": "trained on shuffled frames"}
    words["strided"] = "slow frames spread"
    if control.startswith("wide"):
        return f"{plain}, as wide as {control.removeprefix('wide') or '7-7'}"
    return f"{plain}, {words[control]}" if control else plain


def fine_tuning(run: Run) -> Figure:
    """What fine-tuning on the first frame gains on each validation sequence, by setup: means over the seeds."""
    setups, order, cells = [one for one in run.settings.setups if one not in run.controls], run.val, run.evidence.cells
    figure, styles = Figure(figsize=(DOUBLE, 2.9)), looks(setups)
    axes = figure.add_subplot()
    places, width = np.arange(len(order)), 0.7 / max(len(setups), 1)
    for number, (setup, look) in enumerate(styles.items()):
        after, before = (cells.get(f"{task}/{setup}") for task in reversed(TASKS))
        if after is None or before is None:
            continue
        gains = (after - before).mean().reindex(order)
        shift = (number - (len(styles) - 1) / 2) * width
        edge = {"markeredgecolor": "0.1", "markeredgewidth": 0.5}
        axes.plot(places + shift, gains, look.marker, color=look.colour, label=setup, zorder=3, **edge)
        axes.vlines(places + shift, 0, gains.fillna(0), colors=[look.colour], linewidth=1.2, zorder=2)
    axes.axhline(0, color="0.3", linewidth=0.7)
    axes.set_xticks(places, order, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(order) - 0.4)
    axes.set_ylabel("gain of J&F")
    axes.grid(True, axis="y")
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper center", ncols=legend_columns(len(setups)), handletextpad=0.2)
    return figure
