"""The workflow itself: a tiny run through Snakemake from nothing to the last table, and what an edit reruns."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from slowfast_vos.videos.synthetic import sequence_names

from workflow_runs import TINY, snakemake


@pytest.fixture
def run(local_run: tuple[Path, subprocess.CompletedProcess[str]]) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A finished tiny run."""
    return local_run


@pytest.mark.slow
def test_a_tiny_run_reaches_the_last_table_and_says_where_it_is(
    run: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = run
    assert done.returncode == 0, done.stderr[-3000:]
    tables = folder / "reports" / "tiny" / "tables"
    for name in ("table1", "table2", "cost", "tuning", "grid-1-1", "grid-1-3", "per-sequence", "attributes"):
        assert all((tables / f"{name}.{suffix}").stat().st_size for suffix in ("csv", "md", "tex"))
    assert (folder / "reports/tiny/figures/jf-vs-time.png").stat().st_size
    assert "reports/tiny/tables" in done.stdout + done.stderr


@pytest.mark.slow
def test_a_configuration_that_diverges_is_a_row_and_stops_nothing(
    run: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = run
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("results/tiny/grid/**/seed=63.json"))]
    assert len(records) == 2 * 2 * 1 * 2
    failed = [record for record in records if record["status"] == "failed"]
    assert {record["job"]["lr"] for record in failed} == {"1e30"}
    assert all("not finite" in record["error"] for record in failed)
    assert "failed" in (folder / "reports/tiny/tables/grid-1-1.md").read_text()


@pytest.mark.slow
def test_predictions_are_what_the_official_scorer_reads(
    run: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    from PIL import Image

    folder, _ = run
    masks = sorted(folder.glob("results/tiny/predictions/semi-supervised/1-3/seed=63/*/*.png"))
    assert len(masks) == 2 * 5
    for path in masks:
        with Image.open(path) as image:
            assert image.mode == "P"
            assert image.size == (160, 96)


@pytest.mark.slow
def test_nothing_is_left_to_do_and_an_edited_rate_reruns_its_own_shard_alone(
    run: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder, _ = run
    again = snakemake(folder, "--cores", "1", "-n")
    assert "Nothing to be done" in again.stdout + again.stderr
    edited = tmp_path / "edited.yaml"
    edited.write_text(TINY.read_text().replace('"0.001", "1e30"', '"0.002", "1e30"'))
    plan = snakemake(folder, "--cores", "1", "-n", configfile=edited)
    counts = dict(line.split() for line in plan.stdout.splitlines() if len(line.split()) == 2 and "_of_" in line)
    assert counts.get("grid_1_of_2") == "2"
    assert "grid_2_of_2" not in counts
    for rule in ("detector", "parent", "tuning", "cost"):
        assert f"\n{rule} " not in plan.stdout


@pytest.mark.slow
def test_tables_come_from_the_records_alone(run: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = run
    tables = folder / "reports" / "tiny" / "tables"
    before = {path.name: path.read_bytes() for path in tables.iterdir()}
    for path in tables.iterdir():
        path.unlink()
    done = snakemake(folder, "--cores", "1", "tables")
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.name: path.read_bytes() for path in tables.iterdir()} == before


@pytest.mark.slow
def test_the_paper_protocol_and_several_seeds_reach_the_tables(
    run: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder, _ = run
    validation = sequence_names("val", 2)
    values = {"name": "paper", "protocol": "paper", "seeds": [63, 64], "setups": ["1-3"]}
    grid = {"freeze": ["SF"], "lr": ["0.001"], "sequences": validation[:1], "shards": 1}
    paper = tmp_path / "paper.yaml"
    paper.write_text(yaml.safe_dump(yaml.safe_load(TINY.read_text()) | values | {"grid": grid | {"iterations": 2}}))
    done = snakemake(folder, "--cores", "2", configfile=paper)
    assert done.returncode == 0, done.stderr[-3000:]
    table = (folder / "reports/paper/tables/table1.md").read_text()
    assert "paper" in table
    assert "±" in table
    parent = json.loads((folder / "results/paper/parent/1-3/seed=64/record.json").read_text())
    assert list(parent["scores"]["sequences"]) == validation
    point = folder / "results/paper/grid/1-3/freeze=SF/scale=0/lr=0.001/seed=64.json"
    assert list(json.loads(point.read_text())["scores"]["sequences"]) == validation[:1]


def test_a_wrong_configuration_is_refused_in_one_line_before_anything_runs(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(TINY.read_text() + "\nspeed: 9\n")
    done = snakemake(tmp_path, "--cores", "1", configfile=wrong)
    assert done.returncode != 0
    assert "speed: unknown key" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()
