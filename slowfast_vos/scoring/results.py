"""The scores of a results folder: per frame, per object, per sequence, over all; and their CSV and JSON files.

Source of the statistics: the official davis2017-evaluation (`utils.db_statistics`), except that it casts frame numbers
to 8 bits, so that its decay is NaN from 256 frames on; here it is the intended value.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from slowfast_vos import __version__
from slowfast_vos.files import write_json, write_text

STATISTICS = ("J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
GLOBAL_COLUMNS = ("J&F-Mean", *STATISTICS)


@dataclass
class SequenceScores:
    """The scores of one sequence."""

    name: str
    frames: list[str]  # names of the N scored frames
    region: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))  # J, [objects, N]; NaN: does not count for it
    contour: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))  # F, the same
    problems: list[str] = field(default_factory=list)  # one line for each file that cannot be scored
    ids: Sequence[int] | None = None  # of the objects; 1, 2, … without it
    unscored: Sequence[int] = ()  # ids of annotated objects for which no frame counts

    def objects(self) -> Iterator[tuple[str, list[str], np.ndarray, np.ndarray]]:
        """Each object's official name (`blackswan_1`), the frames that count for it, and their J and F, [N] each."""
        ids = range(1, len(self.region) + 1) if self.ids is None else self.ids
        for index, region, contour in zip(ids, self.region, self.contour, strict=True):
            counts = ~np.isnan(region)
            frames = [frame for frame, count in zip(self.frames, counts, strict=True) if count]
            yield f"{self.name}_{index}", frames, region[counts], contour[counts]


def statistics(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, recall and decay of a measure over one object's scored frames [N].

    Recall is the share of frames above 0.5, strictly. Decay is the mean over the first quarter of the frames minus the
    mean over the last, both ends included, where ids = round(linspace(1, N, 5) + 1e-10) - 1 bound the quarters.
    """
    ids = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(np.int64)
    decay = np.mean(values[ids[0] : ids[1] + 1]) - np.mean(values[ids[3] : ids[4] + 1])
    return float(np.mean(values)), float(np.mean(values > 0.5)), float(decay)


def object_statistics(region: np.ndarray, contour: np.ndarray) -> dict[str, float]:
    """Mean, recall and decay of J and F, [N] each, under the official column names; J&F-Mean last."""
    figures = dict(zip(STATISTICS, statistics(region) + statistics(contour), strict=True))
    return figures | {"J&F-Mean": (figures["J-Mean"] + figures["F-Mean"]) / 2}


@dataclass(frozen=True)
class Scores:
    """The scores of one results folder; every figure is a share in [0, 1] (a decay in [-1, 1]), in double precision."""

    sequences: Sequence[SequenceScores]  # in the split's order
    rules: Mapping[str, Any] = field(default_factory=dict)  # what was scored, and how

    @cached_property
    def objects(self) -> dict[str, dict[str, float]]:
        """The statistics of each object, by its official name `SEQUENCE_1`, `SEQUENCE_2`, …"""
        return {
            name: object_statistics(region, contour)
            for sequence in self.sequences
            for name, _, region, contour in sequence.objects()
        }

    @property
    def unscored(self) -> list[str]:
        """Names of the annotated objects for which no frame counts."""
        return [f"{sequence.name}_{index}" for sequence in self.sequences for index in sequence.unscored]

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

    def write(self, out_dir: str | Path, per_frame: bool = False, json: bool = False) -> list[Path]:
        """Write `global.csv` and `per-sequence.csv`, and `per-frame.csv` and `scores.json` where asked.

        Numbers are written so that reading them gives the same double. Each file is written whole or not at all.
        Returns the files' paths.

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
                for frame, region, contour in zip(*values, strict=True)
            ]
        for file, rows in tables.items():
            text = io.StringIO()
            writer = csv.DictWriter(text, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            write_text(out / file, text.getvalue())
        written = [out / file for file in tables]
        if json:
            written.append(out / "scores.json")
            write_json(written[-1], self._as_json(tables.get("per-frame.csv", ())))
        return written

    def _as_json(self, frames: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """The tables and the rules as one object; `frames` are the rows of `per-frame.csv`, if they are asked for."""
        counted = {name: len(names) for sequence in self.sequences for name, names, *_ in sequence.objects()}
        found: dict[str, Any] = {
            "version": __version__,
            "rules": self.rules,
            "global": self.global_,
            "sequences": self.per_sequence_means(),
            "objects": {name: figures | {"Frames": counted[name]} for name, figures in self.objects.items()},
            "unscored": self.unscored,
        }
        for row in frames:
            of_object = found.setdefault("frames", {}).setdefault(row["Sequence"], {})
            of_object[row["Frame"]] = {"J": row["J"], "F": row["F"]}
        return found


def _means(rows: Iterable[dict[str, float]]) -> dict[str, float]:
    rows = list(rows)
    means = {name: float(np.mean([row[name] for row in rows])) for name in STATISTICS}
    return {"J&F-Mean": (means["J-Mean"] + means["F-Mean"]) / 2} | means
