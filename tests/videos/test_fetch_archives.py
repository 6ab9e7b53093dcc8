"""`fetch-davis` with archives that lie there, damaged or unsafe ones, and trees that are there already."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from fetch_case import Case, files, names, pack_zip

from command_line import refused
from davis_trees import mask, write_tree


def test_an_archive_that_exists_is_unpacked_without_what_macos_adds(case: Case) -> None:
    of_macos = dict.fromkeys(("__MACOSX/DAVIS/._a", "DAVIS/.DS_Store", "DAVIS/JPEGImages/480p/bear/._00000.jpg"), b"")
    case.put(pack_zip({**case.trees[2017], **of_macos}))
    assert case.run().exit_code == 0
    found = {f"DAVIS/{name}": content for name, content in files(case.out).items() if "ImageSets/2016" not in name}
    assert found == case.trees[2017]
    assert case.site.requested == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, stat.S_IFREG) for name in ("/etc/cron", "../out.txt", "DAVIS/../../out.txt", "..")),
        *(("a", kind) for kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO)),
    ],
)
def test_an_unsafe_archive_is_refused_and_nothing_unpacked(case: Case, name: str, kind: int) -> None:
    case.put(pack_zip({"DAVIS/JPEGImages/a": b"", name: b"x"}, kind))
    refused(case.run(), "davis.zip: found ", "a link or a path that leads out; expected", "nothing was unpacked")
    assert case.left == {"davis.zip"}
    assert names(case.out.parent.parent) == {"data"}


README = "DAVIS/README.md"
GOOD = pack_zip({README: b"read me", "DAVIS/JPEGImages/é.jpg": b"\xff\xd8" * 5000})
AT = GOOD.index(README.encode()) + len(README) + 3  # a byte of the first file


@pytest.mark.parametrize(
    ("content", "where"),
    [
        *((content, "") for content in (GOOD[:-30], GOOD[:100], b"", b"<html>" * 9)),
        (GOOD.replace("é".encode(), b"\xfa\xa9"), ""),
        (GOOD[:AT] + bytes([GOOD[AT] ^ 0xFF]) + GOOD[AT + 1 :], f"{README!r}: "),
        (
            GOOD.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"),
            f"{README!r}: ",
        ),  # encrypted
    ],
)
def test_a_damaged_archive_is_refused(case: Case, content: bytes, where: str) -> None:
    case.put(content)
    words = f"davis.zip: damaged ({where}", "expected a whole zip archive; delete it to download it again"
    refused(case.run(), *words)
    assert case.left == {"davis.zip"}


def test_an_archive_of_something_else_and_one_that_is_incomplete(case: Case) -> None:
    case.put(pack_zip({"DAVIS/README.md": b""}))
    refused(case.run(), "found 0 folders JPEGImages; expected one")
    assert case.left == {"davis.zip"}
    tree = case.trees[2017]
    case.put(pack_zip({name: tree[name] for name in tree if not name.endswith("dog/00001.jpg")}))
    refused(case.run(), "00001.jpg: missing", "which holds no complete DAVIS 2017", lines=2)


def test_a_complete_tree_is_verified_and_left(case: Case) -> None:
    assert case.run().exit_code == 0
    (case.out.parent / "davis.zip").unlink()
    before = files(case.out)
    assert case.run().stdout.splitlines()[-1] == f"{case.out}: complete, left as it is"
    assert files(case.out) == before
    assert len(case.site.requested) == 1


def test_a_tree_that_differs_is_left_and_said_to(case: Case) -> None:
    out = write_tree(case.out)
    lost = mask(out, "dog", 1)
    content = lost.read_bytes()
    lost.unlink()
    before = files(out)
    left = "left as it is; expected a new folder: move it away, or choose another"
    refused(case.run(), f"{lost}: missing", left, lines=2)
    assert files(out) == before
    lost.write_bytes(content)
    (out / "ImageSets/2017/val.txt").write_text("dog\n")
    refused(case.run(), "found 1 sequences in val; expected 2", lines=2)
    assert set(files(out)) == {*before, str(lost.relative_to(out))}
    assert case.site.requested == []


def test_something_else_in_its_place_is_left(case: Case, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "a.tex").write_text("mine")
    refused(case.run(into=tmp_path / "file"), "file: found a file; expected a new folder")
    refused(case.run(into=tmp_path / "thesis"), "found something else than a complete DAVIS 2017", lines=3)
    assert files(tmp_path) == {"file": b"mine", "thesis/a.tex": b"mine"}
    (tmp_path / "empty").mkdir()
    assert case.run(into=tmp_path / "empty").exit_code == 0
