"""One small run through every stage: what the records say, what a shard computes again, what predictions hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from slowfast_vos.config import parse_settings
from slowfast_vos.measuring.record import Record, read_record
from slowfast_vos.model.checkpoints import read_checkpoint
from slowfast_vos.videos.pngs import DAVIS_PALETTE, read_mask

if TYPE_CHECKING:
    from conftest import Run

SETUP, SEED = "1-3", 63


def records(run: Run) -> Iterator[tuple[Path, Record]]:
    for path in sorted(run.results.root.rglob("*.json")):
        if path != run.results.dataset and "work" not in path.relative_to(run.results.root).parts:
            yield path, read_record(path)


def grid_paths(run: Run) -> list[Path]:
    return [run.results.grid(SETUP, *point, SEED) for point in run.results.configurations()]


def test_every_record_follows_the_schema_and_names_its_origin(tiny_run: Run) -> None:
    found = [record for _, record in records(tiny_run)]
    kinds = [record.kind for record in found]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "detector": 1,
        "parent": 1,
        "tuning": 2,
        "grid": 4,
        "selected": 1,
        "final": 2,
        "evaluation": 4,
        "cost": 1,
    }
    digest = json.loads(tiny_run.results.dataset.read_text())["digest"]
    for record in found:
        assert (record.name, record.protocol, record.seed) == ("tiny", "strict", SEED)
        assert parse_settings(record.settings, "record") == tiny_run.settings
        assert (record.error is None) == (record.status == "done")
        assert record.provenance.dataset == digest
        assert record.provenance.threads == 1
        assert record.provenance.driver is None
        assert {"torch", "torchvision", "timm", "slowfast-vos"} <= set(record.provenance.packages)
        assert record.provenance.seconds >= 0
        if record.kind not in ("detector",) and record.task != "baseline":
            assert record.setup == SETUP


def test_records_read_back_as_they_are(tiny_run: Run) -> None:
    for path, record in records(tiny_run):
        assert json.loads(path.read_text()) == record.model_dump(mode="json")


def test_nothing_half_written_is_left(tiny_run: Run) -> None:
    names = [path.name for path in tiny_run.results.root.rglob("*")]
    assert not [name for name in names if name.startswith(".")]
    assert not [path for path in (tiny_run.results.root / "work").rglob("*") if path.is_file()]


def test_the_checked_dataset_tells_roles_and_lengths(tiny_run: Run) -> None:
    checked = json.loads(tiny_run.results.dataset.read_text())
    assert checked["roles"]["selection"] == tiny_run.settings.data.held_out
    assert not set(checked["roles"]["train"]) & set(checked["roles"]["selection"])
    assert len(checked["roles"]["val"]) == 2
    assert set(checked["sequences"].values()) == {5}
    assert set(checked["attributes"]) == set(checked["sequences"])


def test_curves_have_a_point_for_every_epoch(tiny_run: Run) -> None:
    results = tiny_run.results
    detector = read_record(results.detector(SEED) / "record.json")
    assert [point.epoch for point in detector.curve] == [1]
    assert detector.curve[0].losses.keys() == {
        "loss_classifier",
        "loss_box_reg",
        "loss_mask",
        "loss_objectness",
        "loss_rpn_box_reg",
    }
    parent = read_record(results.parent(SETUP, SEED) / "record.json")
    assert [point.epoch for point in parent.curve] == [1, 2]
    selected = [point.jf_selection for point in parent.curve]
    assert parent.best_epoch == 1 + selected.index(max(selected))
    # The weights that were kept are those of the best epoch.
    assert parent.scores.jf_mean == pytest.approx(max(selected), abs=1e-12)
    assert set(parent.scores.sequences) == set(tiny_run.settings.data.held_out)


def test_a_diverged_point_of_the_tuning_is_a_failed_record(tiny_run: Run) -> None:
    done = read_record(tiny_run.results.tuning(SETUP, "frozen", "0.001", SEED))
    failed = read_record(tiny_run.results.tuning(SETUP, "trained", "1e30", SEED))
    assert (done.status, done.job) == ("done", {"backbone": "frozen", "lr": "0.001"})
    assert (failed.status, failed.job) == ("failed", {"backbone": "trained", "lr": "1e30"})
    assert failed.scores is None
    assert "found a loss that is not finite" in failed.error


def test_the_grid_has_a_record_for_every_configuration_failed_ones_too(tiny_run: Run) -> None:
    found = [read_record(path) for path in grid_paths(tiny_run)]
    assert [tuple(record.job.values()) for record in found] == tiny_run.results.configurations()
    assert {record.job["lr"]: record.status for record in found} == {"0.001": "done", "1e30": "failed"}
    for record in found:
        if record.status == "failed":
            assert record.scores is None
            assert "found a loss that is not finite" in record.error
            assert len(record.error.splitlines()) == 1
        else:
            assert set(record.scores.sequences) == set(tiny_run.settings.data.held_out)
            assert record.curve[-1].iteration == 3


def test_the_best_of_those_that_are_done_is_selected(tiny_run: Run) -> None:
    selected = read_record(tiny_run.results.selected(SETUP, SEED))
    done = [record for record in map(read_record, grid_paths(tiny_run)) if record.scores]
    best = max(done, key=lambda record: record.scores.jf_mean)
    assert (selected.job, selected.scores) == (best.job, best.scores)


def test_a_final_model_for_each_validation_sequence(tiny_run: Run) -> None:
    chosen = read_record(tiny_run.results.selected(SETUP, SEED)).job
    for name in json.loads(tiny_run.results.dataset.read_text())["roles"]["val"]:
        record = read_record(tiny_run.results.final(SETUP, SEED, name))
        assert record.job == {"sequence": name, **chosen}
        assert record.curve[-1].iteration == 2


@pytest.mark.parametrize(
    ("task", "subject"),
    [("unsupervised", SETUP), ("semi-supervised", SETUP), ("baseline", "detector"), ("baseline", "foreground")],
)
def test_predictions_are_indexed_pngs_in_the_layout_of_davis(tiny_run: Run, task: str, subject: str) -> None:
    folder = tiny_run.results.predictions(task, subject, SEED)
    annotations = tiny_run.settings.data_root / "Annotations" / "480p"
    names = json.loads(tiny_run.results.dataset.read_text())["roles"]["val"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    for name in names:
        files = sorted((folder / name).iterdir())
        assert [path.name for path in files] == [f"{index:05d}.png" for index in range(5)]
        for path in files:
            ids = read_mask(path)
            assert ids.shape == read_mask(annotations / name / path.name).shape
            assert set(np.unique(ids)) <= {0, 1}
            assert task != "baseline" or subject != "foreground" or ids.all()
            with Image.open(path) as image:
                assert image.mode == "P"
                assert image.getpalette()[:6] == DAVIS_PALETTE[:2].ravel().tolist()


def test_evaluations_score_the_validation_sequences(tiny_run: Run) -> None:
    names = set(json.loads(tiny_run.results.dataset.read_text())["roles"]["val"])
    for task, subject in (("unsupervised", SETUP), ("semi-supervised", SETUP), ("baseline", "foreground")):
        path = tiny_run.results.scores(task, subject, SEED)
        record = read_record(path)
        assert record.task == task
        assert record.status == "done"
        assert set(record.scores.sequences) == names
        assert record.scores.jf_mean == pytest.approx((record.scores.j_mean + record.scores.f_mean) / 2)
        means = [one.jf_mean for one in record.scores.sequences.values()]
        assert record.scores.jf_mean == pytest.approx(np.mean(means))
        assert (path.parent / "global.csv").read_text().startswith("J&F-Mean,J-Mean,")
        assert (path.parent / "per-sequence.csv").is_file()
    foreground = read_record(tiny_run.results.scores("baseline", "foreground", SEED))
    assert foreground.job == {"baseline": "foreground"}
    assert foreground.setup is None


def test_an_all_foreground_mask_scores_the_objects_share_of_the_inner_frames(tiny_run: Run) -> None:
    record = read_record(tiny_run.results.scores("baseline", "foreground", SEED))
    for name, scores in record.scores.sequences.items():
        folder = tiny_run.settings.data_root / "Annotations" / "480p" / name
        shares = [(read_mask(path) != 0).mean() for path in sorted(folder.glob("*.png"))[1:-1]]
        assert scores.j_mean == pytest.approx(np.mean(shares), abs=1e-9)


def test_the_cost_is_measured(tiny_run: Run) -> None:
    cost = read_record(tiny_run.results.cost(SETUP, SEED)).cost
    assert 0 < cost.parameters_slow_fast < cost.parameters_trained < cost.parameters_total
    assert cost.milliseconds_per_frame.repeats == 3
    spread = cost.milliseconds_per_frame
    assert 0 < spread.low <= spread.median <= spread.high
    assert cost.frames_per_second.median == pytest.approx(1000 / spread.median)
    assert (cost.timed_frames, cost.frame_size, cost.end_to_end_frames) == (4, (96, 160), 10)
    assert cost.end_to_end_seconds > 0
    assert cost.gflops_per_frame > 0
    assert cost.host_peak_bytes > 2**26
    assert cost.gpu_allocated_bytes is cost.gpu_reserved_bytes is cost.gpu_process_bytes is None


def test_a_checkpoint_says_how_to_build_its_network(tiny_run: Run) -> None:
    _, about = read_checkpoint(tiny_run.results.parent(SETUP, SEED) / "model.safetensors")
    assert (about["setup"], about["seed"]) == (SETUP, SEED)
    assert parse_settings(about["settings"], "checkpoint") == tiny_run.settings


@pytest.fixture
def unchanged(inside: Run) -> Iterator[Run]:
    """The run; its records and predictions are put back after the test."""
    kept = {path: path.read_bytes() for path in inside.results.root.rglob("*") if path.is_file()}
    yield inside
    for path, content in kept.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_where_all_configurations_failed_the_setup_fails_and_not_the_run(unchanged: Run) -> None:
    results = unchanged.results
    for point in results.configurations():
        path = results.grid(SETUP, *point, SEED)
        read_record(path).model_copy(update={"status": "failed", "error": "no luck", "scores": None}).save(path)
    done = unchanged.verb("select", "--setup", SETUP)
    assert done.exit_code == 0, done.output
    error = f"all {len(results.configurations())} configurations of the grid failed, the first with: no luck"
    assert done.stdout.strip() == f"{SETUP}: {error}"
    selected = read_record(results.selected(SETUP, SEED))
    assert (selected.status, selected.error, selected.job) == ("failed", error, {})
    done = unchanged.verb("finetune", "--setup", SETUP)
    assert done.exit_code == 0, done.output
    names = json.loads(results.dataset.read_text())["roles"]["val"]
    for name in names:
        final = read_record(results.final(SETUP, SEED, name))
        assert (final.status, final.error, final.job) == ("failed", error, {"sequence": name})
        assert list((results.predictions("semi-supervised", SETUP, SEED) / name).iterdir()) == []
    done = unchanged.verb("evaluate", "--task", "semi-supervised", "--setup", SETUP)
    assert done.exit_code == 0, done.output
    assert read_record(results.scores("semi-supervised", SETUP, SEED)).error == f"{', '.join(names)}: {error}"
    # Tables and figures of failed records are tested with the reports; the pictures read predictions.
    done = unchanged.verb("strips", "--out", str(unchanged.folder / "failed"))
    assert done.exit_code == 0, done.output


def test_a_final_model_that_fails_fails_the_evaluation_and_not_the_run(unchanged: Run) -> None:
    results = unchanged.results
    record = read_record(results.selected(SETUP, SEED))
    record.job["lr"] = "1e30"
    record.save(results.selected(SETUP, SEED))
    done = unchanged.verb("finetune", "--setup", SETUP, final={"iterations": 6})
    assert done.exit_code == 0, done.output
    assert {read_record(path).status for path in (results.root / "final").rglob("*.json")} == {"failed"}
    done = unchanged.verb("evaluate", "--task", "semi-supervised", "--setup", SETUP)
    assert done.exit_code == 0, done.output
    evaluation = read_record(results.scores("semi-supervised", SETUP, SEED))
    assert (evaluation.status, evaluation.scores) == ("failed", None)
    assert all(name in evaluation.error for name in json.loads(results.dataset.read_text())["roles"]["val"])
