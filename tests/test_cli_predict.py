"""The verb `predict`: any folder of frames, and what it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from slowfast_vos.model.checkpoints import read_checkpoint, save_checkpoint
from slowfast_vos.videos.pngs import read_mask

from command_line import refused, validation

if TYPE_CHECKING:
    from click.testing import Result

    from conftest import Run

SETUP, SEED = "1-3", 63
Invoke = Callable[..., "Result"]


def frames_of(root: Path) -> Path:
    return validation(root, "JPEGImages")[0].parent


def predict(run: Run, checkpoint: Path, video: Path, out: Path, *options: str) -> Result:
    return run.invoke("predict", "--checkpoint", str(checkpoint), "--video", str(video), "--out", str(out), *options)


def test_predict_segments_any_folder_as_the_run_does(inside: Run, dataset_root: Path, tmp_path: Path) -> None:
    folder = frames_of(dataset_root)
    done = predict(inside, inside.results.parent(SETUP, SEED) / "model.safetensors", folder, tmp_path)
    assert done.exit_code == 0, done.output
    theirs = inside.results.predictions("unsupervised", SETUP, SEED) / folder.name
    assert {path.name: path.read_bytes() for path in (tmp_path / folder.name).iterdir()} == {
        path.name: path.read_bytes() for path in theirs.iterdir()
    }


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


def test_predict_refuses_what_is_no_video_or_no_parent(inside: Run, dataset_root: Path, tmp_path: Path) -> None:
    parent = inside.results.parent(SETUP, SEED) / "model.safetensors"
    detector = inside.results.detector(SEED) / "model.safetensors"
    video, out = frames_of(dataset_root), tmp_path / "out"
    (tmp_path / "empty").mkdir()
    refused(predict(inside, parent, tmp_path / "empty", out), "empty: found no pictures")
    refused(predict(inside, parent, tmp_path / "gone", out), "gone: found no pictures")
    refused(predict(inside, tmp_path / "gone.safetensors", video, out), "gone.safetensors: missing; expected a checkpo")
    refused(predict(inside, detector, video, out), "model.safetensors: found no setup in its header")
    refused(predict(inside, video / "00000.jpg", video, out), "00000.jpg: cannot be read; expected a safetensors")
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


def test_predict_refuses_a_checkpoint_whose_setup_is_not_its_weights(
    inside: Run, dataset_root: Path, tmp_path: Path, network: Callable[..., torch.nn.Module]
) -> None:
    _, about = read_checkpoint(inside.results.parent(SETUP, SEED) / "model.safetensors")
    save_checkpoint(tmp_path / "liar.safetensors", network(3, 7), about)
    done = predict(inside, tmp_path / "liar.safetensors", frames_of(dataset_root), tmp_path / "out")
    refused(done, "liar.safetensors: does not fit this model")
