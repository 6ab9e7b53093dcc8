"""A DAVIS tree: splits, files that are missing, and what a mask becomes."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from PIL import Image
from slowfast_vos.errors import UserError
from slowfast_vos.videos.davis import DavisTree, Video, open_video, read_frame, targets
from slowfast_vos.videos.pngs import write_mask

MakeVideo = Callable[..., Video]


PAIRS = "".join(
    f"/JPEGImages/480p/{name}/{index:05d}.jpg /Annotations/480p/{name}/{index:05d}.png\n"
    for name in ("goat", "bear")
    for index in range(3)
)


def split_file(root: Path, place: str, text: str) -> Path:
    path = root / "ImageSets" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("year", "place", "text"),
    [
        *[(year, f"{year}/val.txt", "goat\nbear\n") for year in (2016, 2017)],
        (2017, "2017/val.txt", "goat\n\nbear"),
        (2017, "2017/val.txt", "goat \r\nbear\r\ngoat\n"),
        (2017, "2017/val.txt", "\ufeffgoat\nbear\n"),
        (2016, "480p/val.txt", PAIRS),
        (2016, "2016/val.txt", PAIRS),
    ],
)
def test_a_split_lists_names_or_pairs_of_paths(tmp_path: Path, year: int, place: str, text: str) -> None:
    split_file(tmp_path, place, text)
    assert DavisTree(tmp_path).split("val", year) == ["goat", "bear"]


def test_names_come_before_pairs_and_pairs_follow_the_resolution(tmp_path: Path) -> None:
    split_file(tmp_path, "1080p/val.txt", PAIRS)
    assert DavisTree(tmp_path, "1080p").split("val", 2016) == ["goat", "bear"]
    with pytest.raises(UserError, match="480p"):
        DavisTree(tmp_path).split("val", 2016)
    split_file(tmp_path, "2016/val.txt", "cow\n")
    assert DavisTree(tmp_path, "1080p").split("val", 2016) == ["cow"]


def test_trainval_is_its_own_list_or_train_and_val(tmp_path: Path) -> None:
    tree = DavisTree(tmp_path)
    split_file(tmp_path, "2017/train.txt", "cow\nbear\n")
    with pytest.raises(UserError, match=r"2017/val\.txt: missing"):
        tree.split("trainval", 2017)
    split_file(tmp_path, "2017/val.txt", "ant\n")
    assert tree.split("trainval", 2017) == ["cow", "bear", "ant"]
    split_file(tmp_path, "2017/trainval.txt", "ant\nbear\n")
    assert tree.split("trainval", 2017) == ["ant", "bear"]


def test_a_missing_split_names_where_it_was_sought(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        DavisTree(tmp_path).split("val", 2016)
    places = [tmp_path / "ImageSets" / folder / "val.txt" for folder in ("2016", "480p")]
    assert str(error.value) == f"{places[0]} or {places[1]}: missing; expected the sequences of 2016 val"
    split_file(tmp_path, "480p/train.txt", PAIRS)
    with pytest.raises(UserError, match=r"2017/train\.txt: missing; expected the sequences of 2017 train"):
        DavisTree(tmp_path).split("train", 2017)


def test_a_video_has_its_frames_and_masks_in_order(make_video: MakeVideo, tmp_path: Path) -> None:
    video = make_video(length=3)
    assert len(video) == 3
    assert [path.name for path in video.frames] == ["00000.jpg", "00001.jpg", "00002.jpg"]
    assert [path.stem for path in video.masks] == [path.stem for path in video.frames]
    assert DavisTree(tmp_path).video("square") == video


def test_a_frame_is_rgb_in_0_to_1(tmp_path: Path) -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[1, 2] = (255, 51, 0)
    Image.fromarray(picture).save(tmp_path / "a.png")
    frame = Video("v", (tmp_path / "a.png",)).frame(0)
    assert (frame.shape, frame.dtype) == ((3, 4, 6), torch.float32)
    torch.testing.assert_close(frame[:, 1, 2], torch.tensor([1.0, 0.2, 0.0]))
    assert frame.sum().item() == pytest.approx(1.2)


@pytest.mark.parametrize("place", ["db_info.yml", "Annotations/db_info.yml"])
def test_attributes_come_from_db_info(tmp_path: Path, place: str) -> None:
    assert DavisTree(tmp_path).info() == {}
    (tmp_path / "Annotations").mkdir()
    (tmp_path / place).write_text("sequences:\n- {name: bear, attributes: [DB, OCC]}\n- {name: cow}\n")
    bear, cow = {"name": "bear", "attributes": ["DB", "OCC"]}, {"name": "cow"}
    assert DavisTree(tmp_path).info() == {"bear": bear, "cow": cow}


@pytest.mark.parametrize(
    "text", ["[" * 10_000, "3", "sequences: 3", "sequences: [3]", "sequences: [{name: bear, attributes: [1]}]"]
)
def test_what_lists_no_sequences_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "db_info.yml").write_text(text)
    with pytest.raises(UserError, match=r"db_info\.yml: cannot be read; expected sequences with a name and attributes"):
        DavisTree(tmp_path).info()


def test_an_unreadable_frame_is_named_in_one_line(make_video: MakeVideo) -> None:
    path = make_video().frames[0]
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"00000\.jpg: cannot be read; expected a picture") as error:
        read_frame(path)
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(UserError, match=r"gone\.jpg: missing; expected a frame"):
        read_frame(path.with_stem("gone"))


def test_boxes_are_inclusive() -> None:
    ids = np.zeros((8, 10), np.uint8)
    ids[2:5, 3:7], ids[6:8] = 1, 4
    target = targets(ids)
    assert target["boxes"].tolist() == [[3, 2, 6, 4], [0, 6, 9, 7]]
    assert target["boxes"].dtype == torch.float32
    assert target["labels"].tolist() == [1, 1]
    assert target["labels"].dtype == torch.int64
    assert target["masks"].dtype == torch.uint8
    assert target["masks"].sum(dim=(1, 2)).tolist() == [12, 20]


@given(numpy_strategies.arrays(np.uint8, (6, 7), elements=st.integers(0, 3)))
def test_targets_are_the_objects_more_than_one_pixel_wide_and_high(ids: np.ndarray) -> None:
    expected = []
    for number in (1, 2, 3):
        rows, columns = np.nonzero(ids == number)
        if len(rows) and rows.min() < rows.max() and columns.min() < columns.max():
            expected.append(([columns.min(), rows.min(), columns.max(), rows.max()], ids == number))
    target = targets(ids)
    assert target["boxes"].shape[1:] == (4,)
    assert target["boxes"].tolist() == [box for box, _ in expected]
    assert [pixels.numpy().astype(bool).tolist() for pixels in target["masks"]] == [p.tolist() for _, p in expected]


def test_void_is_background_among_objects_and_object_in_a_binary_mask(tmp_path: Path) -> None:
    write_mask(tmp_path / "a.png", np.array([[0, 1, 2, 255]], np.uint8))
    Image.fromarray(np.array([[0, 255], [255, 255]], np.uint8)).save(tmp_path / "grey.png")
    video = Video("v", (), (tmp_path / "a.png", tmp_path / "grey.png"))
    assert video.ids(0, binary=False).tolist() == [[0, 1, 2, 0]]
    assert video.ids(0, binary=True).tolist() == [[0, 1, 1, 1]]
    assert video.ids(1, binary=True).tolist() == [[0, 1], [1, 1]]


def test_any_folder_of_pictures_of_one_size_is_a_video(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found no pictures"):
        open_video(tmp_path)
    (tmp_path / "notes.txt").write_text("no picture")
    for name in ("b.jpg", "a.PNG", "c.jpeg"):
        Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / name)
    video = open_video(tmp_path)
    assert [path.name for path in video.frames] == ["a.PNG", "b.jpg", "c.jpeg"]
    assert video.name == tmp_path.name
    assert video.masks == ()
    Image.fromarray(np.zeros((4, 7, 3), np.uint8)).save(tmp_path / "b.jpg")
    with pytest.raises(UserError, match=r"found frames of several sizes: 6×4 \(a\.PNG\), 7×4 \(b\.jpg\); expected one"):
        open_video(tmp_path)


def picture(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(path)
    return path


def test_a_video_has_one_frame_of_each_name_and_a_name_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = picture(tmp_path / "clip" / "00000.jpg").parent
    (clip / "sub").mkdir()
    monkeypatch.chdir(clip)
    assert {open_video(folder).name for folder in (clip, clip / "sub" / "..", Path())} == {"clip"}
    picture(clip / "00000.png")
    with pytest.raises(UserError, match=r"00000\.png: found 00000\.jpg beside it; expected one frame of this name"):
        open_video(clip)


def test_no_folder_and_a_file_are_no_video(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone: found no such folder; expected frames in it"):
        open_video(tmp_path / "gone")
    with pytest.raises(UserError, match=r"a\.jpg: found a file; expected frames in it"):
        open_video(picture(tmp_path / "a.jpg"))


def test_a_named_pipe_is_no_frame(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "00000.jpg")
    for read in (read_frame, lambda path: open_video(path.parent)):
        with pytest.raises(UserError, match=r"00000\.jpg: cannot be read \(no regular file\); expected a picture"):
            read(tmp_path / "00000.jpg")


def test_hidden_files_are_no_frames(make_video: MakeVideo, tmp_path: Path) -> None:
    video = make_video()
    for path in (video.frames[0], video.masks[0]):
        path.with_name(f"._{path.name}").write_bytes(b"what macOS leaves")
    assert DavisTree(tmp_path).video("square") == video
    assert open_video(video.frames[0].parent).frames == video.frames


@pytest.mark.parametrize(
    ("width", "height", "words"),
    [
        (20_000, 20_000, "cannot be read; expected a picture (Image size (400000000 pixels) exceeds limit"),
        (2000, 1, "found 2000×1 pixels; expected a frame whose sides differ by a factor of 50 at most"),
        (1, 2000, "found 1×2000 pixels; expected a frame whose sides differ by a factor of 50 at most"),
    ],
)
def test_pictures_too_large_or_too_thin_are_refused(tmp_path: Path, width: int, height: int, words: str) -> None:
    path = tmp_path / "00000.png"
    Image.new("RGB", (1, 1)).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        open_video(tmp_path)
    assert str(error.value).startswith(f"{path}: {words}")


@pytest.mark.parametrize("name", ["..", ".", "a{b}", "/JPEGImages/480p/../00000.jpg"])
def test_names_that_are_no_folders_are_refused(tmp_path: Path, name: str) -> None:
    path = split_file(tmp_path, "2016/val.txt", f"goat\n{name}\n")
    with pytest.raises(UserError, match=f"{path}: found sequence .*; expected the name of a folder, without braces"):
        DavisTree(tmp_path).split("val", 2016)


@pytest.mark.davis
def test_real_sequences_are_read(davis_root: Path) -> None:
    tree = DavisTree(davis_root)
    names = [path.name for path in sorted((davis_root / "Annotations" / "480p").iterdir()) if path.is_dir()]
    video = tree.video(names[0])
    frame, ids = video.frame(0), video.ids(0, binary=True)
    assert frame.shape[1:] == ids.shape
    assert len(targets(ids)["boxes"]) == 1


@pytest.mark.parametrize("prefetch", [0, 1, 3, 9])
def test_prefetched_frames_come_in_order_and_one_that_cannot_be_read_is_named(
    make_video: MakeVideo, prefetch: int
) -> None:
    video = make_video(length=5)
    found = list(video.iterate(prefetch))
    assert len(found) == 5
    assert all(torch.equal(frame, video.frame(index)) for index, frame in enumerate(found))
    video.frames[3].write_bytes(b"no picture")
    frames = video.iterate(prefetch)
    for _ in range(3):
        next(frames)
    with pytest.raises(UserError, match=r"00003\.jpg: cannot be read; expected a picture"):
        next(frames)
