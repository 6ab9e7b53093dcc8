"""The official archives of DAVIS, fetched, verified and unpacked; what is there already is left alone."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from slowfast_vos.errors import UserError
from slowfast_vos.files import write_text
from slowfast_vos.locks import NoLocksError, try_lock
from slowfast_vos.videos.archives import ARCHIVES, Archive, add_lists_of_2016
from slowfast_vos.videos.check import TreeReport, check_tree
from slowfast_vos.videos.davis import DavisTree
from slowfast_vos.videos.download import download
from slowfast_vos.videos.unpack import unpack

log = logging.getLogger(__name__)

Tell = Callable[[str, int, int | None], None]
DOWNLOADING, HASHING, UNPACKING, CHECKING = "downloading", "verifying", "unpacking", "checking"


@dataclass(frozen=True)
class Fetched:
    """A tree that is there and sound.

    Attributes:
        report: what it holds.
        archive: what it was unpacked from; None where it was there before.
    """

    tree: DavisTree
    report: TreeReport
    archive: Path | None


def find_archive(year: int, resolution: str) -> Archive:
    """The official archive of an edition at a resolution.

    Raises:
        UserError: there is none.
    """
    for archive in ARCHIVES:
        if archive.year == year and resolution in archive.resolutions:
            return archive
    known = ", ".join(name for archive in ARCHIVES if archive.year == year for name in archive.resolutions)
    raise UserError(f"--resolution: found {resolution!r}; expected one of {known} for DAVIS {year}")


def fetch(
    out: Path,
    year: int,
    resolution: str = "480p",
    *,
    url: str | None = None,
    sha256: str | None = None,
    retries: int = 5,
    tell: Tell = lambda what, done, total: None,
) -> Fetched:
    """Make `out` a complete DAVIS tree. The archive stays beside it, with its SHA-256 in `ARCHIVE.sha256`.

    Args:
        url: a mirror of the official archive.
        sha256: what the archive's SHA-256 must be, instead of the checksum that is known.
        retries: further tries of a download that breaks off.
        tell: is told what is being done, and how much of it is.

    Raises:
        UserError: `out` holds something else, or the archive cannot be had, is not what was expected, or is unsafe.
    """
    archive = find_archive(year, resolution)
    tree = DavisTree(out, resolution)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        report, problems = _check(tree, archive, tell)
        if problems:
            what = f"{out}: found something else than a complete DAVIS {year}, left as it is"
            raise UserError("\n".join([*problems, f"{what}; expected a new folder: move it away, or choose another"]))
        _mend(out, archive)
        return Fetched(tree, report, None)
    name = (url or archive.url).rpartition("/")[2].partition("?")[0]
    path = out.parent / name
    if not name or path == out:
        raise UserError(f"--url: found {url!r}; expected the address of an archive, whose name is not that of --out")
    if not path.exists():
        known = (archive.size, archive.source) if sha256 is None else (None, "")
        download(
            url or archive.url,
            path,
            size=known[0],
            source=known[1],
            retries=retries,
            progress=partial(tell, DOWNLOADING),
        )
    digest = _verify(path, archive, sha256, tell)
    _unpack(path, out, archive, tell)
    # Recorded only now: an archive that does not unpack is not one to compare others with.
    write_text(_record(path), f"{digest}  {path.name}\n")
    report, problems = _check(tree, archive, tell)
    if problems:
        raise UserError("\n".join([*problems, f"{out}: unpacked from {path}, which holds no complete DAVIS {year}"]))
    return Fetched(tree, report, path)


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _verify(path: Path, archive: Archive, sha256: str | None, tell: Tell) -> str:
    """The archive's SHA-256, once it is what was asked for, recorded or published.

    Raises:
        UserError: it is not.
    """
    wanted: list[tuple[str, str, str]] = []
    if sha256 is not None:
        wanted.append(("sha256", sha256.lower(), "given as --sha256"))
    elif archive.checksum:
        wanted.append((*archive.checksum, archive.source))
    if _record(path).is_file():
        recorded = _record(path).read_text(encoding="utf-8", errors="replace").split()
        wanted.append(("sha256", recorded[0] if recorded else "", f"recorded in {_record(path)}"))
    found = _digests(path, {"sha256", *(algorithm for algorithm, *_ in wanted)}, partial(tell, HASHING))
    for algorithm, digest, source in wanted:
        if found[algorithm] != digest:
            raise UserError(
                f"{path}: found {algorithm} {found[algorithm]}; expected {digest}, {source}; delete it to download it "
                "again" + (f", or give --sha256 {found['sha256']} if you trust it" if sha256 is None else "")
            )
    if not wanted:
        log.warning("%s: no checksum is known; its SHA-256 %s is recorded beside it", path, found["sha256"])
    return found["sha256"]


def _digests(path: Path, algorithms: set[str], progress: Callable[[int, int | None], None]) -> dict[str, str]:
    digests = {algorithm: hashlib.new(algorithm, usedforsecurity=False) for algorithm in algorithms}
    size, done = path.stat().st_size, 0
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            for digest in digests.values():
                digest.update(chunk)
            done += len(chunk)
            progress(done, size)
    return {algorithm: digest.hexdigest() for algorithm, digest in digests.items()}


def _unpack(path: Path, out: Path, archive: Archive, tell: Tell) -> None:
    """Unpack into a temporary folder, then rename: `out` is a whole tree or none."""
    temporary, held = out.with_name(f".{out.name}.unpacking"), out.with_name(f".{out.name}.lock")
    try:
        lock = try_lock(held)
        if lock is None:
            raise UserError(f"{out}: another process unpacks it; expected to be alone")
    except NoLocksError as error:
        log.warning("%s; unpack it with one process only", error)
        lock = None
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # of one that was killed
        temporary.mkdir()
        unpack(path, temporary, partial(tell, UNPACKING))
        root = _root(temporary, path)
        _mend(root, archive)
        root.chmod(0o755)
        os.replace(root, out)  # an empty folder may be in its place
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        held.unlink(missing_ok=True)
        if lock:
            lock.release()


def _mend(root: Path, archive: Archive) -> None:
    """Add what our loader needs and some releases lack."""
    if archive.year == 2017 and add_lists_of_2016(root):
        log.info("ImageSets/2016 is not in this release of DAVIS 2017, and was added")


def _root(folder: Path, archive: Path) -> Path:
    """Where JPEGImages lies: the archive's top, or a folder in it such as DAVIS."""
    roots = [one for one in (folder, *sorted(folder.iterdir())) if (one / "JPEGImages").is_dir()]
    if len(roots) != 1:
        found = ", ".join(sorted(one.name for one in folder.iterdir())[:5]) or "nothing"
        raise UserError(
            f"{archive}: found {found}; expected JPEGImages, Annotations and ImageSets, or one folder of them"
        )
    return roots[0]


def _check(tree: DavisTree, archive: Archive, tell: Tell) -> tuple[TreeReport, list[str]]:
    """The tree's report, and all that keeps it from being the official one."""
    report = check_tree(tree, archive.year, list(archive.splits), progress=partial(tell, CHECKING))
    counts = [
        f"{tree.root / 'ImageSets'}: found {len(report.splits[split])} sequences in {split}; expected {count}"
        for split, count in archive.splits.items()
        if split in report.splits and len(report.splits[split]) != count
    ]
    return report, counts + report.problems
