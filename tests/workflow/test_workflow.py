"""The workflow itself: a tiny run through Snakemake from nothing to the last table, and what an edit reruns."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml
from PIL import Image
from slowfast_vos.config import load_settings
from slowfast_vos.dag import planned_jobs
from slowfast_vos.generated import sequence_names
from slowfast_vos.paths import Results
from slowfast_vos.videos.fetch import DAVIS_2016

from workflow_runs import ENVIRONMENT, ROOT, TINY, LocalRun, snakemake


def job_counts(dry: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Jobs by rule, as a dry run lists them."""
    lines = (line.split() for line in dry.stdout.splitlines())
    return {line[0]: line[1] for line in lines if len(line) == 2 and line[1].isdecimal()}


@pytest.mark.slow
def test_a_tiny_run_reaches_the_last_table_and_says_where_it_is(local_run: LocalRun) -> None:
    folder, done = local_run
    tables = folder / "reports" / "tiny" / "tables"
    for name in ("table1", "table2", "cost", "tuning", "grid-1-1", "grid-1-3", "per-sequence", "attributes"):
        assert all((tables / f"{name}.{suffix}").stat().st_size for suffix in ("csv", "md", "tex"))
    assert (folder / "reports/tiny/figures/jf-vs-time.png").stat().st_size
    masks = sorted(folder.glob("results/tiny/predictions/semi-supervised/1-3/seed=63/*/*.png"))
    assert len(masks) == 2 * 5
    for path in masks:  # as the official scorer reads them
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("P", (160, 96))
    assert "reports/tiny/tables" in done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("what the run answers: reports/tiny/report.html")
    assert (folder / "reports/tiny/report.md").stat().st_size
    assert "run tiny: 31 of 31 jobs done\n" in done.stdout + done.stderr
    assert all((folder / job.status_file).exists() for job in planned_jobs(Results(load_settings(TINY))))


@pytest.mark.slow
def test_failed_records_make_the_exit_code_once_all_else_is_there(local_run: LocalRun) -> None:
    folder, done = local_run
    assert done.returncode == 1
    assert "reports/tiny/tables/records.csv: found 4 of 27 records failed" in done.stdout + done.stderr
    assert "37 results: 33 done, 4 failed, 0 skipped\nfailed: results/tiny/grid/" in done.stdout
    assert not (folder / "results/tiny/complete.json").exists()
    status = subprocess.run(
        ["slowfast-vos", "status"], env=ENVIRONMENT, cwd=folder, capture_output=True, text=True, check=False
    )
    assert status.returncode == 3
    assert status.stdout.splitlines()[-1] == "31 of 31 jobs done"


@pytest.mark.slow
def test_without_failed_records_the_exit_code_is_0_and_nothing_is_left(local_run: LocalRun, tmp_path: Path) -> None:
    mended = tmp_path / "mended.yaml"
    mended.write_text(TINY.read_text().replace('"0.001", "1e30"', '"0.001", "0.002"'))
    folder = shutil.copytree(local_run[0], tmp_path / "copy", symlinks=True)
    done = snakemake(folder, "--cores", "2", configfile=mended)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "37 results: 37 done, 0 failed, 0 skipped\n" in done.stdout
    assert (folder / "results/tiny/complete.json").exists()
    again = snakemake(folder, "--cores", "1", "-n", configfile=mended)
    assert "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.slow
def test_a_configuration_that_diverges_is_a_row_and_stops_nothing(local_run: LocalRun) -> None:
    folder, _ = local_run
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("results/tiny/grid/**/seed=63.json"))]
    assert len(records) == 2 * 2 * 1 * 2
    failed = [record for record in records if record["status"] == "failed"]
    assert {record["job"]["lr"] for record in failed} == {"1e30"}
    assert all("not finite" in record["error"] for record in failed)
    assert "failed" in (folder / "reports/tiny/tables/grid-1-1.md").read_text()


@pytest.mark.slow
def test_only_the_check_is_left_to_do_and_an_edited_rate_reruns_its_own_shard(
    local_run: LocalRun, tmp_path: Path
) -> None:
    folder, _ = local_run
    edited = tmp_path / "edited.yaml"
    # Bounds on memory and the size of jobs make nothing again.
    values = yaml.safe_load(TINY.read_text())
    values["model"]["chunk_length"], values["parent"]["feature_cache_gib"] = 2, 1
    values["grid"]["shards"], values["final"]["shards"] = 1, 2
    edited.write_text(yaml.safe_dump(values))
    for config in (TINY, edited):
        again = snakemake(folder, "--cores", "1", "-n", configfile=config)
        assert job_counts(again) == {"check_records": "1", "all": "1", "total": "2"}
    edited.write_text(TINY.read_text().replace('"0.001", "1e30"', '"0.002", "1e30"'))
    plan = snakemake(folder, "--cores", "1", "-n", configfile=edited)
    counts = job_counts(plan)
    assert counts.get("grid_1_of_2") == "2"
    assert "grid_2_of_2" not in counts
    assert not {"detector", "parent", "tuning", "cost"} & set(counts)


@pytest.mark.slow
def test_tables_come_from_the_records_alone(local_run: LocalRun, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(local_run[0], folder)
    tables = folder / "reports" / "tiny" / "tables"
    before = {path.name: path.read_bytes() for path in tables.iterdir()}
    for path in tables.iterdir():
        path.unlink()
    done = snakemake(folder, "--cores", "1", "tables")
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.name: path.read_bytes() for path in tables.iterdir()} == before


@pytest.mark.slow
def test_the_paper_protocol_and_several_seeds_reach_the_tables(local_run: LocalRun, tmp_path: Path) -> None:
    folder, validation = tmp_path / "run", sequence_names("val", 2)
    shutil.copytree(local_run[0] / "data", folder / "data")
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


@pytest.mark.slow
def test_controls_run_like_any_setup(local_run: LocalRun, tmp_path: Path) -> None:
    folder, setups = tmp_path / "run", ["1-1", "1-3", "1-3+still", "1-3+shuffled", "1-1+wide1-3", "1-1+none"]
    shutil.copytree(local_run[0] / "data", folder / "data")
    own = tmp_path / "own.yaml"
    own.write_text("[{id: own, says: Own., kind: better, plus: [unsupervised/1-3], minus: [unsupervised/1-3@still]}]")
    values = {"setups": setups, "tested": ["1-3@still", "1-3@shuffled"], "tuning": {"setups": []}}
    values |= {"claims": {"file": str(own), "margin": 0.05}, "seeds": [63, 64]}
    values |= {"one_job_per": "seed", "search_seeds": "first"}
    grid = {"freeze": ["SF"], "scale": ["0"], "lr": ["0.001"], "iterations": 2, "shards": 1}
    path = tmp_path / "controls.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(TINY.read_text()) | values | {"grid": grid}))
    done = snakemake(folder, "--cores", "2", configfile=path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len([*(folder / "results/tiny/grid").rglob("*.json")]) == len(setups)  # of the first seed alone
    tables = folder / "reports/tiny/tables"
    assert all(f"| {setup} |" in (tables / name).read_text() for setup in setups for name in ("table1.md", "table2.md"))
    assert "1-3 − 1-3@still" in (tables / "differences.csv").read_text()
    assert "own,Own.,authors,better,undecided,1-3 − 1-3@still" in (tables / "claims.csv").read_text()
    assert (folder / "reports/tiny/figures/controls.svg").stat().st_size
    assert "Differences of J&amp;F below 0.05 do not matter." in (folder / "reports/tiny/report.html").read_text()
    # What is claimed is no result: only the reports are made again.
    path.write_text(path.read_text().replace("margin: 0.05", "margin: 0.1"))
    jobs = job_counts(snakemake(folder, "--cores", "1", "-n", configfile=path))
    assert set(jobs) - {"total"} == {"tables", "plots", "strips", "page", "check_records", "all"}


def test_what_all_seeds_wait_for_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "first.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(TINY.read_text()) | {"seeds": [63, 64], "search_seeds": "first"}))
    plan = snakemake(tmp_path, "--cores", "1", "-n", "--quiet", "host", configfile=path).stdout
    jobs = re.findall(
        r"rule (detector|parent|grid|final)\w*:.*?wildcards: .*?seed=(\d+)\n.*?priority: (\d+)", plan, re.S
    )
    assert sorted({(int(priority), rule, seed) for rule, seed, priority in jobs}) == [
        *[(10, "final", "63"), (10, "final", "64"), (30, "parent", "64"), (40, "detector", "64")],
        *[(120, "grid", "63"), (130, "parent", "63"), (140, "detector", "63")],
    ]


def test_the_jobs_that_status_counts_are_those_of_the_workflow(tmp_path: Path) -> None:
    dry = snakemake(tmp_path, "--cores", "1", "-n", "--quiet", "host")
    logs = {line.split()[1] for line in dry.stdout.splitlines() if line.startswith("    log: ")}
    planned = planned_jobs(Results(load_settings(TINY)))
    assert {str(job.log) for job in planned} == logs - {"logs/tiny/check-records.log"}
    made = {
        name.removesuffix(" (update)")
        for line in dry.stdout.splitlines()
        if "output: " in line
        for name in line.split(": ")[1].split(", ")
    }
    assert {str(path) for job in planned for path in job.outputs} <= made
    assert {path.name for path in tmp_path.iterdir()} <= {".snakemake"}  # planning writes nothing of a run


@pytest.mark.parametrize(
    ("line", "option", "words"),
    [
        ("speed: 9", (), "wrong.yaml: speed: unknown key"),
        ("", ("--config", "speed=9"), "wrong.yaml + --config: speed: unknown key"),
        ("seeds: [64]", (), "wrong.yaml: found key 'seeds' twice, again in line "),
    ],
)
def test_a_wrong_configuration_is_refused_in_one_line_before_anything_runs(
    tmp_path: Path, line: str, option: tuple[str, ...], words: str
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(f"{TINY.read_text()}\n{line}\n")
    done = snakemake(tmp_path, "--cores", "1", *option, configfile=wrong)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_folder_named_like_a_command_is_a_folder(tmp_path: Path) -> None:
    values = yaml.safe_load(TINY.read_text())
    values["data"]["root"] = "data/x y; touch injected; true $(touch injected) 'q"
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(values))
    done = snakemake(tmp_path, "--cores", "2", "--until", "check_data", configfile=path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / values["data"]["root"] / "README.txt").is_file()
    assert not list(tmp_path.rglob("injected"))


def test_the_papers_run_plans_exactly_the_jobs_of_its_experiments(tmp_path: Path) -> None:
    for place, names in (("2017/train", [f"train-{i}" for i in range(60)]), ("2016/val", DAVIS_2016["val"].split())):
        path = tmp_path / "davis" / "ImageSets" / f"{place}.txt"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(names))
    setups = 5
    arguments = ["--cores", "1", "-n", "--config", f"davis_root={tmp_path / 'davis'}"]
    plan = snakemake(tmp_path, *arguments, configfile=ROOT / "config" / "davis.yaml")
    assert plan.returncode == 0, plan.stderr[-3000:]
    table = plan.stdout.rpartition("Job stats:")[2]
    jobs = Counter()
    for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE):
        jobs[re.sub(r"_\d+_of_\d+$", "", name)] += int(count)
    assert jobs.pop("total") == sum(jobs.values()) == 328
    assert jobs == {
        "check_data": 1,
        "detector": 1,
        "parent": setups,
        "tuning": 3 * 2,  # rates, backbone frozen or trained
        "grid": setups * 36,
        "select": setups,
        "final": setups * 20,
        "predict": setups + 2,
        "evaluate": 2 * setups + 2,
        "cost": setups,
        "tables": 1,
        "plots": 1,
        "strips": 1,
        "page": 1,
        "check_records": 1,
        "all": 1,
    }
