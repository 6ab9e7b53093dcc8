"""Where a run keeps what: paths say what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TypeVar

from slowfast_vos.config import Settings

T = TypeVar("T")


@dataclass(frozen=True)
class Results:
    """Paths below `results/<name>` and `reports/<name>`."""

    settings: Settings
    base: Path = Path()
    folder: Path | None = None  # of the records, if they do not lie where the run left them

    @property
    def root(self) -> Path:
        """The run's results."""
        return self.folder or self.base / "results" / self.settings.name

    @property
    def reports(self) -> Path:
        """The run's tables, figures and videos."""
        return self.base / "reports" / self.settings.name

    @property
    def dataset(self) -> Path:
        """The checked dataset: sequences, roles, attributes, digest."""
        return self.root / "dataset.json"

    @property
    def logs(self) -> Path:
        """What the jobs say."""
        return self.base / "logs" / self.settings.name

    def log(self, *parts: str, seed: int | str | None = None, part: tuple[int, int] | None = None) -> Path:
        """What one job says: a file below `logs`; `part` is the index from 0, and the count, of a job in parts."""
        names = [] if seed is None else [f"seed={seed}"]
        names += [] if part is None else [f"part={part[0] + 1}-of-{part[1]}"]
        return self.logs.joinpath(*parts[: None if names else -1], f"{'.'.join(names) or parts[-1]}.log")

    def work(self, record: Path) -> Path:
        """Where a job keeps what lets it go on after being killed; outside of what Snakemake deletes."""
        return self.root / "work" / record.relative_to(self.root).with_suffix("")

    def detector(self, seed: int) -> Path:
        """Folder of the detector."""
        return self.root / "detector" / f"seed={seed}"

    def parent(self, setup: str, seed: int) -> Path:
        """Folder of a setup's parent."""
        return self.root / "parent" / setup / f"seed={seed}"

    def tuning(self, setup: str, backbone: str, lr: str, seed: int) -> Path:
        """Record of one point of the unsupervised stage's tuning."""
        return self.root / "tuning" / setup / f"backbone={backbone}" / f"lr={lr}" / f"seed={seed}.json"

    def grid(self, setup: str, freeze: str, scale: str, lr: str, seed: int) -> Path:
        """Record of one configuration."""
        return self.root / "grid" / setup / f"freeze={freeze}" / f"scale={scale}" / f"lr={lr}" / f"seed={seed}.json"

    def selected(self, setup: str, seed: int) -> Path:
        """Record of the best configuration."""
        return self.root / "selected" / setup / f"seed={seed}.json"

    def final(self, setup: str, seed: int, sequence: str) -> Path:
        """Record of one sequence's final model."""
        return self.root / "final" / setup / f"seed={seed}" / f"{sequence}.json"

    def predictions(self, task: str, setup: str, seed: int) -> Path:
        """Folder of indexed PNGs in the DAVIS results layout."""
        return self.root / "predictions" / task / setup / f"seed={seed}"

    def scores(self, task: str, setup: str, seed: int) -> Path:
        """Record of an evaluation on the validation sequences."""
        return self.root / "scores" / task / setup / f"seed={seed}" / "record.json"

    def cost(self, setup: str, seed: int) -> Path:
        """Record of a setup's cost."""
        return self.root / "cost" / setup / f"seed={seed}.json"

    def place(self, record: Path) -> dict[str, str]:
        """What tells a record from its siblings, as its folders say, such as {"lr": "0.001"}."""
        parts = (folder.partition("=") for folder in record.relative_to(self.root).parent.parts)
        return {key: value for key, equals, value in parts if equals and key != "seed"}

    def tunings(self) -> list[tuple[str, str, str]]:
        """Setup, backbone and rate of every point of the tuning."""
        tuning = self.settings.tuning
        return list(product(tuning.setups, tuning.backbone, tuning.lr))

    def configurations(self) -> list[tuple[str, str, str]]:
        """Freeze, scale and rate of every configuration of the grid, in the order of its axes."""
        grid = self.settings.grid
        return [(freeze, scale, lr) for lr, freeze, scale in product(grid.lr, grid.freeze, grid.scale)]


def shard(items: list[T], index: int, count: int) -> list[T]:
    """Part `index` of `count` nearly equal runs of consecutive items."""
    return items[len(items) * index // count : len(items) * (index + 1) // count]
