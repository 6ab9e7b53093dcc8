"""Stages 4 and 6: the grid, and the final models with their predictions.

Each configuration and each sequence has its record, which carries its key: a shard that was killed, or of which one
rate was edited, computes only what is missing, and tries again what failed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

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
    selection, start = Selection(job, frozen=True), weights_digest(parent)
    decisive = (settings.finetune.model_dump(), settings.grid.iterations, settings.selection_sequences, start)
    points = [Configuration(*point) for point in shard(job.results.configurations(), index, count)]
    records = []
    for point in progress_lines(points, f"grid {setup}", lambda point: " ".join(point.as_job().values())):
        path = job.results.grid(setup, *point.as_job().values(), job.seed)
        key = job.key("grid", setup, point.as_job(), *decisive)
        record = job.cached(path, key)
        if record is None:
            record = _run_configuration(job, setup, parent, selection, point, path, key)
            record.save(path)
            shutil.rmtree(job.results.work(path), ignore_errors=True)
        records.append(record)
    return records


def _run_configuration(
    job: Job, setup: str, parent: SlowFastMaskRCNN, selection: Selection, point: Configuration, path: Path, key: str
) -> Record:
    """Fine-tune a model on each selection sequence, and score it there."""
    scores, curves = {}, []
    about = {"kind": "grid", "key": key, "clock": Stopwatch(), "setup": setup, "job": point.as_job()}
    work = job.results.work(path)
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
        return job.record(**about, error=failure_of_configuration(error))
    return job.record(**about, scores=gather_scores(scores), curve=mean_curve(curves))


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
    selected = read_record(job.results.selected(setup, job.seed))
    if selected.error:
        return [_save_final(job, job.record("final", **_final(setup, video), error=selected.error)) for video in videos]
    parent = job.parent(setup)
    start, records = weights_digest(parent), []
    for video in progress_lines(videos, f"final {setup}", lambda video: video.name):
        records.append(_run_sequence(job, setup, parent, start, video, selected.job))
    return records


def _final(setup: str, video: Video, chosen: dict[str, str] | None = None) -> dict[str, object]:
    return {"setup": setup, "job": {"sequence": video.name, **(chosen or {})}}


def _run_sequence(
    job: Job, setup: str, parent: SlowFastMaskRCNN, start: str, video: Video, chosen: dict[str, str]
) -> Record:
    settings = job.settings
    path, out = job.results.final(setup, job.seed, video.name), _predictions(job, setup, video.name)
    key = job.key("final", setup, video.name, chosen, settings.finetune.model_dump(), settings.final.iterations, start)
    if cached := job.cached(path, key, out):
        return cached
    work = job.results.work(path)
    about = {"kind": "final", "key": key, "clock": Stopwatch(), **_final(setup, video, chosen)}
    try:
        with counted_crashes(work):
            model, state = fine_tune(
                settings,
                parent,
                video,
                Configuration(**chosen),
                iterations=settings.final.iterations,
                seed=job_seed(settings, job.seed, "final", setup, video.name),
                resume=Resume(work / "state.pt", key, settings.save_every),
            )
            with atomic_folder(out) as folder:
                write_predictions(model, video, folder)
        record = job.record(**about, curve=state.curve)
    except Exception as error:
        record = job.record(**about, error=failure_of_configuration(error))
    return _save_final(job, record)


def _save_final(job: Job, record: Record) -> Record:
    """Save a final model's record; a failed one has no predictions."""
    assert record.setup is not None
    sequence = record.job["sequence"]
    if record.error:
        with atomic_folder(_predictions(job, record.setup, sequence)):
            pass
    path = job.results.final(record.setup, job.seed, sequence)
    record.save(path)
    shutil.rmtree(job.results.work(path), ignore_errors=True)
    return record


def _predictions(job: Job, setup: str, sequence: str) -> Path:
    return job.results.predictions("semi-supervised", setup, job.seed) / sequence
