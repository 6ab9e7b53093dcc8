"""Folders with the checksums of their files inside, by which they are known for ours, and unchanged."""

from __future__ import annotations

import hashlib
from pathlib import Path

from slowfast_vos.errors import UserError
from slowfast_vos.files import write_text

SUMS = "SHA256SUMS"  # as `sha256sum --check` reads it


def sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path) -> None:
    """Write the SHA-256 of every file below `folder` into its `SHA256SUMS`."""
    write_text(folder / SUMS, "".join(f"{sha256(folder / name)}  {name}\n" for name in _names(folder)))


def expect_unchanged(folder: Path) -> None:
    """Refuse to replace a folder, if it is there, unless it holds just what its `SHA256SUMS` lists.

    Raises:
        UserError: a file was added, changed or removed, or the folder has no such list.
    """
    if not folder.exists():
        return
    expected = "expected a folder that this command wrote, and nobody changed, or another --out"
    if not (folder / SUMS).is_file():
        raise UserError(f"{folder}: found no {SUMS} in it; {expected}")
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in sorted({*_names(folder)} ^ {*listed}):
        raise UserError(f"{folder / name}: {'missing' if name in listed else 'found a file of others'}; {expected}")
    for name, digest in listed.items():
        if sha256(folder / name) != digest:
            raise UserError(f"{folder / name}: found it changed; {expected}")


def _names(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    return sorted({path.relative_to(folder).as_posix() for path in paths} - {SUMS})
