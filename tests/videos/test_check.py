"""A DAVIS tree, checked: each fault has its line, and what real DAVIS has is no fault."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from slowfast_vos.videos.check import check_tree
from slowfast_vos.videos.davis import DavisTree
from slowfast_vos.videos.pngs import write_mask

from command_line import refused
from davis_trees import HEIGHT, WIDTH, frame, grey, ids, mask, write_list, write_tree

if TYPE_CHECKING:
    from click.testing import Result

Invoke = Callable[..., "Result"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "davis")


@pytest.fixture
def tree16(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "davis", year=2016)


def check(invoke: Invoke, root: Path, *options: str) -> list[str]:
    """The lines of the errors that the command line prints; none where it exits with 0."""
    done = invoke("check-data", "--davis-root", str(root), *options)
    lines = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.exit_code == bool(lines), (done.output, done.exception)
    return lines


def refuses(invoke: Invoke, root: Path, line: str, *options: str) -> None:
    (found,) = check(invoke, root, *options)
    assert found.startswith(line)
    assert "; expected " in found


def test_a_frame_too_thin_for_any_network_is_found(invoke: Invoke, tree: Path) -> None:
    for index in range(3):
        Image.new("RGB", (600, 10)).save(frame(tree, "bear", index))
        write_mask(mask(tree, "bear", index), np.ones((10, 600), np.uint8))
    lines = check(invoke, tree)
    assert [line.partition("; expected ")[0] for line in lines] == [
        f"{frame(tree, 'bear', index)}: found 600×10 pixels" for index in range(3)
    ]


def test_a_sound_tree_is_summed_up(invoke: Invoke, tree: Path) -> None:
    done = invoke("check-data", "--davis-root", str(tree))
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["train", "2", "6", "4", f"{WIDTH}×{HEIGHT}"] in rows
    assert ["val", "2", "6", "4", f"{WIDTH}×{HEIGHT}"] in rows
    assert "  note: masks: 12 palette" in done.stdout
    assert done.stdout.splitlines()[-1] == f"no problem in {tree}"
    assert "100%" in done.stderr


def test_each_edition_of_a_tree_is_checked_unless_one_is_named(invoke: Invoke, tree: Path) -> None:
    write_list(tree, "2016/train.txt", ["bear"])
    write_list(tree, "2016/val.txt", ["cows"])
    both = invoke("check-data", "--davis-root", str(tree)).stdout
    assert "DAVIS 2016" in both
    assert "DAVIS 2017" in both
    assert "DAVIS 2017" not in invoke("check-data", "--davis-root", str(tree), "--year", "2016").stdout


def test_only_the_named_resolution_and_splits_are_read(invoke: Invoke, tree: Path) -> None:
    frame(tree, "bear", 1).write_bytes(b"")
    assert check(invoke, tree, "--split", "val") == []
    assert len(check(invoke, tree, "--split", "val", "--split", "train")) == 1
    assert len(check(invoke, tree, "--split", "trainval")) == 1
    for kind in ("JPEGImages", "Annotations"):
        (tree / kind / "480p").rename(tree / kind / "Full-Resolution")
    assert check(invoke, tree, "--split", "val", "--resolution", "Full-Resolution") == []
    assert len(check(invoke, tree)) == 2 * 4


def test_real_quirks_are_notes(invoke: Invoke, tree16: Path) -> None:
    Image.fromarray(np.stack([ids(255), np.full((HEIGHT, WIDTH), 255, np.uint8)], axis=-1)).save(mask(tree16, "dog", 1))
    grey(mask(tree16, "cows", 2), ids())
    write_mask(mask(tree16, "bear", 0), ids(1))
    done = invoke("check-data", "--davis-root", str(tree16))
    assert done.exit_code == 0, done.output
    assert "note: masks: 10 grey, 1 palette, 1 grey with alpha" in done.stdout
    assert f"note: alpha is ignored in {mask(tree16, 'dog', 1)}" in done.stdout
    assert "note: frames without an object: cows (1)" in done.stdout


def test_training_sequences_may_begin_without_an_object(invoke: Invoke, tree: Path) -> None:
    write_mask(mask(tree, "bear", 0), ids())
    write_mask(mask(tree, "dog", 1), ids(20))
    assert check(invoke, tree) == [], "twenty ids are allowed"


def test_a_missing_root_and_missing_lists(invoke: Invoke, tmp_path: Path) -> None:
    refuses(invoke, tmp_path / "gone", f"{tmp_path / 'gone'}: no such folder; expected a DAVIS tree")
    refuses(invoke, tmp_path / "gone", f"{tmp_path / 'gone'}: no such folder", "--year", "2017")
    refuses(invoke, tmp_path, f"{tmp_path}/ImageSets: found no lists of sequences; expected 2016, 2017 or 480p")


def another_size(tree: Path) -> None:
    Image.fromarray(np.zeros((HEIGHT, 20, 3), np.uint8)).save(frame(tree, "dog", 1))
    write_mask(mask(tree, "dog", 1), ids(1)[:, :20])


def masks_of_2016(tree: Path) -> None:
    for index in range(3):
        grey(mask(tree, "dog", index), ids(255))


def unlike_name(tree: Path) -> None:
    for path in (frame, mask):
        path(tree, "dog", 2).rename(path(tree, "dog", 2).with_stem("10"))


def truncated(path: Callable[..., Path]) -> Callable[[Path], object]:
    return lambda tree: path(tree, "dog", 1).write_bytes(path(tree, "dog", 1).read_bytes()[:-30])


def text(place: str, content: str) -> Callable[[Path], object]:
    return lambda tree: (tree / place).write_text(content, encoding="latin-1")


def mask_of(index: int, *numbers: int, rows: int = HEIGHT) -> Callable[[Path], object]:
    return lambda tree: write_mask(mask(tree, "dog", index), ids(*numbers)[:rows])


LISTS, FRAMES, MASKS = "ImageSets", "JPEGImages/480p/dog", "Annotations/480p/dog"
VAL = f"{LISTS}/2017/val.txt"
FIVE_FRAMES = "sequences:\n- {name: dog, num_frames: 5}\n- {name: bear, num_frames: 3}\n"


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (text(VAL, ""), f"{VAL}: found no sequence; expected one"),
        (text(VAL, "b\xe4r\n"), f"{VAL}: cannot be read"),
        (text(VAL, "dog\nbear\n"), f"{LISTS}: found bear both in train and"),
        (text("db_info.yml", FIVE_FRAMES), f"{FRAMES}: found 3 frames; expected 5 by db_info.yml"),
        (text("db_info.yml", "sequences: 3"), "db_info.yml: cannot be read"),
        (lambda tree: shutil.rmtree(tree / FRAMES), f"{FRAMES}: found no such folder; expected the frames of dog"),
        (lambda tree: shutil.rmtree(tree / MASKS), f"{MASKS}: found no such folder; expected the masks of dog"),
        (unlike_name, f"{FRAMES}/10.jpg: found a name unlike 00000"),
        (truncated(frame), f"{FRAMES}/00001.jpg: "),
        (truncated(mask), f"{MASKS}/00001.png: "),
        (mask_of(1, 1, rows=23), f"{MASKS}/00001.png: found 32×23 pixels; expected 32×24 as 00001.jpg"),
        (another_size, f"{FRAMES}: found frames of several sizes: 32×24 (00000.jpg), 20×24"),
        (mask_of(0), f"{MASKS}/00000.png: found no object; expected one in"),
        (mask_of(1, 1, 21), f"{MASKS}/00001.png: found 2 ids up to 21; expected ids up to 20"),
        (masks_of_2016, f"{MASKS}: found masks of 255 alone, which is void in DAVIS 2017"),
    ],
)
def test_each_fault_is_one_line(invoke: Invoke, tree: Path, spoil: Callable[[Path], object], line: str) -> None:
    spoil(tree)
    refuses(invoke, tree, f"{tree}/{line}")


@pytest.mark.parametrize("year", [2016, 2017])
def test_a_soft_mask(invoke: Invoke, tmp_path: Path, year: int) -> None:
    root = write_tree(tmp_path, year=year)
    grey(mask(root, "dog", 1), np.linspace(0, 255, HEIGHT * WIDTH).astype(np.uint8).reshape(HEIGHT, WIDTH))
    refuses(invoke, root, f"{mask(root, 'dog', 1)}: found 254 ids up to 254")


def test_a_gap_in_the_numbering_is_one_line_a_run(tmp_path: Path, invoke: Invoke) -> None:
    root = write_tree(tmp_path, val=["dog"])
    for path in (frame, mask):
        for old, new in ((1, 3), (2, 7)):
            path(root, "dog", old).rename(path(root, "dog", new))
    folder = frame(root, "dog", 0).parent
    assert check(invoke, root) == [
        f"{folder}/00001.jpg to 00002.jpg: missing, as their masks; expected no gap from 00000 to 00007",
        f"{folder}/00004.jpg to 00006.jpg: missing, as their masks; expected no gap from 00000 to 00007",
    ]


def test_all_faults_are_gathered_and_counted(invoke: Invoke, tree: Path) -> None:
    (tree / "ImageSets/2017/train.txt").unlink()
    for path in (frame, mask):
        path(tree, "cows", 0).write_bytes(b"")
    mask(tree, "dog", 1).unlink()
    frame(tree, "dog", 2).unlink()
    starts = [
        f"{tree}/{LISTS}/2017/train.txt: missing; expected the sequences of 2017 train",
        f"{frame(tree, 'cows', 0)}: cannot be read; expected a picture",
        f"{mask(tree, 'cows', 0)}: empty file",
        f"{mask(tree, 'dog', 1)}: missing; expected a mask of {frame(tree, 'dog', 1)}",
        f"{frame(tree, 'dog', 2)}: missing; expected the frame of {mask(tree, 'dog', 2)}",
    ]
    lines = check(invoke, tree)
    assert len(lines) == len(starts)
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True)), lines
    done = invoke("check-data", "--davis-root", str(tree))
    assert done.stdout.splitlines()[-1] == f"5 problems in {tree}"


def test_options_that_do_not_go_together(invoke: Invoke) -> None:
    refused(invoke("check-data"), "found neither of --config and --davis-root")
    refused(invoke("check-data", "--config", "a", "--davis-root", "b"), "found both of --config and --davis-root")
    words = "found --year, --resolution or --split with --config"
    refused(invoke("check-data", "--config", "a.yaml", "--split", "val"), words)


@pytest.mark.davis
def test_real_davis_has_no_problem(davis_root: Path) -> None:
    report = check_tree(DavisTree(davis_root), 2016, ["trainval"])
    assert report.problems == []
