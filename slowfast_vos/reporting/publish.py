"""A finished run as a folder to commit: its page, its tables, and the records that they are made from."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from slowfast_vos.config import load_settings, without_places
from slowfast_vos.errors import UserError
from slowfast_vos.files import atomic_folder, atomic_write
from slowfast_vos.paths import Results
from slowfast_vos.reporting.page import write_page
from slowfast_vos.reporting.records import ARCHIVE, read_run, unpack
from slowfast_vos.reporting.tables import write_tables


def publish(results: Results, out: Path) -> Path:
    """Write a run's page, tables and records into `out`, in place of what this wrote there before.

    The settings do not say where DAVIS lay; frames of DAVIS, whose licence is CC BY-NC, are left out of the page.

    Raises:
        UserError: a record is missing, or the page is; or the folder holds something else.
    """
    _expect_own(out, ARCHIVE)
    run, page = read_run(results), results.reports / "report.html"
    if not page.is_file():
        raise UserError(f"{page}: missing; expected the run's page (slowfast-vos report)")
    names = ["settings.json", "dataset.json", *run.records["path"]]
    out.mkdir(parents=True, exist_ok=True)
    write_archive(out / ARCHIVE, names, lambda name: _without_places(results.root / name))
    with TemporaryDirectory() as folder:
        pages = write_page(results, Path(folder), strips=False) if run.is_davis else [page]
        shutil.copyfile(pages[0], out / "report.html")
    with atomic_folder(out / "tables") as tables:
        _copy_tables(results, tables)
    return out


def _without_places(path: Path) -> bytes:
    """The settings or a record, without the folders where DAVIS lay."""
    content = path.read_bytes()
    value = json.loads(content)
    changed = value | {"settings": without_places(value["settings"])} if "settings" in value else without_places(value)
    return content if changed == value else json.dumps(changed, indent=2).encode() + b"\n"


def write_archive(path: Path, names: Iterable[str], read: Callable[[str], bytes]) -> None:
    """Write what `read` gives for each name as a ZIP; the same contents give the same bytes."""
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(names):
            archive.writestr(zipfile.ZipInfo(name), read(name), zipfile.ZIP_DEFLATED, 9)  # without the file's date


def rebuild_tables(published: Path, folder: Path) -> Path:
    """Write the tables of a published run again, from its records alone; returns their folder.

    Args:
        folder: gets the records, and the tables as `tables`.

    Raises:
        UserError: the archive is damaged, or the folder holds something else.
    """
    _expect_own(folder, "records")
    unpack(published, folder / "records")
    results = Results(load_settings(folder / "records" / "settings.json"), folder, folder / "records")
    with atomic_folder(folder / "tables") as tables:
        _copy_tables(results, tables)
    return folder / "tables"


def _expect_own(folder: Path, mark: str) -> None:
    """Refuse to write into a folder of other files, which lacks what is written here first."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: found a file; expected a folder, or none yet")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / mark).exists():
        raise UserError(f"{folder}: found other files; expected an empty folder, or one written before")


def _copy_tables(results: Results, out: Path) -> None:
    """The tables without LaTeX, and without the summary, which links to figures."""
    for path in write_tables(results, out):
        if path.suffix == ".tex" or path.stem == "summary":
            path.unlink()
