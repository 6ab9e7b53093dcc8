"""Published runs: their tables follow from their records."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_runs import SMALL, settings_for, write_run
from slowfast_vos.errors import UserError
from slowfast_vos.reporting.publish import publish, rebuild_tables
from slowfast_vos.reporting.records import ARCHIVE

ROOT = Path(__file__).parents[2]
PUBLISHED = [path.parent for path in sorted((ROOT / "results/published").glob(f"*/{ARCHIVE}"))]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


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


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda path: path.name)
def test_what_is_published_here_follows_from_its_records(folder: Path, tmp_path: Path) -> None:
    assert contents(rebuild_tables(folder, tmp_path)) == contents(folder / "tables")
    assert (folder / "report.html").stat().st_size
