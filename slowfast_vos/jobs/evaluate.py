"""Stage 8: J&F of predictions on the validation sequences."""

from __future__ import annotations

from slowfast_vos.jobs.common import Job, gather_scores, official
from slowfast_vos.measuring.record import Record, Scores, read_record
from slowfast_vos.scoring import score


def evaluate(job: Job, task: str, setup: str) -> Record:
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
    figures = {column: scores.global_[official(column)] for column in Scores.model_fields if column not in OTHER}
    gathered = gathered.model_copy(update={**figures, "jf_mean": scores.global_["J&F-Mean"]})
    record = job.record("evaluation", **identity, scores=gathered)
    record.save(path)
    return record


OTHER = ("jf_mean", "sequences")


def _failures(job: Job, setup: str) -> list[str]:
    records = [read_record(job.results.final(setup, job.seed, video.name)) for video in job.dataset.val]
    return [f"{record.job['sequence']}: {record.error}" for record in records if record.status == "failed"]
