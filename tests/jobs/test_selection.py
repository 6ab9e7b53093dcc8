"""What may be read before the last stage: under `strict`, no mask of a validation sequence."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from slowfast_vos.generated import sequence_names
from slowfast_vos.measuring.record import read_record

if TYPE_CHECKING:
    from conftest import Run

SETUP, SEED = "1-3", 63
VALIDATION = sequence_names("val", 2)


@pytest.fixture
def spoilt(tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of the run after its detector, on a dataset whose validation masks nobody can read."""
    folder, data = tmp_path / "run", tmp_path / "data"
    shutil.copytree(tiny_run.settings.data_root, data)
    for path in (data / "Annotations").rglob("*.png"):
        if path.parent.name in VALIDATION:
            path.write_bytes(b"no mask")
    for kept in (tiny_run.results.dataset, tiny_run.results.detector(SEED)):
        copy = folder / kept.relative_to(tiny_run.folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if kept.is_dir() else shutil.copy)(kept, copy)
    monkeypatch.chdir(folder)
    values = {**tiny_run.values, "data": {**tiny_run.values["data"], "root": str(data)}}
    return replace(tiny_run, folder=folder, values=values)


def test_under_strict_neither_epochs_nor_the_grid_read_a_validation_mask(spoilt: Run, tiny_run: Run) -> None:
    grid = {"lr": ["0.001"]}
    for verb in ("train-parent", "grid", "select"):
        done = spoilt.verb(verb, "--setup", SETUP, grid=grid)
        assert done.exit_code == 0, done.output
    parents = [read_record(run.results.parent(SETUP, SEED) / "record.json") for run in (spoilt, tiny_run)]
    assert parents[0].scores == parents[1].scores
    done = spoilt.verb("finetune", "--setup", SETUP, grid=grid)
    assert done.exit_code == 1
    assert f"{VALIDATION[0]}/00000.png: " in done.stderr


def test_under_paper_they_are_read(spoilt: Run) -> None:
    done = spoilt.verb("train-parent", "--setup", SETUP, protocol="paper", grid={"sequences": VALIDATION})
    assert done.exit_code == 1
    assert f"{VALIDATION[0]}/00000.png: " in done.stderr
