"""A server of a tiny edition of DAVIS, and the command that fetches it."""

from __future__ import annotations

import hashlib
import io
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from slowfast_vos.videos import fetch
from slowfast_vos.videos.fetch import Archive

from web_site import Site

if TYPE_CHECKING:
    from click.testing import Result


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def pack_zip(contents: dict[str, bytes], mode: int = stat.S_IFREG) -> bytes:
    with zipfile.ZipFile(memory := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as pack:
        for name, content in contents.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode | 0o644) << 16
            pack.writestr(info, content)
    return memory.getvalue()


@dataclass
class Case:
    """A server, what is stated of its archive, and the folder that the command fetches into."""

    invoke: Callable[..., Result]
    patch: pytest.MonkeyPatch
    trees: dict[int, dict[str, bytes]]
    site: Site
    out: Path

    def state(self, year: int = 2017, **facts: Any) -> None:
        """State what the official archive is: by default, what the server has, of unknown size."""
        facts = {"size": None, "checksum": ("sha256", sha256(self.site.content)), **facts}
        self.patch.setattr(fetch, "ARCHIVES", {(year, "480p"): Archive(self.site.url, **facts)})
        self.patch.setitem(fetch.COUNTS, year, {"train": 2, "val": 2})

    def put(self, content: bytes) -> None:
        """Put an archive where the command looks for it, as if it were the official one."""
        self.out.parent.mkdir(exist_ok=True)
        (self.out.parent / "davis.zip").write_bytes(content)
        self.state(checksum=("sha256", sha256(content)))

    def run(self, *options: str, into: Path | None = None) -> Result:
        return self.invoke("fetch-davis", "--out", str(into or self.out), *options)

    @property
    def left(self) -> set[str]:
        """What lies where the tree is to be."""
        return names(self.out.parent)
