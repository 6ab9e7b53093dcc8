"""How figures look and are saved: sizes for one or two columns, marks that survive greyscale, files without dates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure

from slowfast_vos.files import atomic_write

SINGLE, DOUBLE = 3.5, 7.2
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": "0.88",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 5,
    "hatch.linewidth": 0.6,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 200,
    "svg.hashsalt": "slowfast-vos",
    "svg.fonttype": "path",
}
MARKERS = "os^Dvp*h"
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----")


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
    for suffix, stamps in {".svg": {"Date": None, "Creator": None}, ".png": {"Software": None}}.items():
        paths.append(path.with_name(path.name + suffix))
        with atomic_write(paths[-1]) as temporary:
            figure.savefig(temporary, format=suffix[1:], metadata=stamps)
    return paths
