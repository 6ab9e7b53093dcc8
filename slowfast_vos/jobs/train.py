"""Stages 2 and 3: the detector, and the unsupervised parents with their tuning."""

from __future__ import annotations

import math
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import nn

from slowfast_vos.jobs.attempts import attempt
from slowfast_vos.jobs.common import Job, read_frames
from slowfast_vos.jobs.context import Annotations, gather_scores
from slowfast_vos.jobs.failures import failure_of_configuration
from slowfast_vos.measuring.record import Record, Scores
from slowfast_vos.model.checkpoints import save_checkpoint
from slowfast_vos.model.masks import predict_masks
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.model.streaming import Chunk, batches, encode_chunk
from slowfast_vos.model.weights import load_weights
from slowfast_vos.scoring import score_masks
from slowfast_vos.sections import Parent, Training
from slowfast_vos.training.detector import train_detector
from slowfast_vos.training.features import GIB
from slowfast_vos.training.loop import Resume, TrainingState, job_seed, seed_everything, stop_asked
from slowfast_vos.training.parent import train_parent
from slowfast_vos.videos.davis import Video


def run_detector(job: Job) -> Record:
    """Train the detector; writes `model.safetensors` and `record.json` into its folder."""
    settings, folder = job.settings, job.results.detector(job.seed)
    seed = job_seed(settings, job.seed, "detector")
    seed_everything(seed)
    model = job.detector(state=False)
    load_weights(model, settings.model.weights, settings.model.backbone)
    record_path = folder / "record.json"
    state = train_detector(
        settings,
        model,
        job.dataset.train,
        binary=job.dataset.binary_train,
        seed=seed,
        resume=_resume(job, record_path, model, settings.detector),
    )
    state.save()
    save_checkpoint(folder / "model.safetensors", model, job.about(None))
    record = job.record("detector", curve=state.curve)
    record.save(record_path)
    _keep(state)
    return record


class Selection:
    """Scores a network on the selection sequences; what a frozen backbone makes of them is computed once."""

    def __init__(self, job: Job, *, frozen: bool) -> None:
        self.job, self.frozen = job, frozen
        self.annotations = Annotations()
        self.chunks: dict[str, list[Chunk]] = {}
        self.left = job.settings.parent.feature_cache_gib * GIB

    def encoded(self, model: SlowFastMaskRCNN, video: Video) -> list[Chunk] | None:
        """The video's frames through backbone and RPN; None where these train, or memory is too small to keep them."""
        if not self.frozen:
            return None
        if video.name not in self.chunks:
            frame = encode_chunk(model, [video.frame(0)])
            if sum(maps.nbytes for maps in frame.features.values()) * len(video) > self.left:
                return None
            kept = [
                encode_chunk(model, [video.frame(index) for index in indices])
                for indices in batches(range(len(video)), model.chunk_length)
            ]
            self.left -= sum(maps.nbytes for chunk in kept for maps in chunk.features.values())
            self.chunks[video.name] = kept
        return self.chunks[video.name]

    def score(self, model: SlowFastMaskRCNN, state: TrainingState) -> Scores:
        """Official statistics of every sequence that chooses a parent's epoch; `state` keeps what is done."""
        videos = self.job.dataset.epoch_selection
        with stop_asked() as asked:
            for video in videos:
                if video.name not in state.scored:
                    statistics = self.score_video(model, video)
                    state.scored[video.name] = {column: float(value) for column, value in statistics.items()}
                    state.leave_if(asked, f"{len(state.scored)} of {len(videos)} sequences scored")
                    state.save(math.inf)
        return gather_scores({video.name: state.scored[video.name] for video in videos})

    def score_video(self, model: SlowFastMaskRCNN, video: Video) -> dict[str, float]:
        """Official statistics of one sequence."""
        masks = predict_masks(model, read_frames(model, video), self.encoded(model, video))
        return score_masks(masks, self.annotations(video), frames=self.job.settings.option("frames"))


def run_parent(job: Job, setup: str) -> Record:
    """Train a setup's parent; writes `model.safetensors` and `record.json` into its folder.

    Raises:
        DivergedError: a loss is not finite; all else stands on the parents, so the run stops here.
    """
    folder, parent = job.results.parent(setup, job.seed), job.settings.parent
    path = folder / "record.json"
    model, state = _train_parent(job, setup, parent, job_seed(job.settings, job.seed, "parent", setup), path)
    state.save()
    save_checkpoint(folder / "model.safetensors", model, job.about(setup))
    record = job.record(
        "parent",
        setup=setup,
        job={"backbone": parent.backbone, "lr": parent.lr},
        **_outcome(state),
    )
    record.save(path)
    _keep(state)
    return record


def run_tuning(job: Job, setup: str, backbone: str, lr: str) -> Record:
    """Train one point of the tuning; writes its record alone, a failed one if it fails."""
    settings, path = job.settings, job.results.tuning(setup, backbone, lr, job.seed)
    tuning, point = settings.tuning, {"backbone": backbone, "lr": lr}
    limits = {} if tuning.train_frames is None else {"train_frames": tuning.train_frames}
    parent = settings.parent.model_copy(update={"backbone": backbone, "lr": lr, "epochs": tuning.epochs, **limits})
    seed, work = job_seed(settings, job.seed, "tuning", setup, backbone, lr), job.results.work(path)
    try:
        with attempt(work / "attempt", work.glob("[!.]*.pt")):
            _, state = _train_parent(job, setup, parent, seed, path)
            state.save()
        record = job.record("tuning", setup=setup, job=point, **_outcome(state))
    except Exception as error:
        record = job.record("tuning", setup=setup, job=point, error=failure_of_configuration(error))
    record.save(path)
    if record.error:
        job.forget_training(path)
    else:
        _keep(state)
    return record


def _train_parent(
    job: Job, setup: str, parent: Parent, seed: int, path: Path
) -> tuple[SlowFastMaskRCNN, TrainingState]:
    seed_everything(seed)
    model = job.network(setup)
    model.maskrcnn_model.load_state_dict(job.detector().state_dict())
    selection = Selection(job, frozen=parent.backbone == "frozen")
    state = train_parent(
        parent,
        model,
        job.dataset.train,
        binary=job.dataset.binary_train,
        seed=seed,
        select=selection.score,
        resume=_resume(job, path, model, parent),
    )
    return model, state


def _outcome(state: TrainingState) -> dict[str, Any]:
    """What a record says of a training that was scored: the last epoch always is."""
    assert state.best is not None
    return {"scores": state.best.scores, "curve": state.curve, "best_epoch": state.best.epoch}


def _keep(state: TrainingState) -> None:
    """Of all that a job kept in order to go on, keep the last state, and nothing from before an edit.

    A Snakemake that was killed while the job ended starts it again: it has nothing left to do then. The state is
    removed once a job begins that stands on this one, or with the run's last one.
    """
    assert state.resume is not None
    for path in state.resume.path.parent.iterdir():
        if path != state.resume.path:
            path.unlink()


def _resume(job: Job, path: Path, start: nn.Module, stage: Training) -> Resume:
    """Where a training keeps what lets it go on; edited, or with other data or another start, it begins anew."""
    settings = job.settings.digest("protocol", "switches", "data", "davis_root", "davis_val_root", "model", "precision")
    budget = stage.model_dump_json(exclude={"feature_cache_gib"})
    digest = sha256("/".join((settings, job.stopwatch.dataset, budget)).encode())
    for value in start.state_dict().values():
        digest.update(value.cpu().contiguous().numpy())
    return Resume(job.results.work(path) / "state.pt", digest.hexdigest()[:12], job.settings.save_every)
