"""Folders that are known for ours by their checksums."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from slowfast_vos.checksums import expect_unchanged, write_checksums
from slowfast_vos.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "a=1.txt").write_text("one")
    (tmp_path / "out" / "deep" / "two words").write_text("two")
    write_checksums(tmp_path / "out")
    return tmp_path / "out"


def test_checksums_are_those_of_sha256sum(folder: Path) -> None:
    done = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "a=1.txt: OK\ndeep/two words: OK\n")
    expect_unchanged(folder)
    expect_unchanged(folder / "new")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "mine").touch(), r"out/mine: found a file of others"),
        (lambda folder: (folder / "deep/link").symlink_to("gone"), r"out/deep/link: found a file of others"),
        (lambda folder: (folder / "a=1.txt").write_text("two"), r"out/a=1\.txt: found it changed"),
        (lambda folder: (folder / "a=1.txt").unlink(), r"out/a=1\.txt: missing"),
        (lambda folder: (folder / "SHA256SUMS").unlink(), r"out: found no SHA256SUMS in it"),
    ],
)
def test_a_folder_that_anybody_changed_is_refused(folder: Path, change: Callable[[Path], None], words: str) -> None:
    change(folder)
    with pytest.raises(UserError, match=f"{words}; expected a folder that this command wrote, and nobody changed"):
        expect_unchanged(folder)
