"""Downloads from a server that breaks off, lies and forgets."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from slowfast_vos.errors import UserError
from slowfast_vos.videos import download as module
from slowfast_vos.videos.download import download

from web_site import Site, serve

CONTENT = b"".join(hashlib.sha256(bytes([index])).digest() for index in range(256)) * 40
TAG = {"ETag": '"one"'}
MakeSite = Callable[..., Site]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", 0.001)


@pytest.fixture
def make_site() -> Iterator[MakeSite]:
    with ExitStack() as stack:

        def make(content: bytes = CONTENT, **how: Any) -> Site:
            return stack.enter_context(serve(Site(content, **how)))

        yield make


def fails(site: Site, path: Path, *words: str, **options: Any) -> None:
    with pytest.raises(UserError) as error:
        download(site.url, path, **{"retries": 2, **options})
    assert len(str(error.value).splitlines()) == 1
    for word in words:
        assert word in str(error.value)
    assert not path.exists()


def left(path: Path) -> set[str]:
    return {one.name for one in path.parent.iterdir()}


def test_a_file_comes_whole_and_nothing_else_stays(make_site: MakeSite, tmp_path: Path) -> None:
    site, told = make_site(), []
    download(site.url, tmp_path / "new" / "a.zip", progress=lambda *told_: told.append(told_))
    assert (tmp_path / "new" / "a.zip").read_bytes() == CONTENT
    assert left(tmp_path / "new" / "a.zip") == {"a.zip"}
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert site.asked == [(None, None)]


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        (TAG, '"one"'),
        ({"Last-Modified": "Mon, 01 Jan 2018 00:00:00 GMT"}, "Mon, 01 Jan 2018 00:00:00 GMT"),
        ({"ETag": 'W/"weak"'}, None),
        ({}, None),
    ],
)
def test_it_goes_on_where_it_broke_off(
    make_site: MakeSite, tmp_path: Path, headers: dict[str, str], validator: str | None
) -> None:
    site = make_site(breaks=[1000, 5000], headers=headers)
    download(site.url, tmp_path / "a.zip", retries=2)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert site.asked == [(None, None), ("bytes=1000-", validator), ("bytes=6000-", validator)]


def test_a_later_call_goes_on_too(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(breaks=[1000, 500, 0], headers=TAG)
    fails(site, tmp_path / "a.zip", "broke off 3 times", "1500 bytes are kept, and the same command goes on")
    assert left(tmp_path / "a.zip") == {"a.zip.part", "a.zip.part.json"}
    download(site.url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert site.asked[-1] == ("bytes=1500-", '"one"')


def test_a_file_that_changed_meanwhile_is_fetched_anew(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(breaks=[1000], headers=TAG)
    fails(site, tmp_path / "a.zip", retries=0)
    site.content, site.headers = CONTENT[::-1], {"ETag": '"two"'}
    download(site.url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT[::-1]


def test_old_bytes_do_not_stand_under_a_changed_files_name(
    make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when the new one would begin; the next call begins it."""
    site = make_site(breaks=[1000], headers=TAG)
    fails(site, tmp_path / "a.zip", retries=0)
    site.content, site.headers = CONTENT[::-1], {"ETag": '"two"'}
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
        fails(site, tmp_path / "a.zip", "found 1,000 bytes free")
    download(site.url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT[::-1]


def test_a_file_system_without_locks_downloads_with_a_warning(
    make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    download(make_site().url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert "a.zip.part: cannot be locked (Function not implemented); start no second download" in caplog.text


def test_a_range_of_a_file_that_changed_is_not_added(make_site: MakeSite, tmp_path: Path) -> None:
    """A server that does not heed If-Range."""
    site = make_site(breaks=[1000], headers=TAG)
    fails(site, tmp_path / "a.zip", retries=0)
    site.content, site.headers = CONTENT[::-1], {"ETag": '"two"', "X-Old": '"one"'}
    download(site.url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT[::-1]


def test_bytes_of_another_address_or_of_unknown_origin_are_not_used(make_site: MakeSite, tmp_path: Path) -> None:
    fails(make_site(b"x" * 5000, breaks=[1000]), tmp_path / "a.zip", retries=0)
    site = make_site()
    download(site.url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    (tmp_path / "b.zip.part").write_bytes(b"y" * 100)
    (tmp_path / "b.zip.part.json").write_text("[]")
    download(site.url, tmp_path / "b.zip")
    assert (tmp_path / "b.zip").read_bytes() == CONTENT
    assert {asked for asked, _ in site.asked} == {None}


def test_a_server_without_ranges_starts_again_cleanly(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(ranges=False, breaks=[1000, 7000])
    download(site.url, tmp_path / "a.zip", retries=2)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("lie", ["bytes 0-9/10", "bytes 999-327679/327680", "bytes 1000-327679/999999", "nonsense"])
def test_a_range_that_was_not_asked_for_is_not_added(make_site: MakeSite, tmp_path: Path, lie: str) -> None:
    site = make_site(breaks=[1000], content_range=lie)
    download(site.url, tmp_path / "a.zip", retries=2)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert [asked for asked, _ in site.asked] == [None, "bytes=1000-", None]


def test_more_announced_than_sent_never_ends_well(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(announced=len(CONTENT) + 1)
    fails(site, tmp_path / "a.zip", f"{site.url}: broke off 3 times")


def test_less_announced_than_known_is_refused_at_once(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(announced=5000)
    fails(site, tmp_path / "a.zip", "found 5000 bytes; expected 327680, stated", size=len(CONTENT), source="stated")
    assert len(site.asked) == 1
    assert left(tmp_path / "a.zip") == set()


def test_without_an_announced_length_the_known_size_tells_a_break_from_the_end(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site = make_site(announced=-1, breaks=[5000])
    download(site.url, tmp_path / "a.zip", size=len(CONTENT), retries=1)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert [asked for asked, _ in site.asked] == [None, "bytes=5000-"]
    fails(make_site(announced=-1), tmp_path / "b.zip", "327680 of 5000 bytes", size=5000)


def test_a_range_that_was_not_asked_for_at_all(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(statuses=[206])
    download(site.url, tmp_path / "a.zip", retries=1)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_bytes_beyond_the_end_start_again(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(breaks=[1000])
    fails(site, tmp_path / "a.zip", retries=0)
    site.content = CONTENT[:500]
    download(site.url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT[:500]
    assert [asked for asked, _ in site.asked] == [None, "bytes=1000-", None]


def test_a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(statuses=[503, 429])
    download(site.url, tmp_path / "a.zip", retries=2)
    for status in (403, 404):
        site = make_site(statuses=[status] * 3)
        fails(site, tmp_path / f"{status}.zip", f"{site.url}: found status {status}")
        assert len(site.asked) == 1
    site = make_site(statuses=[503] * 3)
    fails(site, tmp_path / "b.zip", "broke off 3 times, at last with status 503")
    assert left(tmp_path / "a.zip") == {"a.zip"}


def test_no_server_and_no_address(make_site: MakeSite, tmp_path: Path) -> None:
    with serve(Site(CONTENT)) as site:
        pass
    fails(site, tmp_path / "a.zip", "broke off 3 times", "refused")
    site.url = "davis.zip"
    fails(site, tmp_path / "a.zip", "davis.zip: found Invalid URL", "expected the address of an archive")


def test_a_full_disk_shows_before_anything_comes(
    make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    fails(make_site(), tmp_path / "a.zip", f"{tmp_path}: found 1,000 bytes free; expected 327,680 for http")


def test_a_folder_that_cannot_be_written_and_one_that_is_in_use(make_site: MakeSite, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    fails(make_site(), tmp_path / "file" / "a.zip", "a.zip.part: cannot be written")
    site, waiting, seen = make_site(), threading.Event(), threading.Event()

    def hold(done: int, total: int | None) -> None:
        seen.set()
        waiting.wait(5)

    first = threading.Thread(target=download, args=(site.url, tmp_path / "b.zip"), kwargs={"progress": hold})
    first.start()
    assert seen.wait(5)
    fails(site, tmp_path / "b.zip", "another process downloads it")
    waiting.set()
    first.join()
    assert (tmp_path / "b.zip").read_bytes() == CONTENT
