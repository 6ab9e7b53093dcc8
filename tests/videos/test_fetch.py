"""`fetch-davis` from end to end, against a server on this machine."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from slowfast_vos.errors import UserError
from slowfast_vos.videos import download, fetch
from slowfast_vos.videos.archives import ARCHIVES, DAVIS_2016, Archive

from davis_trees import frame, mask, write_tree
from web_site import Site, serve

if TYPE_CHECKING:
    from click.testing import Result

Invoke = Callable[..., "Result"]
SPLITS = {"train": 2, "val": 2}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, bytes]:
    """Tiny archives as the official ones are laid out: all below DAVIS/."""
    contents = {}
    for year in (2016, 2017):
        folder = tmp_path_factory.mktemp(str(year))
        write_tree(folder / "DAVIS", year=year)
        contents[year] = pack(folder)
    return contents


def pack(folder: Path) -> bytes:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.name != "a.zip":
                archive.write(path, path.relative_to(folder))
    return (folder / "a.zip").read_bytes()


@pytest.fixture
def site(packed: dict[int, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The server of the tiny DAVIS 2017, whose checksum is unknown."""
    monkeypatch.setattr(download, "FIRST_WAIT", 0.001)
    with serve(Site(packed[2017])) as site:
        known(monkeypatch, site)
        yield site


def known(monkeypatch: pytest.MonkeyPatch, site: Site, year: int = 2017, **facts: Any) -> None:
    monkeypatch.setattr(fetch, "ARCHIVES", (Archive(year, ("480p",), site.url, SPLITS, **facts),))


@contextmanager
def closing_lock(path: Path) -> Iterator[None]:
    """Hold a file as another process would."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(invoke: Invoke, out: Path, *options: str) -> Result:
    done = invoke("fetch-davis", "--out", str(out), *options)
    assert "Traceback" not in done.output
    return done


def refused(invoke: Invoke, out: Path, *words: str, options: tuple[str, ...] = (), lines: int = 1) -> None:
    done = run(invoke, out, *options)
    assert done.exit_code == 1, (done.output, done.exception)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == lines, errors
    for word in words:
        assert word in "\n".join(errors), errors


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_tree_is_fetched_unpacked_checked_and_recorded(invoke: Invoke, site: Site, tmp_path: Path) -> None:
    out = tmp_path / "data" / "davis"
    done = run(invoke, out)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == f"{out}: complete; {out.parent / 'davis.zip'} is no longer needed"
    assert {path.name for path in out.parent.iterdir()} == {"davis", "davis.zip", "davis.zip.sha256"}
    assert (out.parent / "davis.zip.sha256").read_text() == f"{sha256(site.content)}  davis.zip\n"
    assert "no checksum is known; its SHA-256" in done.stderr
    for what in ("downloading", "verifying", "unpacking", "checking"):
        assert what in done.stderr
    assert frame(out, "dog", 2).is_file()
    assert (out / "ImageSets/2016/val.txt").read_text().split() == DAVIS_2016["val"].split()


def test_what_a_killed_process_unpacked_is_removed_and_one_that_lives_is_left_alone(
    invoke: Invoke, site: Site, tmp_path: Path
) -> None:
    out, left = tmp_path / "data" / "davis", tmp_path / "data" / ".davis.unpacking" / "DAVIS" / "half.jpg"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    with closing_lock(out.with_name(".davis.lock")):
        refused(invoke, out, f"{out}: another process unpacks it")
    assert left.exists()
    assert run(invoke, out).exit_code == 0
    assert {path.name for path in out.parent.iterdir()} == {"davis", "davis.zip", "davis.zip.sha256"}
    assert "half.jpg" not in {path.name for path in out.rglob("*")}


def test_davis_2016_needs_no_mending(
    invoke: Invoke, packed: dict[int, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(Site(packed[2016])) as site:
        known(monkeypatch, site, 2016, checksum=("md5", hashlib.md5(packed[2016]).hexdigest()), source="stated")
        done = run(invoke, tmp_path / "davis", "--year", "2016")
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "davis" / "ImageSets").iterdir()} == {"480p"}


def test_a_broken_download_goes_on(invoke: Invoke, site: Site, tmp_path: Path) -> None:
    site.breaks, site.headers = [1000, 3000], {"ETag": '"one"'}
    refused(invoke, tmp_path / "davis", "broke off 2 times", "4000 bytes are kept", options=("--retries", "1"))
    assert not (tmp_path / "davis").exists()
    assert run(invoke, tmp_path / "davis").exit_code == 0
    assert site.asked == [(None, None), ("bytes=1000-", '"one"'), ("bytes=4000-", '"one"')]


def test_a_complete_tree_is_verified_and_left(invoke: Invoke, site: Site, tmp_path: Path) -> None:
    assert run(invoke, tmp_path / "davis").exit_code == 0
    (tmp_path / "davis.zip").unlink()
    before = files(tmp_path / "davis")
    done = run(invoke, tmp_path / "davis")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == f"{tmp_path / 'davis'}: complete, left as it is"
    assert files(tmp_path / "davis") == before
    assert len(site.asked) == 1


def test_a_tree_that_differs_is_left_and_said_to(invoke: Invoke, site: Site, tmp_path: Path) -> None:
    out = write_tree(tmp_path / "davis")
    mask(out, "dog", 1).unlink()
    before = files(out)
    words = (f"{mask(out, 'dog', 1)}: missing", "left as it is; expected a new folder: move it away, or choose another")
    refused(invoke, out, *words, lines=2)
    shutil.copy(mask(out, "dog", 0), mask(out, "dog", 1))
    (out / "ImageSets/2017/val.txt").write_text("dog\n")
    refused(invoke, out, "found 1 sequences in val; expected 2", lines=2)
    assert set(files(out)) == {*before, str(mask(out, "dog", 1).relative_to(out))}
    assert site.asked == []


def test_something_else_in_its_place_is_left(invoke: Invoke, site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    refused(invoke, tmp_path / "file", "found something else than a complete DAVIS 2017", lines=3)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "a.tex").write_text("mine")
    refused(invoke, tmp_path / "thesis", "found something else than a complete DAVIS 2017", lines=3)
    assert files(tmp_path) == {"file": b"mine", "thesis/a.tex": b"mine"}
    (tmp_path / "empty").mkdir()
    assert run(invoke, tmp_path / "empty").exit_code == 0


def test_an_archive_that_is_there_is_used_and_compared_with_its_record(
    invoke: Invoke, site: Site, tmp_path: Path
) -> None:
    (tmp_path / "davis.zip").write_bytes(site.content)
    (tmp_path / "davis.zip.sha256").write_text(f"{sha256(b'another')}  davis.zip\n")
    refused(invoke, tmp_path / "davis", f"found sha256 {sha256(site.content)}; expected {sha256(b'another')}, recorded")
    (tmp_path / "davis.zip.sha256").unlink()
    assert run(invoke, tmp_path / "davis").exit_code == 0
    assert site.asked == []


def test_a_checksum_that_is_given_counts(invoke: Invoke, site: Site, tmp_path: Path) -> None:
    words = f"found sha256 {sha256(site.content)}; expected {'0' * 64}, given as --sha256; delete it to download"
    refused(invoke, tmp_path / "davis", words, options=("--sha256", "0" * 64))
    assert {path.name for path in tmp_path.iterdir()} == {"davis.zip"}
    done = run(invoke, tmp_path / "davis", "--sha256", sha256(site.content).upper())
    assert done.exit_code == 0
    assert len(site.asked) == 1
    assert "no checksum is known" not in done.stderr


def test_what_is_known_of_an_archive_counts_unless_another_checksum_is_given(
    invoke: Invoke, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(monkeypatch, site, size=123, source="stated by them")
    refused(invoke, tmp_path / "davis", f"found {len(site.content)} bytes; expected 123, stated by them")
    known(monkeypatch, site, checksum=("md5", "0" * 32), source="stated by them")
    ours = sha256(site.content)
    refused(
        invoke, tmp_path / "davis", f"expected {'0' * 32}, stated by them; delete it", f"or give --sha256 {ours} if"
    )
    assert run(invoke, tmp_path / "davis", "--sha256", ours).exit_code == 0


def test_a_mirror_must_have_the_same_archive(
    invoke: Invoke, packed: dict[int, bytes], site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(monkeypatch, site, checksum=("sha256", sha256(site.content)), source="stated")
    with serve(Site(packed[2016])) as mirror:
        mirror_url = mirror.url.replace("davis.zip", "mirror.zip?key=1")
        refused(invoke, tmp_path / "davis", "mirror.zip: found sha256", options=("--url", mirror_url))
    assert site.asked == []


@pytest.mark.parametrize("spoil", ["flip", "cut", "page"])
def test_a_corrupt_archive_is_refused_and_not_recorded(invoke: Invoke, site: Site, tmp_path: Path, spoil: str) -> None:
    at = len(site.content) // 2
    spoilt = {
        "flip": site.content[:at] + bytes([site.content[at] ^ 0xFF]) + site.content[at + 1 :],
        "cut": site.content[:-100],
        "page": b"<html>sign in</html>",
    }
    good, site.content = site.content, spoilt[spoil]
    refused(invoke, tmp_path / "davis", "davis.zip: ", "delete it to download it again")
    assert {path.name for path in tmp_path.iterdir()} == {"davis.zip"}
    (tmp_path / "davis.zip").unlink()
    site.content = good
    assert run(invoke, tmp_path / "davis").exit_code == 0


def test_an_archive_with_an_unsafe_member_leaves_nothing(invoke: Invoke, site: Site, tmp_path: Path) -> None:
    path = tmp_path / "unsafe.zip"
    path.write_bytes(site.content)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("DAVIS/../../out.txt", b"x")
    site.content = path.read_bytes()
    refused(invoke, tmp_path / "data" / "davis", "found 'DAVIS/../../out.txt', a path that may lead out", "nothing was")
    assert {one.name for one in (tmp_path / "data").iterdir()} == {"davis.zip"}


def test_an_archive_of_something_else_and_one_that_is_incomplete(invoke: Invoke, site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    (folder / "DAVIS").mkdir(parents=True)
    (folder / "DAVIS" / "README.md").write_text("")
    site.content = pack(folder)
    refused(invoke, tmp_path / "a" / "davis", "found DAVIS; expected JPEGImages, Annotations and ImageSets, or one")
    assert not (tmp_path / "a" / "davis").exists()
    root = write_tree(tmp_path / "partial" / "DAVIS")
    frame(root, "dog", 1).unlink()
    site.content = pack(tmp_path / "partial")
    refused(invoke, tmp_path / "b" / "davis", "00001.jpg: missing", "which holds no complete DAVIS 2017", lines=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--sha256", "abc"), "--sha256: found 'abc'; expected 64 hexadecimal digits"),
        (("--resolution", "8k"), "--resolution: found '8k'; expected one of 480p for DAVIS 2017"),
        (("--url", "nowhere/"), "--url: found 'nowhere/'; expected the address of an archive"),
        (("--url", "nowhere"), "nowhere: found Invalid URL"),
    ],
)
def test_options_that_cannot_be(
    invoke: Invoke, site: Site, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    refused(invoke, tmp_path / "davis", words, options=options)
    assert list(tmp_path.iterdir()) == []


def test_the_official_archives_are_stated_well() -> None:
    assert {(archive.year, *archive.resolutions) for archive in ARCHIVES} == {
        (2017, "480p"),
        (2017, "Full-Resolution"),
        (2016, "480p", "1080p"),
    }
    for archive in ARCHIVES:
        assert archive.url.startswith("https://")
        assert archive.name.endswith(".zip")
        assert archive.checksum is not None
        algorithm, digest = archive.checksum
        assert re.fullmatch(r"[0-9a-f]+", digest)
        assert len(digest) == 2 * hashlib.new(algorithm).digest_size
        assert archive.source
    assert {split: len(set(names.split())) for split, names in DAVIS_2016.items()} == {"train": 30, "val": 20}
    with pytest.raises(UserError, match=r"found '1080p'; expected one of 480p, Full-Resolution for DAVIS 2017"):
        fetch.find_archive(2017, "1080p")


@pytest.mark.davis
def test_the_lists_of_2016_hold_the_real_sequences(davis_root: Path) -> None:
    from slowfast_vos.videos.davis import DavisTree

    for split, names in DAVIS_2016.items():
        assert set(DavisTree(davis_root).split(split, 2016)) <= set(names.split())
