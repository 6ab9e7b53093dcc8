"""Stages 2 and 3: the detector, and the unsupervised parents with their tuning.

A job writes its record last. While it trains, its state lies in `work/`; once the record is there, the state goes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import nn

from slowfast_vos.jobs.failures import counted_crashes, failure_of_configuration
from slowfast_vos.jobs.job import Job
from slowfast_vos.jobs.selection import Selection
from slowfast_vos.measuring.record import Record
from slowfast_vos.model.checkpoints import save_checkpoint
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.model.weights import load_weights
from slowfast_vos.sections import Parent, Training
from slowfast_vos.training.detector import train_detector
from slowfast_vos.training.loop import Resume, TrainingState, job_seed, seed_everything
from slowfast_vos.training.parent import train_parent


def run_detector(job: Job) -> Record:
    """Train the detector; writes `model.safetensors` and `record.json` into its folder."""
    settings, folder = job.settings, job.results.detector(job.seed)
    seed = job_seed(settings, job.seed, "detector")
    seed_everything(seed)
    model = job.detector(trained=False)
    load_weights(model, settings.model.weights, settings.model.backbone)

    def train(resume: Resume) -> TrainingState:
        binary = job.dataset.binary_train
        return train_detector(settings, model, job.dataset.train, binary=binary, seed=seed, resume=resume)

    return _run(job, folder, model, settings.detector, train, {"kind": "detector", "setup": None})


def run_parent(job: Job, setup: str) -> Record:
    """Train a setup's parent; writes `model.safetensors` and `record.json` into its folder.

    Raises:
        DivergedError: a loss is not finite; all downstream jobs need the parent, so the run stops here.
    """
    parent, folder = job.settings.parent, job.results.parent(setup, job.seed)
    seed = job_seed(job.settings, job.seed, "parent", setup)
    model = _untrained_parent(job, setup, seed)

    def train(resume: Resume) -> TrainingState:
        return _train_parent(job, model, parent, seed, resume)

    about = {"kind": "parent", "setup": setup, "job": {"backbone": parent.backbone, "lr": parent.lr}}
    return _run(job, folder, model, parent, train, about)


def _run(
    job: Job,
    folder: Path,
    model: nn.Module,
    stage: Training,
    train: Callable[[Resume], TrainingState],
    about: dict[str, Any],
) -> Record:
    """Train a network, unless that is done; write its weights and then the record."""
    path, weights, key = folder / "record.json", folder / "model.safetensors", _key(job, stage, model)
    if cached := job.cached(path, key, weights):
        return cached
    state = train(Resume(job.results.work(path) / "state.pt", key, job.settings.save_every))
    save_checkpoint(weights, model, job.about(about["setup"]))
    record = job.write_record(path, key=key, **about, **_outcome(state))
    shutil.rmtree(job.results.work(path), ignore_errors=True)
    return record


def run_tuning(job: Job, setup: str, backbone: str, lr: str) -> Record:
    """Train one point of the tuning; writes its record alone, a failed one if it fails."""
    settings, path = job.settings, job.results.tuning(setup, backbone, lr, job.seed)
    tuning, point, work = settings.tuning, {"backbone": backbone, "lr": lr}, job.results.work(path)
    limits = {} if tuning.train_frames is None else {"train_frames": tuning.train_frames}
    parent = settings.parent.model_copy(update={**point, "epochs": tuning.epochs, **limits})
    seed = job_seed(settings, job.seed, "tuning", setup, backbone, lr)
    model = _untrained_parent(job, setup, seed)
    key = _key(job, parent, model)
    if cached := job.cached(path, key):
        return cached
    try:
        with counted_crashes(work):
            state = _train_parent(job, model, parent, seed, Resume(work / "state.pt", key, settings.save_every))
        outcome = _outcome(state)
    except Exception as error:
        outcome = {"error": failure_of_configuration(error)}
    record = job.write_record(path, "tuning", key=key, setup=setup, job=point, **outcome)
    shutil.rmtree(work, ignore_errors=True)
    return record


def _untrained_parent(job: Job, setup: str, seed: int) -> SlowFastMaskRCNN:
    """A setup's network with the detector's weights and a random SlowFast module."""
    seed_everything(seed)
    model = job.network(setup)
    model.maskrcnn_model.load_state_dict(job.detector().state_dict())
    return model


def _train_parent(job: Job, model: SlowFastMaskRCNN, parent: Parent, seed: int, resume: Resume) -> TrainingState:
    selection = Selection(job, frozen=parent.backbone == "frozen")
    return train_parent(
        parent,
        model,
        job.dataset.train,
        binary=job.dataset.binary_train,
        seed=seed,
        select=selection.score,
        resume=resume,
    )


def _outcome(state: TrainingState) -> dict[str, Any]:
    """What a record says of a training; the scores are those of the epoch whose weights are used."""
    best = state.best
    return {"curve": state.curve} | ({"scores": best.scores, "best_epoch": best.epoch} if best else {})


def _key(job: Job, stage: Training, start: nn.Module) -> str:
    """What decides a training: the shared settings, the stage's own, and the weights that it starts from."""
    return job.key(stage.model_dump(mode="json", exclude={"feature_cache_gib"}), weights_digest(start))


def weights_digest(model: nn.Module) -> str:
    """Digest of a network's weights."""
    digest = sha256()
    for value in model.state_dict().values():
        digest.update(value.cpu().contiguous().numpy())
    return digest.hexdigest()
