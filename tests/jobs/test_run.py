"""One small run through every stage: what the records say, what a shard computes again, what predictions hold."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.config import parse_settings
from slowfast_vos.generated import sequence_names
from slowfast_vos.jobs.encoded import EncodedVideos
from slowfast_vos.jobs.job import Job
from slowfast_vos.measuring.record import read_record
from slowfast_vos.videos.pngs import read_mask

from command_line import refused

if TYPE_CHECKING:
    from conftest import Run

SETUP, SEED = "1-3", 63
VALIDATION = sequence_names("val", 2)


def test_every_record_follows_the_schema_and_names_its_origin(tiny_run: Run) -> None:
    found = {path: read_record(path) for path in tiny_run.results.root.rglob("*.json") if path.name != "dataset.json"}
    expected = {"detector": 1, "parent": 1, "tuning": 2, "grid": 4, "selected": 1, "final": 2}
    assert Counter(record.kind for record in found.values()) == expected | {"evaluation": 4, "cost": 1}
    digest = json.loads(tiny_run.results.dataset.read_text())["digest"]
    for path, record in found.items():
        assert json.loads(path.read_text()) == record.model_dump(mode="json")
        assert (record.name, record.protocol, record.seed) == ("tiny", "strict", SEED)
        assert parse_settings(record.settings, "record") == tiny_run.settings
        assert (record.error is None) == (record.status == "done")
        assert record.provenance.dataset == digest
        assert record.provenance.threads == 1
        assert record.provenance.driver is None
        assert {"torch", "torchvision", "timm", "slowfast-vos"} <= set(record.provenance.packages)
        assert record.provenance.seconds >= 0
        assert record.setup == (None if record.kind == "detector" or record.task == "baseline" else SETUP)


def test_nothing_half_written_is_left(tiny_run: Run) -> None:
    names = [path.name for path in tiny_run.results.root.rglob("*")]
    assert not [name for name in names if name.startswith(".")]
    assert not [path for path in (tiny_run.results.root / "work").rglob("*") if path.is_file()]


def test_curves_have_a_point_for_every_epoch(tiny_run: Run) -> None:
    results = tiny_run.results
    detector = read_record(results.detector(SEED) / "record.json")
    assert [point.epoch for point in detector.curve] == [1]
    names = {"loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg"}
    assert detector.curve[0].losses.keys() == names
    parent = read_record(results.parent(SETUP, SEED) / "record.json")
    assert [point.epoch for point in parent.curve] == [1, 2]
    selected = [point.jf_selection for point in parent.curve]
    assert parent.best_epoch == 1 + selected.index(max(selected))
    # The weights that were kept are those of the best epoch.
    assert parent.scores.jf_mean == pytest.approx(max(selected), abs=1e-12)
    assert set(parent.scores.sequences) == set(tiny_run.settings.data.held_out)


def test_a_diverged_point_of_the_tuning_is_a_failed_record(tiny_run: Run) -> None:
    for point, status in ((("frozen", "0.001"), "done"), (("trained", "1e30"), "failed")):
        record = read_record(tiny_run.results.tuning(SETUP, *point, SEED))
        assert (tuple(record.job.values()), record.status) == (point, status)
        assert (record.scores is None) == ("found a loss that is not finite" in (record.error or ""))
        assert (record.scores is None) == (status == "failed")


def test_the_best_of_all_configurations_is_selected_for_the_final_models(tiny_run: Run) -> None:
    found = [read_record(path) for path in tiny_run.grid_paths]
    assert [tuple(record.job.values()) for record in found] == tiny_run.results.configurations()
    assert {record.job["lr"]: record.status for record in found} == {"0.001": "done", "1e30": "failed"}
    for record in found:
        if record.status == "failed":
            assert record.scores is None
            assert "found a loss that is not finite" in record.error
        else:
            assert set(record.scores.sequences) == set(tiny_run.settings.data.held_out)
            assert record.curve[-1].iteration == 3
    best = max((record for record in found if record.scores), key=lambda record: record.scores.jf_mean)
    selected = read_record(tiny_run.results.selected(SETUP, SEED))
    assert (selected.job, selected.scores) == (best.job, best.scores)
    # A final model of it for each validation sequence.
    for name in VALIDATION:
        record = read_record(tiny_run.results.final(SETUP, SEED, name))
        assert record.job == {"sequence": name, **selected.job}
        assert record.curve[-1].iteration == 2


@pytest.mark.parametrize(
    ("task", "subject"),
    [("unsupervised", SETUP), ("semi-supervised", SETUP), ("baseline", "detector"), ("baseline", "foreground")],
)
def test_predictions_are_indexed_pngs_in_the_layout_of_davis_and_are_scored(
    tiny_run: Run, task: str, subject: str
) -> None:
    folder = tiny_run.results.predictions(task, subject, SEED)
    annotations = tiny_run.settings.data_root / "Annotations" / "480p"
    assert sorted(path.name for path in folder.iterdir()) == sorted(VALIDATION)
    for name in VALIDATION:
        files = sorted((folder / name).iterdir())
        assert [path.name for path in files] == [f"{index:05d}.png" for index in range(5)]
        for path in files:
            ids = read_mask(path)
            assert ids.shape == read_mask(annotations / name / path.name).shape
            assert set(np.unique(ids)) <= {0, 1}
            assert subject != "foreground" or ids.all()
            assert Image.open(path).mode == "P"
    path = tiny_run.results.scores(task, subject, SEED)
    record = read_record(path)
    assert (record.task, record.status) == (task, "done")
    assert set(record.scores.sequences) == set(VALIDATION)
    assert record.scores.jf_mean == pytest.approx(np.mean([one.jf_mean for one in record.scores.sequences.values()]))
    assert (path.parent / "global.csv").read_text().startswith("J&F-Mean,J-Mean,")
    assert (path.parent / "per-sequence.csv").is_file()


def test_the_detectors_baseline_is_all_that_torchvisions_network_finds(inside: Run) -> None:
    job = Job(inside.settings, SEED)
    detector, folder = job.detector().eval(), inside.results.predictions("baseline", "detector", SEED)
    found = 0
    for video in job.dataset.val:
        for path, frame in zip(video.frames, video.iterate(), strict=True):
            with torch.inference_mode():
                masks = detector([frame])[0]["masks"] >= 0.5
            mask = masks.any(0)[0].numpy()
            assert (read_mask(folder / video.name / f"{path.stem}.png") == mask).all()
            found += mask.sum()
    assert found


def test_setups_predicted_in_one_process_share_features_and_equal_one_predicted_apart(
    copied: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    subjects, encoded, encode = ("unsupervised/1-3", "baseline/detector"), [], SlowFastMaskRCNN.encode
    folders = [copied.results.predictions(*subject.split("/"), SEED) for subject in subjects]
    before = {path: path.read_bytes() for folder in folders for path in folder.rglob("*.png")}
    monkeypatch.setattr(SlowFastMaskRCNN, "encode", lambda self, some: encoded.append(len(some)) or encode(self, some))
    options = [word for subject in subjects for word in ("--subject", subject)]
    for sharing, expected in ((True, 10), (False, 20)):
        encoded.clear()
        copied.done("predict-val", *options, one_job_per="seed" if sharing else "setup")
        assert sum(encoded) == expected  # frames
        assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("gib", [0, 1e-6, 1])
def test_encoded_videos_keep_within_their_memory(inside: Run, gib: float) -> None:
    job = Job(inside.settings, SEED)
    model, videos = job.parent(SETUP), EncodedVideos(gib)
    found = [videos.get(model, video) for video in job.dataset.val]
    assert videos.bytes_left >= 0
    assert all(chunks is None for chunks in found) == (gib < 1)
    assert gib < 1 or sum(len(chunk.proposals) for chunk in found[0]) == len(job.dataset.val[0])


def test_an_all_foreground_mask_scores_the_objects_share_of_the_inner_frames(tiny_run: Run) -> None:
    record = read_record(tiny_run.results.scores("baseline", "foreground", SEED))
    assert record.job == {"baseline": "foreground"}
    for name, scores in record.scores.sequences.items():
        folder = tiny_run.settings.data_root / "Annotations" / "480p" / name
        shares = [(read_mask(path) != 0).mean() for path in sorted(folder.glob("*.png"))[1:-1]]
        assert scores.j_mean == pytest.approx(np.mean(shares), abs=1e-9)


def test_the_cost_is_measured(tiny_run: Run) -> None:
    cost = read_record(tiny_run.results.cost(SETUP, SEED)).cost
    assert 0 < cost.parameters_slow_fast < cost.parameters_trained < cost.parameters_total
    spread = cost.milliseconds_per_frame
    assert spread.repeats == 3
    assert 0 < spread.low <= spread.median <= spread.high
    assert cost.frames_per_second.median == pytest.approx(1000 / spread.median)
    assert (cost.timed_frames, cost.frame_size, cost.end_to_end_frames) == (4, (96, 160), 10)
    assert cost.end_to_end_seconds > 0
    assert cost.gflops_per_frame > 0
    assert 2**26 < cost.host_peak_bytes < 2**40
    assert cost.gpu_allocated_bytes is cost.gpu_reserved_bytes is cost.gpu_process_bytes is None


def test_the_costs_of_several_setups_are_measured_in_a_process_each(copied: Run) -> None:
    other, path = "1-1", copied.results.cost(SETUP, SEED)
    copied.done("train-parent", "--setup", other)
    path.unlink()
    copied.done("cost", "--setup", other, "--setup", SETUP)
    peaks = [read_record(copied.results.cost(setup, SEED)).cost.host_peak_bytes for setup in (other, SETUP)]
    assert peaks[0] != peaks[1]
    (copied.results.parent(other, SEED) / "model.safetensors").unlink()
    path.unlink()
    # The process of the other setup says what was wrong.
    assert copied.verb("cost", "--setup", other, "--setup", SETUP).exit_code == 1
    assert read_record(path).status == "done"


def test_where_all_configurations_failed_the_setup_fails_and_not_the_run(copied: Run) -> None:
    results = copied.results
    for path in copied.grid_paths:
        read_record(path).model_copy(update={"status": "failed", "error": "no luck", "scores": None}).save(path)
    error = f"all {len(copied.grid_paths)} configurations of the grid failed, the first with: no luck"
    assert copied.done("select", "--setup", SETUP).stdout.strip() == f"{SETUP}: {error}"
    selected = read_record(results.selected(SETUP, SEED))
    assert (selected.status, selected.error, selected.job) == ("failed", error, {})
    copied.done("finetune", "--setup", SETUP)
    for name in VALIDATION:
        final = read_record(results.final(SETUP, SEED, name))
        assert (final.status, final.error, final.job) == ("failed", error, {"sequence": name})
        assert list((results.predictions("semi-supervised", SETUP, SEED) / name).iterdir()) == []
    copied.done("evaluate", "--subject", f"semi-supervised/{SETUP}")
    assert read_record(results.scores("semi-supervised", SETUP, SEED)).error == f"{', '.join(VALIDATION)}: {error}"
    # Tables and figures of failed records are tested with the reports; the pictures read predictions.
    copied.done("strips", "--out", "failed")


def test_a_final_model_that_fails_fails_the_evaluation_and_not_the_run(copied: Run) -> None:
    results = copied.results
    record = read_record(results.selected(SETUP, SEED))
    record.job["lr"] = "1e30"
    record.save(results.selected(SETUP, SEED))
    copied.done("finetune", "--setup", SETUP, final={"iterations": 6})
    assert {read_record(path).status for path in (results.root / "final").rglob("*.json")} == {"failed"}
    copied.done("evaluate", "--subject", f"semi-supervised/{SETUP}")
    evaluation = read_record(results.scores("semi-supervised", SETUP, SEED))
    assert (evaluation.status, evaluation.scores) == ("failed", None)
    assert all(name in evaluation.error for name in VALIDATION)


@pytest.fixture
def spoilt(copied: Run, tmp_path: Path) -> Run:
    """A run of the detector alone, on a dataset whose validation masks nobody can read."""
    data = shutil.copytree(copied.settings.data_root, tmp_path / "data")
    for name in VALIDATION:
        for path in (data / "Annotations" / "480p" / name).iterdir():
            path.write_bytes(b"no mask")
    for stage in ("parent", "grid", "selected", "final"):
        shutil.rmtree(copied.results.root / stage)
    return replace(copied, values={**copied.values, "data": {**copied.values["data"], "root": str(data)}})


def test_under_strict_neither_epochs_nor_the_grid_read_a_validation_mask(spoilt: Run, tiny_run: Run) -> None:
    grid = {"lr": ["0.001"]}
    for verb in ("train-parent", "grid", "select"):
        spoilt.done(verb, "--setup", SETUP, grid=grid)
    parents = [read_record(run.results.parent(SETUP, SEED) / "record.json") for run in (spoilt, tiny_run)]
    assert parents[0].scores == parents[1].scores
    refused(spoilt.verb("finetune", "--setup", SETUP, grid=grid), f"{VALIDATION[0]}/00000.png: ")


def test_under_paper_they_are_read(spoilt: Run) -> None:
    done = spoilt.verb("train-parent", "--setup", SETUP, protocol="paper", grid={"sequences": VALIDATION})
    refused(done, f"{VALIDATION[0]}/00000.png: ")
