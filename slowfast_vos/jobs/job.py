"""What every job of a run has: settings, paths, videos, models, and the frame of a record.

torch is imported where a model is built, so that jobs without one start at once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slowfast_vos.config import Settings
from slowfast_vos.errors import UserError
from slowfast_vos.measuring.provenance import Stopwatch, processor
from slowfast_vos.measuring.record import UNCHECKED, Kind, Record, Scores, SequenceScores, read_checked, read_record
from slowfast_vos.paths import Results
from slowfast_vos.setups import Setup
from slowfast_vos.videos.dataset import Dataset, open_dataset

if TYPE_CHECKING:
    from torchvision.models.detection.mask_rcnn import MaskRCNN

    from slowfast_vos.measuring.devices import Device
    from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN

log = logging.getLogger(__name__)
# What decides the outcome of every training, beside its own section.
SHARED = ("name", "protocol", "switches", "data", "davis_root", "davis_val_root", "model", "precision")


@dataclass(frozen=True)
class Job:
    """A job of a run, or several that one process runs one after another."""

    settings: Settings
    seed: int  # one of the run's
    clock: Stopwatch = field(default_factory=Stopwatch)

    @cached_property
    def results(self) -> Results:
        """The run's paths."""
        return Results(self.settings)

    @cached_property
    def dataset(self) -> Dataset:
        """The run's videos."""
        return open_dataset(self.settings)

    @cached_property
    def data_digest(self) -> str:
        """Digest of every file of the checked dataset."""
        checked = self.results.dataset
        return read_checked(checked).digest if checked.is_file() else UNCHECKED

    @cached_property
    def encoded(self) -> dict[tuple[str, ...], Any]:
        """What frozen networks made of frames, by use and weights: the jobs of one process share it."""
        return {}

    @cached_property
    def device(self) -> Device:
        """The device that networks run on."""
        import torch

        from slowfast_vos.measuring.devices import find_device, keep_freed_memory

        torch.set_num_threads(self.settings.threads)
        keep_freed_memory()
        return find_device(self.settings.device)

    def write_record(self, path: Path, kind: Kind, *, clock: Stopwatch | None = None, **values: Any) -> Record:
        """Write a record of the job, or of the part of it that has its own `clock`; `error` makes it a failed one."""
        # A job without a network asks for no device.
        used = self.__dict__.get("device")
        device, driver = (used.name, used.driver) if used else (processor(), None)
        about = {"device": device, "driver": driver, "threads": self.settings.threads, "dataset": self.data_digest}
        record = Record(
            kind=kind,
            status="failed" if values.get("error") else "done",
            name=self.settings.name,
            protocol=self.settings.protocol_name,
            seed=self.seed,
            settings=self.settings.model_dump(mode="json"),
            provenance=(clock or self.clock).provenance(**about),
            **values,
        )
        record.save(path)
        return record

    def read_record(self, path: Path, kind: Kind, setup: str, **point: str) -> Record:
        """A record that this job goes by; a UserError if it is another run's, seed's or configuration's."""
        seed = self.settings.search_seed(self.seed) if kind == "selected" else self.seed
        return read_record(path, name=self.settings.name, kind=kind, setup=setup, seed=seed, job=point)

    def key(self, *decisive: object) -> str:
        """Digest of all that decides a result: the shared settings, the data, the seed, and `decisive`."""
        text = json.dumps([self.settings.digest(set(SHARED)), self.data_digest, self.seed, *decisive])
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def cached(self, path: Path, key: str, *beside: Path) -> Record | None:
        """The record at `path`, if the very same job has written it and what is `beside` it; not a failed one."""
        if not all(one.exists() for one in (path, *beside)):
            return None
        record = read_record(path)
        if record.status == "failed" or record.key != key:
            return None
        log.info("%s: reused, since it has this job's key", path)
        return record

    def run_configuration(
        self, path: Path, kind: Kind, key: str, compute: Callable[[Path], dict[str, Any]], *beside: Path, **about: Any
    ) -> Record:
        """A configuration's record: the one at `path` if it has the key, else of what is computed now.

        Args:
            compute: gives the outcome's fields of the record, from the folder of its training states. An error of the
                configuration's own makes the record a failed one.
            beside: what else the configuration writes.
            about: the other fields of the record.
        """
        from slowfast_vos.jobs.failures import counted_crashes, failure_of_configuration

        if cached := self.cached(path, key, *beside):
            return cached
        if path.is_file() and read_record(path).status == "failed":
            path.unlink()  # stopped, the new try is missing: Snakemake then goes on with it
        clock, work = Stopwatch(), self.results.work(path)
        try:
            with counted_crashes(work):
                outcome = compute(work)
        except Exception as error:
            outcome = {"error": failure_of_configuration(error)}
        record = self.write_record(path, kind, key=key, clock=clock, **about, **outcome)
        shutil.rmtree(work, ignore_errors=True)
        return record

    def detector(self, *, trained: bool = True) -> MaskRCNN:
        """The run's detector if `trained`, else one to be trained, its first layers frozen."""
        import torch

        from slowfast_vos.model.checkpoints import load_state, read_checkpoint
        from slowfast_vos.model.detector import build_detector

        device, options = self.device.torch, self.settings.model.options()
        if not trained:
            layers = self.settings.detector.trainable_backbone_layers
            options["trainable_backbone_layers"] = min(layers, options["trainable_backbone_layers"])
        model = build_detector(precision=self.settings.precision, **options)
        if trained:
            path = self.results.detector(self.seed) / "model.safetensors"
            load_state(model, read_checkpoint(path)[0], source=str(path))
        return model.to(device, memory_format=torch.channels_last)

    def network(self, setup: str) -> SlowFastMaskRCNN:
        """The network of a setup, randomly initialised."""
        from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN

        device, frames = self.device.torch, Setup.parse(setup)
        model = SlowFastMaskRCNN(
            frames.slow,
            frames.fast,
            control=frames.control,
            border=self.settings.option("border"),
            chunk_length=self.settings.model.chunk_length,
            precision=self.settings.precision,
            **self.settings.model.options(),
        )
        return model.to(device)

    def parent(self, setup: str, path: Path | None = None) -> SlowFastMaskRCNN:
        """A parent of a setup, in evaluation mode: the run's own, or the checkpoint at `path`.

        Raises:
            UserError: its training failed, or the checkpoint is of another setup.
        """
        from slowfast_vos.model.checkpoints import load_state, read_checkpoint

        trained = Setup.parse(setup).trained
        path = path or self.results.parent(trained, self.seed) / "model.safetensors"
        model = self.network(setup)
        state, about = read_checkpoint(path)
        if about.get("setup") != trained:
            raise UserError(f"{path}: found a checkpoint of setup {about.get('setup')}; expected {trained}")
        load_state(model, state, source=str(path))
        return model.eval()


def gather_scores(sequences: dict[str, dict[str, float]]) -> Scores:
    """A record's scores from the official columns (`J-Mean`, …) of each sequence, each of which has one object."""
    columns = {column: column.replace("_", "-").title() for column in SequenceScores.model_fields}  # j_mean: J-Mean
    each = {
        name: SequenceScores(**{column: figures[official] for column, official in columns.items()})
        for name, figures in sequences.items()
    }
    means = {column: float(np.mean([getattr(one, column) for one in each.values()])) for column in columns}
    return Scores(jf_mean=(means["j_mean"] + means["f_mean"]) / 2, **means, sequences=each)
