"""Stages 4 and 6: the grid, and the final models with their predictions.

Each configuration and each sequence has its record, which carries its key: a shard that was killed, or of which one
rate was edited, computes only what is missing, and tries again what failed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from slowfast_vos.files import atomic_folder
from slowfast_vos.jobs.encoded import frozen_digest, weights_digest
from slowfast_vos.jobs.job import Job, gather_scores
from slowfast_vos.jobs.predict import write_predictions
from slowfast_vos.jobs.train import Selection
from slowfast_vos.measuring.record import Epoch, Record
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.paths import shard
from slowfast_vos.progress import progress_lines
from slowfast_vos.sections import Configuration
from slowfast_vos.seeds import job_seed
from slowfast_vos.training.features import GIB
from slowfast_vos.training.finetune import Reuse, SampleKey, fine_tune
from slowfast_vos.training.loop import Resume
from slowfast_vos.videos.davis import Video

T = TypeVar("T")


@dataclass(frozen=True)
class Start:
    """What fine-tuning starts from, and the samples that its configurations share."""

    parent: SlowFastMaskRCNN
    reuse: Reuse

    @cached_property
    def digest(self) -> str:
        """Digest of the parent's weights."""
        return weights_digest(self.parent)

    @cached_property
    def copied(self) -> SlowFastMaskRCNN:
        """The one copy of the parent that each fine-tuning of this process overwrites."""
        return copy.deepcopy(self.parent)


class SampleCache:
    """Fine-tuning samples: with common random numbers, configurations share what comes before the first that trains.

    Args:
        gib: bound on the cache's memory; samples beyond it are made each time.
    """

    def __init__(self, gib: float) -> None:
        self.bytes_left = gib * GIB
        self.samples: dict[SampleKey, Any] = {}

    def get(self, key: SampleKey, make: Callable[[], T], /) -> T:
        """The sample of that key."""
        found = self.samples.get(key)
        if found is None:
            found = make()
            size_in_bytes = sum(one.nbytes for one in (found if isinstance(found, list) else [found]))
            if size_in_bytes <= self.bytes_left:
                self.bytes_left -= size_in_bytes
                self.samples[key] = found
        return found


def sample_caches(job: Job, parent: SlowFastMaskRCNN, *, among: int) -> Reuse:
    """Caches of a setup's samples, a third of the memory for each kind.

    The frames of a sample pass no weight that a parent changes, and parents whose backbone was frozen have the
    detector's: where one process serves all setups, they share what comes before the SlowFast module.

    Args:
        among: how many configurations of the setup see the same samples.
    """
    gib = job.settings.parent.feature_cache_gib / 3
    own = gib if among > 1 else 0  # a configuration alone would fill the memory for nobody
    caches = {"resized": SampleCache(own), "windowed": SampleCache(0), "prepared": SampleCache(own)}
    if job.settings.one_job_per == "seed":
        caches["resized"] = job.encoded.setdefault(("resized",), SampleCache(gib))
        caches["windowed"] = job.encoded.setdefault(("windowed", frozen_digest(parent)), SampleCache(gib))
    return lambda key, make: caches[key.kind].get(key, make)


def run_grid(job: Job, setup: str, index: int, count: int) -> list[Record]:
    """Run shard `index` of `count` of a setup's grid; one record for every configuration."""
    parent, points = job.parent(setup), shard(job.results.configurations(), index, count)
    start, selection = Start(parent, sample_caches(job, parent, among=len(points))), Selection(job, parent)
    return [
        _run_point(job, setup, start, selection, Configuration(freeze=freeze, scale=scale, lr=lr))
        for freeze, scale, lr in progress_lines(points, f"grid {setup}", " ".join)
    ]


def _run_point(job: Job, setup: str, start: Start, selection: Selection, point: Configuration) -> Record:
    """Fine-tune a model on each selection sequence, and score it there."""
    settings, values = job.settings, point.model_dump()
    decisive = (settings.grid.iterations, settings.selection_sequences, settings.finetune.model_dump())
    key = job.key("grid", setup, values, *decisive, start.digest)

    def compute(work: Path) -> dict[str, Any]:
        scores, curves = {}, []
        for video in job.dataset.selection:
            model, state = fine_tune(
                settings,
                start.parent,
                video,
                point,
                iterations=settings.grid.iterations,
                seed=job_seed(settings, job.seed, "fine-tuning", video.name),
                resume=Resume(work / f"{video.name}.pt", key, settings.save_every),
                reuse=start.reuse,
                model=start.copied,
            )
            # Under BB_SF, backbone and RPN still give the parent's features.
            scores[video.name] = selection.score_video(model, video, frozen=point.freeze == "BB_SF")
            curves.append(state.curve)
        return {"scores": gather_scores(scores), "curve": mean_curve(curves)}

    path = job.results.grid(setup, *values.values(), job.seed)
    return job.run_configuration(path, "grid", key, compute, setup=setup, job=values)


def mean_curve(curves: list[list[Epoch]]) -> list[Epoch]:
    """The mean over videos of curves with the same points; seconds add up."""
    return [
        Epoch(
            epoch=points[0].epoch,
            iteration=points[0].iteration,
            loss=sum(point.loss for point in points) / len(points),
            seconds=sum(point.seconds for point in points),
        )
        for points in zip(*curves, strict=True)
    ]


def run_final(job: Job, setup: str, index: int, count: int) -> list[Record]:
    """Fine-tune one model for each validation sequence of shard `index` of `count`, and write its predictions.

    A sequence that fails leaves a failed record and no predictions; so do all where no configuration was chosen.
    """
    videos = shard(job.dataset.val, index, count)
    selected = job.read_record(job.results.selected(setup, job.settings.search_seed(job.seed)), "selected", setup)
    start = None
    if not selected.error:  # without a configuration there may be no parent either
        parent = job.parent(setup)
        start = Start(parent, sample_caches(job, parent, among=1))
    return [
        _run_sequence(job, setup, start, selected, video)
        for video in progress_lines(videos, f"final {setup}", lambda video: video.name)
    ]


def _run_sequence(job: Job, setup: str, start: Start | None, selected: Record, video: Video) -> Record:
    """Fine-tune a model on a sequence, and write its predictions: all of them or none."""
    settings, point = job.settings, {"sequence": video.name, **selected.job}
    out = job.results.predictions("semi-supervised", setup, job.seed) / video.name
    digest = None if start is None else start.digest
    key = job.key("final", setup, point, settings.final.iterations, settings.finetune.model_dump(), digest)

    def compute(work: Path) -> dict[str, Any]:
        if start is None:
            return {"error": selected.error}
        model, state = fine_tune(
            settings,
            start.parent,
            video,
            Configuration(**selected.job),
            iterations=settings.final.iterations,
            seed=job_seed(settings, job.seed, "fine-tuning", video.name),
            resume=Resume(work / "state.pt", key, settings.save_every),
            reuse=start.reuse,
            model=start.copied,
        )
        with atomic_folder(out) as masks:
            write_predictions(model, video, masks)
        return {"curve": state.curve}

    path = job.results.final(setup, job.seed, video.name)
    record = job.run_configuration(path, "final", key, compute, out, setup=setup, job=point)
    if record.error:
        with atomic_folder(out):  # no predictions
            pass
    return record
