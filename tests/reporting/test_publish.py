"""Published runs: their tables follow from their records."""

from __future__ import annotations

import csv
import re
import zipfile
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from fake_runs import SMALL, settings_for, write_run
from slowfast_vos.errors import UserError
from slowfast_vos.reporting.plots import write_plots
from slowfast_vos.reporting.publish import publish, rebuild_tables
from slowfast_vos.reporting.records import ARCHIVE, unpack

ROOT = Path(__file__).parents[2]
PUBLISHED = [path.parent for path in sorted((ROOT / "results/published").glob(f"*/{ARCHIVE}"))]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rounded(table: bytes) -> bytes:
    """Its numbers to nine digits: the last ones depend on the processor."""
    return re.sub(rb"\d+\.\d{9,}(e-?\d+)?", lambda found: b"%.9g" % float(found[0]), table)


def test_a_published_run_gives_its_tables_again(tmp_path: Path) -> None:
    results = write_run(settings_for(**SMALL, seeds=[1, 2, 3]), tmp_path / "run")
    results.settings.save(results.root / "settings.json")
    with pytest.raises(UserError, match=r"report\.html: missing; expected the run's page"):
        publish(results, tmp_path / "out")
    results.reports.mkdir(parents=True)
    (results.reports / "report.html").write_text("A page.")
    first = contents(publish(results, tmp_path / "out") / "tables")
    archive = (tmp_path / "out" / ARCHIVE).read_bytes()
    assert contents(rebuild_tables(tmp_path / "out", tmp_path / "again")) == first
    assert {"claims.csv", "table1.md"} <= set(first)
    publish(results, tmp_path / "out")
    assert (tmp_path / "out" / ARCHIVE).read_bytes() == archive


def test_what_is_published_of_davis_shows_none_of_its_frames_and_not_where_it_lay(tmp_path: Path) -> None:
    results = write_run(settings_for("davis", davis_root="/somewhere", **SMALL), tmp_path / "run")
    results.settings.save(results.root / "settings.json")
    (results.reports / "strips").mkdir(parents=True)
    write_plots(results, results.reports / "figures")
    (results.reports / "report.html").write_text("A page with frames.")
    published = publish(results, tmp_path / "out")
    page = (published / "report.html").read_text(encoding="utf-8")
    assert "Frames of DAVIS are not passed on" in page
    assert "data:image/webp" not in page
    with zipfile.ZipFile(published / ARCHIVE) as archive:
        assert b"somewhere" not in b"".join(map(archive.read, archive.namelist()))
    assert rebuild_tables(published, tmp_path / "again")


@pytest.mark.parametrize("place", ["local header", "data", "method", "flags"])
def test_a_damaged_archive_is_refused_in_one_line(place: str, tmp_path: Path) -> None:
    path = tmp_path / ARCHIVE
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("settings.json", "settings " * 100)
    content = bytearray(path.read_bytes())
    central = content.rindex(b"PK\x01\x02")
    at = {"local header": 2, "data": 30 + len("settings.json"), "method": central + 10, "flags": central + 8}[place]
    content[at] ^= 7
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        unpack(tmp_path, tmp_path / "out")
    assert str(error.value).startswith(f"{path}: cannot be unpacked (")
    assert len(str(error.value).splitlines()) == 1


def test_nothing_of_a_persons_is_replaced(tmp_path: Path) -> None:
    results = write_run(settings_for(**SMALL), tmp_path / "run")
    results.settings.save(results.root / "settings.json")
    results.reports.mkdir(parents=True)
    (results.reports / "report.html").write_text("A page.")
    own = tmp_path / "own" / "tables" / "mine.csv"
    own.parent.mkdir(parents=True)
    own.write_text("1")
    published = publish(results, tmp_path / "out")
    for write in (partial(publish, results), partial(rebuild_tables, published)):
        with pytest.raises(UserError, match=r"own: found other files; expected an empty folder, or one written before"):
            write(tmp_path / "own")
        with pytest.raises(UserError, match=r"mine\.csv: found a file; expected a folder"):
            write(own)
    assert own.read_text() == "1"
    assert rebuild_tables(published, tmp_path / "again") == rebuild_tables(published, tmp_path / "again")


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda path: path.name)
def test_what_is_published_here_follows_from_its_records(folder: Path, tmp_path: Path) -> None:
    again, there = contents(rebuild_tables(folder, tmp_path)), contents(folder / "tables")
    assert again.keys() == there.keys()
    assert [*map(rounded, again.values())] == [*map(rounded, (there[name] for name in again))]
    assert (folder / "report.html").stat().st_size


def test_the_readme_says_what_the_published_study_answers() -> None:
    with (ROOT / "results/published/study/tables/claims.csv").open(encoding="utf-8") as file:
        claims = {row["claim"]: row for row in csv.DictReader(file)}
    counts = Counter(row["verdict"] for row in claims.values())
    words = [
        f"{counts[verdict]} {verdict}" for verdict in ("supported", "contradicted", "undecided") if counts[verdict]
    ]
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").replace("> ", "").split())
    assert f"Of {len(claims)} claims: {', '.join(words)}." in readme
    for claim in ("fast-beside-one", "sees-motion", "three-frames", "not-seven", "fine-tuning"):
        difference, low, high = (
            f"{float(claims[claim][end]):+.3f}".replace("-", "−") for end in ("difference", "low", "high")
        )
        assert f"{difference} [{low}, {high}]" in readme
