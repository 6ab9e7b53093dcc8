"""How figures look and are saved: sizes for one or two columns, marks that survive greyscale, files without dates."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

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
MAP = "viridis"
MARKERS = "os^Dvp*h"
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----")


class Look(NamedTuple):
    """A setup's colour, marker, line style and hatch."""

    colour: Any
    marker: str
    line: Any
    hatch: str


def looks(setups: Sequence[str]) -> dict[str, Look]:
    """A look for each setup: from dark to light in the colour map, each with marks of its own."""
    shades = matplotlib.colormaps[MAP]
    last = max(len(setups) - 1, 1)
    return {
        setup: Look(
            shades(0.88 * index / last),
            MARKERS[index % len(MARKERS)],
            LINES[index % len(LINES)],
            HATCHES[index % len(HATCHES)],
        )
        for index, setup in enumerate(setups)
    }


def figure(width: float, height: float) -> Figure:
    """A figure of this size in inches, drawn without a display."""
    made = Figure(figsize=(width, height))
    FigureCanvasAgg(made)
    return made


def draw(maker: Callable[..., Figure], *args: Any) -> Figure:
    """Call a maker of a figure within this module's style."""
    with matplotlib.rc_context(STYLE):
        return maker(*args)


def save(made: Figure, path: Path) -> list[Path]:
    """Write `path`.svg and `path`.png; the same figure gives the same bytes."""
    paths = [path.with_name(path.name + suffix) for suffix in (".svg", ".png")]
    stamps: list[dict[str, Any]] = [{"Date": None, "Creator": None}, {"Software": None}]
    with matplotlib.rc_context(STYLE):
        for target, stamp in zip(paths, stamps, strict=True):
            data = io.BytesIO()
            made.savefig(data, format=target.suffix[1:], metadata=stamp)
            with atomic_write(target) as temporary:
                temporary.write_bytes(data.getvalue())
    return paths


class Point(NamedTuple):
    """A point to be labelled: its position and the reach of its error bars, in data coordinates."""

    label: str
    x: tuple[float, float, float]
    y: tuple[float, float, float]


def place_labels(axes: Axes, points: Sequence[Point]) -> None:
    """Write each label beside its point, at the first place where it covers no mark, bar or other label."""
    made = axes.figure
    made.canvas.draw()
    renderer = made.canvas.get_renderer()
    pad = 4.5 * made.dpi / 72
    frame = axes.get_window_extent(renderer)
    taken = []
    for point in points:
        (left, bottom), (x, y), (right, top) = axes.transData.transform(list(zip(point.x, point.y, strict=True)))
        taken.append(Bbox.from_extents(x - pad, y - pad, x + pad, y + pad))
        taken.append(Bbox.from_extents(left, y - 2, right, y + 2))
        taken.append(Bbox.from_extents(x - 2, bottom, x + 2, top))
    for point in points:
        (low, x, high), (bottom, y, top) = point.x, point.y
        places = [
            ((high, y), (4, 0), "left", "center"),
            ((low, y), (-4, 0), "right", "center"),
            ((x, top), (0, 6), "center", "bottom"),
            ((x, bottom), (0, -6), "center", "top"),
            ((high, y), (4, 7), "left", "center"),
            ((high, y), (4, -7), "left", "center"),
            ((low, y), (-4, 7), "right", "center"),
            ((low, y), (-4, -7), "right", "center"),
        ]
        for place, offset, across, along in places:
            text = axes.annotate(point.label, place, offset, textcoords="offset points", ha=across, va=along, zorder=6)
            text.set_in_layout(False)
            box = text.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if (inside and not any(box.overlaps(other) for other in taken)) or offset == places[-1][1]:
                taken.append(box)
                break
            text.remove()
