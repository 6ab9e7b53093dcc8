"""`fetch-davis` from end to end, against a server on this machine that breaks off, lies and refuses."""

from __future__ import annotations

import hashlib
import io
import re
import signal
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from slowfast_vos.videos import fetch
from slowfast_vos.videos.davis import DavisTree
from slowfast_vos.videos.fetch import ARCHIVES, DAVIS_2016, Archive

from command_line import refused
from davis_trees import mask, write_tree
from web_site import Site, serve

if TYPE_CHECKING:
    from click.testing import Result

FETCHED = {"davis", "davis.zip"}
FETCH_UNTIL_KILLED = """
import os, signal, sys
from pathlib import Path
from slowfast_vos.videos.fetch import fetch
def kill(what, done, total):
    if what == sys.argv[4] and done:
        os.kill(os.getpid(), signal.SIGKILL)
fetch(Path(sys.argv[1]), 2017, url=sys.argv[2], sha256=sys.argv[3], progress=kill)
"""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def pack_zip(contents: dict[str, bytes], mode: int = stat.S_IFREG) -> bytes:
    with zipfile.ZipFile(memory := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as pack:
        for name, content in contents.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode | 0o644) << 16
            pack.writestr(info, content)
    return memory.getvalue()


@dataclass
class Case:
    """A server, what is stated of its archive, and the folder that the command fetches into."""

    invoke: Callable[..., Result]
    patch: pytest.MonkeyPatch
    trees: dict[int, dict[str, bytes]]
    site: Site
    out: Path

    def state(self, year: int = 2017, **facts: Any) -> None:
        """State what the official archive is: by default, what the server has, of unknown size."""
        facts = {"size": None, "checksum": ("sha256", sha256(self.site.content)), **facts}
        self.patch.setattr(fetch, "ARCHIVES", {(year, "480p"): Archive(self.site.url, **facts)})
        self.patch.setitem(fetch.COUNTS, year, {"train": 2, "val": 2})

    def put(self, content: bytes) -> None:
        """Put an archive where the command looks for it, as if it were the official one."""
        self.out.parent.mkdir(exist_ok=True)
        (self.out.parent / "davis.zip").write_bytes(content)
        self.state(checksum=("sha256", sha256(content)))

    def run(self, *options: str, into: Path | None = None) -> Result:
        return self.invoke("fetch-davis", "--out", str(into or self.out), *options)

    @property
    def left(self) -> set[str]:
        """What lies where the tree is to be."""
        return names(self.out.parent)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, bytes]]:
    """Files of tiny editions, laid out as in the official archives: all below DAVIS/."""
    folder = tmp_path_factory.mktemp("trees")
    for year in (2016, 2017):
        write_tree(folder / str(year) / "DAVIS", year=year)
    return {year: files(folder / str(year)) for year in (2016, 2017)}


@pytest.fixture
def case(
    invoke: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    trees: dict[int, dict[str, bytes]],
    tmp_path: Path,
) -> Iterator[Case]:
    monkeypatch.setattr(fetch, "FIRST_WAIT", 0.001)
    with serve(Site(pack_zip(trees[2017]))) as site:
        case = Case(invoke, monkeypatch, trees, site, tmp_path / "data" / "davis")
        case.state()
        yield case


def test_a_tree_is_fetched_unpacked_and_checked(case: Case) -> None:
    done = case.run()
    assert done.exit_code == 0, done.output
    archive = case.out.parent / "davis.zip"
    assert done.stdout.splitlines()[-1] == f"{case.out}: complete; {archive} is no longer needed"
    assert case.left == FETCHED
    for what in ("downloading", "verifying", "unpacking", "checking"):
        assert what in done.stderr
    assert (case.out / "ImageSets/2016/val.txt").read_text().split() == DAVIS_2016["val"].split()
    assert case.site.requested == [None]


def test_davis_2016_gets_no_lists(case: Case) -> None:
    case.site.content = pack_zip(case.trees[2016])
    case.state(2016, checksum=("md5", hashlib.md5(case.site.content).hexdigest()))
    assert case.run("--year", "2016").exit_code == 0
    assert names(case.out / "ImageSets") == {"480p"}


def test_a_broken_download_is_continued_by_the_same_command(case: Case) -> None:
    case.site.breaks = [1000, 3000, 500]
    words = f"{case.site.url}: broke off 2 times", "4000 bytes are kept, and the same command goes on"
    refused(case.run("--retries", "1"), *words)
    assert case.left == {"davis.zip.part"}
    assert case.run("--retries", "1").exit_code == 0
    assert case.site.requested == [None, "bytes=1000-", "bytes=4000-", "bytes=4500-"]
    assert case.left == FETCHED


@pytest.mark.parametrize("stage", ["downloading", "verifying", "unpacking"])
def test_a_killed_process_leaves_nothing_in_the_way(case: Case, stage: str) -> None:
    with zipfile.ZipFile(memory := io.BytesIO(case.site.content), "a") as pack:
        pack.writestr("DAVIS/big", bytes(3 << 20))  # not compressed: several chunks
    case.site.content = memory.getvalue()
    case.state()
    command = [FETCH_UNTIL_KILLED, str(case.out), case.site.url, sha256(case.site.content), stage]
    assert subprocess.run([sys.executable, "-c", *command], timeout=300).returncode == -signal.SIGKILL
    assert not case.out.exists()
    assert (case.out.parent / ".davis.partial").exists() == (stage == "unpacking")
    part = case.out.parent / "davis.zip.part"
    rest = [f"bytes={part.stat().st_size}-"] if stage == "downloading" else []
    assert case.run().exit_code == 0
    assert case.site.requested == [None, *rest]
    assert case.left == FETCHED
    assert set(case.trees[2017]) < {f"DAVIS/{name}" for name in files(case.out)}


@pytest.mark.parametrize(
    ("how", "requested"),
    [
        ({"ranges": False, "breaks": [1000, 7000]}, [None, "bytes=1000-", "bytes=7000-"]),
        ({"announced": -1, "breaks": [5000]}, [None, "bytes=5000-"]),
        ({"statuses": [503, 429]}, [None, None, None]),
        ({"statuses": [206]}, [None, None]),
        ({"breaks": [1000], "content_range": "bytes 999-9999/10000"}, [None, "bytes=1000-", None]),
    ],
)
def test_an_odd_server_delivers(case: Case, how: dict[str, Any], requested: list[str | None]) -> None:
    case.state(size=len(case.site.content))
    for name, value in how.items():
        setattr(case.site, name, value)
    assert case.run("--retries", "2").exit_code == 0
    assert case.site.requested == requested


def test_bytes_beyond_the_end_start_again(case: Case) -> None:
    case.out.parent.mkdir()
    (case.out.parent / "davis.zip.part").write_bytes(bytes(len(case.site.content) + 1))
    assert case.run().exit_code == 0
    assert case.site.requested == [f"bytes={len(case.site.content) + 1}-", None]


def test_a_server_that_never_delivers(case: Case) -> None:
    retries = ("--retries", "2")
    case.site.statuses = [503] * 3
    refused(case.run(*retries), "broke off 3 times, at last with status 503", "; 0 bytes are kept")
    with serve(Site(b"")) as gone:
        pass
    refused(case.run(*retries, "--url", gone.url), "broke off 3 times", "Connection refused")
    case.site.announced = len(case.site.content) + 1
    refused(case.run(*retries), f"{case.site.url}: broke off 3 times")


@pytest.mark.parametrize(
    ("facts", "status", "words"),
    [
        ({}, 403, "found status 403 Forbidden; expected the file"),
        ({}, 404, "found status 404 Not Found; expected the file"),
        ({"size": 123}, 0, "bytes; expected 123"),
    ],
)
def test_a_server_that_refuses_or_has_another_size_is_asked_once(
    case: Case, facts: dict[str, int], status: int, words: str
) -> None:
    case.state(**facts)
    case.site.statuses = [status] * 3
    refused(case.run(), f"{case.site.url}: found ", words)
    assert len(case.site.requested) == 1
    assert case.left == set()


def test_another_checksum_is_refused(case: Case) -> None:
    ours, zeros = sha256(case.site.content), "0" * 64
    case.state(size=123, checksum=("md5", zeros[:32]))
    words = f"found sha256 {ours}; expected {zeros}; delete it to download it again"
    refused(case.run("--sha256", zeros), words)
    assert case.left == {"davis.zip"}
    words = f"expected {zeros[:32]}; delete it", f"or give --sha256 {ours} if"
    refused(case.run(), "davis.zip: found md5", *words)
    assert case.run("--sha256", ours.upper()).exit_code == 0
    assert case.site.requested == [None]


def test_a_rest_of_another_file_is_found_by_the_checksum(case: Case) -> None:
    case.site.breaks = [1000]
    refused(case.run("--retries", "0"), "1000 bytes are kept")
    case.site.content = case.site.content[::-1]
    refused(case.run(), "found sha256", "delete it to download it again")
    assert case.left == {"davis.zip"}


def test_a_mirror_must_have_the_same_archive(case: Case) -> None:
    with serve(Site(b"another")) as mirror:
        url = mirror.url.replace("davis.zip", "mirror.zip?key=1")
        refused(case.run("--url", url), "mirror.zip: found sha256")
        mirror.content = case.site.content
        (case.out.parent / "mirror.zip").unlink()
        assert case.run("--url", url).exit_code == 0
    assert case.site.requested == []


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


@pytest.mark.parametrize("stage", ["downloading", "unpacking"])
@pytest.mark.parametrize(("other", "shared"), [("davis", "davis"), ("davis2", "davis.zip")])
def test_two_processes_at_once(case: Case, stage: str, other: str, shared: str) -> None:
    """The second is refused, be it for the same tree or for another tree from the same archive."""
    reached, go_on = threading.Event(), threading.Event()

    def hold(what: str, done: int, total: int | None) -> None:
        if what == stage:
            reached.set()
            go_on.wait(60)

    first = threading.Thread(target=fetch.fetch, args=(case.out, 2017), kwargs={"progress": hold})
    first.start()
    assert reached.wait(60)
    words = f"{case.out.with_name(shared)}: another process fetches it; expected to be alone"
    refused(case.run(into=case.out.with_name(other)), words)
    go_on.set()
    first.join()
    assert case.left == FETCHED
    assert len(case.site.requested) == 1


def test_a_full_disk_is_seen_before_anything_is_written(case: Case) -> None:
    case.patch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    needed = f"{len(case.site.content):,} for {case.site.url}"
    refused(case.run(), f"{case.out.parent}: found 1,000 bytes free; expected {needed}")
    assert case.left == set()
    case.put(pack_zip({"DAVIS/JPEGImages/bomb": bytes(1 << 20)}))
    refused(case.run(), "found 1,000 bytes free; expected 1,048,576 for the files of", "davis.zip")
    assert case.left == {"davis.zip"}


def test_disk_errors_are_one_line(case: Case) -> None:
    case.out.parent.mkdir()
    part = case.out.parent / "davis.zip.part"
    part.symlink_to("/dev/full")
    refused(case.run(), f"{case.out}: cannot be read or written (No space left on device)")
    part.unlink()
    assert case.run().exit_code == 0
    refused(case.run(into=case.out.parent / "davis.zip" / "davis"), "davis.zip: cannot be read or written (")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--sha256", "abc"), "--sha256: found 'abc'; expected 64 hexadecimal digits"),
        (("--resolution", "8k"), "--resolution: found '8k'; expected one of 480p for DAVIS 2017"),
        (("--url", "nowhere/"), "--url: found 'nowhere/'; expected the address of an archive"),
        (("--url", "nowhere"), "nowhere: found Invalid URL"),
    ],
)
def test_options_that_cannot_be(case: Case, tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    refused(case.run(*options, into=tmp_path / "davis"), words)
    assert list(tmp_path.iterdir()) == []


def test_the_official_archives_are_stated_well() -> None:
    assert {*ARCHIVES} == {(2017, "480p"), (2017, "Full-Resolution"), (2016, "480p"), (2016, "1080p")}
    for archive in ARCHIVES.values():
        assert re.fullmatch(r"https://.*/[^/]+\.zip", archive.url)
        algorithm, digest = archive.checksum
        assert re.fullmatch(r"[0-9a-f]+", digest)
        assert len(digest) == 2 * hashlib.new(algorithm).digest_size
    assert {split: len(set(every.split())) for split, every in DAVIS_2016.items()} == {"train": 30, "val": 20}


@pytest.mark.davis
def test_the_lists_of_2016_hold_the_real_sequences(davis_root: Path) -> None:
    for split, every in DAVIS_2016.items():
        assert set(DavisTree(davis_root).split(split, 2016)) <= set(every.split())
