"""Where a record comes from: commit, versions, device, dataset, time."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("slowfast-vos", "torch", "torchvision", "timm", "numpy", "opencv-python-headless", "pillow")


@cache
def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def commit() -> tuple[str | None, bool | None]:
    """The checked-out commit, and whether tracked files differ from it; None outside of a checkout."""
    head, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    return head, None if changes is None else bool(changes)


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def versions() -> dict[str, str]:
    """Versions of the packages that decide results, of those that are installed."""
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@dataclass(frozen=True)
class Stopwatch:
    """Started with a job, or with a part of one that has its own record."""

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.monotonic)

    def provenance(self, *, device: str, driver: str | None, threads: int, dataset: str) -> dict[str, Any]:
        """Fields of `record.Provenance`, up to now; `dataset` is the digest of its files."""
        head, dirty = commit()
        return {
            "commit": head,
            "dirty": dirty,
            "packages": versions(),
            "python": sys.version.split()[0],
            "host": platform.platform(),
            "device": device,
            "driver": driver,
            "threads": threads,
            "dataset": dataset,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self.clock, 3),
        }
