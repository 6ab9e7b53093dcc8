"""What every job has, without torch: settings, paths, videos, a clock, and the frame of a record."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from slowfast_vos.config import Settings
from slowfast_vos.files import read_json
from slowfast_vos.measuring.provenance import Stopwatch, processor
from slowfast_vos.measuring.record import Kind, Record, Scores, SequenceScores
from slowfast_vos.paths import Results
from slowfast_vos.videos.dataset import Dataset, open_dataset
from slowfast_vos.videos.davis import Video

COLUMNS = ("j_mean", "j_recall", "j_decay", "f_mean", "f_recall", "f_decay")


@dataclass(frozen=True)
class Context:
    """A job that needs no network.

    Attributes:
        settings: the run's configuration.
        seed: the run's seed that the job belongs to, one of `settings.seeds`.
    """

    settings: Settings
    seed: int

    def __post_init__(self) -> None:
        _ = self.stopwatch  # starts the clock

    @cached_property
    def results(self) -> Results:
        """The run's paths."""
        return Results(self.settings)

    @cached_property
    def dataset(self) -> Dataset:
        """The run's videos."""
        return open_dataset(self.settings)

    @property
    def hardware(self) -> tuple[str, str | None]:
        """Names of the device and its driver."""
        return processor(), None

    @cached_property
    def stopwatch(self) -> Stopwatch:
        """Running since the job was made."""
        checked = self.results.dataset
        digest = read_json(checked)["digest"] if checked.is_file() else "unchecked"
        return Stopwatch(*self.hardware, self.settings.threads, digest)

    def record(self, kind: Kind, **values: Any) -> Record:
        """A record with the run's identity filled in; `error` makes it a failed one."""
        return Record(
            kind=kind,
            status="failed" if values.get("error") else "done",
            name=self.settings.name,
            protocol=self.settings.protocol_name,
            seed=self.seed,
            settings=self.settings.model_dump(mode="json"),
            provenance=self.stopwatch.provenance(),
            **values,
        )


class Annotations:
    """Foreground masks of videos, read once; kept as bits, since all of DAVIS at full resolution may be asked for."""

    def __init__(self) -> None:
        self._kept: dict[str, list[tuple[np.ndarray, tuple[int, ...]]]] = {}

    def __call__(self, video: Video) -> list[np.ndarray]:
        """Masks `[H, W]` uint8 of every frame of `video`."""
        if video.name not in self._kept:
            masks = (video.ids(index, binary=True) for index in range(len(video)))
            self._kept[video.name] = [(np.packbits(mask), mask.shape) for mask in masks]
        return [np.unpackbits(bits, count=math.prod(shape)).reshape(shape) for bits, shape in self._kept[video.name]]


def gather_scores(sequences: dict[str, dict[str, float]]) -> Scores:
    """The record's form of the official statistics of each sequence; each has one object.

    Args:
        sequences: by name, the official columns (`J-Mean`, …).
    """
    each = {
        name: SequenceScores(**{column: figures[official(column)] for column in COLUMNS})
        for name, figures in sequences.items()
    }
    means = {column: float(np.mean([getattr(one, column) for one in each.values()])) for column in COLUMNS}
    return Scores(jf_mean=(means["j_mean"] + means["f_mean"]) / 2, **means, sequences=each)


def official(column: str) -> str:
    """The official toolkit's name of a column: `j_mean` is `J-Mean`."""
    measure, statistic = column.split("_")
    return f"{measure.upper()}-{statistic.capitalize()}"
