"""The scores of a results folder: per frame, per object, per sequence, over all; and their CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slowfast_vos.files import write_text
from slowfast_vos.scoring import statistics
from slowfast_vos.scoring.frames import SequenceScores

if TYPE_CHECKING:
    import pandas as pd

STATISTICS = ("J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
GLOBAL_COLUMNS = ("J&F-Mean", *STATISTICS)
OBJECT_COLUMNS = ("Sequence", *STATISTICS, "J&F-Mean")
FRAME_COLUMNS = ("Sequence", "Frame", "J", "F")


def object_statistics(region: np.ndarray, contour: np.ndarray) -> dict[str, float]:
    """Mean, recall and decay of J and F, [N] each, under the official column names; J&F-Mean last."""
    figures = {
        f"{measure}-{name}": statistic(values)
        for measure, values in (("J", region), ("F", contour))
        for name, statistic in (
            ("Mean", statistics.mean),
            ("Recall", statistics.recall),
            ("Decay", statistics.decay),
        )
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
            f"{sequence.name}_{index}": object_statistics(region, contour)
            for sequence in self.sequences
            for index, (region, contour) in enumerate(zip(sequence.region, sequence.contour, strict=True), start=1)
        }

    @cached_property
    def global_(self) -> dict[str, float]:
        """The official global figures: plain means over objects, not sequences."""
        return _means(self.objects.values())

    @property
    def per_object(self) -> pd.DataFrame:
        """A row for each object: Sequence (`blackswan_1`), J-Mean, J-Recall, J-Decay, F-…, J&F-Mean."""
        import pandas as pd

        return pd.DataFrame(list(self._object_rows()), columns=list(OBJECT_COLUMNS))

    @property
    def per_frame(self) -> pd.DataFrame:
        """A row for each object and scored frame: Sequence (`blackswan_1`), Frame (`00001`), J, F."""
        import pandas as pd

        return pd.DataFrame(list(self._frame_rows()), columns=list(FRAME_COLUMNS))

    def per_sequence_means(self) -> dict[str, dict[str, float]]:
        """The means over each sequence's objects, by the sequence's name; sequences without objects are left out."""
        return {
            sequence.name: _means(
                object_statistics(region, contour)
                for region, contour in zip(sequence.region, sequence.contour, strict=True)
            )
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
        tables: dict[str, tuple[Sequence[str], Iterable[Sequence[Any]]]] = {
            "global.csv": (GLOBAL_COLUMNS, [[self.global_[name] for name in GLOBAL_COLUMNS]]),
            "per-sequence.csv": (OBJECT_COLUMNS, self._object_rows()),
        }
        if per_frame:
            tables["per-frame.csv"] = FRAME_COLUMNS, self._frame_rows()
        for name, (columns, rows) in tables.items():
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)
            write_text(out / name, text.getvalue())
        return [out / name for name in tables]

    def _object_rows(self) -> Iterator[list[Any]]:
        for name, figures in self.objects.items():
            yield [name, *(figures[column] for column in OBJECT_COLUMNS[1:])]

    def _frame_rows(self) -> Iterator[list[Any]]:
        for sequence in self.sequences:
            for index, values in enumerate(zip(sequence.region, sequence.contour, strict=True), start=1):
                for frame, region, contour in zip(sequence.frames, *values, strict=True):
                    yield [f"{sequence.name}_{index}", frame, float(region), float(contour)]


def _means(rows: Iterable[dict[str, float]]) -> dict[str, float]:
    rows = list(rows)
    means = {name: float(np.mean([row[name] for row in rows])) for name in STATISTICS}
    return {"J&F-Mean": (means["J-Mean"] + means["F-Mean"]) / 2} | means
