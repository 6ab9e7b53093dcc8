"""Stages 4 and 6: the grid, and the final models with their predictions.

Each configuration and each sequence has its record, which carries its key: a shard that was killed, or of which one
rate was edited, computes only what is missing, and tries again what failed.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from slowfast_vos.files import atomic_folder
from slowfast_vos.jobs.failures import counted_crashes, failure_of_configuration
from slowfast_vos.jobs.job import Job, gather_scores
from slowfast_vos.jobs.predict import write_predictions
from slowfast_vos.jobs.selection import Selection
from slowfast_vos.jobs.train import weights_digest
from slowfast_vos.measuring.provenance import Stopwatch
from slowfast_vos.measuring.record import Epoch, Record, read_record
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.paths import shard
from slowfast_vos.progress import progress_lines
from slowfast_vos.training.finetune import Configuration, fine_tune
from slowfast_vos.training.loop import Resume, job_seed
from slowfast_vos.videos.davis import Video


def run_grid(job: Job, setup: str, index: int, count: int) -> list[Record]:
    """Run shard `index` of `count` of a setup's grid; one record for every configuration."""
    settings, parent = job.settings, job.parent(setup)
    selection = Selection(job, frozen=True)
    decisive = (settings.grid.iterations, settings.selection_sequences, settings.finetune.model_dump())
    points = [Configuration(*point) for point in shard(job.results.configurations(), index, count)]
    start, records = weights_digest(parent), []
    for point in progress_lines(points, f"grid {setup}", lambda point: " ".join(point.as_job().values())):
        path = job.results.grid(setup, *point.as_job().values(), job.seed)
        key = job.key("grid", setup, point.as_job(), *decisive, start)
        record = job.cached(path, key)
        if record is None:
            clock = Stopwatch()
            outcome = _run_configuration(job, setup, parent, selection, point, key)
            record = job.write_record(path, "grid", key=key, clock=clock, setup=setup, job=point.as_job(), **outcome)
            shutil.rmtree(job.results.work(path), ignore_errors=True)
        records.append(record)
    return records


def _run_configuration(
    job: Job, setup: str, parent: SlowFastMaskRCNN, selection: Selection, point: Configuration, key: str
) -> dict[str, Any]:
    """Fine-tune a model on each selection sequence, and score it there."""
    scores, curves, work = {}, [], job.results.work(job.results.grid(setup, *point.as_job().values(), job.seed))
    try:
        with counted_crashes(work):
            for video in job.dataset.selection:
                model, state = fine_tune(
                    job.settings,
                    parent,
                    video,
                    point,
                    iterations=job.settings.grid.iterations,
                    seed=job_seed(job.settings, job.seed, "grid", setup, *point.as_job().values(), video.name),
                    resume=Resume(work / f"{video.name}.pt", key, job.settings.save_every),
                )
                # Under BB_SF, backbone and RPN still give the parent's features.
                scores[video.name] = selection.score_video(model, video, frozen=point.freeze == "BB_SF")
                curves.append(state.curve)
    except Exception as error:
        return {"error": failure_of_configuration(error)}
    return {"scores": gather_scores(scores), "curve": mean_curve(curves)}


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
    settings, videos = job.settings, shard(job.dataset.val, index, count)
    selected = read_record(job.results.selected(setup, job.seed))
    # Without a configuration there may be no parent either.
    parent = None if selected.error else job.parent(setup)
    start, records = None if parent is None else weights_digest(parent), []
    for video in progress_lines(videos, f"final {setup}", lambda video: video.name):
        path, point = job.results.final(setup, job.seed, video.name), {"sequence": video.name, **selected.job}
        out = job.results.predictions("semi-supervised", setup, job.seed) / video.name
        key = job.key("final", setup, point, settings.final.iterations, settings.finetune.model_dump(), start)
        record = job.cached(path, key, out)
        if record is None:
            clock, outcome = Stopwatch(), {"error": selected.error}
            with atomic_folder(out) as masks:
                if parent is not None:
                    outcome = _run_sequence(job, setup, parent, video, selected.job, key, masks)
            record = job.write_record(path, "final", key=key, clock=clock, setup=setup, job=point, **outcome)
            shutil.rmtree(job.results.work(path), ignore_errors=True)
        records.append(record)
    return records


def _run_sequence(
    job: Job, setup: str, parent: SlowFastMaskRCNN, video: Video, chosen: dict[str, str], key: str, masks: Path
) -> dict[str, Any]:
    """Fine-tune a model on a sequence, and write its predictions into the folder `masks`: all of them or none."""
    work = job.results.work(job.results.final(setup, job.seed, video.name))
    try:
        with counted_crashes(work):
            model, state = fine_tune(
                job.settings,
                parent,
                video,
                Configuration(**chosen),
                iterations=job.settings.final.iterations,
                seed=job_seed(job.settings, job.seed, "final", setup, video.name),
                resume=Resume(work / "state.pt", key, job.settings.save_every),
            )
            write_predictions(model, video, masks)
    except Exception as error:
        for path in masks.iterdir():
            path.unlink()
        return {"error": failure_of_configuration(error)}
    return {"curve": state.curve}
