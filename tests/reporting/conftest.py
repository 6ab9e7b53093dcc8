"""Runs that several tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_runs import settings_for, write_run
from slowfast_vos.config import Settings


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """Generated videos, one seed, no GPU, one failed configuration."""
    settings = settings_for()
    return settings, write_run(settings, tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def davis(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """DAVIS, two seeds, a GPU."""
    grid = {"freeze": ["SF"], "scale": ["0.25"], "lr": ["0.001"]}
    settings = settings_for("davis", protocol="paper", seeds=[63, 64], grid=grid)
    return settings, write_run(settings, tmp_path_factory.mktemp("davis"), gpu=True)
