"""Releases: a card that the hub reads, checksums that hold, weights that predict as the run did."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_runs import SMALL, settings_for, write_run
from huggingface_hub import ModelCard
from slowfast_vos.checksums import expect_unchanged
from slowfast_vos.config import load_settings
from slowfast_vos.dag import TASKS
from slowfast_vos.errors import UserError
from slowfast_vos.paths import Results
from slowfast_vos.reporting.records import read_run
from slowfast_vos.reporting.release import write_card, write_release

from command_line import validation

if TYPE_CHECKING:
    from conftest import Run

SETUPS = SMALL["setups"]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """A run of three seeds, with files in the places of weights and masks."""
    results = write_run(settings_for(**SMALL, seeds=[1, 2, 3]), tmp_path / "run")
    add_files(results, 1, 2, 3)
    return results


def add_files(results: Results, *seeds: int) -> None:
    for seed in seeds:
        for setup in SETUPS:
            (results.parent(setup, seed) / "model.safetensors").write_bytes(f"{setup} {seed}".encode())
        subjects = [(task, setup) for task in TASKS for setup in SETUPS]
        for task, subject in [*subjects, ("baseline", "detector"), ("baseline", "foreground")]:
            path = results.predictions(task, subject, seed) / "kites" / "00000.png"
            path.parent.mkdir(parents=True)
            path.write_bytes(f"{task} {subject} {seed}".encode())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_release_holds_weights_masks_and_their_checksums_and_is_the_same_again(
    results: Results, tmp_path: Path
) -> None:
    out = write_release(results, tmp_path / "out")
    expect_unchanged(out)
    before = contents(out)
    names = [f"weights/{setup}-seed={seed}.safetensors" for setup in SETUPS for seed in (1, 2, 3)]
    assert {*before} == {"README.md", "SHA256SUMS", "masks.zip", "settings.json", *names}
    assert before["weights/3-7-seed=2.safetensors"] == b"3-7 2"
    with zipfile.ZipFile(out / "masks.zip") as archive:
        assert len(archive.namelist()) == 3 * (2 * len(SETUPS) + 2)
        assert archive.read("baseline/detector/seed=3/kites/00000.png") == b"baseline detector 3"
    assert contents(write_release(results, out)) == before


def test_a_release_does_not_say_where_davis_lay(tmp_path: Path) -> None:
    results = write_run(settings_for("davis", davis_root="/somewhere", **SMALL), tmp_path / "run")
    add_files(results, 63)
    assert load_settings(write_release(results, tmp_path / "out") / "settings.json").davis_root is None


def test_a_card_has_the_runs_own_numbers(results: Results) -> None:
    run = read_run(results)
    card = ModelCard(write_card(run, ["weights/3-7-seed=1.safetensors"]))
    data = card.data
    assert (data.license, data.datasets, data.metrics) == ("mit", ["slowfast-vos-generated"], ["J&F", "J", "F"])
    found = {(one.dataset_config, one.metric_name): one.metric_value for one in data.eval_results}
    assert len(found) == len(TASKS) * len(SETUPS) * 3
    assert {one.task_name for one in data.eval_results} == {f"{task} video object segmentation" for task in TASKS}
    for task in TASKS:
        scores = run.over_seeds(run.records[run.records["task"] == task], ["j_mean"], run.names).loc["3-7"]
        mean, half = scores["j_mean"], scores["j_mean_half"]
        name = f"J of 3-7, 95 % interval {mean - half:.3f} to {mean + half:.3f}"
        assert found[task, name] == round(mean, 4)
    for words in (
        "A model for real video",
        "8 val sequences",
        "Protocol: strict",
        "--checkpoint weights/3-7-seed=1.safetensors",
        "MIT, the weights as the code",
    ):
        assert words in card.text
    assert "chance between trainings" not in card.text
    assert "Hosts" not in card.text


def test_a_card_of_davis_says_what_its_data_allow(davis: Results) -> None:
    card = ModelCard(write_card(read_run(davis), []))
    assert (card.data.license, card.data.datasets) == ("cc-by-nc-4.0", ["davis"])
    assert {one.dataset_name for one in card.data.eval_results} == {"DAVIS 2016 validation"}
    assert "not for commercial use" in card.text
    assert "chance between trainings: 2 seeds" in card.text
    assert "generated videos" not in card.text


def test_what_is_missing_is_named_and_nothing_is_replaced(results: Results, tmp_path: Path) -> None:
    out = write_release(results, tmp_path / "out")
    (out / "README.md").write_text("My own card.")
    with pytest.raises(UserError, match=r"out/README\.md: found it changed; expected a folder that this command wrote"):
        write_release(results, out)
    assert (out / "README.md").read_text() == "My own card."
    masks = results.predictions(TASKS[1], "3-7", 2)
    (masks / "kites" / "00000.png").unlink()
    with pytest.raises(UserError, match=r"semi-supervised/3-7/seed=2: missing; expected the predictions that were sco"):
        write_release(results, tmp_path / "new")
    (results.parent("1-1", 3) / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"parent/1-1/seed=3/model\.safetensors: missing; expected the weights of a pa"):
        write_release(results, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_released_weights_predict_as_the_run_did(copied: Run, dataset_root: Path, tmp_path: Path) -> None:
    copied.done("tune", "--point", "1-3/frozen/1e30", "--point", "1-3/trained/0.001")  # what the small run leaves out
    config = tmp_path / "settings.json"
    copied.settings.save(config)
    done = copied.invoke("release", "--config", str(config), "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == f"publish it: hf upload USER/NAME {tmp_path / 'out'} ."
    frames = validation(dataset_root, "JPEGImages")[0].parent
    weights = tmp_path / "out" / "weights" / "1-3-seed=63.safetensors"
    done = copied.invoke(
        "predict", "--checkpoint", str(weights), "--video", str(frames), "--out", str(tmp_path / "masks")
    )
    assert done.exit_code == 0, done.output
    theirs = copied.results.predictions("unsupervised", "1-3", 63) / frames.name
    assert contents(tmp_path / "masks" / frames.name) == contents(theirs)
    with zipfile.ZipFile(tmp_path / "out" / "masks.zip") as archive:
        for name, data in contents(theirs).items():
            assert archive.read(f"unsupervised/1-3/seed=63/{frames.name}/{name}") == data
