"""Figures: all there, the same bytes each time, no dates, labels that keep apart."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import matplotlib.style
import pandas as pd
import pytest
from fake_runs import SMALL, fail, scores_of, settings_for, write_run
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from slowfast_vos.claims.intervals import Estimate
from slowfast_vos.claims.verdicts import Contrast
from slowfast_vos.config import load_settings
from slowfast_vos.measuring.record import Record
from slowfast_vos.paths import Results
from slowfast_vos.reporting.answers import forest
from slowfast_vos.reporting.figures import (
    STYLE,
    grid_map,
    grid_scale,
    jf_vs_time,
    learning_curves,
    per_sequence,
    save,
)
from slowfast_vos.reporting.plots import write_plots
from slowfast_vos.reporting.records import read_run, unpack
from slowfast_vos.reporting.run import Run

STUDY = Path(__file__).parents[2] / "results" / "published" / "study"


def test_every_figure_as_svg_and_png(tmp_path: Path) -> None:
    paths = write_plots(write_run(settings_for(**SMALL), tmp_path), tmp_path / "out")
    names = ["differences", "jf-vs-time", "fine-tuning", "look-alikes", "per-sequence", "learning-curves"]
    names += ["grid-1-1", "grid-3-7"]
    assert [path.name for path in paths] == [f"{name}{suffix}" for name in names for suffix in (".svg", ".png")]
    assert all(path.stat().st_size for path in paths)
    for path in paths:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
                assert not image.text  # type: ignore[attr-defined]
        else:
            assert "<dc:date>" not in path.read_text(encoding="utf-8")


@matplotlib.style.context(STYLE)
def test_same_records_same_svg(demo: Results, tmp_path: Path) -> None:
    run = read_run(demo)
    for folder in ("a", "b"):
        save(jf_vs_time(run), tmp_path / folder / "jf")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@matplotlib.style.context(STYLE)
def test_no_label_is_cut_off(demo: Results, tmp_path: Path) -> None:
    """The first drawing of a layout still moves, and a file of it lost the label's upper half."""
    figure = jf_vs_time(read_run(demo))
    figure.axes[0].set_ylim(0.37, 0.757)  # ticks a tenth apart in the first drawing, and half as far in the second
    written, _ = save(figure, tmp_path / "jf")
    baselines = re.findall(r"translate\(([-\d.]+) [-\d.]+\) rotate\(-90\)", written.read_text(encoding="utf-8"))
    assert float(baselines[0]) > 8  # points: the size of its letters


@pytest.mark.parametrize("draw", [learning_curves, per_sequence])
@matplotlib.style.context(STYLE)
def test_no_legend_of_the_study_is_cut_off(draw: Callable[[Run], Figure], tmp_path: Path) -> None:
    """It has ten setups."""
    unpack(STUDY, tmp_path)
    figure = draw(read_run(Results(load_settings(tmp_path / "settings.json"), tmp_path, tmp_path)))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    legend = figure.legends[0].get_window_extent(canvas.get_renderer())
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.width


@pytest.mark.parametrize(("widest", "cut"), [(0.01, False), (0.3, True)])
def test_an_interval_that_says_nothing_shrinks_no_other(widest: float, cut: bool) -> None:
    rows = {}
    for label, mean, error in (("a", 0.1, 0.02), ("b", -0.02, 0.01), ("wide", -0.05, widest)):
        one = Estimate(mean, error, 9.0, 3, 10, None)
        rows[label] = (Contrast(label, pd.DataFrame(), one), "undecided")
    axes = forest(rows, 0.02).axes[0]
    left, right = axes.get_xlim()
    assert left < -0.05 < 0.1 + rows["a"][0].estimate.half_width() < right
    assert bool(right < rows["wide"][0].estimate.interval()[1]) is cut
    assert ({"<", ">"} <= {line.get_marker() for line in axes.lines}) is cut


@matplotlib.style.context(STYLE)
@pytest.mark.parametrize("milliseconds", [None, 30.0])  # all setups as fast as each other
def test_labels_keep_apart(demo: Results, milliseconds: float | None) -> None:
    run = read_run(demo)
    if milliseconds:
        run.costs[[f"milliseconds_per_frame_{part}" for part in ("low", "median", "high")]] = milliseconds
    figure = jf_vs_time(run)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [Text.get_window_extent(text, canvas.get_renderer()) for text in figure.axes[0].texts]
    assert sorted(text.get_text() for text in figure.axes[0].texts) == sorted(run.settings.setups)
    assert not any(a.overlaps(b) for index, a in enumerate(boxes) for b in boxes[:index])
    assert all(box.y0 > figure.axes[0].get_window_extent().y1 for box in boxes)


@matplotlib.style.context(STYLE)
def test_a_failed_cell_says_so(demo: Results) -> None:
    figure = grid_map(read_run(demo), "3-7")
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts.count("failed") == 1
    assert len(texts) == 36


@pytest.mark.parametrize(
    ("last", "gain", "reach", "beyond"), [(0.0, 0.0, 0.01, False), (-0.05, 0.02, 0.05, False), (-0.4, 0.02, 0.02, True)]
)
def test_colours_of_a_grid_are_gains_over_the_parent(
    tmp_path: Path, last: float, gain: float, reach: float, beyond: bool
) -> None:
    left = iter([gain] * 14 + [last])

    def edit(record: Record) -> Record:
        if record.kind not in ("parent", "grid") or record.scores is None:
            return record
        level = 0.5 if record.kind == "parent" else 0.5 + next(left)
        return record.model_copy(update={"scores": scores_of({"held-a": (level, level), "held-b": (level, level)})})

    run = read_run(write_run(settings_for(**SMALL), tmp_path, edit=edit))
    assert grid_scale(run) == (pytest.approx(reach), beyond)


def test_figures_of_a_run_in_which_everything_failed(tmp_path: Path) -> None:
    results = write_run(settings_for(**(SMALL | {"setups": ["3-7"]})), tmp_path, edit=fail)
    assert len(write_plots(results, tmp_path / "out")) == 14
