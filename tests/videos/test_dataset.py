"""Which videos train, select and validate; and all problems with them are reported at once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from slowfast_vos.config import Settings, parse_settings
from slowfast_vos.errors import UserError
from slowfast_vos.generated import sequence_names
from slowfast_vos.videos.dataset import check_dataset, describe_dataset, open_dataset, validation_names
from slowfast_vos.videos.pngs import write_mask

from davis_trees import frame, mask

ROLES = ("train", "selection", "epoch_selection", "val")
TRAIN, VAL = sequence_names("train", 3), sequence_names("val", 2)


def settings(root: Path, protocol: str = "strict", sequences: list[str] = VAL[:1], **data: Any) -> Settings:
    values = {"kind": "synthetic", "root": str(root), "held_out": TRAIN[1:2], **data}
    return parse_settings({"protocol": protocol, "data": values, "grid": {"sequences": sequences}}, "tests")


def roles(settings: Settings) -> dict[str, list[str]]:
    return describe_dataset(open_dataset(settings))["roles"]


def test_strict_selects_on_sequences_held_out_of_train(dataset_root: Path) -> None:
    run = settings(dataset_root)
    assert roles(run) == {"train": [TRAIN[0], TRAIN[2]], "selection": [TRAIN[1]], "val": VAL}
    assert [video.name for video in open_dataset(run).epoch_selection] == TRAIN[1:2]


def test_paper_trains_on_all_and_selects_on_val(dataset_root: Path) -> None:
    run = settings(dataset_root, "paper")
    assert roles(run) == {"train": TRAIN, "selection": VAL[:1], "val": VAL}
    assert [video.name for video in open_dataset(run).epoch_selection] == VAL


def test_sequences_may_be_restricted(dataset_root: Path) -> None:
    some = settings(dataset_root, train_only=TRAIN[:2], val_only=VAL[1:])
    assert roles(some) == {"train": TRAIN[:1], "selection": TRAIN[1:2], "val": VAL[1:]}
    assert validation_names(settings(dataset_root, kind="davis", val_only=VAL[1:])) == VAL[1:]


def test_the_training_year_decides_whether_masks_are_binary(dataset_root: Path) -> None:
    assert open_dataset(settings(dataset_root)).binary_train is False
    assert open_dataset(settings(dataset_root, train_year=2016)).binary_train is True


def test_validation_names_are_known_before_anything_is_drawn(tmp_path: Path) -> None:
    new = settings(tmp_path / "nothing", synthetic={"val": 2})
    assert validation_names(new) == VAL


def test_attributes_come_along(dataset_root: Path) -> None:
    described = describe_dataset(open_dataset(settings(dataset_root)))
    assert set(described["attributes"]) == {*TRAIN, *VAL}
    assert all(described["attributes"].values())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"held_out": ["nobody"]}, "data.held_out: found nobody; expected some of "),
        ({"held_out": VAL[:1]}, f"data.held_out: found {VAL[0]}; expected some of "),
        ({"train_only": ["nobody"]}, "data.train_only: found nobody; expected some of "),
        ({"val_only": TRAIN[:1]}, f"data.val_only: found {TRAIN[0]}; expected some of "),
        ({"held_out": TRAIN}, "data: no training sequence is left"),
        ({"protocol": "paper", "sequences": TRAIN[:1]}, f"grid.sequences: found {TRAIN[0]}; expected some of "),
        ({"resolution": "1080p"}, "1080p/"),
    ],
)
def test_names_that_are_not_there_are_refused(dataset_root: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as error:
        open_dataset(settings(dataset_root, **values))
    assert words in str(error.value)


@pytest.mark.parametrize(("kind", "hint"), [("synthetic", "slowfast-vos synthesize"), ("davis", "davis_root=DIR")])
def test_a_missing_root_says_what_to_do(tmp_path: Path, kind: str, hint: str) -> None:
    with pytest.raises(UserError, match=f"gone: no such folder; expected a DAVIS tree .*{hint}"):
        open_dataset(settings(tmp_path / "gone", kind=kind))


@pytest.fixture
def copy(dataset_root: Path, tmp_path: Path) -> Path:
    shutil.copytree(dataset_root, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize(("protocol", "selected"), [("strict", False), ("paper", True)])
def test_what_validates_may_lie_in_a_tree_of_its_own(
    dataset_root: Path, copy: Path, protocol: str, selected: bool
) -> None:
    """DAVIS 2016's masks are not the union of those of 2017."""
    shutil.rmtree(copy / "JPEGImages" / "480p" / TRAIN[0])
    for path in [*(copy / "ImageSets").rglob("train.txt")]:  # the validation tree need not list what trains
        path.unlink()
    values = settings(dataset_root, protocol, kind="davis").model_dump() | {"davis_val_root": str(copy)}
    run = parse_settings(values, "tests")
    dataset = open_dataset(run)
    assert validation_names(run) == [video.name for video in dataset.val] == VAL
    places = {role: {video.frames[0].is_relative_to(copy) for video in getattr(dataset, role)} for role in ROLES}
    assert places == {"train": {False}, "val": {True}, "selection": {selected}, "epoch_selection": {selected}}
    assert check_dataset(dataset)["digest"]
    mask(copy, VAL[0], 2).unlink()
    with pytest.raises(UserError, match=f"{mask(copy, VAL[0], 2)}: missing; expected a mask of "):
        open_dataset(run)
    shutil.rmtree(copy)
    with pytest.raises(UserError, match=r"copy: no such folder; expected a DAVIS tree .*davis_val_root=DIR"):
        open_dataset(run)


def test_a_partial_copy_of_the_validation_tree_skips_what_it_lacks(dataset_root: Path, copy: Path) -> None:
    for kind in ("JPEGImages", "Annotations"):
        shutil.rmtree(copy / kind / "480p" / VAL[1])
    values = settings(dataset_root, kind="davis", allow_partial=True).model_dump() | {"davis_val_root": str(copy)}
    dataset = open_dataset(parse_settings(values, "tests"))
    assert ([video.name for video in dataset.val], dataset.skipped) == (VAL[:1], VAL[1:])


def problems(root: Path, protocol: str = "strict") -> list[str]:
    with pytest.raises(UserError) as error:
        check_dataset(open_dataset(settings(root, protocol)))
    return str(error.value).splitlines()


def test_a_dataset_without_fault_is_counted_and_digested(dataset_root: Path) -> None:
    checked = check_dataset(open_dataset(settings(dataset_root)))
    assert checked["sequences"] == dict.fromkeys([TRAIN[0], TRAIN[2], TRAIN[1], *VAL], 5)
    assert check_dataset(open_dataset(settings(dataset_root))) == checked


def test_the_digest_changes_with_any_file(copy: Path) -> None:
    digests = [check_dataset(open_dataset(settings(copy)))["digest"]]
    write_mask(mask(copy, VAL[1], 4), np.ones((96, 160), np.uint8))
    digests.append(check_dataset(open_dataset(settings(copy)))["digest"])
    shutil.copy(frame(copy, TRAIN[0], 0), frame(copy, TRAIN[0], 1))
    digests.append(check_dataset(open_dataset(settings(copy)))["digest"])
    assert len(set(digests)) == 3


def test_every_missing_file_of_every_sequence_is_named(copy: Path) -> None:
    frame(copy, TRAIN[0], 1).unlink()
    mask(copy, VAL[0], 2).unlink()
    shutil.rmtree(frame(copy, VAL[1], 0).parent)
    with pytest.raises(UserError) as error:
        open_dataset(settings(copy))
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    for line, path in zip(
        lines, (frame(copy, TRAIN[0], 1), mask(copy, VAL[0], 2), frame(copy, VAL[1], 0).parent), strict=True
    ):
        assert line.startswith(f"{path}: ")


def test_all_problems_are_gathered(copy: Path) -> None:
    write_mask(mask(copy, TRAIN[0], 1), np.ones((96, 150), np.uint8))
    frame(copy, TRAIN[2], 2).write_bytes(b"no picture")
    mask(copy, VAL[0], 3).write_bytes(mask(copy, VAL[0], 3).read_bytes()[:-20])
    write_mask(mask(copy, VAL[1], 0), np.zeros((96, 160), np.uint8))
    Image.fromarray(np.zeros((96, 100, 3), np.uint8)).save(frame(copy, VAL[1], 4))
    write_mask(mask(copy, VAL[1], 4), np.ones((96, 100), np.uint8))
    expected = [
        f"{mask(copy, TRAIN[0], 1)}: found 150×96 pixels; expected 160×96 as 00001.jpg",
        f"{frame(copy, TRAIN[2], 2)}: cannot be read; expected a picture",
        f"{mask(copy, VAL[0], 3)}: ",
        f"{mask(copy, VAL[1], 0)}: found no object; expected one in the first frame",
        f"{frame(copy, VAL[1], 0).parent}: found frames of several sizes: 160×96 (00000.jpg), 100×96 (00004.jpg)",
    ]
    lines = problems(copy)
    assert len(lines) == len(expected)
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True))


def test_an_object_is_needed_in_the_first_frame_where_fine_tuning_learns(copy: Path) -> None:
    for name in (TRAIN[0], TRAIN[1], VAL[1]):
        write_mask(mask(copy, name, 0), np.zeros((96, 160), np.uint8))
    empty = [line.partition(": found no object")[0] for line in problems(copy)]
    assert empty == [str(mask(copy, TRAIN[1], 0)), str(mask(copy, VAL[1], 0))]
    # By the paper's protocol, nothing is fine-tuned on the training sequences.
    assert len(problems(copy, "paper")) == 1


def test_an_object_too_thin_for_a_box_is_none_and_later_masks_may_be_empty(copy: Path) -> None:
    ids = np.zeros((96, 160), np.uint8)
    write_mask(mask(copy, VAL[0], 1), ids)
    check_dataset(open_dataset(settings(copy)))
    ids[5, 5:20] = 1
    write_mask(mask(copy, VAL[0], 0), ids)
    assert problems(copy)[0].startswith(f"{mask(copy, VAL[0], 0)}: found no object")
