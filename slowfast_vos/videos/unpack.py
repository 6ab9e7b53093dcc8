"""Archives that are looked through before anything of them is written."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from slowfast_vos.errors import UserError

Progress = Callable[[int, int | None], None]
CHUNK = 1 << 20
_CORRUPT = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)


@dataclass(frozen=True)
class _Member:
    """A plain file of an archive."""

    name: str
    size: int
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, folder: Path, progress: Progress | None = None) -> None:
    """Write the plain files of a zip or tar archive below a folder.

    Every member is looked at before the first is written: absolute paths, ways out of the folder, links, devices and
    encrypted members are refused. What macOS adds (`__MACOSX`, `._*`, `.DS_Store`) is left out.

    Args:
        folder: an empty folder.
        progress: is told how many bytes of how many are written.

    Raises:
        UserError: no archive, an unsafe or a damaged one, or the disk has too little room.
    """
    with _members(archive) as members:
        total, done = sum(member.size for member in members), 0
        free = shutil.disk_usage(folder).free
        if total > free:
            raise UserError(f"{folder}: found {free:,} bytes free; expected {total:,} for the files of {archive}")
        for member in members:
            done += _write(archive, member, folder)
            if progress:
                progress(done, total)


@contextmanager
def _members(archive: Path) -> Iterator[list[_Member]]:
    expected = "expected a whole zip or tar archive; delete it to download it again"
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as pack:
                yield _checked(archive, [_from_zip(archive, pack, one) for one in pack.infolist()])
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as pack:
                yield _checked(archive, [_from_tar(archive, pack, one) for one in pack.getmembers()])
        else:
            with open(archive, "rb") as file:
                start = file.read(8)
            raise UserError(f"{archive}: found {archive.stat().st_size:,} bytes that begin with {start!r}; {expected}")
    except _CORRUPT as error:
        raise UserError(f"{archive}: damaged ({error or type(error).__name__}); {expected}") from error
    except OSError as error:
        raise UserError(f"{archive}: cannot be unpacked ({error.strerror or error}); {expected}") from error


def _checked(archive: Path, members: list[_Member | None]) -> list[_Member]:
    """The plain files, without what macOS adds."""
    files = [member for member in members if member and not _of_macos(member.name)]
    names = [member.name for member in files]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice:
        raise UserError(f"{archive}: found {twice!r} twice; expected each file once")
    return files


def _of_macos(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return parts[0] == "__MACOSX" or parts[-1] == ".DS_Store" or parts[-1].startswith("._")


def _from_zip(archive: Path, pack: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member | None:
    mode = info.external_attr >> 16
    _check_name(archive, info.orig_filename)
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        _refuse(archive, info.filename, "a link or device")
    if info.flag_bits & 1:
        _refuse(archive, info.filename, "an encrypted file")
    return None if info.is_dir() else _Member(info.filename, info.file_size, lambda: pack.open(info))


def _from_tar(archive: Path, pack: tarfile.TarFile, info: tarfile.TarInfo) -> _Member | None:
    if info.isdir() and not PurePosixPath(info.name).parts:  # the folder itself, as `tar -C DAVIS .` has it
        return None
    _check_name(archive, info.name)
    if not (info.isreg() or info.isdir()):
        _refuse(archive, info.name, "a link or device")
    return None if info.isdir() else _Member(info.name, info.size, lambda: pack.extractfile(info))


def _check_name(archive: Path, name: str) -> None:
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or any(sign in name for sign in "\\:\0"):
        _refuse(archive, name, "a path that may lead out of the folder")


def _refuse(archive: Path, name: str, what: str) -> None:
    raise UserError(f"{archive}: found {name!r}, {what}; expected plain files below the folder, nothing was unpacked")


def _write(archive: Path, member: _Member, folder: Path) -> int:
    target = folder / member.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb") as out:
            stream = member.open()
            if stream is None:
                raise tarfile.TarError("no content")
            with stream:
                shutil.copyfileobj(stream, out, CHUNK)
            written = out.tell()
    except _CORRUPT as error:
        raise type(error)(f"{member.name}: {error}") from error
    if written != member.size:
        raise zipfile.BadZipFile(f"{member.name}: {written} of {member.size} bytes")
    return written
