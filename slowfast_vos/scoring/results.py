"""The scores of a results folder: per frame, per object, per sequence, over all; and their CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from slowfast_vos.files import write_text
from slowfast_vos.scoring.statistics import decay, mean, recall

STATISTICS = ("J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
GLOBAL_COLUMNS = ("J&F-Mean", *STATISTICS)


@dataclass
class SequenceScores:
    """The scores of one sequence.

    Attributes:
        name: the sequence.
        frames: the names of the N scored frames.
        region, contour: J and F, [objects, N].
        problems: one line for each file that cannot be scored; without any the arrays hold every frame.
    """

    name: str
    frames: list[str]
    region: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    contour: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    problems: list[str] = field(default_factory=list)

    def objects(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Each object's official name (`blackswan_1`), J and F, [N] each."""
        for index, (region, contour) in enumerate(zip(self.region, self.contour, strict=True), start=1):
            yield f"{self.name}_{index}", region, contour


def object_statistics(region: np.ndarray, contour: np.ndarray) -> dict[str, float]:
    """Mean, recall and decay of J and F, [N] each, under the official column names; J&F-Mean last."""
    figures = {
        f"{measure}-{name}": statistic(values)
        for measure, values in (("J", region), ("F", contour))
        for name, statistic in (("Mean", mean), ("Recall", recall), ("Decay", decay))
    }
    return figures | {"J&F-Mean": (figures["J-Mean"] + figures["F-Mean"]) / 2}


@dataclass(frozen=True)
class Scores:
    """The scores of one results folder; every figure is a share in [0, 1] (a decay in [-1, 1]), in double precision.

    Attributes:
        sequences: J and F of each sequence's objects and frames, in the split's order.
    """

    sequences: Sequence[SequenceScores]

    @cached_property
    def objects(self) -> dict[str, dict[str, float]]:
        """The statistics of each object, by its official name `SEQUENCE_1`, `SEQUENCE_2`, …"""
        return {
            name: object_statistics(region, contour)
            for sequence in self.sequences
            for name, region, contour in sequence.objects()
        }

    @cached_property
    def global_(self) -> dict[str, float]:
        """The official global figures: plain means over objects, not sequences."""
        return _means(self.objects.values())

    def per_sequence_means(self) -> dict[str, dict[str, float]]:
        """The means over each sequence's objects, by the sequence's name; without the sequences that have no object."""
        return {
            sequence.name: _means(self.objects[name] for name, *_ in sequence.objects())
            for sequence in self.sequences
            if len(sequence.region)
        }

    def write(self, out_dir: str | Path, per_frame: bool = False) -> list[Path]:
        """Write `global.csv` and `per-sequence.csv`, and `per-frame.csv` where asked; returns their paths.

        Numbers are written so that reading them gives the same double. Each file is written whole or not at all.

        Raises:
            UserError: the folder cannot be written to.
        """
        out = Path(out_dir)
        tables: dict[str, list[dict[str, Any]]] = {
            "global.csv": [self.global_],
            "per-sequence.csv": [{"Sequence": name, **figures} for name, figures in self.objects.items()],
        }
        if per_frame:
            tables["per-frame.csv"] = [
                {"Sequence": name, "Frame": frame, "J": float(region), "F": float(contour)}
                for sequence in self.sequences
                for name, *values in sequence.objects()
                for frame, region, contour in zip(sequence.frames, *values, strict=True)
            ]
        for file, rows in tables.items():
            text = io.StringIO()
            writer = csv.DictWriter(text, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            write_text(out / file, text.getvalue())
        return [out / file for file in tables]


def _means(rows: Iterable[dict[str, float]]) -> dict[str, float]:
    rows = list(rows)
    means = {name: float(np.mean([row[name] for row in rows])) for name in STATISTICS}
    return {"J&F-Mean": (means["J-Mean"] + means["F-Mean"]) / 2} | means
