"""`data.allow_partial`: sequences missing from a partial copy are skipped on request, except those that select."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from slowfast_vos.config import Settings, parse_settings
from slowfast_vos.errors import UserError
from slowfast_vos.videos.dataset import describe_dataset, open_dataset, skipped_names, validation_names

from davis_trees import frame, mask, write_tree

if TYPE_CHECKING:
    from click.testing import Result

Invoke = Callable[..., "Result"]
TRAIN, VAL = ("bear", "boat", "bus"), ("cows", "dog", "goat")


@pytest.fixture
def partial_copy(tmp_path: Path) -> Path:
    """A tree whose lists name more than it has: without boat and dog."""
    root = write_tree(tmp_path / "davis", TRAIN, VAL, year=2016)
    for name in ("boat", "dog"):
        remove(root, name)
    return root


def remove(root: Path, name: str) -> None:
    for path in (frame, mask):
        shutil.rmtree(path(root, name, 0).parent)


def values(root: Path, *, protocol: str = "strict", sequences: tuple[str, ...] = ("cows",), **data: Any) -> dict:
    data = {"root": str(root), "train_year": 2016, "held_out": ["bus"], "allow_partial": True, **data}
    return {"name": "partial", "protocol": protocol, "data": data, "grid": {"sequences": list(sequences)}}


def settings(root: Path, **changes: Any) -> Settings:
    return parse_settings(values(root, **changes), "tests")


def roles(settings: Settings) -> dict[str, list[str]]:
    return describe_dataset(open_dataset(settings))["roles"]


def test_a_partial_copy_is_used_as_far_as_it_goes(partial_copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = settings(partial_copy)
    with caplog.at_level(logging.INFO):
        assert roles(run) == {"train": ["bear"], "selection": ["bus"], "val": ["cows", "goat"]}
    assert caplog.messages == [
        f"data.allow_partial: skipped 1 of 2 training sequences, which {partial_copy} lacks: boat",
        f"data.allow_partial: skipped 1 of 3 validation sequences, which {partial_copy} lacks: dog",
    ]
    assert validation_names(run) == ["cows", "goat"]
    assert skipped_names(run) == describe_dataset(open_dataset(run))["skipped"] == ["boat", "dog"]


def test_without_the_key_each_missing_sequence_is_a_line_that_names_it(partial_copy: Path) -> None:
    run = settings(partial_copy, allow_partial=False)
    with pytest.raises(UserError) as error:
        open_dataset(run)
    folders = [frame(partial_copy, name, 0).parent for name in ("boat", "dog")]
    assert str(error.value).splitlines() == [
        f"{folder}: found no such folder; expected the frames of {folder.name}, or data.allow_partial: true to skip it"
        for folder in folders
    ]
    assert validation_names(run) == list(VAL)
    assert skipped_names(run) == []


def test_what_selects_is_never_skipped(partial_copy: Path) -> None:
    held_out = settings(partial_copy, held_out=["boat", "bus"])
    with pytest.raises(UserError, match=r"data\.held_out: found boat, which .* lacks at 480p; expected sequences that"):
        open_dataset(held_out)
    chosen = settings(partial_copy, protocol="paper", sequences=("cows", "dog"))
    with pytest.raises(UserError, match=r"grid\.sequences: found dog, which .* lacks at 480p"):
        open_dataset(chosen)
    # Nor is the key offered as a way out.
    remove(partial_copy, "bus")
    with pytest.raises(UserError) as error:
        open_dataset(settings(partial_copy, allow_partial=False))
    lines = str(error.value).splitlines()
    assert [("bus" in line, "allow_partial" in line) for line in lines].count((True, False)) == 1


def test_sequences_that_are_not_asked_for_are_not_missed(partial_copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    some = settings(partial_copy, train_only=["bear", "bus"], val_only=["dog", "goat"])
    with caplog.at_level(logging.INFO):
        assert roles(some) == {"train": ["bear"], "selection": ["bus"], "val": ["goat"]}
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith(" lacks: dog")
    assert validation_names(some) == ["goat"]
    assert validation_names(settings(partial_copy, val_only=["cows"], allow_partial=False)) == ["cows"]


def test_a_name_that_no_list_has_is_no_part_of_davis(partial_copy: Path) -> None:
    with pytest.raises(UserError, match=r"data\.val_only: found dgo; expected some of cows, dog, goat"):
        validation_names(settings(partial_copy, val_only=["dgo"]))


@pytest.mark.parametrize(("role", "names"), [("training", ("bear",)), ("validation", ("cows", "goat"))])
def test_something_must_be_left(partial_copy: Path, role: str, names: tuple[str, ...]) -> None:
    for name in names:
        remove(partial_copy, name)
    with pytest.raises(UserError, match=f"data: no {role} sequence is left"):
        open_dataset(settings(partial_copy))
    if role == "validation":
        with pytest.raises(UserError, match="data: no validation sequence is left"):
            validation_names(settings(partial_copy))


def test_a_broken_sequence_is_not_one_that_is_lacking(partial_copy: Path) -> None:
    shutil.rmtree(mask(partial_copy, "goat", 0).parent)
    with pytest.raises(UserError, match=r"goat: found no such folder; expected the masks of goat$"):
        open_dataset(settings(partial_copy))


def test_the_key_is_for_davis_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.allow_partial: found true with data\.kind 'synthetic'; expected davis"):
        settings(tmp_path, kind="synthetic")


def test_the_check_of_a_run_says_what_it_skipped(
    invoke: Invoke, partial_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(values(partial_copy)))
    done = invoke("check-data", "--config", str(config))
    assert done.exit_code == 0, done.output
    assert "lacks: boat" in done.stderr
    assert done.stdout.splitlines()[-1] == "4 sequences, 12 frames: no problem"
    written = json.loads((tmp_path / "results/partial/dataset.json").read_text())
    assert written["skipped"] == ["boat", "dog"]
    config.write_text(yaml.safe_dump(values(partial_copy, allow_partial=False)))
    done = invoke("check-data", "--config", str(config))
    assert done.exit_code == 1
    assert [line.count("data.allow_partial") for line in done.stderr.splitlines() if "error: " in line] == [1, 1]
