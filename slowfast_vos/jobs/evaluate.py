"""Stages 5 and 8: the choice of the best configuration, and J&F of predictions; neither needs a network."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from slowfast_vos.errors import UserError
from slowfast_vos.jobs.context import Context, gather_scores
from slowfast_vos.measuring.record import Record, read_record
from slowfast_vos.scoring import score


def evaluate(job: Context, task: str, setup: str) -> Record:
    """Score a folder of predictions; writes the record, and the official CSV files beside it.

    Where a sequence's final model failed, the setup has no score: the record is a failed one.

    Args:
        task: "unsupervised", "semi-supervised", or "baseline".
        setup: a setup, or the baseline's name.
    """
    results = job.results
    path = results.scores(task, setup, job.seed)
    identity = {"task": task} | ({"job": {"baseline": setup}} if task == "baseline" else {"setup": setup})
    failures = _failures(job, setup) if task == "semi-supervised" else []
    if failures:
        record = job.record("evaluation", **identity, error="; ".join(failures))
        record.save(path)
        return record
    names = [video.name for video in job.dataset.val]
    scores = score(
        job.settings.data_root,
        results.predictions(task, setup, job.seed),
        year=2016,
        frames=job.settings.rule("frames"),
        sequences=names,
        resolution=job.settings.data.resolution,
    )
    scores.write(path.parent)
    gathered = gather_scores(scores.per_sequence_means())
    record = job.record("evaluation", **identity, scores=gathered)
    record.save(path)
    return record


def _failures(job: Context, setup: str) -> list[str]:
    records = [read_record(job.results.final(setup, job.seed, video.name)) for video in job.dataset.val]
    return [f"{record.job['sequence']}: {record.error}" for record in records if record.status == "failed"]


def select_best(job: Context, setup: str, paths: Iterable[Path]) -> Record:
    """Choose the configuration with the best J&F on the selection sequences, the first of equals.

    Raises:
        UserError: every configuration failed.
    """
    records = [read_record(path) for path in paths]
    done = [record for record in records if record.scores is not None]
    if not done:
        raise UserError(f"grid of {setup}: all {len(records)} configurations failed; expected one to choose")
    best = max(done, key=lambda record: record.scores.jf_mean)
    record = job.record("selected", setup=setup, job=best.job, scores=best.scores)
    record.save(job.results.selected(setup, job.seed))
    return record
