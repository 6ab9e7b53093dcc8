"""Prediction of any folder with any checkpoint: masks, or lines that say why not; frames and checkpoint stay."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save
from slowfast_vos.model.checkpoints import read_checkpoint, save_checkpoint

from mutations import DISPLACED, EDITS, Spoiling, answered, cases, displace, edited, hold, spoiled, spoilings, unharmed

if TYPE_CHECKING:
    from click.testing import Result

FORMATS = [
    ("L", "PNG"),
    ("1", "PNG"),
    ("RGBA", "PNG"),
    ("CMYK", "JPEG"),
    ("P", "GIF"),
    ("RGB", "TIFF"),
    ("RGB", "WEBP"),
]
SIZES = [(96, 64), (64, 96), (1, 1), (2, 400), (20, 700)]
SPOILINGS = spoilings(st.binary(max_size=8))
FRAMES = st.tuples(st.integers(0, 2), SPOILINGS | st.sampled_from(DISPLACED) | st.sampled_from([*FORMATS, *SIZES]))


def change(path: Path, how: Spoiling | str | tuple[Any, Any]) -> None:
    """Spoil or displace a frame, or write it in another format or size."""
    if isinstance(how, Spoiling):
        path.write_bytes(spoiled(path.read_bytes(), how))
    elif isinstance(how, str):
        displace(path, how)
    elif isinstance(how[0], int):
        Image.new("RGB", how).save(path)
    else:
        data = io.BytesIO()
        Image.open(path).convert(how[0]).save(data, how[1])
        path.write_bytes(data.getvalue())


@pytest.fixture(scope="module")
def given_files(
    tmp_path_factory: pytest.TempPathFactory, network: Callable[..., Any], network_options: dict[str, Any]
) -> Path:
    """A folder with a parent's checkpoint and with three frames."""
    folder = tmp_path_factory.mktemp("given")
    model = {**network_options, "weights": "none", "chunk_length": 2}
    settings = {"name": "any", "data": {"held_out": ["bear"]}, "model": model}
    about = {"setup": "1-3", "seed": 63, "settings": settings}
    save_checkpoint(folder / "model.safetensors", network(), about)
    (folder / "clip").mkdir()
    for index, values in enumerate(np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), np.uint8)):
        Image.fromarray(values).save(folder / "clip" / f"{index:05d}.jpg")
    return folder


@cases(2, 20)
def test_any_frames_and_checkpoint(
    count: int, given_files: Path, tmp_path: Path, invoke: Callable[..., Result]
) -> None:
    state, about = read_checkpoint(given_files / "model.safetensors")

    def check(frame: tuple[int, Any] | None, weights: Spoiling | list[Any] | None) -> None:
        with TemporaryDirectory(dir=tmp_path) as place:
            folder = shutil.copytree(given_files, Path(place) / "given")
            video, checkpoint, out = folder / "clip", folder / "model.safetensors", Path(place) / "out"
            if frame is not None:
                change(video / f"{frame[0]:05d}.jpg", frame[1])
            if isinstance(weights, Spoiling):
                checkpoint.write_bytes(spoiled(checkpoint.read_bytes(), weights))
            elif weights is not None:
                checkpoint.write_bytes(save(state, {"about": json.dumps(edited(about, weights))}))
            with unharmed(folder):
                done = invoke("predict", "--checkpoint", str(checkpoint), "--video", str(video), "--out", str(out))
                answered(done)
            assert (done.exit_code == 0) == (out / "clip").exists()

    hold(count, check, st.none() | FRAMES, st.none() | SPOILINGS | EDITS)
