"""The one reader of split files: both forms, trainval, and files that name nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from slowfast_vos.errors import UserError
from slowfast_vos.scoring.layout import split_sequences
from slowfast_vos.videos.davis import DavisTree
from slowfast_vos.videos.splits import read_split


def write(root: Path, place: str, text: str) -> Path:
    path = root / "ImageSets" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_scoring_and_training_read_the_same_names(tmp_path: Path) -> None:
    write(tmp_path, "2017/val.txt", "goat\n\nbear \r\ngoat\n")
    write(tmp_path, "480p/val.txt", "/JPEGImages/480p/cow/00000.jpg /Annotations/480p/cow/00000.png\n" * 2)
    for year, names in ((2017, ["goat", "bear"]), (2016, ["cow"])):
        assert DavisTree(tmp_path).split("val", year) == names
        assert split_sequences(tmp_path, year, "val", "480p") == names


def test_trainval_is_its_own_list_or_train_and_val(tmp_path: Path) -> None:
    write(tmp_path, "2017/train.txt", "cow\nbear\n")
    assert read_split(tmp_path, "trainval", 2017).path is None
    write(tmp_path, "2017/val.txt", "ant\n")
    assert read_split(tmp_path, "trainval", 2017).names == ("cow", "bear", "ant")
    own = write(tmp_path, "2017/trainval.txt", "ant\nbear\n")
    assert read_split(tmp_path, "trainval", 2017).names == ("ant", "bear")
    assert read_split(tmp_path, "trainval", 2017).path == own


@pytest.mark.parametrize("text", ["", "\n \n", "/00000.jpg /00000.png\n"])
def test_a_list_without_names_is_refused_by_both(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, "2017/val.txt", text)
    for read in (lambda: DavisTree(tmp_path).split("val", 2017), lambda: split_sequences(tmp_path, 2017, "val", "")):
        with pytest.raises(UserError, match="found no sequence") as error:
            read()
        assert str(path) in str(error.value)


def test_an_unreadable_list_is_named(tmp_path: Path) -> None:
    write(tmp_path, "2017/val.txt", "").write_bytes(b"b\xe4r\n")
    with pytest.raises(UserError, match=r"val\.txt: cannot be read .*; expected one sequence in each line"):
        read_split(tmp_path, "val", 2017)


def test_scoring_still_imports_no_torch() -> None:
    code = "import slowfast_vos.scoring.protocols, slowfast_vos.videos.splits, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
