"""Jobs that run again: what was computed is taken, what was edited is computed anew, what was killed goes on."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from slowfast_vos.config import parse_settings
from slowfast_vos.jobs import finetune
from slowfast_vos.jobs.common import Job
from slowfast_vos.jobs.context import COLUMNS, official
from slowfast_vos.jobs.train import Selection
from slowfast_vos.measuring.record import Record, read_record
from slowfast_vos.model.checkpoints import read_checkpoint
from slowfast_vos.training.loop import Resume, TrainingState
from slowfast_vos.videos.synthetic import sequence_names
from torch import Tensor, nn

if TYPE_CHECKING:
    from slowfast_vos import SlowFastMaskRCNN
    from slowfast_vos.model.streaming import Chunk
    from slowfast_vos.videos.davis import Video

    from conftest import Run

SETUP, SEED = "1-3", 63
VALIDATION = sequence_names("val", 2)


def grid_paths(run: Run) -> list[Path]:
    return [run.results.grid(SETUP, *point, SEED) for point in run.results.configurations()]


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Freeze and rate of every configuration that is computed."""
    seen: list[tuple[str, str]] = []
    fine_tune = finetune.fine_tune
    monkeypatch.setattr(
        finetune,
        "fine_tune",
        lambda settings, parent, video, point, **rest: (
            seen.append((point.freeze, point.lr)) or fine_tune(settings, parent, video, point, **rest)
        ),
    )
    return seen


def test_a_shard_that_runs_again_takes_what_was_computed_and_tries_again_what_failed(
    inside: Run, computed: list[tuple[str, str]]
) -> None:
    before = {path: read_record(path) for path in grid_paths(inside)}
    shutil.rmtree(inside.results.root / "grid")
    for part in ("1/2", "2/2"):
        done = inside.verb("grid", "--setup", SETUP, "--part", part)
        assert done.exit_code == 0, done.output
    assert computed == [("SF", "1e30"), ("BB_SF", "1e30")]
    for path, record in before.items():
        again = read_record(path)
        assert again == record if record.status == "done" else again.error == record.error


def test_after_an_edit_of_one_rate_a_shard_computes_only_what_is_new(
    inside: Run, computed: list[tuple[str, str]]
) -> None:
    before = {path: path.read_bytes() for path in grid_paths(inside)}
    done = inside.verb("grid", "--setup", SETUP, grid={"lr": ["0.002", "1e30"]})
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == "2 done, 2 failed"
    assert [point for point in computed if point[1] != "1e30"] == [("SF", "0.002"), ("BB_SF", "0.002")]
    # What failed was tried again, under the settings of now; leave it as it was.
    for path, content in before.items():
        assert "lr=1e30" in str(path) or path.read_bytes() == content
        path.write_bytes(content)
    for freeze in ("SF", "BB_SF"):
        shutil.rmtree(inside.results.grid(SETUP, freeze, "0", "0.002", SEED).parent)


def test_only_where_the_backbone_is_frozen_a_configuration_takes_the_parents_features(
    inside: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, masks = [], []
    predict_masks = finetune.predict_masks

    def recording(
        model: SlowFastMaskRCNN, frames: Iterator[Tensor], chunks: list[Chunk] | None
    ) -> Iterator[np.ndarray]:
        taken.append(chunks is not None)
        video = list(frames)
        masks.append([list(predict_masks(model, video, some)) for some in (chunks, None)])
        return iter(masks[-1][0])

    monkeypatch.setattr(finetune, "predict_masks", recording)
    changes = {"grid": {"lr": ["0.001"], "iterations": 2}, "model": {"box_score_thresh": 0.0}}
    parent = inside.results.parent(SETUP, SEED)
    shutil.copytree(parent, inside.folder / "results" / "features" / parent.relative_to(inside.results.root))
    done = inside.verb("grid", "--setup", SETUP, name="features", **changes)
    assert done.exit_code == 0, done.output
    shutil.rmtree(inside.folder / "results" / "features")
    assert taken == [False, True]  # SF, BB_SF
    for kept, encoded in masks:
        assert all(np.array_equal(one, other) for one, other in zip(kept, encoded, strict=True))


def test_another_budget_computes_all_configurations_anew(inside: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reached(BaseException):
        pass

    def stop(*_: Any, **__: Any) -> None:
        raise Reached

    monkeypatch.setattr(finetune, "fine_tune", stop)
    before = {path: path.read_bytes() for path in grid_paths(inside)}
    sections = ({"grid": {"iterations": 4}}, {"finetune": {"flip": 0.0}}, {"switches": {"border": "zeros"}})
    for changes in (*sections, {"precision": "bf16"}):
        with pytest.raises(Reached):
            inside.verb("grid", "--setup", SETUP, **changes)
    assert {path: path.read_bytes() for path in grid_paths(inside)} == before


def test_a_grid_that_runs_anew_gives_the_same_scores(inside: Run) -> None:
    """Seeded by its identity, a configuration does not depend on what ran before it."""
    kept = read_record(inside.results.grid(SETUP, "BB_SF", "0", "0.001", SEED))
    # Another name is another run; here it borrows the parent.
    parent = inside.results.parent(SETUP, SEED)
    copied = inside.folder / "results" / "other" / parent.relative_to(inside.results.root)
    shutil.copytree(parent, copied)
    done = inside.verb("grid", "--setup", SETUP, name="other", grid={"freeze": ["BB_SF"], "lr": ["0.001"]})
    assert done.exit_code == 0, done.output
    (path,) = (inside.folder / "results" / "other" / "grid").rglob("*.json")
    again = read_record(path)
    assert again.scores == kept.scores
    assert [point.loss for point in again.curve] == [point.loss for point in kept.curve]
    shutil.rmtree(inside.folder / "results" / "other")


def test_what_a_shard_needs_to_go_on_stays_until_its_results_are_there(
    inside: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started again while it runs: Snakemake removes its results first, and the second one waits."""
    save, removed = Record.save, []

    def remove_the_first(self: Record, path: Path) -> None:
        save(self, path)
        if not removed:
            removed.append(path)
            path.unlink()

    before = {path: path.read_bytes() for path in inside.results.root.rglob("*") if path.is_file()}
    monkeypatch.setattr(Record, "save", remove_the_first)
    assert inside.verb("finetune", "--setup", SETUP).exit_code == 0
    assert len(list(inside.results.root.rglob("work/final/*.pt"))) == len(VALIDATION)
    again = inside.verb("finetune", "--setup", SETUP)
    assert again.exit_code == 0
    assert again.stderr.count("going on after epoch") == len(VALIDATION)
    assert not list(inside.results.root.rglob("work/final/*"))
    for path, content in before.items():
        path.write_bytes(content)


@pytest.fixture
def killed(inside: Run) -> Iterator[Run]:
    """A run of its own, with the detector, whose parent was killed after its first epoch."""
    root = inside.folder / "results" / "killed"
    detector = inside.results.detector(SEED)
    shutil.copytree(detector, root / detector.relative_to(inside.results.root))
    run = replace(inside, values={**inside.values, "name": "killed", "save_every": 0})

    class KilledError(Exception):
        pass

    def kill(self: TrainingState, *scores: Any) -> None:
        if len(self.curve) == 1:
            raise KilledError
        finish(self, *scores)

    finish = TrainingState.finish
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingState, "finish", kill)
        done = run.verb("train-parent", "--setup", SETUP)
    assert isinstance(done.exception, KilledError)
    yield run
    shutil.rmtree(root)


def test_a_killed_parent_goes_on_and_ends_as_an_undisturbed_one(killed: Run, tiny_run: Run) -> None:
    done = killed.verb("train-parent", "--setup", SETUP)
    assert done.exit_code == 0, done.output
    assert "going on after epoch 1, step " in done.stderr
    found, _ = read_checkpoint(killed.results.parent(SETUP, SEED) / "model.safetensors")
    expected, _ = read_checkpoint(tiny_run.results.parent(SETUP, SEED) / "model.safetensors")
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_parent_that_ended_while_no_snakemake_watched_is_not_trained_again(killed: Run) -> None:
    """Snakemake takes its results for unfinished ones and removes them."""
    assert killed.verb("train-parent", "--setup", SETUP).exit_code == 0
    parent = killed.results.parent(SETUP, SEED)
    weights, record = (parent / "model.safetensors").read_bytes(), read_record(parent / "record.json")
    shutil.rmtree(parent)
    (left,) = killed.results.root.rglob("work/parent/**/*.pt")
    (left.parent / "of-an-edit.pt").write_bytes(b"")
    done = killed.verb("train-parent", "--setup", SETUP)
    assert done.exit_code == 0, done.output
    assert "going on after epoch 2, step 0" in done.stderr
    assert (parent / "model.safetensors").read_bytes() == weights
    again = read_record(parent / "record.json")
    assert (again.curve, again.scores, again.best_epoch) == (record.curve, record.scores, record.best_epoch)
    # The detector's went when the parent began, and the parent's goes with the first job that stands on it.
    assert list(killed.results.root.rglob("work/**/*.pt")) == [left]
    assert killed.verb("grid", "--setup", SETUP, grid={"freeze": ["BB_SF"], "lr": ["0.001"]}).exit_code == 0
    assert not list(killed.results.root.rglob("*.pt"))


@pytest.mark.parametrize("changes", [{"parent": {"lr": "0.002"}}, {"data": {"train_year": 2016}}])
def test_a_killed_parent_that_is_edited_begins_anew(killed: Run, changes: dict[str, Any]) -> None:
    done = killed.verb("train-parent", "--setup", SETUP, **changes)
    assert done.exit_code == 0, done.output
    assert "going on" not in done.stderr
    assert len(read_record(killed.results.parent(SETUP, SEED) / "record.json").curve) == 2


def test_a_signal_while_an_epoch_is_scored_keeps_what_is_scored(
    inside: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statistics = dict.fromkeys(map(official, COLUMNS), 0.5)
    scored: list[str] = []

    def score_video(self: Selection, _: SlowFastMaskRCNN, video: Video) -> dict[str, float]:
        scored.append(video.name)
        if len(scored) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return statistics

    monkeypatch.setattr(Selection, "score_video", score_video)
    settings = parse_settings({**inside.values, "protocol": "paper", "grid": {"sequences": VALIDATION[:1]}}, "tests")
    selection, model = Selection(Job(settings, SEED), frozen=True), nn.Linear(1, 1)
    resume = Resume(tmp_path / "state.pt", "key", 60)

    def state() -> TrainingState:
        return TrainingState(model, torch.optim.SGD(model.parameters(), 0.1), seed=7, total=1, resume=resume)

    with pytest.raises(SystemExit) as left:
        selection.score(model, state())
    assert left.value.code == 128 + signal.SIGTERM
    assert scored == VALIDATION[:1]
    resumed = state()
    for _ in resumed.epochs():
        resumed.finish(selection.score(model, resumed))
    assert scored == VALIDATION
    assert resumed.curve[0].jf_selection == 0.5
