"""Which videos train, select and validate, also in a partial copy; and all problems with them are reported at once."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from slowfast_vos.config import Settings, parse_settings
from slowfast_vos.errors import UserError
from slowfast_vos.generated import sequence_names
from slowfast_vos.videos.dataset import check_dataset, describe_dataset, open_dataset, skipped_names, validation_names
from slowfast_vos.videos.pngs import write_mask

from davis_trees import frame, mask, write_tree

if TYPE_CHECKING:
    from click.testing import Result

ROLES = ("train", "selection", "epoch_selection", "val")
DRAWN = {"train": 3, "val": 2, "frames": 5, "height": 96, "width": 160}
TRAIN, VAL = sequence_names("train", 3), sequence_names("val", 2)


def settings(root: Path, protocol: str = "strict", sequences: list[str] = VAL[:1], **data: Any) -> Settings:
    values = {"kind": "synthetic", "root": str(root), "held_out": TRAIN[1:2], "synthetic": DRAWN, **data}
    return parse_settings({"protocol": protocol, "data": values, "grid": {"sequences": sequences}}, "tests")


@pytest.mark.parametrize(("key", "value"), [("frames", 6), ("width", 128), ("seed", 64), ("val", 1)])
def test_generated_videos_of_other_numbers_are_refused(dataset_root: Path, key: str, value: int) -> None:
    wrong = settings(dataset_root, synthetic={**DRAWN, key: value})
    found = (
        "found Generator: slowfast-vos synthesize, version 2; seed 63; 3 training and 2 validation sequences of 5 fra"
    )
    with pytest.raises(
        UserError, match=rf"^{dataset_root}/README\.txt: {found}.*; expected Generator: .* {value}"
    ) as error:
        open_dataset(wrong)
    assert len(str(error.value).splitlines()) == 1


def test_generated_videos_are_no_other_tree(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "davis", ("bear", "boat"), ("cows",), year=2016)
    with pytest.raises(UserError, match=r"README\.txt: found no generated videos; expected Generator: "):
        open_dataset(settings(root))


def partial(root: Path, protocol: str = "strict", sequences: tuple[str, ...] = ("cows",), **data: Any) -> Settings:
    data = {"kind": "davis", "train_year": 2016, "held_out": ["bus"], "allow_partial": True, **data}
    return settings(root, protocol, list(sequences), **data)


def test_sequences_that_choose_epochs_may_choose_nothing_else(dataset_root: Path) -> None:
    found = open_dataset(settings(dataset_root, held_out_epochs=TRAIN[:1]))
    names = {role: [video.name for video in getattr(found, role)] for role in ROLES}
    assert names == {"train": TRAIN[2:], "selection": TRAIN[1:2], "epoch_selection": TRAIN[:1], "val": VAL}
    with pytest.raises(UserError, match=r"data\.held_out_epochs: found nobody; expected some of"):
        open_dataset(settings(dataset_root, held_out_epochs=["nobody"]))


def roles(settings: Settings) -> dict[str, list[str]]:
    return describe_dataset(open_dataset(settings))["roles"]


def remove(root: Path, *names: str) -> None:
    for path in (path(root, name, 0) for name in names for path in (frame, mask)):
        shutil.rmtree(path.parent)


@pytest.fixture
def copy(dataset_root: Path, tmp_path: Path) -> Path:
    shutil.copytree(dataset_root, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def partial_copy(tmp_path: Path) -> Path:
    """A tree whose lists name more than it has: without boat and dog."""
    root = write_tree(tmp_path / "davis", ("bear", "boat", "bus"), ("cows", "dog", "goat"), year=2016)
    remove(root, "boat", "dog")
    return root


@pytest.mark.parametrize(
    ("protocol", "train", "selection", "epoch_selection"),
    [("strict", [TRAIN[0], TRAIN[2]], TRAIN[1:2], TRAIN[1:2]), ("paper", TRAIN, VAL[:1], VAL)],
)
def test_strict_selects_on_sequences_held_out_of_train_and_paper_on_val(
    dataset_root: Path, protocol: str, train: list[str], selection: list[str], epoch_selection: list[str]
) -> None:
    run = settings(dataset_root, protocol)
    assert roles(run) == {"train": train, "selection": selection, "val": VAL}
    assert [video.name for video in open_dataset(run).epoch_selection] == epoch_selection


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


def test_a_root_that_is_a_file_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for root in ("file", "file/inside"):
        with pytest.raises(UserError, match="file: found a file; expected a folder, or none yet"):
            validation_names(settings(tmp_path / root))


def test_a_sequence_that_trains_and_validates_is_refused(tmp_path: Path) -> None:
    root = write_tree(tmp_path, ("bear", "bus", "cows"), ("cows", "dog"), year=2016)
    both = settings(root, kind="davis", train_year=2016, held_out=["bus"])
    for held_out in (["bus"], ["cows"]):
        with pytest.raises(UserError, match="ImageSets: found cows both in train of 2016 and in val of 2016; expected"):
            open_dataset(settings(root, kind="davis", train_year=2016, held_out=held_out))
    apart = {"train_year": 2016, "held_out": ["bus"], "train_only": ["bear", "bus"]}
    assert roles(settings(root, kind="davis", **apart))["val"] == ["cows", "dog"]
    assert roles(settings(root, kind="davis", train_year=2016, held_out=["bus"], val_only=["dog"]))["val"] == ["dog"]
    with pytest.raises(UserError, match="both in train"):  # by the other root too
        open_dataset(both.model_copy(update={"davis_val_root": str(root)}))


@pytest.mark.parametrize("short", ["bus", "cows"])
def test_a_scored_sequence_has_a_frame_beside_the_first_and_the_last(tmp_path: Path, short: str) -> None:
    root = write_tree(tmp_path, year=2016)
    for path in (frame(root, short, 2), mask(root, short, 2)):
        path.unlink()
    data = {"kind": "davis", "train_year": 2016, "held_out": ["bus"]}
    with pytest.raises(UserError) as error:
        open_dataset(settings(root, **data))
    expected = (
        "found 2 frames; expected 3 or more, since the first and the last are not scored (switches.frames: inner)"
    )
    assert str(error.value) == f"{frame(root, short, 0).parent}: {expected}"
    assert roles(settings(root, "paper", sequences=["cows"], **data))["val"] == ["cows", "dog"]


@pytest.mark.parametrize(("kind", "hint"), [("synthetic", "slowfast-vos synthesize"), ("davis", "davis_root=DIR")])
def test_a_missing_root_says_what_to_do(tmp_path: Path, kind: str, hint: str) -> None:
    with pytest.raises(UserError, match=f"gone: no such folder; expected a DAVIS tree .*{hint}"):
        open_dataset(settings(tmp_path / "gone", kind=kind))


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
    remove(copy, VAL[1])
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


def test_an_object_is_needed_in_the_first_frame_where_fine_tuning_learns(copy: Path) -> None:
    empty, thin = np.zeros((2, 96, 160), np.uint8)
    thin[5, 5:20] = 1  # a row of pixels has no box
    for path in (mask(copy, TRAIN[0], 0), mask(copy, TRAIN[1], 0), mask(copy, VAL[0], 1)):
        write_mask(path, empty)
    write_mask(mask(copy, VAL[1], 0), thin)
    found = [line.partition(": found no object")[0] for line in problems(copy)]
    assert found == [str(mask(copy, TRAIN[1], 0)), str(mask(copy, VAL[1], 0))]
    # By the paper's protocol, nothing is fine-tuned on the training sequences.
    assert len(problems(copy, "paper")) == 1


def test_a_partial_copy_is_used_as_far_as_it_goes(partial_copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = partial(partial_copy)
    with caplog.at_level(logging.INFO):
        assert roles(run) == {"train": ["bear"], "selection": ["bus"], "val": ["cows", "goat"]}
    assert caplog.messages == [
        f"data.allow_partial: skipped 1 of 2 training sequences, which {partial_copy} lacks: boat",
        f"data.allow_partial: skipped 1 of 3 validation sequences, which {partial_copy} lacks: dog",
    ]
    assert validation_names(run) == ["cows", "goat"]
    assert skipped_names(run) == describe_dataset(open_dataset(run))["skipped"] == ["boat", "dog"]


def test_without_the_key_each_missing_sequence_is_a_line_that_names_it(partial_copy: Path) -> None:
    run = partial(partial_copy, allow_partial=False)
    with pytest.raises(UserError) as error:
        open_dataset(run)
    folders = [frame(partial_copy, name, 0).parent for name in ("boat", "dog")]
    assert str(error.value).splitlines() == [
        f"{folder}: found no such folder; expected the frames of {folder.name}, or data.allow_partial: true to skip it"
        for folder in folders
    ]
    assert validation_names(run) == ["cows", "dog", "goat"]
    assert skipped_names(run) == []


def test_what_selects_is_never_skipped(partial_copy: Path) -> None:
    held_out = partial(partial_copy, held_out=["boat", "bus"])
    with pytest.raises(UserError, match=r"data\.held_out: found boat, which .* lacks at 480p; expected sequences that"):
        open_dataset(held_out)
    chosen = partial(partial_copy, protocol="paper", sequences=("cows", "dog"))
    with pytest.raises(UserError, match=r"grid\.sequences: found dog, which .* lacks at 480p"):
        open_dataset(chosen)
    # Nor is the key offered as a way out.
    remove(partial_copy, "bus")
    with pytest.raises(UserError) as error:
        open_dataset(partial(partial_copy, allow_partial=False))
    lines = str(error.value).splitlines()
    assert [("bus" in line, "allow_partial" in line) for line in lines].count((True, False)) == 1


def test_sequences_that_are_not_asked_for_are_not_missed(partial_copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    some = partial(partial_copy, train_only=["bear", "bus"], val_only=["dog", "goat"])
    with caplog.at_level(logging.INFO):
        assert roles(some) == {"train": ["bear"], "selection": ["bus"], "val": ["goat"]}
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith(" lacks: dog")
    assert validation_names(some) == ["goat"]
    assert validation_names(partial(partial_copy, val_only=["cows"], allow_partial=False)) == ["cows"]


@pytest.mark.parametrize(("role", "names"), [("training", ("bear",)), ("validation", ("cows", "goat"))])
def test_something_must_be_left(partial_copy: Path, role: str, names: tuple[str, ...]) -> None:
    remove(partial_copy, *names)
    with pytest.raises(UserError, match=f"data: no {role} sequence is left"):
        open_dataset(partial(partial_copy))
    if role == "validation":
        with pytest.raises(UserError, match="data: no validation sequence is left"):
            validation_names(partial(partial_copy))


def test_a_broken_sequence_is_not_one_that_is_lacking(partial_copy: Path) -> None:
    shutil.rmtree(mask(partial_copy, "goat", 0).parent)
    with pytest.raises(UserError, match=r"goat: found no such folder; expected the masks of goat$"):
        open_dataset(partial(partial_copy))


def test_the_key_is_for_davis_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.allow_partial: found true with data\.kind 'synthetic'; expected davis"):
        partial(tmp_path, kind="synthetic")


def test_the_check_of_a_run_says_what_it_skipped(
    invoke: Callable[..., Result], partial_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(partial(partial_copy).model_dump(mode="json")))
    done = invoke("check-data", "--config", str(config))
    assert done.exit_code == 0, done.output
    assert "lacks: boat" in done.stderr
    assert done.stdout.splitlines()[-1] == "4 sequences, 12 frames: no problem"
    written = json.loads((tmp_path / f"results/{partial(partial_copy).name}/dataset.json").read_text())
    assert written["skipped"] == ["boat", "dog"]
