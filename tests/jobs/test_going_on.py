"""Jobs that run again: what was computed is taken, what was edited is computed anew, what was killed goes on."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from slowfast_vos.config import parse_settings
from slowfast_vos.errors import UserError
from slowfast_vos.files import read_json
from slowfast_vos.generated import sequence_names
from slowfast_vos.jobs import finetune, train
from slowfast_vos.jobs.job import Job
from slowfast_vos.jobs.train import Selection
from slowfast_vos.measuring.record import read_record
from slowfast_vos.model.checkpoints import read_checkpoint
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.scoring.results import STATISTICS
from slowfast_vos.training.loop import Resume, TrainingState
from torch import nn

from command_line import refused

if TYPE_CHECKING:
    from slowfast_vos.videos.davis import Video

    from conftest import Run

SETUP, SEED = "1-3", 63
VALIDATION = sequence_names("val", 2)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Freeze and rate of every configuration that is computed."""
    seen: list[tuple[str, str]] = []
    fine_tune = finetune.fine_tune

    def recording(*values: Any, **options: Any) -> Any:
        seen.append((values[3].freeze, values[3].lr))
        return fine_tune(*values, **options)

    monkeypatch.setattr(finetune, "fine_tune", recording)
    return seen


@pytest.mark.parametrize(
    "parent", [{}, {"views": 2, "train_frames": 2, "videos_per_step": 2, "start": "identity", "shuffle": True}]
)
def test_setups_trained_in_one_process_share_features_and_equal_one_trained_apart(
    copied: Run, monkeypatch: pytest.MonkeyPatch, parent: dict[str, Any]
) -> None:
    weights, options = copied.results.parent(SETUP, SEED) / "model.safetensors", {"parent": parent} if parent else {}
    if parent:
        copied.done("train-parent", "--setup", SETUP, **options)
    before = weights.read_bytes()
    shutil.rmtree(weights.parent)
    encoded, encode = [], SlowFastMaskRCNN.encode
    monkeypatch.setattr(
        SlowFastMaskRCNN, "encode", lambda self, some: encoded.append(self.setup.fast) or encode(self, some)
    )
    copied.done("train-parent", "--setup", "1-3+still", "--setup", SETUP, **options)
    assert weights.read_bytes() == before
    first = len(encoded)
    shutil.rmtree(weights.parent)
    copied.done("train-parent", "--setup", SETUP, **options)
    assert len(encoded) - first == first  # the second setup encoded nothing of its own
    assert weights.read_bytes() == before


def test_a_job_that_fails_stops_no_other_of_its_process(copied: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[str] = []

    def run_parent(job: Job, setup: str) -> None:
        trained.append(setup)
        if setup == "1-1":
            raise UserError("found a loss that is not finite")

    monkeypatch.setattr(train, "run_parent", run_parent)
    refused(copied.verb("train-parent", "--setup", "1-1", "--setup", SETUP), "found a loss that is not finite")
    assert trained == ["1-1", SETUP]
    status = {name: copied.results.log("parent", name, seed=SEED).with_suffix(".json") for name in trained}
    assert [read_json(path)["state"] for path in status.values()] == ["failed", "done"]
    assert "error: found a loss" in status["1-1"].with_suffix(".log").read_text()
    assert "error: found a loss" not in status[SETUP].with_suffix(".log").read_text()


def test_after_an_edit_of_one_rate_a_shard_computes_only_what_is_new_and_tries_again_what_failed(
    copied: Run, computed: list[tuple[str, str]]
) -> None:
    before = {path: path.read_bytes() for path in copied.grid_paths if "lr=0.001" in str(path)}
    done = copied.done("grid", "--setup", SETUP, grid={"lr": ["0.002", "1e30"]})
    assert done.stdout.strip() == "1-3: 2 done, 2 failed"
    assert computed == [("SF", "0.002"), ("BB_SF", "0.002"), ("SF", "1e30"), ("BB_SF", "1e30")]
    assert {path: path.read_bytes() for path in before} == before


def test_a_failed_configuration_whose_new_try_is_stopped_is_missing(
    copied: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = {"freeze": ["SF"], "scale": ["0"], "lr": ["0.002", "1e30"]}
    copied.done("grid", "--setup", SETUP, grid=axes)
    fine, failed = (copied.results.grid(SETUP, "SF", "0", lr, SEED) for lr in axes["lr"])
    assert read_record(failed).status == "failed"
    monkeypatch.setattr(finetune, "fine_tune", Mock(side_effect=KeyboardInterrupt))
    assert copied.verb("grid", "--setup", SETUP, grid=axes).exit_code == 130
    assert fine.is_file()
    assert not failed.exists()


def test_only_where_the_backbone_is_frozen_a_configuration_takes_the_parents_features(
    copied: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, masks = [], []
    predict_masks = train.predict_masks

    def recording(model: Any, frames: Any, chunks: Any) -> Iterator[np.ndarray]:
        taken.append(chunks is not None)
        frames = list(frames)
        masks.append([np.array(list(predict_masks(model, frames, some))) for some in (chunks, None)])
        return iter(masks[-1][0])

    monkeypatch.setattr(train, "predict_masks", recording)
    copied.done("grid", "--setup", SETUP, grid={"lr": ["0.001"], "iterations": 2})
    assert taken == [False, True]  # SF, BB_SF
    for cached, encoded in masks:
        assert np.array_equal(cached, encoded)


def test_another_budget_computes_all_configurations_anew(inside: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "fine_tune", Mock(side_effect=KeyboardInterrupt))
    before = {path: path.read_bytes() for path in inside.grid_paths}
    for changes in ({"grid": {"iterations": 4}}, {"finetune": {"flip": 0.0}}, {"switches": {"border": "zeros"}}):
        assert inside.verb("grid", "--setup", SETUP, **changes).exit_code == 130
    assert {path: path.read_bytes() for path in inside.grid_paths} == before


def test_a_grid_that_runs_anew_gives_the_same_scores(copied: Run) -> None:
    """Seeded by its identity, a configuration does not depend on what ran before it."""
    path = copied.results.grid(SETUP, "BB_SF", "0", "0.001", SEED)
    before = read_record(path)
    shutil.rmtree(copied.results.root / "grid")
    copied.done("grid", "--setup", SETUP, grid={"freeze": ["BB_SF"], "lr": ["0.001"]})
    again = read_record(path)
    assert again.scores == before.scores
    assert [point.loss for point in again.curve] == [point.loss for point in before.curve]


def test_a_final_model_is_made_again_if_its_record_or_its_predictions_are_gone(
    copied: Run, computed: list[tuple[str, str]]
) -> None:
    before = {path: path.read_bytes() for path in copied.results.root.rglob("*.png")}
    copied.done("finetune", "--setup", SETUP)
    assert computed == []
    copied.results.final(SETUP, SEED, VALIDATION[0]).unlink()
    shutil.rmtree(copied.results.predictions("semi-supervised", SETUP, SEED) / VALIDATION[1])
    copied.done("finetune", "--setup", SETUP)
    assert len(computed) == 2
    assert {path: path.read_bytes() for path in before} == before


@pytest.fixture
def killed(copied: Run) -> Run:
    """A run whose parent was killed after its first epoch."""
    shutil.rmtree(copied.results.parent(SETUP, SEED))
    run = replace(copied, values={**copied.values, "save_every": 0})
    finish = TrainingState.finish

    def kill(self: TrainingState, *scores: Any) -> None:
        if len(self.curve) == 1:
            raise RuntimeError("killed")
        finish(self, *scores)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingState, "finish", kill)
        assert "killed" in run.verb("train-parent", "--setup", SETUP).stderr
    return run


def test_a_killed_parent_goes_on_and_is_not_trained_again_once_it_ended(killed: Run, tiny_run: Run) -> None:
    assert "going on after epoch 1, step " in killed.done("train-parent", "--setup", SETUP).stderr
    weights, record = (killed.results.parent(SETUP, SEED) / name for name in ("model.safetensors", "record.json"))
    found, _ = read_checkpoint(weights)
    expected, _ = read_checkpoint(tiny_run.results.parent(SETUP, SEED) / "model.safetensors")
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert not list(killed.results.root.rglob("*.pt"))
    # As where it ended while no Snakemake watched.
    before = [path.read_bytes() for path in (weights, record)]
    done = killed.done("train-parent", "--setup", SETUP)
    assert "record.json: reused, since it has this job's key" in done.stderr
    assert [path.read_bytes() for path in (weights, record)] == before
    weights.unlink()
    assert "reused" not in killed.done("train-parent", "--setup", SETUP).stderr
    assert weights.read_bytes() == before[0]


@pytest.mark.parametrize("changes", [{"parent": {"lr": "0.002"}}, {"data": {"train_year": 2016}}])
def test_a_killed_parent_that_is_edited_begins_anew(killed: Run, changes: dict[str, Any]) -> None:
    assert "going on" not in killed.done("train-parent", "--setup", SETUP, **changes).stderr
    assert len(read_record(killed.results.parent(SETUP, SEED) / "record.json").curve) == 2


def test_a_signal_while_an_epoch_is_scored_keeps_what_is_scored(
    inside: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statistics = dict.fromkeys(STATISTICS, 0.5)
    scored: list[str] = []

    def score_video(self: Selection, _: nn.Module, video: Video) -> dict[str, float]:
        scored.append(video.name)
        if len(scored) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return statistics

    monkeypatch.setattr(Selection, "score_video", score_video)
    settings = parse_settings({**inside.values, "protocol": "paper", "grid": {"sequences": VALIDATION[:1]}}, "tests")
    scorer, model = Selection(Job(settings, SEED), None), nn.Linear(1, 1)
    resume = Resume(tmp_path / "state.pt", 60)

    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(SystemExit, match=str(128 + signal.SIGTERM)):
        scorer.score(model, TrainingState(model, optimizer, seed=7, total=1, resume=resume))
    assert scored == VALIDATION[:1]
    resumed = TrainingState(model, optimizer, seed=7, total=1, resume=resume)
    for _ in resumed.epochs():
        resumed.finish(scorer.score(model, resumed))
    assert scored == VALIDATION
    assert resumed.curve[0].jf_selection == 0.5
