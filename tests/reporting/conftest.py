"""Runs that several tests share."""

from __future__ import annotations

import pytest
from fake_runs import settings_for, write_run
from slowfast_vos.paths import Results


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Generated videos, one seed, no GPU, one failed configuration."""
    return write_run(settings_for(), tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def davis(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """DAVIS, two seeds, a GPU."""
    grid = {"freeze": ["SF"], "scale": ["0.25"], "lr": ["0.001"]}
    settings = settings_for("davis", protocol="paper", seeds=[63, 64], grid=grid)
    return write_run(settings, tmp_path_factory.mktemp("davis"), gpu=True)
