"""A job with a network: its device, its models and their checkpoints."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.mask_rcnn import MaskRCNN

from slowfast_vos.errors import UserError
from slowfast_vos.jobs.context import Context
from slowfast_vos.measuring.devices import Device, find_device
from slowfast_vos.model.checkpoints import load_state, read_checkpoint
from slowfast_vos.model.detector import build_detector
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.setups import Setup
from slowfast_vos.videos.davis import Video


@dataclass(frozen=True)
class Job(Context):
    """A job that runs a network."""

    def __post_init__(self) -> None:
        torch.set_num_threads(self.settings.threads)
        super().__post_init__()

    @cached_property
    def device(self) -> Device:
        """The device to run on."""
        return find_device(self.settings.device)

    @property
    def hardware(self) -> tuple[str, str | None]:
        """Names of the device and its driver."""
        return self.device.name, self.device.driver

    def detector(self, state: bool = True) -> MaskRCNN:
        """The detector: with the run's weights if `state`, else to be trained, its first layers frozen."""
        options = self.settings.model.options()
        if not state:
            layers = self.settings.detector.trainable_backbone_layers
            options["trainable_backbone_layers"] = min(layers, options["trainable_backbone_layers"])
        model = build_detector(precision=self.settings.precision, **options)
        if state:
            path = self.results.detector(self.seed) / "model.safetensors"
            load_state(model, read_checkpoint(path)[0], source=str(path))
            self.forget_training(path.with_name("record.json"))
        return model.to(self.device.torch, memory_format=torch.channels_last)

    def network(self, setup: str) -> SlowFastMaskRCNN:
        """The network of a setup, randomly initialised."""
        frames = Setup.parse(setup)
        model = SlowFastMaskRCNN(
            frames.slow,
            frames.fast,
            border=self.settings.option("border"),
            chunk_length=self.settings.model.chunk_length,
            precision=self.settings.precision,
            **self.settings.model.options(),
        )
        return model.to(self.device.torch)

    def parent(self, setup: str) -> SlowFastMaskRCNN:
        """The run's own parent of a setup, in evaluation mode.

        Raises:
            UserError: its training failed, or the checkpoint is of another setup.
        """
        path = self.results.parent(setup, self.seed) / "model.safetensors"
        model = load_network(self.network(setup), path, setup).eval()
        self.forget_training(path.with_name("record.json"))
        return model

    def forget_training(self, record: Path) -> None:
        """Remove what a training kept in order to go on, by its record's path; Snakemake knows that it is done."""
        shutil.rmtree(self.results.work(record), ignore_errors=True)

    def about(self, setup: str | None) -> dict[str, Any]:
        """What a checkpoint says of itself."""
        return {"setup": setup, "seed": self.seed, "settings": self.settings.model_dump(mode="json")}


def read_frames(model: SlowFastMaskRCNN, video: Video) -> Iterator[Tensor]:
    """A video's frames for `model`; while a GPU works on a chunk, the next one's are read."""
    on_cpu = next(model.parameters()).device.type == "cpu"
    return video.iterate(0 if on_cpu else model.chunk_length)


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
