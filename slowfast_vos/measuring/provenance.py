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
def commit() -> tuple[str | None, bool | None]:
    """The checked-out commit, and whether tracked files differ from it; None outside of a checkout."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        said = subprocess.check_output(
            command, cwd=Path(__file__).parent, stderr=subprocess.DEVNULL, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None, None
    head, dirty, _ = said.strip().partition("-dirty")
    return head, bool(dirty)


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


@dataclass
class Stopwatch:
    """Started with a job, or with a part of one that has its own record."""

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.monotonic)

    def restart(self) -> None:
        """Begin again, for the process's next job."""
        self.started, self.clock = datetime.now(UTC), time.monotonic()

    def provenance(self, *, device: str, driver: str | None, threads: int, dataset: str) -> dict[str, Any]:
        """Fields of `record.Provenance`, up to now; `dataset` is the digest of its files."""
        head, dirty = commit()
        packages = {}
        for name in PACKAGES:
            with suppress(PackageNotFoundError):  # a machine that only measures lacks some
                packages[name] = version(name)
        return {
            "commit": head,
            "dirty": dirty,
            "packages": packages,
            "python": sys.version.split()[0],
            "host": platform.platform(),
            "device": device,
            "driver": driver,
            "threads": threads,
            "dataset": dataset,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self.clock, 3),
        }
