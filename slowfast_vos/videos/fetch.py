"""DAVIS, downloaded, verified, unpacked and checked; a tree that exists is verified and never overwritten."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

import requests
import urllib3
from filelock import FileLock, Timeout

from slowfast_vos.errors import UserError
from slowfast_vos.files import atomic_folder, write_text
from slowfast_vos.progress import ProgressCallback
from slowfast_vos.videos.check import TreeReport, check_tree
from slowfast_vos.videos.davis import DavisTree

log = logging.getLogger(__name__)

CHUNK = 1 << 20
TIMEOUTS = (10, 60)  # seconds to connect, and between two bytes
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds between two tries
# Another try does not help against certificates, circular redirects and (all ValueErrors) malformed addresses.
FINAL = (requests.exceptions.SSLError, requests.exceptions.TooManyRedirects, ValueError)


@dataclass(frozen=True)
class Archive:
    """An official archive of DAVIS."""

    url: str
    size: int | None  # bytes, where they are known
    checksum: tuple[str, str]  # algorithm and digest


# DAVIS states no checksum of the 2017 archives; TensorFlow Datasets recorded these, and others the same ones. That of
# 2016 stands in the get_davis.sh of DAVIS's toolkit.
OF_2016 = Archive(
    "https://graphics.ethz.ch/Downloads/Data/Davis/DAVIS-data.zip", None, ("md5", "0cb3cf9c5617209fa3cc4794e52a2ffa")
)
ARCHIVES = {
    (2017, "480p"): Archive(
        "https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-480p.zip",
        832_766_765,
        ("sha256", "e3d0b5b77c3d031b000a19e0e25e3e2cac65d183755601bc2cf066df1a2aa492"),
    ),
    (2017, "Full-Resolution"): Archive(
        "https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-Full-Resolution.zip",
        2_956_935_323,
        ("sha256", "519494b320e7a333b98188e0f44e028f379c3312a1fc1a3e8bddd64b2c9ecfaf"),
    ),
    (2016, "480p"): OF_2016,
    (2016, "1080p"): OF_2016,
}
COUNTS = {2016: {"train": 30, "val": 20}, 2017: {"train": 60, "val": 30}}  # sequences of each split

DAVIS_2016 = {
    "train": "bear bmx-bumps boat breakdance-flare bus car-turn dance-jump dog-agility drift-turn elephant flamingo "
    "hike hockey horsejump-low kite-walk lucia mallard-fly mallard-water motocross-bumps motorbike paragliding rhino "
    "rollerblade scooter-gray soccerball stroller surf swing tennis train",
    "val": "blackswan bmx-trees breakdance camel car-roundabout car-shadow cows dance-twirl dog drift-chicane "
    "drift-straight goat horsejump-high kite-surf libby motocross-jump paragliding-launch parkour scooter-black "
    "soapbox",
}
"""The sequences of DAVIS 2016, all of which DAVIS 2017 has too."""


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
    if (year, resolution) not in ARCHIVES:
        known = ", ".join(name for edition, name in ARCHIVES if edition == year)
        raise UserError(f"--resolution: found {resolution!r}; expected one of {known} for DAVIS {year}")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: found a file; expected a new folder")
    archive = ARCHIVES[year, resolution]
    if url is not None:
        archive = replace(archive, url=url)
    if sha256 is not None:
        archive = replace(archive, size=None, checksum=("sha256", sha256.lower()))
    name = archive.url.rpartition("/")[2].partition("?")[0]
    path = out.parent / name
    check = partial(_check, DavisTree(out, resolution), year, progress)
    try:
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            found = f"{out}: found something else than a complete DAVIS {year}, left as it is"
            report = check(f"{found}; expected a new folder: move it away, or choose another")
            if year == 2017:
                _add_lists_of_2016(out)
            return report, None
        if name in ("", out.name):
            expected = "expected the address of an archive, whose name is not that of --out"
            raise UserError(f"--url: found {url!r}; {expected}")
        out.parent.mkdir(parents=True, exist_ok=True)
        with _alone(out), _alone(path):
            if not path.exists():
                _download(archive, path, retries, progress)
            _verify(archive, path, progress)
            _unpack(path, out, year, progress)
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
        except FINAL as error:
            raise UserError(f"{archive.url}: found {error}; expected the address of an archive") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            if count > retries:
                kept = f"{_size(part)} bytes are kept, and the same command goes on from there"
                raise UserError(f"{archive.url}: broke off {count} times, at last with {error}; {kept}") from None
            wait = min(FIRST_WAIT * 2 ** (count - 1), LONGEST_WAIT)
            log.warning("%s: broke off (%s); %d tries left, in %.0f s", archive.url, error, retries + 1 - count, wait)
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
        if status == 200:  # the whole file: a first request, or a server that ignores ranges
            done = 0
        elif status in (206, 416) and not (done and content_range.startswith(f"bytes {done}-")):
            part.unlink(missing_ok=True)
            raise requests.ConnectionError(f"range {content_range!r} where the bytes from {done} on were requested")
        elif status in (408, 425, 429) or status >= 500:
            raise requests.ConnectionError(f"status {status} {response.reason}")
        elif status != 206:
            raise UserError(f"{archive.url}: found status {status} {response.reason}; expected the file")
        length = response.raw.length_remaining
        size = archive.size if length is None else done + length
        if archive.size not in (None, size):
            raise UserError(f"{archive.url}: found {size} bytes; expected {archive.size}")
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


def _check_free(folder: Path, needed: int, what: str) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(f"{folder}: found {free:,} bytes free; expected {needed:,} for {what}")


def _verify(archive: Archive, path: Path, progress: ProgressCallback) -> None:
    """Refuse a file that has not the archive's checksum, with the SHA-256 by which to accept it."""
    algorithm, expected = archive.checksum
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in ("sha256", algorithm)}
    size = _size(path)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            for digest in digests.values():
                digest.update(chunk)
            progress("verifying", file.tell(), size)
    found = digests[algorithm].hexdigest()
    if found != expected:
        raise UserError(
            f"{path}: found {algorithm} {found}; expected {expected}; delete it to download it "
            f"again, or give --sha256 {digests['sha256'].hexdigest()} if you trust it"
        )


def _unpack(path: Path, out: Path, year: int, progress: ProgressCallback) -> None:
    """Unpack the folder that holds JPEGImages as `out`, which is whole or not there; all names are checked first."""
    current, done = "", 0
    try:
        with zipfile.ZipFile(path) as pack:
            members = _plain_members(path, pack)
            total = sum(member.file_size for member in members)
            roots = {root for root, inside, _ in (one.filename.partition("JPEGImages/") for one in members) if inside}
            if len(roots) != 1:
                expected = "one, beside Annotations and ImageSets"
                raise UserError(f"{path}: found {len(roots)} folders JPEGImages; expected {expected}")
            _check_free(out.parent, total, f"the files of {path}")
            with atomic_folder(out) as folder:
                for member in members:
                    current = f"{member.filename!r}: "
                    member.filename = member.filename.removeprefix(*roots)
                    pack.extract(member, folder)
                    done += member.file_size
                    progress("unpacking", done, total)
                if year == 2017:
                    _add_lists_of_2016(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, UnicodeDecodeError) as error:
        expected = "expected a whole zip archive; delete it to download it again"
        raise UserError(f"{path}: damaged ({current}{error!r}); {expected}") from error


def _plain_members(path: Path, pack: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of an archive without what macOS adds; refuses links, devices and paths that lead out of the folder."""
    members = []
    for member in pack.infolist():
        place, kind = PurePosixPath(member.orig_filename), stat.S_IFMT(member.external_attr >> 16)
        if place.is_absolute() or ".." in place.parts or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            expected = "expected plain files below the folder; nothing was unpacked"
            raise UserError(f"{path}: found {member.orig_filename!r}, a link or a path that leads out; {expected}")
        if not (member.is_dir() or "__MACOSX" in place.parts or place.name.startswith((".DS_Store", "._"))):
            members.append(member)
    return members


def _add_lists_of_2016(root: Path) -> None:
    """Write the lists `ImageSets/2016` that a tree of DAVIS 2017 may lack; the paper validates on 2016's sequences."""
    for split, names in DAVIS_2016.items():
        path = root / "ImageSets" / "2016" / f"{split}.txt"
        if not path.exists():
            write_text(path, "".join(f"{name}\n" for name in names.split()))
            log.info("ImageSets/2016/%s.txt is not in this release of DAVIS 2017, and was added", split)


def _check(tree: DavisTree, year: int, progress: ProgressCallback, otherwise: str) -> TreeReport:
    """The report of a complete tree; refuses another with all that it lacks, a line each, and then `otherwise`."""
    report = check_tree(tree, year, progress=partial(progress, "checking"))
    counts = [
        f"{tree.root / 'ImageSets'}: found {len(reports)} sequences in {split}; expected {COUNTS[year][split]}"
        for split, reports in report.splits.items()
        if len(reports) != COUNTS[year][split]
    ]
    if counts or report.problems:
        raise UserError("\n".join([*counts, *report.problems, otherwise]))
    return report
