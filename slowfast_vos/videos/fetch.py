"""DAVIS, downloaded, verified, unpacked and checked; a tree that exists is verified and never overwritten."""

from __future__ import annotations

import hashlib
import logging
import lzma
import os
import re
import shutil
import stat
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import requests
import urllib3
from filelock import FileLock, Timeout

from slowfast_vos.errors import UserError
from slowfast_vos.progress import ProgressCallback
from slowfast_vos.videos.archives import Archive, add_lists_of_2016, find_archive
from slowfast_vos.videos.check import TreeReport, check_tree
from slowfast_vos.videos.davis import DavisTree

log = logging.getLogger(__name__)

CHUNK = 1 << 20
TIMEOUTS = (10, 60)  # seconds to connect, and between two bytes
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds between two tries
# Another try does not help against certificates, circular redirects and (all ValueErrors) malformed addresses.
FINAL = (requests.exceptions.SSLError, requests.exceptions.TooManyRedirects, ValueError)
# What zipfile, tarfile and their decompressors raise on damaged archives.
DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(EOFError, OSError, NotImplementedError, UnicodeDecodeError),
)


def fetch(
    out: Path,
    year: int,
    resolution: str = "480p",
    *,
    url: str | None = None,
    sha256: str | None = None,
    retries: int = 5,
    progress: ProgressCallback = lambda what, done, total: None,
) -> tuple[TreeReport, Path | None]:
    """Make `out` a complete DAVIS tree. The archive stays beside it.

    Args:
        url: a mirror of the official archive.
        sha256: the archive's SHA-256, to be checked instead of the known size and checksum.
        retries: further tries of a download that breaks off.

    Returns:
        what the tree holds, and the archive it was unpacked from; None where the tree existed before.

    Raises:
        UserError: `out` holds something else; the archive cannot be downloaded, has another size or checksum, is
            damaged or unsafe; another process fetches the same; or the disk is full or cannot be written.
    """
    archive = find_archive(year, resolution)
    if url is not None:
        archive = replace(archive, url=url)
    if sha256 is not None:
        archive = replace(archive, size=None, checksum=("sha256", sha256.lower()), source="given as --sha256")
    name = archive.url.rpartition("/")[2].partition("?")[0]
    path = out.parent / name
    check = partial(_check, DavisTree(out, resolution), archive, progress)
    try:
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            found = f"{out}: found something else than a complete DAVIS {year}, left as it is"
            report = check(f"{found}; expected a new folder: move it away, or choose another")
            if year == 2017:
                add_lists_of_2016(out)
            return report, None
        if name in ("", out.name):
            expected = "expected the address of an archive, whose name is not that of --out"
            raise UserError(f"--url: found {url!r}; {expected}")
        out.parent.mkdir(parents=True, exist_ok=True)
        with _alone(out), _alone(path):
            if not path.exists():
                _download(archive, path, retries, progress)
            _verify(archive, path, progress)
            _unpack_whole(archive, path, out, progress)
            return check(f"{out}: unpacked from {path}, which holds no complete DAVIS {year}"), path
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{error.filename or out}: cannot be read or written ({reason})") from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Refuse to run while another process makes the same file or folder."""
    lock = FileLock(path.with_name(f".{path.name}.lock"), blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"{path}: another process fetches it; expected to be alone") from None
    except OSError as error:  # no locks here; a folder that cannot be written fails at the download
        log.warning("%s: cannot be locked (%s); start no second process", path, error.strerror)
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)  # filelock never takes a file that was removed meanwhile
        lock.release()


def _download(archive: Archive, path: Path, retries: int, progress: ProgressCallback) -> None:
    """Download into `PATH.part`, which a later call continues, and rename it once it is whole."""
    part = path.with_name(f"{path.name}.part")
    for count in range(1, retries + 2):
        try:
            _request_rest(archive, part, progress)
            break
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            reason = _innermost(error)
            if isinstance(error, FINAL):
                raise UserError(f"{archive.url}: found {reason}; expected the address of an archive") from None
            if count > retries:
                kept = f"{_size(part)} bytes are kept, and the same command goes on from there"
                raise UserError(f"{archive.url}: broke off {count} times, at last with {reason}; {kept}") from None
            wait = min(FIRST_WAIT * 2 ** (count - 1), LONGEST_WAIT)
            log.warning("%s: broke off (%s); %d tries left, in %.0f s", archive.url, reason, retries + 1 - count, wait)
            time.sleep(wait)
    os.replace(part, path)


def _request_rest(archive: Archive, part: Path, progress: ProgressCallback) -> None:
    """Ask once for the bytes that are missing, and append them; a network error means that another try may help.

    Nothing checks here that they are from the same file as the earlier ones: the checksum of the whole does.
    """
    done = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with requests.get(archive.url, headers=headers, stream=True, timeout=TIMEOUTS) as response:
        status, content_range = response.status_code, response.headers.get("Content-Range", "")
        rest = re.fullmatch(rf"bytes {done}-\d+/(\d+)", content_range)
        if status == 200:  # the whole file: a first request, or a server that ignores ranges
            done, size = 0, response.raw.length_remaining
            size = archive.size if size is None else size
            if archive.size not in (None, size):
                raise UserError(f"{archive.url}: found {size} bytes; expected {archive.size}, {archive.source}")
        elif status == 206 and done and rest and archive.size in (None, int(rest[1])):
            size = int(rest[1])
        elif status in (206, 416):
            part.unlink(missing_ok=True)
            raise requests.ConnectionError(f"range {content_range!r} where the bytes from {done} on were requested")
        elif status in (408, 425, 429) or status >= 500:
            raise requests.ConnectionError(f"status {status} {response.reason}")
        else:
            raise UserError(f"{archive.url}: found status {status} {response.reason}; expected the file")
        _check_free(part.parent, (size or 0) - done, archive.url)
        with open(part, "ab" if done else "wb") as file:
            progress("downloading", done, size)
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                file.write(chunk)
                done += len(chunk)
                progress("downloading", done, size)
    if size not in (None, done):
        raise requests.ConnectionError(f"{done} of {size} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _innermost(error: BaseException) -> str:
    """The first cause of a network error, in one line."""
    inner = getattr(error, "reason", None) or next((one for one in error.args if isinstance(one, Exception)), None)
    return _innermost(inner) if isinstance(inner, Exception) else " ".join(str(error).split()) or type(error).__name__


def _check_free(folder: Path, needed: int, what: str) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(f"{folder}: found {free:,} bytes free; expected {needed:,} for {what}")


def _verify(archive: Archive, path: Path, progress: ProgressCallback) -> None:
    """Refuse a file that has not the archive's checksum, with the SHA-256 by which to accept it."""
    algorithm, expected = archive.checksum
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in ("sha256", algorithm)}
    size = _size(path)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            for one in hashes.values():
                one.update(chunk)
            progress("verifying", file.tell(), size)
    digests = {name: one.hexdigest() for name, one in hashes.items()}
    if digests[algorithm] != expected:
        raise UserError(
            f"{path}: found {algorithm} {digests[algorithm]}; expected {expected}, {archive.source}; delete it to "
            f"download it again, or give --sha256 {digests['sha256']} if you trust it"
        )


def _unpack_whole(archive: Archive, path: Path, out: Path, progress: ProgressCallback) -> None:
    """Unpack into a temporary folder, then rename: `out` is a whole tree or none."""
    temporary = out.with_name(f".{out.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)  # what a killed process left
    try:
        temporary.mkdir()
        _unpack(path, temporary, progress)
        roots = [one for one in (temporary, *temporary.iterdir()) if (one / "JPEGImages").is_dir()]
        if len(roots) != 1:
            found = ", ".join(sorted(one.name for one in temporary.iterdir())[:5]) or "nothing"
            expected = "JPEGImages, Annotations and ImageSets, or one folder of them"
            raise UserError(f"{path}: found {found}; expected {expected}")
        if archive.year == 2017:
            add_lists_of_2016(roots[0])
        os.replace(roots[0], out)  # replaces an empty folder, and no other
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unpack(path: Path, folder: Path, progress: ProgressCallback) -> None:
    """Write the files of a zip or tar archive below an empty folder; all are checked before the first is written."""
    current, done = "", 0
    try:
        is_zip = zipfile.is_zipfile(path)
        if not is_zip and not tarfile.is_tarfile(path):
            raise tarfile.ReadError("neither zip nor tar")
        with zipfile.ZipFile(path) if is_zip else tarfile.open(path) as pack:
            files = _plain_files(path, pack)
            total = sum(size for _, size, _ in files)
            _check_free(folder, total, f"the files of {path}")
            for name, size, member in files:
                current = f"{name!r}: "
                pack.extract(member, folder, **({} if is_zip else {"filter": "data"}))
                done += size
                progress("unpacking", done, total)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno:  # the disk's fault, not the archive's
            raise
        expected = "expected a whole zip or tar archive; delete it to download it again"
        raise UserError(f"{path}: damaged ({current}{_innermost(error)}); {expected}") from error


def _plain_files(path: Path, pack: zipfile.ZipFile | tarfile.TarFile) -> list[tuple[str, int, Any]]:
    """Name, size and entry of each file of an archive, without what macOS adds; refuses links, devices, encrypted
    files, files that come twice, and paths that may lead out of the folder."""
    if isinstance(pack, tarfile.TarFile):
        members = [(one.name, one.size, one.isdir(), one.isreg() or one.isdir(), one) for one in pack.getmembers()]
    else:
        members = [(one.orig_filename, one.file_size, one.is_dir(), _is_plain(one), one) for one in pack.infolist()]
    files = {}
    for name, size, is_folder, is_plain, member in members:
        place, problem = PurePosixPath(name), ""
        if is_folder and not place.parts:  # the folder itself, as `tar -C DAVIS .` has it
            continue
        if not place.parts or place.is_absolute() or ".." in place.parts or re.search(r"[\\:\0]", name):
            problem = "a path that may lead out of the folder"
        elif not is_plain:
            problem = "a link, a device or an encrypted file"
        elif place in files:
            problem = "twice"
        if problem:
            expected = "expected plain files below the folder, each once; nothing was unpacked"
            raise UserError(f"{path}: found {name!r}, {problem}; {expected}")
        if not (is_folder or "__MACOSX" in place.parts or place.name.startswith((".DS_Store", "._"))):
            files[place] = (name, size, member)
    return list(files.values())


def _is_plain(member: zipfile.ZipInfo) -> bool:
    is_encrypted = member.flag_bits & 1
    return not is_encrypted and stat.S_IFMT(member.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)


def _check(tree: DavisTree, archive: Archive, progress: ProgressCallback, otherwise: str) -> TreeReport:
    """The report of a complete tree; refuses another with all that it lacks, a line each, and then `otherwise`."""
    report = check_tree(tree, archive.year, list(archive.splits), progress=partial(progress, "checking"))
    counts = [
        f"{tree.root / 'ImageSets'}: found {len(report.splits[split])} sequences in {split}; expected {count}"
        for split, count in archive.splits.items()
        if split in report.splits and len(report.splits[split]) != count
    ]
    if counts or report.problems:
        raise UserError("\n".join([*counts, *report.problems, otherwise]))
    return report
