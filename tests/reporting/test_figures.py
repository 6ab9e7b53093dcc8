"""Figures: all there, the same bytes each time, no dates; strips and animations from tiny videos."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import SYNTHETIC, settings_for, write_run
from PIL import Image
from slowfast_vos.config import Settings
from slowfast_vos.errors import UserError
from slowfast_vos.measuring.record import Record
from slowfast_vos.reporting import curves
from slowfast_vos.reporting.collect import TASKS, Value, read_run
from slowfast_vos.reporting.curves import grid_map, grid_scale
from slowfast_vos.reporting.overlays import PREDICTION, choose_sequences, overlay, write_strips, write_video
from slowfast_vos.reporting.plots import jf_vs_time, write_plots
from slowfast_vos.reporting.style import draw, save
from slowfast_vos.videos.pngs import write_mask

SMALL = {
    "setups": ["1-1", "3-7"],
    "grid": {"freeze": ["none", "SF"], "scale": ["0", "0.4"], "lr": ["0.001", "0.005"]},
    "tuning": {"setups": []},
}


def test_every_figure_as_svg_and_png(tmp_path: Path) -> None:
    settings = settings_for(**SMALL)
    paths = write_plots(settings, write_run(settings, tmp_path / "run"), tmp_path / "out")
    names = ["jf-vs-time", "look-alikes", "per-sequence", "learning-curves", "grid-1-1", "grid-3-7"]
    assert [path.name for path in paths] == [f"{name}{suffix}" for name in names for suffix in (".svg", ".png")]
    assert all(path.stat().st_size for path in paths)
    for path in paths:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
                assert not image.text  # type: ignore[attr-defined]
        else:
            assert "<dc:date>" not in path.read_text(encoding="utf-8")


def test_same_records_same_svg(demo: tuple[Settings, Path], tmp_path: Path) -> None:
    run = read_run(*demo)
    for folder in ("a", "b"):
        save(draw(jf_vs_time, run), tmp_path / folder / "jf")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_labels_keep_apart(demo: tuple[Settings, Path]) -> None:
    made = draw(jf_vs_time, read_run(*demo))
    renderer = made.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [text.get_window_extent(renderer) for text in made.axes[0].texts]
    assert len(boxes) == 10
    assert not any(a.overlaps(b) for index, a in enumerate(boxes) for b in boxes[:index])


def test_a_failed_cell_says_so(demo: tuple[Settings, Path]) -> None:
    run = read_run(*demo)
    made = draw(grid_map, run, "3-7", grid_scale(run))
    texts = [text.get_text() for axes in made.axes for text in axes.texts]
    assert texts.count("failed") == 1
    assert len(texts) == 36


@pytest.mark.parametrize(
    ("gains", "scale"),
    [
        ([0.0] * 15, (0.01, False)),
        ([0.02] * 14 + [-0.05], (0.05, False)),
        ([0.02] * 14 + [-0.4], (0.02, True)),  # one collapsed
    ],
)
def test_colours_of_a_grid_are_gains_over_the_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gains: list[float], scale: tuple[float, bool]
) -> None:
    left = iter(gains)

    def edit(kind: str, _: Any, record: Record) -> Record:
        if kind != "grid" or record.scores is None:
            return record
        return record.model_copy(update={"scores": record.scores.model_copy(update={"jf_mean": 0.5 + next(left)})})

    settings = settings_for(**SMALL)
    run = read_run(settings, write_run(settings, tmp_path / "run", edit=edit))
    monkeypatch.setattr(curves, "_before", lambda *_: Value(0.5))
    reach, beyond = grid_scale(run)
    assert (pytest.approx(reach), beyond) == scale


def test_figures_of_a_run_in_which_everything_failed(tmp_path: Path) -> None:
    settings = settings_for(**(SMALL | {"setups": ["3-7"]}))
    failed = {"status": "failed", "error": "out of memory", "scores": None, "cost": None, "curve": []}
    root = write_run(settings, tmp_path / "run", edit=lambda kind, key, record: record.model_copy(update=failed))
    assert len(write_plots(settings, root, tmp_path / "out")) == 10


def test_overlay_colours_the_mask_alone() -> None:
    frame = np.full((40, 60, 3), 200, np.uint8)
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 15:45] = 7
    drawn = overlay(frame, mask, 120, PREDICTION).astype(int)
    assert drawn.shape == (80, 120, 3)
    assert drawn[40, 60, 0] - drawn[40, 60, 1] > 50
    assert np.ptp(drawn[5, 5]) == 0


@pytest.fixture
def videos(tmp_path: Path) -> tuple[Settings, Path]:
    """A run with predictions over tiny noise videos."""
    settings = settings_for(**SMALL, data={"kind": "synthetic", "root": str(tmp_path / "data"), "held_out": ["a"]})
    root = write_run(settings, tmp_path / "run")
    rng = np.random.default_rng(0)
    for name in SYNTHETIC:
        for index in range(6):
            picture = Image.fromarray(rng.integers(0, 255, (48, 80, 3), dtype=np.uint8))
            path = tmp_path / "data/JPEGImages/480p" / name / f"{index:05}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
            mask = np.zeros((48, 80), np.uint8)
            mask[10:30, 10 + index : 40 + index] = 1
            folders = [root / "predictions" / task / setup / "seed=63" for task in TASKS for setup in settings.setups]
            for folder in [tmp_path / "data/Annotations/480p", *folders]:
                write_mask(folder / name / f"{index:05}.png", mask)
    return settings, root


def test_strips_show_look_alikes_first(videos: tuple[Settings, Path], tmp_path: Path) -> None:
    settings, root = videos
    chosen = choose_sequences(read_run(settings, root, ("evaluation",)))
    assert set(chosen) == {name for name, attributes in SYNTHETIC.items() if "LA" in attributes}
    paths = write_strips(settings, root, tmp_path / "strips")
    assert [path.name for path in paths] == [
        *(f"{task}-{name}.png" for task in TASKS for name in chosen),
        *(f"{task}-{chosen[0]}.webp" for task in TASKS),
    ]
    with Image.open(paths[-1]) as image:
        assert image.n_frames == 6  # type: ignore[attr-defined]


def test_video_keeps_below_its_limit(videos: tuple[Settings, Path], tmp_path: Path) -> None:
    settings, root = videos
    masks = [(setup, root / "predictions" / TASKS[0] / setup / "seed=63" / "kites") for setup in settings.setups]
    path = write_video(settings.data_root / "JPEGImages/480p/kites", masks, tmp_path / "kites.webp", limit=20_000)
    assert 0 < path.stat().st_size < 20_000


def test_a_missing_or_misshapen_prediction_is_named(videos: tuple[Settings, Path], tmp_path: Path) -> None:
    settings, root = videos
    folder = root / "predictions" / TASKS[0] / "3-7" / "seed=63" / "kites"
    write_mask(folder / "00003.png", np.zeros((4, 5), np.uint8))
    with pytest.raises(UserError, match=r"00003\.png: found 5×4 pixels; expected 80×48"):
        write_video(settings.data_root / "JPEGImages/480p/kites", [("3-7", folder)], tmp_path / "kites.webp")
    (folder / "00003.png").unlink()
    with pytest.raises(UserError, match=r"00003\.png: missing"):
        write_strips(settings, root, tmp_path / "strips")


def test_reporting_does_without_torch() -> None:
    code = (
        "import sys, slowfast_vos.reporting.tables, slowfast_vos.reporting.plots, slowfast_vos.reporting.overlays;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
