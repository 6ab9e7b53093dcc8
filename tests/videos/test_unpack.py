"""Archives that are unsafe or damaged are refused before anything of them is written."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from slowfast_vos.errors import UserError
from slowfast_vos.videos.unpack import unpack

FILES = {"DAVIS/README.md": b"read me", "DAVIS/JPEGImages/480p/bear/00000.jpg": b"\xff\xd8" * 5000}


def pack_zip(path: Path, files: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = ((modes or {}).get(name, stat.S_IFREG) | 0o644) << 16
            pack.writestr(info, content)
    return path


def pack_tar(path: Path, files: dict[str, bytes], kinds: dict[str, bytes] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as pack:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = (kinds or {}).get(name, tarfile.REGTYPE), "/etc/passwd"
            info.size = len(content) if info.isreg() else 0
            pack.addfile(info, io.BytesIO(content))
    return path


PACKS = {"zip": pack_zip, "tar": pack_tar}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "new"
    path.mkdir(parents=True)
    return path


def refused(archive: Path, folder: Path, *words: str) -> None:
    with pytest.raises(UserError) as error:
        unpack(archive, folder)
    text = str(error.value)
    assert text.startswith((f"{archive}: ", f"{folder}: "))
    assert len(text.splitlines()) == 1
    for word in words:
        assert word in text


def untouched(folder: Path) -> bool:
    return not any(folder.iterdir()) and {one.name for one in folder.parent.iterdir()} == {folder.name}


@pytest.mark.parametrize("kind", PACKS)
def test_plain_files_are_written(tmp_path: Path, folder: Path, kind: str) -> None:
    told: list[tuple[int, int | None]] = []
    of_macos = {
        "__MACOSX/DAVIS/._README.md": b"",
        "DAVIS/.DS_Store": b"",
        "DAVIS/JPEGImages/480p/bear/._00000.jpg": b"",
    }
    archive = PACKS[kind](tmp_path / "a", {**FILES, **of_macos})
    unpack(archive, folder, lambda *one: told.append(one))
    assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == FILES
    total = sum(map(len, FILES.values()))
    assert told[-1] == (total, total)


@pytest.mark.parametrize("kind", PACKS)
@pytest.mark.parametrize(
    "name", ["/etc/cron", "../out.txt", "DAVIS/../../out.txt", "..", "C:/windows", "DAVIS\\..\\..\\out.txt"]
)
def test_a_path_that_leads_out_is_refused(tmp_path: Path, folder: Path, kind: str, name: str) -> None:
    archive = PACKS[kind](tmp_path / "a", {**FILES, name: b"x"})
    refused(archive, folder, f"found {name!r}, a path that may lead out of the folder", "nothing was unpacked")
    assert untouched(folder)


def test_links_and_devices_are_refused(tmp_path: Path, folder: Path) -> None:
    name = "DAVIS/ImageSets"
    for mode in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO):
        archive = pack_zip(tmp_path / "a", {**FILES, name: b"/etc"}, {name: mode})
        refused(archive, folder, f"found {name!r}, a link or device")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        archive = pack_tar(tmp_path / "a", {**FILES, name: b""}, {name: kind})
        refused(archive, folder, f"found {name!r}, a link or device")
    assert untouched(folder)


def test_an_encrypted_and_a_double_file_are_refused(tmp_path: Path, folder: Path) -> None:
    archive = pack_zip(tmp_path / "a", FILES)
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    refused(archive, folder, "an encrypted file")
    with tarfile.open(tmp_path / "b", "w") as pack:
        for _ in range(2):
            pack.addfile(tarfile.TarInfo("DAVIS/a"))
    refused(tmp_path / "b", folder, "found 'DAVIS/a' twice")
    assert untouched(folder)


def flipped(content: bytes) -> bytes:
    """One byte of the samples of the first file changed."""
    at = content.index(b"README.md") + 12
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


@pytest.mark.parametrize("kind", PACKS)
@pytest.mark.parametrize(
    "spoil",
    [lambda content: content[:-30], lambda content: content[:100], lambda content: b"", lambda content: b"<html>" * 9],
    ids=["end", "most", "all", "page"],
)
def test_what_is_cut_off_or_no_archive_is_refused(
    tmp_path: Path, folder: Path, kind: str, spoil: Callable[[bytes], bytes]
) -> None:
    archive = PACKS[kind](tmp_path / "a", FILES)
    archive.write_bytes(spoil(archive.read_bytes()))
    refused(archive, folder, "expected a whole zip or tar archive; delete it to download it again")


def test_a_flipped_byte_is_found_and_the_member_named(tmp_path: Path, folder: Path) -> None:
    archive = pack_zip(tmp_path / "a", FILES)
    archive.write_bytes(flipped(archive.read_bytes()))
    refused(archive, folder, "damaged (DAVIS/README.md: ", "delete it to download it again")


def test_a_full_disk_shows_before_anything_is_written(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    refused(pack_zip(tmp_path / "a", FILES), folder, "found 100 bytes free; expected 10,007 for the files of")
    assert untouched(folder)
