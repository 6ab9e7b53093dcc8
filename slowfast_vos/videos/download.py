"""Downloads that go on where they broke off, and end whole or not at all."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

import requests
import urllib3

from slowfast_vos.errors import UserError
from slowfast_vos.files import write_json
from slowfast_vos.locks import UNSUPPORTED

log = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
TIMEOUT = (10, 60)
CHUNK = 1 << 20
# Statuses that a second try may change; every other one from 400 on is the server's last word.
PASSING = {408, 425, 429, 500, 502, 503, 504}


class _BrokenOffError(Exception):
    """What went wrong with one try; another may go better."""


def download(
    url: str,
    path: Path,
    *,
    size: int | None = None,
    source: str = "",
    retries: int = 5,
    progress: Progress | None = None,
) -> None:
    """Fetch a file. What has come is kept in `PATH.part`, and the next call goes on from there.

    Args:
        size: bytes that the file must have, where that is known; else those that the server announces.
        source: who knows it.
        retries: further tries after a failed one, with longer and longer waits.
        progress: is told how many bytes of how many are there.

    Raises:
        UserError: the server refuses, breaks off more often than `retries`, or has a file of another size; or the
            file cannot be written.
    """
    part = _Part(url, path, (size, source), progress or (lambda done, total: None))
    wait = FIRST_WAIT
    with part.locked():
        for left in range(retries, -1, -1):
            try:
                part.fetch()
                break
            except _BrokenOffError as error:
                if not left:
                    raise UserError(
                        f"{url}: broke off {retries + 1} times, at last with {error}; "
                        f"{part.bytes} bytes are kept, and the same command goes on from there"
                    ) from None
                log.warning("%s: broke off (%s); again in %.0f s, %d tries left", url, error, wait, left)
                time.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)
        part.finish()


class _Part:
    """A file on its way: its bytes in `PATH.part`, what they are a part of in `PATH.part.json`."""

    def __init__(self, url: str, path: Path, size: tuple[int | None, str], progress: Progress) -> None:
        self.url, self.path, self.progress = url, path, progress
        self.size, self.source = size
        self.file = path.with_name(f"{path.name}.part")
        self.about = path.with_name(f"{path.name}.part.json")

    @property
    def bytes(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second process from adding to the same file."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with open(self.file, "ab") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    if error.errno not in UNSUPPORTED:
                        raise
                    log.warning("%s: cannot be locked (%s); start no second download", self.file, error.strerror)
                try:
                    yield
                finally:
                    if self.file.exists() and not self.bytes:
                        self.file.unlink()
        except BlockingIOError:
            raise UserError(f"{self.file}: another process downloads it; expected to be alone") from None
        except OSError as error:
            raise UserError(f"{self.file}: cannot be written ({error.strerror or error})") from error

    def finish(self) -> None:
        os.replace(self.file, self.path)
        self.about.unlink(missing_ok=True)

    def fetch(self) -> None:
        """One try: ask for what is missing, and add it."""
        known = self._known()
        have = self.bytes if known else 0
        if have and have == known["size"]:
            self._check_size(have)
            return
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if known["validator"]:
                headers["If-Range"] = known["validator"]
        try:
            with requests.get(self.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
                self._take(response, have, known)
        except (requests.exceptions.SSLError, requests.exceptions.TooManyRedirects) as error:
            raise UserError(f"{self.url}: refused ({_reason(error)})") from None
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            raise _BrokenOffError(_reason(error)) from error
        except requests.RequestException as error:
            raise UserError(f"{self.url}: found {_reason(error)}; expected the address of an archive") from None

    def _known(self) -> dict[str, Any]:
        """What the bytes at hand are a part of; empty where that is unknown, and they are of no use."""
        try:
            known = json.loads(self.about.read_text(encoding="utf-8"))
            return known if known["url"] == self.url and {"validator", "size"} <= set(known) else {}
        except (OSError, ValueError, TypeError, KeyError):
            return {}

    def _take(self, response: requests.Response, have: int, known: dict[str, Any]) -> None:
        if response.status_code == 206:
            total = self._checked_range(response, have, known)
        elif response.status_code == 200:  # the server knows no ranges, or the file has changed: from the start
            have, total = 0, _length(response)
            self._check_size(total)
            total = self.size if total is None else total
            # Before it is known what is to come: old bytes must not stand under the new file's name.
            os.truncate(self.file, 0)
            write_json(self.about, {"url": self.url, "validator": _validator(response), "size": total})
        elif response.status_code == 416:
            self._start_again(f"no bytes from {have} on")
        elif response.status_code in PASSING:
            raise _BrokenOffError(f"status {response.status_code} {response.reason}")
        else:
            raise UserError(f"{self.url}: found status {response.status_code} {response.reason}; expected the file")
        free = shutil.disk_usage(self.file.parent).free
        if total is not None and total - have > free:
            raise UserError(f"{self.file.parent}: found {free:,} bytes free; expected {total - have:,} for {self.url}")
        with open(self.file, "r+b") as file:
            file.truncate(have)
            file.seek(have)
            self._write(response, file, have, total)
        if total is not None and self.bytes != total:
            raise _BrokenOffError(f"{self.bytes} of {total} bytes")
        self._check_size(self.bytes)

    def _write(self, response: requests.Response, file: IO[bytes], have: int, total: int | None) -> None:
        self.progress(have, total)
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            file.write(chunk)
            have += len(chunk)
            self.progress(have, total)
        file.flush()
        os.fsync(file.fileno())

    def _checked_range(self, response: requests.Response, have: int, known: dict[str, Any]) -> int:
        """The whole file's size, once the range is known to go on where ours ends, in the same file."""
        text = response.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", text)
        if not have or not found or int(found[1]) != have or known["size"] not in (None, int(found[3])):
            self._start_again(f"range {text!r} where the bytes from {have} on were asked for")
        if known["validator"] and _validator(response) not in ("", known["validator"]):
            self._start_again("a range of a file that has changed")
        self._check_size(int(found[3]))
        return int(found[3])

    def _check_size(self, size: int | None) -> None:
        if size is not None and self.size not in (None, size):
            self._forget()
            raise UserError(f"{self.url}: found {size} bytes; expected {self.size}{self.source and f', {self.source}'}")

    def _start_again(self, why: str) -> NoReturn:
        self._forget()
        raise _BrokenOffError(why)

    def _forget(self) -> None:
        os.truncate(self.file, 0)
        self.about.unlink(missing_ok=True)


def _length(response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _validator(response: requests.Response) -> str:
    """What tells this file from a later one under the same address, fit for If-Range; empty where nothing does."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _reason(error: BaseException) -> str:
    """The innermost cause of a network error, in one line."""
    while True:
        inner = getattr(error, "reason", None) or next((one for one in error.args if isinstance(one, Exception)), None)
        if not isinstance(inner, Exception):
            break
        error = inner
    return " ".join(str(error).split()) or type(error).__name__
