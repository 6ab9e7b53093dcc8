"""What may be read before the last stage: under `strict`, no mask of a validation sequence."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from slowfast_vos.generated import sequence_names
from slowfast_vos.measuring.record import read_record

from command_line import refused

if TYPE_CHECKING:
    from conftest import Run

SETUP, SEED = "1-3", 63
VALIDATION = sequence_names("val", 2)


@pytest.fixture
def spoilt(copied: Run, tmp_path: Path) -> Run:
    """A run of the detector alone, on a dataset whose validation masks nobody can read."""
    data = shutil.copytree(copied.settings.data_root, tmp_path / "data")
    for name in VALIDATION:
        for path in (data / "Annotations" / "480p" / name).iterdir():
            path.write_bytes(b"no mask")
    for stage in ("parent", "grid", "selected", "final"):
        shutil.rmtree(copied.results.root / stage)
    return replace(copied, values={**copied.values, "data": {**copied.values["data"], "root": str(data)}})


def test_under_strict_neither_epochs_nor_the_grid_read_a_validation_mask(spoilt: Run, tiny_run: Run) -> None:
    grid = {"lr": ["0.001"]}
    for verb in ("train-parent", "grid", "select"):
        spoilt.done(verb, "--setup", SETUP, grid=grid)
    parents = [read_record(run.results.parent(SETUP, SEED) / "record.json") for run in (spoilt, tiny_run)]
    assert parents[0].scores == parents[1].scores
    refused(spoilt.verb("finetune", "--setup", SETUP, grid=grid), f"{VALIDATION[0]}/00000.png: ")


def test_under_paper_they_are_read(spoilt: Run) -> None:
    done = spoilt.verb("train-parent", "--setup", SETUP, protocol="paper", grid={"sequences": VALIDATION})
    refused(done, f"{VALIDATION[0]}/00000.png: ")
