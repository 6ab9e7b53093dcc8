"""Heat maps of the grid, and learning curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from slowfast_vos.measuring.record import Epoch, Record
from slowfast_vos.reporting.collect import Run, Value, mean_over, over_seeds, score
from slowfast_vos.reporting.style import DOUBLE, Look, figure, looks

FREEZES = {"none": "nothing frozen", "SF": "SlowFast frozen", "BB_SF": "backbone, RPN, SlowFast frozen"}
DIVERGING = "PuOr_r"
LEAST_REACH = 0.01


class Scale(NamedTuple):
    """The colours that all grids of a run share: gains over the parent from −reach to reach; `beyond`: some are not."""

    reach: float
    beyond: bool


def grid_scale(run: Run) -> Scale:
    """Choose the colours of all grids.

    A few configurations that gained or lost far more than the rest would leave few colours for it.
    """
    gains = [
        abs(record.scores.jf_mean - before.mean)
        for (setup, *_), record in run.records.get("grid", {}).items()
        if record.status == "done" and record.scores and (before := _before(run, setup)).mean is not None
    ]
    if not gains:
        return Scale(LEAST_REACH, False)
    most, widest = float(np.quantile(gains, 0.9)), max(gains)
    reach = max(most if widest > 4 * most else widest, LEAST_REACH)
    return Scale(reach, widest > reach)


def _before(run: Run, setup: str) -> Value:
    """The parent's J&F on the selection sequences, before fine-tuning."""
    return over_seeds(run.seeds("parent", setup), mean_over(run.roles["selection"]))


def grid_map(run: Run, setup: str, scale: Scale) -> Figure:
    """J&F on the selection sequences of every configuration: rate × scale, one panel per freeze."""
    grid = run.settings.grid
    made = figure(DOUBLE, 1.35 + 0.34 * len(grid.scale))
    panels = made.subplots(1, len(grid.freeze), sharex=True, sharey=True, squeeze=False)[0]
    colours, norm = matplotlib.colormaps[DIVERGING], Normalize(-scale.reach, scale.reach)
    before = _before(run, setup)
    chosen = [
        tuple(record.job.get(key) for key in ("freeze", "scale", "lr")) for record in run.seeds("selected", setup)
    ]
    for axes, freeze in zip(panels, grid.freeze, strict=True):
        for row, size in enumerate(grid.scale):
            for column, lr in enumerate(grid.lr):
                value = over_seeds(run.seeds("grid", setup, freeze, size, lr), score("jf_mean"))
                gain = 0.0 if value.mean is None or before.mean is None else value.mean - before.mean
                _cell(axes, column, row, value, colours(norm(gain)), (freeze, size, lr) in chosen)
        axes.set_xlim(0, len(grid.lr))
        axes.set_ylim(0, len(grid.scale))
        axes.set_xticks(np.arange(len(grid.lr)) + 0.5, grid.lr)
        axes.set_yticks(np.arange(len(grid.scale)) + 0.5, grid.scale)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(FREEZES.get(freeze, freeze))
        axes.set_xlabel("rate")
    panels[0].set_ylabel("random scale")
    note = "" if before.mean is None else f"; parent before fine-tuning {before.mean:.3f}".replace("0.", ".")
    made.suptitle(f"Setup {setup}: J&F on the selection sequences{note}", fontsize=8.5)
    bar = made.colorbar(
        ScalarMappable(norm, colours),
        ax=list(panels),
        extend="both" if scale.beyond else "neither",
        pad=0.015,
        aspect=12,
    )
    bar.set_label("gain over the parent")
    bar.outline.set_linewidth(0.5)
    return made


def _cell(axes: Axes, x: int, y: int, value: Value, colour: Sequence[float], chosen: bool) -> None:
    if value.mean is None:
        axes.add_patch(Rectangle((x, y), 1, 1, facecolor="white", edgecolor="0.6", hatch="//////", linewidth=0))
        text, ink = ("failed" if value.failed else "–"), "black"
    else:
        axes.add_patch(Rectangle((x, y), 1, 1, facecolor=colour, edgecolor="white", linewidth=0.8))
        text, ink = f"{value.mean:.3f}".lstrip("0"), ("black" if _luminance(colour) > 0.18 else "white")
    if chosen:
        axes.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor="black", linewidth=2.6, zorder=4, clip_on=False))
        axes.add_patch(
            Rectangle((x + 0.05, y + 0.07), 0.9, 0.86, fill=False, edgecolor="white", linewidth=0.8, zorder=5)
        )
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.2} if value.mean is None else None
    axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", color=ink, fontsize=8, bbox=box, zorder=6)


def _luminance(colour: Sequence[float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def learning_curves(run: Run) -> Figure:
    """Over the epochs: each parent's loss and the J&F that chose its epoch, and the detector's loss."""
    made = figure(DOUBLE, 2.5)
    loss, jf, detector = made.subplots(1, 3)
    styles = looks(run.settings.setups)
    for index, setup in enumerate(run.settings.setups):
        parents = run.seeds("parent", setup)
        _curve(loss, parents, lambda epoch: epoch.loss, styles[setup], index, setup)
        line = _curve(jf, parents, lambda epoch: epoch.jf_selection, styles[setup], index)
        for record in parents:
            if record.best_epoch is not None and record.best_epoch in line:
                jf.plot(
                    record.best_epoch, line[record.best_epoch], marker="*", markersize=9, color=styles[setup].colour,
                    markeredgecolor="black", markeredgewidth=0.6, zorder=5,
                )  # fmt: skip
    _curve(detector, run.seeds("detector"), lambda epoch: epoch.loss, Look("0.15", "o", "-", ""))
    chosen_on = "selection" if run.settings.option("selection") == "held_out" else "validation"
    titles = {loss: "parents: loss", jf: f"parents: J&F ({chosen_on}), ★ kept", detector: "detector: loss"}
    for axes, title in titles.items():
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.grid(True)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if axes is not jf:
            axes.set_ylim(bottom=0)
    if loss.get_legend_handles_labels()[0]:
        made.legend(loc="outside upper center", ncols=len(styles), handlelength=3.2)
    return made


def _curve(
    axes: Axes,
    records: Sequence[Record],
    pick: Callable[[Epoch], float | None],
    look: Look,
    index: int = 0,
    label: str | None = None,
) -> dict[int, float]:
    """Draw the mean over the seeds, with a band from the lowest to the highest seed; returns it by epoch.

    Args:
        index: the curve's number; its marks are staggered by it, so that curves that coincide stay apart.
    """
    found: dict[int, list[float]] = {}
    for record in records:
        for epoch in record.curve:
            if (value := pick(epoch)) is not None:
                found.setdefault(epoch.epoch, []).append(value)
    epochs = sorted(found)
    means = [fmean(found[epoch]) for epoch in epochs]
    if not epochs:
        return {}
    every = max(len(epochs) // 4, 1)
    axes.plot(
        epochs, means, color=look.colour, linestyle=look.line, marker=look.marker, label=label, markersize=4,
        markevery=(index % every, every), markeredgecolor="0.1", markeredgewidth=0.5,
    )  # fmt: skip
    if any(len(values) > 1 for values in found.values()):
        lows, highs = [min(found[epoch]) for epoch in epochs], [max(found[epoch]) for epoch in epochs]
        axes.fill_between(epochs, lows, highs, color=look.colour, alpha=0.15, linewidth=0)
    return dict(zip(epochs, means, strict=True))
