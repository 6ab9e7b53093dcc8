"""Stages 2 and 3: the detector, the unsupervised parents with their tuning, and scores on the sequences that select.

A job writes its record last. While it trains, its state lies in `work/`; once the record is there, the state goes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from slowfast_vos.config import without_places
from slowfast_vos.jobs.encoded import encoded_videos, frozen_digest, weights_digest
from slowfast_vos.jobs.job import Job, gather_scores
from slowfast_vos.measuring.record import Kind, Record, Scores
from slowfast_vos.model.checkpoints import save_checkpoint
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.model.streaming import predict_masks
from slowfast_vos.model.weights import load_weights
from slowfast_vos.scoring import score_masks
from slowfast_vos.sections import Parent, Training
from slowfast_vos.seeds import derived_seed, job_seed, seed_everything
from slowfast_vos.training.detector import train_detector
from slowfast_vos.training.loop import Resume, TrainingState, stop_asked
from slowfast_vos.training.parent import feature_cache, train_parent
from slowfast_vos.videos.davis import Video
from slowfast_vos.videos.views import View


def run_detector(job: Job) -> Record:
    """Train the detector; writes `model.safetensors` and `record.json` into its folder."""
    settings, folder = job.settings, job.results.detector(job.seed)
    seed = job_seed(settings, job.seed, "detector")
    seed_everything(seed)
    model = job.detector(trained=False)
    load_weights(model, settings.model.weights, settings.model.backbone)
    binary = job.dataset.binary_train
    train = partial(train_detector, settings, model, job.dataset.train, binary=binary, seed=seed)
    return _run(job, folder, model, settings.detector, train, "detector")


def run_parent(job: Job, setup: str) -> Record:
    """Train a setup's parent; writes `model.safetensors` and `record.json` into its folder.

    Raises:
        DivergedError: a loss is not finite; all downstream jobs need the parent, so the run stops here.
    """
    parent, folder = job.settings.parent, job.results.parent(setup, job.seed)
    seed = job_seed(job.settings, job.seed, "parent", setup)
    model = _untrained_parent(job, setup, seed)
    train, point = partial(_train_parent, job, model, parent, seed), {"backbone": parent.backbone, "lr": parent.lr}
    return _run(job, folder, model, parent, train, "parent", setup, job=point)


def _run(
    job: Job,
    /,
    folder: Path,
    model: nn.Module,
    stage: Training,
    train: Callable[..., TrainingState],
    kind: Kind,
    setup: str | None = None,
    **about: Any,
) -> Record:
    """Train a network by `train(resume=…)`, unless that is done; write its weights and then the record."""
    path, weights, key = folder / "record.json", folder / "model.safetensors", _key(job, stage, model)
    if cached := job.cached(path, key, weights):
        return cached
    state = train(resume=Resume(job.results.work(path) / "state.pt", key, job.settings.save_every))
    settings = without_places(job.settings.model_dump(mode="json"))
    header = {"setup": setup, "seed": job.seed, "settings": settings}
    save_checkpoint(weights, model, header)
    record = job.write_record(path, kind, key=key, setup=setup, **about, **_outcome(state))
    shutil.rmtree(job.results.work(path), ignore_errors=True)
    return record


def run_tuning(job: Job, setup: str, backbone: str, lr: str) -> Record:
    """Train one point of the tuning; writes its record alone, a failed one if it fails."""
    settings, path = job.settings, job.results.tuning(setup, backbone, lr, job.seed)
    tuning, point = settings.tuning, {"backbone": backbone, "lr": lr}
    limits = {} if tuning.train_frames is None else {"train_frames": tuning.train_frames}
    parent = settings.parent.model_copy(update={**point, "epochs": tuning.epochs, **limits})
    seed = job_seed(settings, job.seed, "tuning", setup, backbone, lr)
    model = _untrained_parent(job, setup, seed)
    key = _key(job, parent, model)

    def compute(work: Path) -> dict[str, Any]:
        resume = Resume(work / "state.pt", key, settings.save_every)
        return _outcome(_train_parent(job, model, parent, seed, resume))

    return job.run_configuration(path, "tuning", key, compute, setup=setup, job=point)


def _untrained_parent(job: Job, setup: str, seed: int) -> SlowFastMaskRCNN:
    """A setup's network with the detector's weights and a random SlowFast module."""
    seed_everything(seed)
    model = job.network(setup)
    model.maskrcnn_model.load_state_dict(job.detector().state_dict())
    return model


def _train_parent(job: Job, model: SlowFastMaskRCNN, parent: Parent, seed: int, resume: Resume) -> TrainingState:
    frozen, binary = model if parent.backbone == "frozen" else None, job.dataset.binary_train
    use = ("training", parent.step, frozen_digest(model))
    return train_parent(
        parent,
        model,
        _training_videos(job, parent),
        binary=binary,
        seed=seed,
        select=Selection(job, frozen).score,
        resume=resume,
        cache=job.encoded.setdefault(use, feature_cache(parent, binary=binary)),
        threads=job.settings.loading_workers,
    )


def _training_videos(job: Job, parent: Parent) -> list[Video]:
    """The training videos, or views of them: the same for all setups of a seed, which share their features."""
    size = job.settings.model.min_size
    views = [
        View.of(
            video, derived_seed(job.seed, "view", video.name, number), size, name=f"{video.name}, view {number + 1}"
        )
        for video in job.dataset.train
        for number in range(parent.views)
    ]
    return views or job.dataset.train


def _outcome(state: TrainingState) -> dict[str, Any]:
    """What a record says of a training; the scores are those of the epoch whose weights are used."""
    best = state.best
    return {"curve": state.curve} | ({"scores": best.scores, "best_epoch": best.epoch} if best else {})


def _key(job: Job, stage: Training, start: nn.Module) -> str:
    """What decides a training: the shared settings, the stage's own, and the weights that it starts from."""
    return job.key(stage.model_dump(mode="json", exclude={"feature_cache_gib"}), weights_digest(start))


class Selection:
    """Scores a network on the selection sequences.

    Args:
        job: names the sequences.
        frozen: a network whose backbone and RPN stay as they are, so that their features of a sequence can be cached.
    """

    def __init__(self, job: Job, frozen: SlowFastMaskRCNN | None) -> None:
        self.job = job
        self._encoded = encoded_videos(job, "selection", frozen) if frozen else None

    def score(self, model: SlowFastMaskRCNN, state: TrainingState) -> Scores:
        """Official statistics of every sequence that chooses a parent's epoch; `state` saves them one by one."""
        videos = self.job.dataset.epoch_selection
        with stop_asked() as asked:
            for video in videos:
                if video.name not in state.scored:
                    statistics = self.score_video(model, video)
                    state.scored[video.name] = {column: float(value) for column, value in statistics.items()}
                    state.save_or_leave(asked, f"{len(state.scored)} of {len(videos)} sequences scored")
        return gather_scores({video.name: state.scored[video.name] for video in videos})

    def score_video(self, model: SlowFastMaskRCNN, video: Video, *, frozen: bool = True) -> dict[str, float]:
        """Official statistics of one sequence.

        Args:
            frozen: whether this model's backbone and RPN are those of the cached features.
        """
        chunks = self._encoded.get(model, video) if self._encoded and frozen else None
        frames = (video.frame(index) for index in range(len(video)))
        annotations = [video.ids(index, binary=True) for index in range(len(video))]
        masks = predict_masks(model, frames, chunks)
        return score_masks(masks, annotations, frames=self.job.settings.option("frames"))
