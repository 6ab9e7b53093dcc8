"""`fetch-davis` from end to end, against a server on this machine that breaks off, lies and refuses."""

from __future__ import annotations

import hashlib
import io
import re
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fetch_case import Case, files, names, pack_zip, sha256
from slowfast_vos.videos import fetch
from slowfast_vos.videos.davis import DavisTree
from slowfast_vos.videos.fetch import ARCHIVES, DAVIS_2016

from command_line import refused
from web_site import Site, serve

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
