"""Fixtures that several rooms share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def davis_root() -> Path:
    """Real DAVIS 2016 sequences: $SLOWFAST_VOS_DAVIS, or `shared/davis16` beside the repository."""
    root = Path(os.environ.get("SLOWFAST_VOS_DAVIS") or Path(__file__).parents[2] / "shared" / "davis16")
    if not (root / "Annotations").is_dir():
        pytest.skip(f"no DAVIS sequences at {root} (set SLOWFAST_VOS_DAVIS)")
    return root
