"""Any video: a file gives what its frames give, instances agree with masks, and memory is bounded."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
import torch
from slowfast_vos import SlowFastMaskRCNN, load_parent
from slowfast_vos.errors import UserError
from slowfast_vos.jobs import segment
from slowfast_vos.jobs.segment import COLUMNS, segment_video
from slowfast_vos.model.checkpoints import save_checkpoint
from slowfast_vos.videos.clips import Clip, open_clip
from slowfast_vos.videos.davis import open_video, read_frame
from slowfast_vos.videos.pngs import read_mask

from command_line import validation
from video_files import noise, write_clip

if TYPE_CHECKING:
    from conftest import Run

Build = Callable[..., SlowFastMaskRCNN]
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])]


@pytest.fixture
def checkpoint(tiny_run: Run, network: Build, tmp_path: Path) -> Path:
    """A network that finds several objects everywhere."""
    about = {"setup": "1-3", "seed": 63, "settings": tiny_run.settings.model_dump(mode="json")}
    save_checkpoint(tmp_path / "model.safetensors", network(1, 3), about)
    return tmp_path / "model.safetensors"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def clip(dataset_root: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A folder of frames, and a file of the same."""
    folder = validation(dataset_root, "JPEGImages")[0].parent
    frames = [read_frame(path) for path in open_video(folder).frames]
    return folder, write_clip(tmp_path / f"{folder.name}.mov", frames)


def test_a_file_gives_what_its_frames_give(checkpoint: Path, clip: tuple[Path, Path], tmp_path: Path) -> None:
    said, outputs = [], []
    for name, source in zip(("frames", "file"), clip, strict=True):
        more = {"overlay": tmp_path / f"{name}.mp4", "with_instances": tmp_path / f"{name}-instances"}
        progress = lambda *step: said.append(step)  # noqa: E731
        out = segment_video(checkpoint, source, tmp_path / name, "cpu", progress=progress, **more)
        outputs.append((contents(out), contents(tmp_path / f"{name}-instances" / out.name)))
        with av.open(str(tmp_path / f"{name}.mp4")) as file:
            assert (file.streams.video[0].average_rate, file.streams.video[0].frames) == (
                24 if name == "frames" else 12,
                5,
            )
    assert outputs[0] == outputs[1]
    assert [step[1:] for step in said[: len(said) // 2]] == [*((done, 5) for done in range(6)), (5, 5)]


def test_a_loaded_parent_finds_what_is_written(checkpoint: Path, clip: tuple[Path, Path], tmp_path: Path) -> None:
    out = segment_video(checkpoint, clip[0], tmp_path / "out", "cpu")
    video = open_video(clip[0])
    frames = [video.frame(index) for index in range(len(video))]
    with torch.inference_mode():
        found = load_parent(checkpoint, "cpu")(frames)
    for path, detection in zip(sorted(out.iterdir()), found, strict=True):
        assert np.array_equal(read_mask(path), (detection["masks"] >= 0.5).any(0)[0])


@pytest.mark.parametrize("device", DEVICES)
def test_instances_agree_with_the_masks(checkpoint: Path, clip: tuple[Path, Path], tmp_path: Path, device: str) -> None:
    out = segment_video(checkpoint, clip[1], tmp_path / "out", device, with_instances=tmp_path / "instances")
    folder = tmp_path / "instances" / out.name
    with (folder / "detections.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    several = 0
    for path in out.iterdir():
        ids, own = read_mask(folder / path.name), [row for row in rows if row["frame"] == path.stem]
        assert np.array_equal(ids > 0, read_mask(path) > 0)
        assert [int(row["id"]) for row in own] == list(range(1, len(own) + 1))
        scores = [float(row["score"]) for row in own]
        assert scores == sorted(scores, reverse=True)
        assert [int(row["pixels"]) for row in own] == [int((ids == number).sum()) for number in range(1, len(own) + 1)]
        for row in own:
            xmin, ymin, xmax, ymax = (float(row[side]) for side in ("xmin", "ymin", "xmax", "ymax"))
            assert 0 <= xmin <= xmax <= 160
            assert 0 <= ymin <= ymax <= 96
        several += len(own) > 1
    assert several
    assert {row["label"] for row in rows} == {"1"}


def test_frames_held_do_not_grow_with_the_length(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[str] = Counter()
    held, pictures, write_mask = {}, Clip.pictures, segment.write_mask

    def count_read(clip: Clip) -> Iterator[np.ndarray]:
        for picture in pictures(clip):
            counts["read"] += 1
            counts["most"] = max(counts["most"], counts["read"] - counts["written"])
            yield picture

    def count_written(path: Path, ids: np.ndarray) -> None:
        counts["written"] += 1
        write_mask(path, ids)

    for length in (8, 24):
        clip = open_clip(write_clip(tmp_path / f"{length}.mov", noise(length)))
        monkeypatch.setattr(segment, "open_source", lambda _, clip=clip: clip)
        monkeypatch.setattr(Clip, "pictures", count_read)
        monkeypatch.setattr(segment, "write_mask", count_written)
        segment_video(checkpoint, clip.path, tmp_path / "out", "cpu")
        monkeypatch.undo()
        assert counts["read"] == counts["written"] == length
        held[length] = counts["most"]
        counts.clear()
    assert held[8] == held[24] < 8  # a chunk of three, and the frames after


def test_a_video_that_breaks_off_leaves_what_was_there(checkpoint: Path, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", noise(40), codec="mpeg4")
    out = segment_video(checkpoint, path, tmp_path / "out", "cpu", with_instances=tmp_path / "instances")
    before = contents(out), contents(tmp_path / "instances" / "clip")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    options = {"with_instances": tmp_path / "instances", "overlay": tmp_path / "overlay.mp4"}
    with pytest.raises(UserError, match=r"clip\.mkv: (found|cannot be decoded after) \d+ frames"):
        segment_video(checkpoint, path, tmp_path / "out", "cpu", **options)
    assert (contents(out), contents(tmp_path / "instances" / "clip")) == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["clip.mkv", "instances", "model.safetensors", "out"]


def test_a_shorter_video_leaves_no_masks_of_a_longer_one(checkpoint: Path, tmp_path: Path) -> None:
    for length in (4, 2):
        path = write_clip(tmp_path / "clip.mov", noise(length))
        out = segment_video(checkpoint, path, tmp_path / "out", "cpu", with_instances=tmp_path / "instances")
        assert len(contents(out)) == length
        assert len(contents(tmp_path / "instances" / "clip")) == length + 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"out": "taken"}, "taken/clip/notes.txt: found what is no mask; expected another --out"),
        ({"out": "table"}, "table/clip/detections.csv: found another table; expected another --out"),
        ({"with_instances": "taken"}, "taken/clip/notes.txt: found what is no mask; expected another --instances"),
        ({"out": "file"}, "file/clip: found a file; expected a folder for masks"),
        ({"with_instances": "new"}, "new/clip: found it as --out and as --instances; expected two places"),
        ({"overlay": "clip.mov"}, "clip.mov: found suffix '.mov'; expected a name that ends in .mp4"),
        ({"overlay": "clip.mp4"}, "clip.mp4: found the video itself; expected a new file for the overlay"),
        ({"overlay": "other.mp4"}, "other.mp4: found something there already; expected a new file for the overlay"),
        ({"overlay": "new/clip/o.mp4"}, "new/clip/o.mp4: found a place among the masks; expected another"),
    ],
)
def test_nothing_of_the_users_is_replaced(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mov", noise(2))
    Path("clip.mp4").symlink_to("clip.mov")
    for folder in ("taken", "table", "file"):
        Path(folder).mkdir()
    Path("taken/clip").mkdir()
    Path("taken/clip/notes.txt").write_text("mine")
    Path("table/clip").mkdir()
    Path("table/clip/detections.csv").write_text("frame,mine\n")
    Path("file/clip").write_text("mine")
    Path("other.mp4").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    places = {"out": Path("new")} | {key: Path(value) for key, value in options.items()}
    with pytest.raises(UserError) as error:
        segment_video(checkpoint, Path("clip.mov"), places.pop("out"), "cpu", **places)
    assert str(error.value).startswith(words)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
