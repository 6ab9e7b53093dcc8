"""Stages 5 and 8: the choice of the best configuration, and J&F of predictions; neither needs a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from slowfast_vos.config import Settings
from slowfast_vos.jobs.job import Job, gather_scores
from slowfast_vos.measuring.record import Record
from slowfast_vos.scoring import Scores, score


def evaluate_predictions(job: Job, task: str, setup: str) -> Record:
    """Score a task's predictions by a setup, or by a baseline; writes the record, and the official CSV files beside it.

    Where a sequence's final model failed, the setup has no score: the record is a failed one.
    """
    results = job.results
    path = results.scores(task, setup, job.seed)
    about = {"task": task} | ({"job": {"baseline": setup}} if task == "baseline" else {"setup": setup})
    failures = _failures(job, setup) if task == "semi-supervised" else []
    if failures:
        return job.write_record(path, "evaluation", **about, error="; ".join(failures))
    scores = score_predictions(job, results.predictions(task, setup, job.seed))
    scores.write(path.parent)
    return job.write_record(path, "evaluation", **about, scores=gather_scores(scores.per_sequence_means()))


def score_predictions(job: Job, folder: Path) -> Scores:
    """Score a folder of predictions of all validation sequences."""
    return score(
        job.settings.val_root,
        folder,
        year=2016,
        frames=job.settings.option("frames"),
        sequences=[video.name for video in job.dataset.val],
        resolution=job.settings.data.resolution,
    )


def _failures(job: Job, setup: str) -> list[str]:
    """The sequences whose final models failed, with the reason: one line for each reason."""
    reasons: dict[str | None, list[str]] = {}
    for video in job.dataset.val:
        path = job.results.final(setup, job.seed, video.name)
        record = job.read_record(path, "final", setup, sequence=video.name)
        if record.status == "failed":
            reasons.setdefault(record.error, []).append(video.name)
    return [f"{', '.join(names)}: {error}" for error, names in reasons.items()]


def choose(records: list[Record], settings: Settings) -> Record:
    """The configuration with the best J&F, the first of equals; or by the switch `choice`, the reference unless beaten.

    A configuration beats the reference where the mean of its paired differences over the selection sequences exceeds
    their standard error; of one sequence there is none.
    """
    reference = [record for record in records if record.job == settings.grid.reference.model_dump()]
    if settings.option("choice") == "one_error" and reference:
        records = [record for record in records if _beats(record, reference[0])] or reference
    return max(records, key=lambda record: record.scores.jf_mean)


def _beats(record: Record, reference: Record) -> bool:
    gains = _each(record) - _each(reference)
    return len(gains) > 1 and bool(gains.mean() > gains.std(ddof=1) / len(gains) ** 0.5)


def _each(record: Record) -> np.ndarray:
    """J&F of each selection sequence."""
    return np.array([one.jf_mean for one in record.scores.sequences.values()])


def select_best(job: Job, setup: str) -> Record:
    """Choose the configuration of the final models, on the selection sequences (see `choose`).

    Where every configuration failed, the record is a failed one, and so are the setup's final models.
    """
    results = job.results
    paths = [results.grid(setup, *point, job.seed) for point in results.configurations()]
    records = [job.read_record(path, "grid", setup, **results.place(path)) for path in paths]
    done = [record for record in records if record.scores is not None]
    if done:
        best = choose(done, job.settings)
        outcome = {"job": best.job, "scores": best.scores}
    else:
        first = records[0].error
        outcome = {"error": f"all {len(records)} configurations of the grid failed, the first with: {first}"}
    return job.write_record(results.selected(setup, job.seed), "selected", setup=setup, **outcome)
