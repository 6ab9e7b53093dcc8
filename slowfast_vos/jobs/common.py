"""What every job needs: settings, videos, a device, models, and the frame of a record."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.models.detection.mask_rcnn import MaskRCNN

from slowfast_vos.config import Settings
from slowfast_vos.errors import UserError
from slowfast_vos.files import read_json
from slowfast_vos.measuring.devices import Device, find_device
from slowfast_vos.measuring.provenance import Stopwatch
from slowfast_vos.measuring.record import Kind, Record, Scores, SequenceScores, Task
from slowfast_vos.model.checkpoints import load_state, read_checkpoint
from slowfast_vos.model.detector import build_detector
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.paths import Results
from slowfast_vos.setups import Setup
from slowfast_vos.videos.dataset import Dataset, open_dataset
from slowfast_vos.videos.davis import Video

COLUMNS = ("j_mean", "j_recall", "j_decay", "f_mean", "f_recall", "f_decay")


@dataclass(frozen=True)
class Job:
    """One job of a run.

    Attributes:
        settings: the run's configuration.
        seed: the run's seed that the job belongs to, one of `settings.seeds`.
    """

    settings: Settings
    seed: int

    def __post_init__(self) -> None:
        torch.set_num_threads(self.settings.threads)
        _ = self.stopwatch  # starts the clock

    @cached_property
    def results(self) -> Results:
        """The run's paths."""
        return Results(self.settings)

    @cached_property
    def dataset(self) -> Dataset:
        """The run's videos."""
        return open_dataset(self.settings)

    @cached_property
    def device(self) -> Device:
        """The device to run on."""
        return find_device(self.settings.device)

    @cached_property
    def stopwatch(self) -> Stopwatch:
        """Running since the job was made."""
        checked = self.results.dataset
        digest = read_json(checked)["digest"] if checked.is_file() else "unchecked"
        return Stopwatch(self.device.name, self.device.driver, self.settings.threads, digest)

    def detector(self, state: bool = True) -> MaskRCNN:
        """The detector, with the run's weights if `state`."""
        model = build_detector(**self.settings.model.options())
        if state:
            path = self.results.detector(self.seed) / "model.safetensors"
            load_state(model, read_checkpoint(path)[0], source=str(path))
        return model.to(self.device.torch, memory_format=torch.channels_last)

    def network(self, setup: str) -> SlowFastMaskRCNN:
        """The network of a setup, randomly initialised."""
        frames = Setup.parse(setup)
        model = SlowFastMaskRCNN(
            frames.slow,
            frames.fast,
            border=self.settings.rule("border"),
            chunk_length=self.settings.model.chunk_length,
            **self.settings.model.options(),
        )
        return model.to(self.device.torch)

    def parent(self, setup: str) -> SlowFastMaskRCNN:
        """The run's own parent of a setup, in evaluation mode.

        Raises:
            UserError: its training failed, or the checkpoint is of another setup.
        """
        path = self.results.parent(setup, self.seed) / "model.safetensors"
        return load_network(self.network(setup), path, setup).eval()

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

    def about(self, setup: str | None, task: Task | None = None) -> dict[str, Any]:
        """What a checkpoint says of itself."""
        return {"setup": setup, "seed": self.seed, "settings": self.settings.model_dump(mode="json"), "task": task}


def load_network(model: SlowFastMaskRCNN, path: Path, setup: str) -> SlowFastMaskRCNN:
    """Load one of our checkpoints, checking that it is of `setup`.

    Raises:
        UserError: the file is missing, unreadable, of another setup, or does not fit.
    """
    state, about = read_checkpoint(path)
    if about.get("setup") != setup:
        raise UserError(f"{path}: found a checkpoint of setup {about.get('setup')}; expected {setup}")
    load_state(model, state, source=str(path))
    return model


class Annotations:
    """Foreground masks of videos, read once."""

    def __init__(self) -> None:
        self._kept: dict[str, list[np.ndarray]] = {}

    def __call__(self, video: Video) -> list[np.ndarray]:
        """Masks `[H, W]` uint8 of every frame of `video`."""
        if video.name not in self._kept:
            self._kept[video.name] = [video.ids(index, merged=True) for index in range(len(video))]
        return self._kept[video.name]


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
