"""The command line: a user's mistake ends in one clear line, and what is finished stays."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save
from slowfast_vos.cli import app
from slowfast_vos.model.checkpoints import read_checkpoint, save_checkpoint
from slowfast_vos.videos.pngs import read_mask, write_mask

from command_line import STAGES, refused, validation

if TYPE_CHECKING:
    from click.testing import Result

    from conftest import Run

SETUP, SEED = "1-3", 63
Invoke = Callable[..., "Result"]


def hashes(folder: Path) -> dict[Path, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_help_names_every_verb(invoke: Invoke) -> None:
    text = invoke("--help").output
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert {"synthesize", "train-parent", "grid", "predict", "score", "tables"} <= verbs
    for verb in verbs:
        assert verb in text
        assert invoke(verb, "--help").exit_code == 0


@pytest.mark.parametrize(
    "verb",
    [*{stage[0]: stage for stage in STAGES}.values(), ("tables",), ("plots",), ("strips",), ("summary",)],
    ids=lambda verb: verb[0],
)
def test_a_wrong_key_and_a_missing_file_are_named_by_every_verb(inside: Run, verb: tuple[str, ...]) -> None:
    before = hashes(inside.results.root)
    refused(inside.verb(*verb, parnet={"epochs": 1}), "changed.yaml: parnet: unknown key")
    refused(inside.invoke(verb[0], "--config", "gone.yaml", *verb[1:]), "gone.yaml: missing; expected a configuration")
    assert hashes(inside.results.root) == before


def test_a_name_and_a_folder_that_the_dataset_lacks_are_named(inside: Run) -> None:
    done = inside.verb("check-data", data={"held_out": ["nobody"]})
    refused(done, "data.held_out: found nobody; expected some of")
    done = inside.verb("check-data", data={"root": "nowhere"})
    refused(done, "nowhere: no such folder; expected a DAVIS tree (run `slowfast-vos synthesize`")
    refused(inside.verb("train-parent", "--setup", SETUP, name="new"), "model.safetensors: missing; expected a checkpo")


def test_results_that_cannot_be_written_are_found_before_the_work(inside: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slowfast_vos.jobs.train.train_detector", lambda *_, **__: pytest.fail("it trained"))
    (inside.folder / "results" / "taken").write_text("a file")
    refused(inside.verb("train-detector", name="taken"), "results/taken: cannot be written (File exists)")


@pytest.mark.parametrize(
    ("words", "verb", "options"),
    [
        *[
            (f"--part: found {part!r}; expected one such as", verb, ("--setup", SETUP, "--part", part))
            for part in ("0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3", "1-of-2-of-3", "")
            for verb in ("grid", "finetune")
        ],
        *[
            ("setup 2-7: fast − slow is 5; expected an even number", verb, ("--setup", "2-7"))
            for verb in ("train-parent", "grid", "select", "finetune", "cost")
        ],
        ("--seed: found 7; expected one of seeds [63]", "train-detector", ("--seed", "7")),
        ("--point: found 1-3/frozen/0.7, which is not in", "tune", ("--point", "1-3/frozen/0.7")),
        *[
            (f"--subject: found {name!r}; expected unsupervised/SETUP", verb, ("--subject", name))
            for name in ("baseline/luck", f"guess/{SETUP}", f"baseline/{SETUP}", SETUP, "")
            for verb in ("predict-val", "evaluate")
        ],
        ("setup 2-7: fast − slow is 5; expected", "predict-val", ("--subject", "unsupervised/2-7")),
        ("--subject: found semi-supervised; expected", "predict-val", ("--subject", f"semi-supervised/{SETUP}")),
        ("parent/1-1/seed=63/model.safetensors: missing; expected a checkpoint", "grid", ("--setup", "1-1")),
        ("seed=63.json: missing; expected a JSON file", "select", ("--setup", "1-1")),
        ("selected/1-1/seed=63.json: missing; expected a JSON file", "finetune", ("--setup", "1-1")),
    ],
)
def test_options_that_cannot_be_are_refused(inside: Run, words: str, verb: str, options: tuple[str, ...]) -> None:
    refused(inside.verb(verb, *options), words)


def test_a_checkpoint_of_another_setup_or_width_is_refused(copied: Run) -> None:
    shutil.copytree(copied.results.parent(SETUP, SEED), copied.results.parent("1-1", SEED))
    for verb in (
        ("predict-val", "--subject", "unsupervised/1-1"),
        ("grid", "--setup", "1-1"),
        ("cost", "--setup", "1-1"),
    ):
        refused(copied.verb(*verb), "found a checkpoint of setup 1-3; expected 1-1")
    done = copied.verb("predict-val", "--subject", f"unsupervised/{SETUP}", model={"fpn_channels": 24})
    refused(done, "model.safetensors: does not fit this model; ", "size mismatch for ")


def test_a_record_in_anothers_place_is_refused(copied: Run) -> None:
    results = copied.results
    first, *_, last = copied.grid_paths
    final, other = sorted(results.final(SETUP, SEED, "any").parent.iterdir())
    for source, place, verb, words in (
        (
            first,
            last,
            ("select", "--setup", SETUP),
            "found the record of freeze 'SF'; expected 'BB_SF', as its path says",
        ),
        (
            first,
            results.selected(SETUP, SEED),
            ("finetune", "--setup", SETUP),
            "found the record of kind 'grid'; expected 'selected'",
        ),
        (final, other, ("evaluate", "--subject", f"semi-supervised/{SETUP}"), "found the record of sequence "),
    ):
        shutil.copy(source, place)
        refused(copied.verb(*verb), f"{place.relative_to(copied.folder)}: {words}")


@pytest.mark.parametrize(
    ("verb", "stage"), [(("train-parent", "--setup", SETUP), "parent"), (("train-detector",), "detector")]
)
def test_a_training_that_diverges_ends_in_one_line_and_finished_results_stay(
    copied: Run, verb: tuple[str, ...], stage: str
) -> None:
    before = hashes(copied.results.root)
    done = copied.verb(*verb, **{stage: {"lr": "1e30", "epochs": 3}})
    refused(done, f"{stage}, epoch ", ", step ", "found a loss that is not finite", "expected a lower rate")
    after = hashes(copied.results.root)
    assert {path: after[path] for path in before} == before


def test_a_job_that_crashed_ends_with_its_traceback_on_the_terminal_and_in_its_log(
    inside: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("slowfast_vos.jobs.train.train_detector", crash)
    done = inside.verb("train-detector", name="crashed")
    log = (inside.folder / "logs" / "crashed" / "detector" / f"seed={SEED}.log").read_text()
    for said in (done.stderr, log):
        assert said.count('raise ZeroDivisionError("a bug")') == 1
        assert "ZeroDivisionError: a bug" in said
    assert done.exit_code == 1


@pytest.fixture
def spoiled(copied: Run, dataset_root: Path, tmp_path: Path) -> Run:
    """The run on a copy of its dataset, for a test to spoil."""
    root = shutil.copytree(dataset_root, tmp_path / "spoiled")
    return replace(copied, values={**copied.values, "data": {**copied.values["data"], "root": str(root)}})


def test_a_first_frame_without_object_is_named(spoiled: Run) -> None:
    path = validation(spoiled.settings.data_root, "Annotations")[0]
    write_mask(path, np.zeros((96, 160), np.uint8))
    refused(spoiled.verb("check-data"), f"{path}: found no object; expected one in the first frame")
    shutil.rmtree(spoiled.results.root / "final")
    refused(spoiled.verb("finetune", "--setup", SETUP), f"{path}: found no object; expected one to fine-tune on")


def test_an_unreadable_frame_and_mask_are_both_named(spoiled: Run) -> None:
    frame, mask = (validation(spoiled.settings.data_root, kind)[2] for kind in ("JPEGImages", "Annotations"))
    frame.write_bytes(frame.read_bytes()[:300])
    mask.write_bytes(b"no picture")
    spoiled.results.dataset.unlink()
    lines = refused(spoiled.verb("check-data"), lines=2)
    assert str(frame) in lines[0]
    assert str(mask) in lines[1]
    assert not spoiled.results.dataset.exists()


def test_synthesize_says_what_it_wrote_and_refuses_what_cannot_be(invoke: Invoke, tmp_path: Path) -> None:
    sizes = ("--train", "1", "--val", "1", "--frames", "2", "--height", "64", "--width", "96")
    done = invoke("synthesize", "--root", str(tmp_path / "data"), *sizes)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == f"1 training and 1 validation sequences in {tmp_path / 'data'}"
    refused(invoke("synthesize", "--root", str(tmp_path / "other"), "--frames", "0"), "frames: found 0")


def frames_of(root: Path) -> Path:
    return validation(root, "JPEGImages")[0].parent


def predict(run: Run, checkpoint: Path, video: Path, out: Path, *options: str) -> Result:
    return run.invoke("predict", "--checkpoint", str(checkpoint), "--video", str(video), "--out", str(out), *options)


def test_predict_segments_any_folder_as_the_run_does(inside: Run, dataset_root: Path, tmp_path: Path) -> None:
    folder = frames_of(dataset_root)
    done = predict(inside, inside.results.parent(SETUP, SEED) / "model.safetensors", folder, tmp_path)
    assert done.exit_code == 0, done.output
    theirs = inside.results.predictions("unsupervised", SETUP, SEED) / folder.name
    assert len(list((tmp_path / folder.name).iterdir())) == len(list(theirs.iterdir()))
    assert all((tmp_path / folder.name / path.name).read_bytes() == path.read_bytes() for path in theirs.iterdir())


def test_predict_writes_an_overlay_and_instances_beside_the_masks(
    inside: Run, dataset_root: Path, tmp_path: Path
) -> None:
    folder, parent = frames_of(dataset_root), inside.results.parent(SETUP, SEED) / "model.safetensors"
    more = ("--overlay", str(tmp_path / "overlay.mp4"), "--instances", str(tmp_path / "instances"))
    done = predict(inside, parent, folder, tmp_path / "masks", *more)
    assert done.exit_code == 0, done.output
    assert f"segmenting {folder.name}" in done.stderr
    assert (tmp_path / "overlay.mp4").stat().st_size
    assert (tmp_path / "instances" / folder.name / "detections.csv").is_file()
    refused(predict(inside, parent, folder, tmp_path / "masks", *more), "overlay.mp4: found something there already")


def test_predict_takes_other_pictures_in_the_order_of_their_names(inside: Run, tmp_path: Path) -> None:
    clip, out = tmp_path / "clip", tmp_path / "out"
    clip.mkdir()
    for index in range(3):
        picture = np.full((50, 70, 3), 60 * index, np.uint8)
        Image.fromarray(picture).save(clip / f"shot-{index}.{('png', 'JPG', 'webp')[index]}")
    done = predict(inside, inside.results.parent(SETUP, SEED) / "model.safetensors", clip, out)
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (out / "clip").iterdir()) == ["shot-0.png", "shot-1.png", "shot-2.png"]
    assert all(read_mask(path).shape == (50, 70) for path in (out / "clip").iterdir())


@pytest.mark.parametrize(
    ("video", "out", "words"),
    [
        ("clip", ".", "clip: found the frames themselves; expected another --out"),
        ("clip", "sub/..", "clip: found the frames themselves; expected another --out"),
        ("clip", "link", "clip: found the frames themselves; expected another --out"),
        ("clip", "tree/Annotations/480p", "clip: found a place inside a DAVIS tree; expected another --out"),
        ("clip", "other", "00000.png: found a picture that is no mask; expected another --out"),
    ],
)
def test_predict_overwrites_nothing_but_masks(
    inside: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, video: str, out: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("clip", "other/clip"):
        Path(folder).mkdir(parents=True)
        for index in range(2):
            Image.new("RGB", (70, 50), (90, 40, index)).save(Path(folder) / f"{index:05d}.png")
    for folder in ("sub", "tree/ImageSets", "tree/Annotations/480p/clip"):
        Path(folder).mkdir(parents=True)
    Path("link").symlink_to(tmp_path)
    before = hashes(tmp_path)
    checkpoint = inside.folder / inside.results.parent(SETUP, SEED) / "model.safetensors"
    refused(predict(inside, checkpoint, Path(video), Path(out)), words)
    assert hashes(tmp_path) == before


def test_predict_replaces_its_own_masks(inside: Run, dataset_root: Path, tmp_path: Path) -> None:
    for _ in range(2):
        checkpoint = inside.results.parent(SETUP, SEED) / "model.safetensors"
        assert predict(inside, checkpoint, frames_of(dataset_root), tmp_path).exit_code == 0


def test_predict_refuses_what_is_no_video_or_no_parent(
    inside: Run, dataset_root: Path, tmp_path: Path, network: Callable[..., torch.nn.Module]
) -> None:
    parent = inside.results.parent(SETUP, SEED) / "model.safetensors"
    detector = inside.results.detector(SEED) / "model.safetensors"
    video, out = frames_of(dataset_root), tmp_path / "out"
    (tmp_path / "empty").mkdir()
    refused(predict(inside, parent, tmp_path / "empty", out), "empty: found no pictures")
    refused(predict(inside, parent, tmp_path / "gone", out), "gone: missing; expected a video file or a folder")
    refused(predict(inside, tmp_path / "gone.safetensors", video, out), "gone.safetensors: missing; expected a checkpo")
    refused(predict(inside, detector, video, out), "model.safetensors: found no setup in its header")
    refused(predict(inside, video / "00000.jpg", video, out), "00000.jpg: cannot be read; expected a safetensors")
    state, about = read_checkpoint(parent)
    for key, lost in (("setup", 5), ("settings", None), ("settings", []), ("seed", None), ("seed", "x")):
        edited = tmp_path / "edited.safetensors"
        edited.write_bytes(save(state, {"about": json.dumps(about | {key: lost})}))
        refused(predict(inside, edited, video, out), f"{edited}: found no {key} in its header; expected the checkpoint")
    liar = tmp_path / "liar.safetensors"  # whose setup is not that of its weights
    save_checkpoint(liar, network(3, 7), read_checkpoint(parent)[1])
    refused(predict(inside, liar, video, out), "liar.safetensors: does not fit this model")
    refused(predict(inside, parent, video, out, "--device", "tpu"), "device: found 'tpu'")
    if not torch.cuda.is_available():
        refused(predict(inside, parent, video, out, "--device", "cuda"), "device: found no CUDA device; expected one")
    assert not out.exists()


def test_predict_refuses_frames_of_several_sizes_and_broken_ones(
    inside: Run, dataset_root: Path, tmp_path: Path
) -> None:
    parent, out = inside.results.parent(SETUP, SEED) / "model.safetensors", tmp_path / "out"
    for index in (1, 4):  # within a chunk of three, and after one
        video = tmp_path / f"sizes-{index}"
        shutil.copytree(frames_of(dataset_root), video)
        Image.fromarray(np.zeros((96, 100, 3), np.uint8)).save(video / f"0000{index}.jpg")
        refused(predict(inside, parent, video, out), f"{video}: found frames of several sizes: 160×96", "100×96")
    video = tmp_path / "broken"
    shutil.copytree(frames_of(dataset_root), video)
    (video / "00003.jpg").write_bytes(b"no picture")
    refused(predict(inside, parent, video, out), "00003.jpg: cannot be read; expected a picture")
    assert not (out / "broken").exists()
