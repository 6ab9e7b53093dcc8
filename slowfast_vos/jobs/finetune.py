"""Stages 4 to 6: the grid, the choice of its best configuration, and the final models with their predictions."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path

from slowfast_vos.files import remove_file
from slowfast_vos.jobs.attempts import attempt
from slowfast_vos.jobs.common import Job, read_frames
from slowfast_vos.jobs.context import gather_scores
from slowfast_vos.jobs.failures import failure_of_configuration
from slowfast_vos.jobs.predict import write_predictions
from slowfast_vos.jobs.train import Selection
from slowfast_vos.measuring.record import Epoch, Record, read_record
from slowfast_vos.model.masks import predict_masks
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.paths import shard
from slowfast_vos.progress import progress_lines
from slowfast_vos.scoring import score_masks
from slowfast_vos.training.finetune import Configuration, fine_tune
from slowfast_vos.training.loop import Resume, job_seed


def run_grid(job: Job, setup: str, index: int, count: int) -> list[Record]:
    """Run shard `index` of `count` of a setup's grid; one record for every configuration.

    Records are kept aside as well, by the digest of all that decides them: a shard that was killed, or of which one
    rate was edited, computes only what is missing, and tries again what failed.
    """
    wanted = [Configuration(*point) for point in shard(job.results.configurations(), index, count)]
    parent, decisive = job.parent(setup), _decisive(job, setup)
    selection = Selection(job, frozen=True)
    store = job.results.root / "work" / "grid"
    records = []
    for configuration in progress_lines(wanted, f"grid {setup}", lambda point: " ".join(point.as_job().values())):
        identity = (job.settings.grid.iterations, job.settings.selection_sequences, configuration.as_job())
        kept = store / f"{_digest(*decisive, *identity)}.json"
        record = read_record(kept) if kept.is_file() else None
        if record is None or record.status == "failed":
            record = _run_configuration(job, setup, parent, selection, configuration, kept)
            record.save(kept)
            # Hidden ones too: a killed writer's.
            for state in store.glob(f"*{kept.stem}.*.pt"):
                state.unlink()
        record.save(job.results.grid(setup, *configuration.as_job().values(), job.seed))
        records.append(record)
    return records


def _decisive(job: Job, setup: str) -> tuple[object, ...]:
    """What decides the outcome of every fine-tuning of a setup."""
    parent = (job.results.parent(setup, job.seed) / "model.safetensors").read_bytes()
    sections = ("name", "protocol", "switches", "data", "davis_root", "davis_val_root", "model", "precision")
    settings = job.settings.digest(*sections, "finetune")
    return settings, setup, job.seed, sha256(parent).hexdigest(), job.stopwatch.dataset


def _digest(*decisive: object) -> str:
    return sha256(json.dumps(decisive).encode()).hexdigest()[:24]


def _run_configuration(
    job: Job, setup: str, parent: SlowFastMaskRCNN, selection: Selection, configuration: Configuration, kept: Path
) -> Record:
    point = configuration.as_job()
    scores, curves = {}, []
    watch = Job(job.settings, job.seed)
    try:
        with attempt(kept.with_suffix(".attempt"), kept.parent.glob(f"{kept.stem}.*.pt")):
            for video in job.dataset.selection:
                seed = job_seed(job.settings, job.seed, "grid", setup, *point.values(), video.name)
                model, state = fine_tune(
                    job.settings,
                    parent,
                    video,
                    configuration,
                    iterations=job.settings.grid.iterations,
                    seed=seed,
                    resume=Resume(kept.with_name(f"{kept.stem}.{video.name}.pt"), kept.stem, job.settings.save_every),
                )
                # A frozen backbone and RPN see what they saw for the configurations before.
                chunks = selection.encoded(parent, video) if configuration.freeze == "BB_SF" else None
                masks = predict_masks(model, read_frames(model, video), chunks)
                scores[video.name] = score_masks(
                    masks, selection.annotations(video), frames=job.settings.option("frames")
                )
                curves.append(state.curve)
    except Exception as error:
        return watch.record("grid", setup=setup, job=point, error=failure_of_configuration(error))
    curve = mean_curve(curves)
    return watch.record("grid", setup=setup, job=point, scores=gather_scores(scores), curve=curve)


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
    chosen = selected.job
    out = job.results.predictions("semi-supervised", setup, job.seed)
    if selected.error:
        return [_without_configuration(job, setup, video.name, selected.error) for video in videos]
    configuration = Configuration(**chosen)
    parent, decisive = job.parent(setup), _decisive(job, setup)
    store = job.results.root / "work" / "final"
    records, kept = [], []
    for video in progress_lines(videos, f"final {setup}", lambda video: video.name):
        watch = Job(settings, job.seed)
        identity = {"setup": setup, "job": {"sequence": video.name, **chosen}}
        seed = job_seed(settings, job.seed, "final", setup, video.name)
        kept.append(store / f"{_digest(*decisive, settings.final.iterations, identity)}.pt")
        _empty(out / video.name)
        try:
            with attempt(kept[-1].with_suffix(".attempt"), store.glob(kept[-1].name)):
                model, state = fine_tune(
                    settings,
                    parent,
                    video,
                    configuration,
                    iterations=settings.final.iterations,
                    seed=seed,
                    resume=Resume(kept[-1], kept[-1].stem, settings.save_every),
                )
                # Snakemake drops all of a killed shard's predictions; they are made again from here.
                state.save()
                write_predictions(model, video, out)
            record = watch.record("final", **identity, curve=state.curve)
        except Exception as error:
            record = watch.record("final", **identity, error=failure_of_configuration(error))
            _empty(out / video.name)
        record.save(job.results.final(setup, job.seed, video.name))
        records.append(record)
    # A shard that was started again meanwhile has removed the results, and goes on from these.
    if all(job.results.final(setup, job.seed, video.name).is_file() for video in videos):
        for path in kept:
            remove_file(path)
    return records


def _without_configuration(job: Job, setup: str, sequence: str, error: str) -> Record:
    _empty(job.results.predictions("semi-supervised", setup, job.seed) / sequence)
    record = job.record("final", setup=setup, job={"sequence": sequence}, error=error)
    record.save(job.results.final(setup, job.seed, sequence))
    return record


def _empty(folder: Path) -> None:
    """Leave an empty folder; a network file system may keep the names of files that are still open."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
