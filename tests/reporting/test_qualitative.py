"""Strips and animations of predictions, from tiny videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_runs import SMALL, SYNTHETIC, settings_for, write_run
from PIL import Image
from slowfast_vos.dag import TASKS
from slowfast_vos.errors import UserError
from slowfast_vos.paths import Results
from slowfast_vos.reporting.qualitative import write_strips, write_video
from slowfast_vos.reporting.records import read_run
from slowfast_vos.videos.pngs import write_mask


@pytest.fixture
def videos(tmp_path: Path) -> Results:
    """A run with predictions over tiny noise videos."""
    settings = settings_for(**SMALL, data={"kind": "synthetic", "root": str(tmp_path / "data"), "held_out": ["a"]})
    results = write_run(settings, tmp_path)
    rng = np.random.default_rng(0)
    for name in SYNTHETIC:
        for index in range(6):
            picture = Image.fromarray(rng.integers(0, 255, (48, 80, 3), dtype=np.uint8))
            path = tmp_path / "data/JPEGImages/480p" / name / f"{index:05}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
            mask = np.zeros((48, 80), np.uint8)
            mask[10:30, 10 + index : 40 + index] = 1
            folders = [results.predictions(task, setup, 63) for task in TASKS for setup in settings.setups]
            for folder in [tmp_path / "data/Annotations/480p", *folders]:
                write_mask(folder / name / f"{index:05}.png", mask)
    return results


def test_strips_show_the_best_the_median_and_the_worst_difference_and_the_lowest_score(
    videos: Results, tmp_path: Path
) -> None:
    run = read_run(videos, TASKS)
    chosen = list(run.shown)
    gains = run.findings[0].contrast.values.mean()
    assert chosen[:3] == [gains.idxmax(), gains.sort_values(ascending=False).index[3], gains.idxmin()]
    assert run.evidence.cells["unsupervised/3-7"].mean().idxmin() in chosen
    assert list(read_run(videos).shown) == chosen
    paths = write_strips(videos, tmp_path / "strips")
    assert [path.name for path in paths] == [
        *(f"{task}-{name}.png" for task in TASKS for name in chosen),
        *(f"{task}-{chosen[0]}.webp" for task in TASKS),
    ]
    with Image.open(paths[-1]) as image:
        assert image.n_frames == 6  # type: ignore[attr-defined]


def test_video_keeps_below_its_limit(videos: Results, tmp_path: Path) -> None:
    masks = {setup: videos.predictions(TASKS[0], setup, 63) / "kites" for setup in videos.settings.setups}
    path = write_video(
        videos.settings.data_root / "JPEGImages/480p/kites", masks, tmp_path / "kites.webp", limit=20_000
    )
    assert 0 < path.stat().st_size < 20_000


def test_a_missing_or_misshapen_prediction_is_named(videos: Results, tmp_path: Path) -> None:
    first = next(iter(read_run(videos).shown))
    folder = videos.predictions(TASKS[0], "3-7", 63) / first
    write_mask(folder / "00003.png", np.zeros((4, 5), np.uint8))
    with pytest.raises(UserError, match=r"00003\.png: found 5×4 pixels; expected 80×48"):
        write_video(videos.settings.data_root / "JPEGImages/480p" / first, {"3-7": folder}, tmp_path / "first.webp")
    (folder / "00003.png").unlink()
    with pytest.raises(UserError, match=r"00003\.png: missing"):
        write_strips(videos, tmp_path / "strips")
