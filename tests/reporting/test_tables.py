"""Tables: exact cells of hand-set records, failures as rows, spreads, authors' figures, files that never change."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
from fake_runs import FAILED, SYNTHETIC, fail, scores_of, settings_for, write_run
from slowfast_vos.claims.intervals import estimate
from slowfast_vos.cli import app
from slowfast_vos.config import Settings
from slowfast_vos.dag import TASKS, planned_jobs, table_names
from slowfast_vos.errors import UserError
from slowfast_vos.measuring.record import Record, read_record
from slowfast_vos.paths import Results
from slowfast_vos.reporting import published
from slowfast_vos.reporting.records import read_run
from slowfast_vos.reporting.render import Column, Panel, escape, to_latex, to_markdown
from slowfast_vos.reporting.tables import write_tables
from typer.testing import CliRunner


def small(**changes: Any) -> Settings:
    """Settings of a run with two setups and a grid of two."""
    values = {
        "setups": ["1-1", "3-7"],
        "grid": {"freeze": ["SF"], "scale": ["0"], "lr": ["0.001", "0.005"]},
        "tuning": {"setups": ["3-7"], "lr": ["0.001", "0.005"], "backbone": ["frozen"]},
    }
    return settings_for(**(values | changes))


def tables_of(results: Results) -> Path:
    """Write a run's tables; returns their folder."""
    return write_tables(results, results.reports / "tables")[0].parent


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def row_of(path: Path, **wanted: str) -> dict[str, str]:
    """The one row of a CSV with these cells."""
    (row,) = [row for row in read_csv(path) if wanted.items() <= row.items()]
    return row


def cells(path: Path, first: str) -> list[str]:
    """Cells of the first Markdown row that begins so."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return next(row for row in rows if row[0] == first)


@pytest.fixture(scope="module")
def demo_tables(demo: Results) -> Path:
    """The tables of the run `demo`."""
    return tables_of(demo)


@pytest.fixture(scope="module")
def davis_tables(davis: Results) -> Path:
    """The tables of the run `davis`."""
    return tables_of(davis)


HAND_SET = {
    ("unsupervised", "1-1"): {"kites": (0.5, 0.7), "ribbon": (0.25, 0.5)},
    ("unsupervised", "3-7"): {"kites": (0.75, 0.25), "ribbon": (0.5, 1.0)},
    ("semi-supervised", "1-1"): {"kites": (0.5, 0.5), "ribbon": (0.5, 0.5)},
    ("semi-supervised", "3-7"): {"kites": (0.75, 0.5), "ribbon": (1.0, 1.0)},
}


def hand_set(record: Record) -> Record:
    """Give evaluations scores that are easy to check."""
    scores = HAND_SET.get((record.task, record.setup))
    return record.model_copy(update={"scores": scores_of(scores)}) if scores else record


def test_cells_of_hand_set_records(tmp_path: Path) -> None:
    out = tables_of(write_run(small(precision="bf16"), tmp_path, edit=hand_set))
    assert "protocol strict; bf16; " in (out / "table1.md").read_text()
    # J&F of 1-1 are 0.6 and 0.375: t = 12.706 for one degree of freedom, times half of their distance, exceeds J&F.
    assert cells(out / "table1.md", "1-1")[1] == "0.487"
    assert cells(out / "table1.md", "3-7")[1:5] == ["0.625", "0.812", "46,570,779", "–"]
    assert cells(out / "table1.md", "1-1")[3] == "**45,421,851**"
    row = cells(out / "table2.md", "3-7")
    assert row[1:4] == ["SF", "0.25", "0.001"]
    assert row[5] == "0.812"
    assert row[-1] == f"+0.188 ± {12.7062 * 0.0625:.3f}"
    assert cells(out / "per-sequence.md", "kites (LA)")[4:] == ["0.600", "0.500"]
    assert cells(out / "cost.md", "3-7")[5] == "34.3 [33.3, 36.0]"


def test_every_table_in_three_formats_with_its_protocol(demo: Results, demo_tables: Path) -> None:
    settings = demo.settings
    for name in table_names(settings):
        for suffix in (".csv", ".md", ".tex"):
            text = (demo_tables / f"{name}{suffix}").read_text(encoding="utf-8")
            assert settings.protocol_name in text
            assert settings.name.replace("_", r"\_") in text
    assert {row["device"] for row in read_csv(demo_tables / "table1.csv")} == {"cpu, 1 thread"}
    assert "1 seed (63)" in (demo_tables / "table1.md").read_text()
    assert "fp32" not in (demo_tables / "table1.md").read_text()


@pytest.mark.parametrize(("year", "root", "merged"), [(2017, None, True), (2017, "other", False), (2016, None, False)])
def test_captions_say_where_the_masks_of_2017_stand_for_those_of_2016(
    davis: Results, year: int, root: str | None, merged: bool
) -> None:
    data = {"kind": "davis", "train_year": year, "held_out": ["a"]}
    results = Results(settings_for(data=data, davis_val_root=root))
    run = replace(read_run(davis), results=results, roles={"val": ["dog"]}, lengths={"dog": 60})
    masks = " with the masks of 2017 merged" * merged
    assert f"; DAVIS 2016 validation at 480p{masks} (1 sequences, 60 frames, data 0123456789ab); " in run.context


def test_failed_configurations_are_rows(demo_tables: Path) -> None:
    rows = read_csv(demo_tables / "grid-3-7.csv")
    assert len(rows) == 36
    (failed,) = [row for row in rows if row["failed"] == "1"]
    assert (failed["freeze"], failed["scale"], failed["lr"], failed["jf_mean"]) == ("none", "0.4", "0.005", "")
    assert failed["error"].startswith("seed 63: loss is nan at iteration 112")
    assert [row["chosen_by_seeds"] for row in rows].count("63") == 1
    line = next(line for line in (demo_tables / "grid-3-7.md").read_text().splitlines() if "failed" in line)
    assert line.startswith("| none | 0.4 | 0.005 | failed | failed | failed | failed: seed 63: loss is nan")


def test_a_run_in_which_everything_failed_still_has_its_tables(tmp_path: Path) -> None:
    out = tables_of(write_run(small(seeds=[1, 2]), tmp_path, edit=fail))
    assert cells(out / "table1.md", "3-7")[1:3] == ["failed", "failed"]
    text = (out / "table1.md").read_text()
    assert "Failed: scores/unsupervised/3-7/seed=1/record.json: out of memory at step 3" in text


def test_seeds_give_mean_deviation_and_interval(davis: Results, davis_tables: Path) -> None:
    records = [read_record(davis.scores("unsupervised", "3-7", seed)) for seed in (63, 64)]
    found = [record.scores.jf_mean for record in records]
    values = np.array([[one.jf_mean for one in record.scores.sequences.values()] for record in records])
    half = estimate(values).half_width()
    row = row_of(davis_tables / "table1.csv", setup="3-7")
    assert float(row["unsupervised_jf_mean"]) == fmean(found)
    assert float(row["unsupervised_jf_mean_std"]) == stdev(found)
    assert row["unsupervised_n"] == "2"
    shown = cells(davis_tables / "table1.md", "3-7")[1].strip("*")
    assert shown == f"{fmean(found):.3f} ± {half:.3f}"
    assert float(row["unsupervised_jf_mean_half"]) == pytest.approx(half)


def test_one_failed_seed_is_counted_and_named(tmp_path: Path) -> None:
    def edit(record: Record) -> Record:
        failed = FAILED | {"error": "stopped"}
        fails = (record.task, record.setup, record.seed) == ("unsupervised", "3-7", 2)
        return record.model_copy(update=failed) if fails else record

    row = row_of(tables_of(write_run(small(seeds=[1, 2]), tmp_path, edit=edit)) / "table1.csv", setup="3-7")
    assert (row["unsupervised_n"], row["unsupervised_failed"]) == ("1", "1")
    assert row["unsupervised_error"] == "seed 2: stopped"
    assert row["unsupervised_jf_mean_std"] == ""


def test_without_a_gpu_its_columns_say_so(demo_tables: Path, davis_tables: Path) -> None:
    assert cells(demo_tables / "table1.md", "3-7")[4] == "–"
    assert cells(demo_tables / "cost.md", "3-7")[8:11] == ["–", "–", "–"]
    assert {row["gpu_process_bytes"] for row in read_csv(demo_tables / "cost.csv")} == {""}
    assert cells(davis_tables / "table1.md", "3-7")[6] == "2,395 / 3,072 / 3,708"


def test_authors_figures_stand_beside_davis_only(demo_tables: Path, davis_tables: Path) -> None:
    row = cells(davis_tables / "table1.md", "3-7")
    assert (row[2], row[4], row[9]) == ("0.676", "0.758", "584")
    assert cells(davis_tables / "per-sequence.md", "mean")[-2:] == ["0.645", "0.676"]
    assert cells(davis_tables / "per-sequence.md", "goat")[-1] == "0.872"
    for path in demo_tables.glob("table*"):
        assert "authors" not in path.read_text().lower()


def test_published_sequences_mean_what_is_published() -> None:
    for setup, scores in published.per_sequence().groupby("setup"):
        assert len(scores) == published.SEQUENCES
        assert scores["jf_mean"].mean() == pytest.approx(published.SETUPS[setup].unsupervised, abs=1e-3)


def test_csv_keeps_every_digit(demo: Results, demo_tables: Path) -> None:
    for row in read_csv(demo_tables / "per-sequence.csv"):
        if row["setup"] in demo.settings.setups:
            scores = read_record(demo.scores(row["task"], row["setup"], 63)).scores
            assert float(row["j_mean"]) == scores.sequences[row["sequence"]].j_mean
    rows = read_csv(demo_tables / "records.csv")
    assert len(rows) == sum(len(job.outputs) for job in planned_jobs(demo, val=()) if job.recorded)
    assert {row["record_commit"] for row in rows} == {"0" * 40}
    assert {row["best_epoch"] for row in rows if row["kind"] != "parent" and row["kind"] != "tuning"} == {""}
    assert all(row["best_epoch"].isdecimal() for row in rows if row["kind"] == "parent")


def test_attributes_count_and_average_sequences(demo: Results, demo_tables: Path) -> None:
    scores = read_record(demo.scores("semi-supervised", "7-7", 63)).scores
    wanted = {"task": "semi-supervised", "attribute": "with look-alikes (LA)", "setup": "7-7"}
    row = row_of(demo_tables / "attributes.csv", **wanted)
    assert row["sequences"] == "3"
    assert float(row["jf_mean"]) == fmean(scores.sequences[name].jf_mean for name in read_run(demo).distractors)


def test_same_records_same_bytes(demo: Results, demo_tables: Path) -> None:
    for path in write_tables(demo, demo.reports / "again"):
        assert path.read_bytes() == (demo_tables / path.name).read_bytes()


def test_summary_shows_all_tables_and_figures(demo: Results, demo_tables: Path) -> None:
    text = (demo_tables / "summary.md").read_text()
    for name in table_names(demo.settings):
        assert f"[{name}.csv]({name}.csv)" in text
    assert "](../figures/look-alikes.png)" in text
    assert text.count("<details>") == text.count("</details>")


def test_missing_records_are_named(tmp_path: Path) -> None:
    results = write_run(small(), tmp_path, edit=lambda record: record if record.kind == "evaluation" else None)
    with pytest.raises(UserError) as error:
        read_run(results)
    lines = str(error.value).splitlines()
    assert lines[0] == f"{results.detector(63) / 'record.json'}: missing; expected a record of run fake-synthetic"
    assert len(lines) == 11
    assert lines[-1] == "and 3 more of 20 files"


def test_a_record_of_another_kind_is_refused(tmp_path: Path) -> None:
    results = write_run(small(), tmp_path)
    results.cost("3-7", 63).write_bytes(results.selected("3-7", 63).read_bytes())
    with pytest.raises(UserError, match="found the record of kind 'selected'; expected 'cost', as its path says"):
        read_run(results)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 64}, "the record of seed 64; expected 63"),
        ({"setup": "1-1"}, "the record of setup '1-1'; expected '3-7'"),
        ({"name": "other", "settings": {"name": "other"}}, "the record of name 'other'; expected 'fake-synthetic'"),
        ({"job": {"freeze": "SF", "scale": "0", "lr": "9"}}, "the record of lr '9'; expected '0.001'"),
        ({"kind": "selected"}, "the record of kind 'selected'; expected 'grid'"),
        ({"provenance": "e" * 64}, "the record of data eeeeeeeeeeee; expected 0123456789ab"),
    ],
)
def test_a_record_of_another_job_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    results = write_run(small(), tmp_path)
    path = results.grid("3-7", *results.configurations()[0], 63)
    record = read_record(path)
    if "provenance" in change:
        change = {"provenance": record.provenance.model_copy(update={"dataset": change["provenance"]})}
    record.model_copy(update=change).save(path)
    with pytest.raises(UserError) as error:
        read_run(results)
    assert str(error.value).startswith(f"{path}: found {words}, as ")
    assert len(str(error.value).splitlines()) == 1


def test_terminal_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results = write_run(small(), Path())
    tables_of(results)
    results.settings.save(results.root / "settings.json")
    for job in planned_jobs(results):
        for path in job.outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() and job.kind == "final":
                about = {"kind": "final", "setup": job.subject, "job": {"sequence": path.stem}}
                read_record(results.selected("3-7", 63)).model_copy(update=about).save(path)
            elif not path.exists():
                path.touch()
    verb = ["summary", "--config", str(results.root / "settings.json")]
    monkeypatch.setenv("COLUMNS", "160")
    output = CliRunner().invoke(app, verb).output
    assert "tables: reports/fake-synthetic/tables" in output
    assert all(cell.strip("*") in output for cell in cells(results.reports / "tables/table1.md", "3-7"))
    results.scores("unsupervised", "3-7", 63).unlink()
    assert "J&F" not in CliRunner().invoke(app, verb).output


def test_latex_is_well_formed(demo_tables: Path, davis_tables: Path) -> None:
    for path in [*demo_tables.glob("*.tex"), *davis_tables.glob("*.tex")]:
        text = path.read_text(encoding="utf-8")
        bare = re.sub(r"\\[\\{}%&$#_]", "", text)
        assert bare.count("{") == bare.count("}")
        assert bare.count("$") % 2 == 0
        assert not re.search(r"[%#]", bare)
        for name in ("table", "tabular"):
            assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") > 0
        for tabular in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
            for row in re.findall(r"^(.*?) \\\\$", tabular[1].replace(r"\toprule", ""), re.MULTILINE):
                spans = [int(span) - 1 for span in re.findall(r"\\multicolumn\{(\d+)\}", row)]
                assert len(re.findall(r"(?<!\\)&", row)) + sum(spans) + 1 == len(tabular[0])


def test_text_is_escaped() -> None:
    assert escape(r"5% of a_b & c\d") == r"5\% of a\_b \& c\textbackslash{}d"
    assert escape("0.1 ± 0.2 – ñ 漢") == r"0.1 $\pm$ 0.2 -- ñ ?"
    panel = Panel("T.", [Column("a", ["x|y", "z"]), Column("b", ["1", "2"], bold=[1])], ["", ""])
    assert r"| x\|y | 1 |" in to_markdown(panel, "")
    assert r"z & \textbf{2} \\" in to_latex(panel, "", "t")


def graded(record: Record) -> Record:
    """Unsupervised, 3-7 is 0.2 above 1-1 on every sequence; semi-supervised the two are equal but for noise."""
    if record.task not in TASKS or record.setup is None:
        return record
    gain = 0.2 if (record.task, record.setup) == (TASKS[0], "3-7") else 0.0
    noise = np.random.default_rng([record.seed, len(record.setup), record.task == TASKS[0]])
    spread = 0.01 if record.task == TASKS[0] else 0.1
    levels = {name: 0.5 + gain + 0.01 * place + noise.normal(0, spread) for place, name in enumerate(SYNTHETIC)}
    return record.model_copy(update={"scores": scores_of({name: (level, level) for name, level in levels.items()})})


@pytest.mark.parametrize(("seeds", "bold"), [([1, 2, 3], True), ([1], False)])
def test_bold_is_what_is_told_apart_from_the_runner_up(tmp_path: Path, seeds: list[int], bold: bool) -> None:
    out = tables_of(write_run(small(seeds=seeds), tmp_path, edit=graded))
    rows = [cells(out / "table1.md", setup) for setup in ("1-1", "3-7", "all detections")]
    assert [row[1].startswith("**") for row in rows] == [False, bold, False]
    assert not any(row[2].startswith("**") for row in rows)
    strata = [cells(out / "attributes.md", name)[-1].startswith("**") for name in ("all", "LC")]
    assert strata == [bold, False]  # three sequences tell nothing apart


def test_one_setup_has_no_differences_and_all_its_tables(tmp_path: Path) -> None:
    out = tables_of(write_run(small(setups=["3-3"], tuning={"setups": []}), tmp_path))
    assert all((out / f"{name}.csv").is_file() for name in table_names(small(setups=["3-3"], tuning={"setups": []})))


def test_tables_of_differences_by_stratum(tmp_path: Path) -> None:
    out = tables_of(write_run(small(seeds=[1, 2, 3]), tmp_path, edit=graded))
    row = row_of(out / "differences.csv", task=TASKS[0], stratum="with LA", contrast="3-7 − 1-1")
    assert (row["n_seeds"], row["n_sequences"], row["above_zero_on"]) == ("3", "3", "3")
    assert float(row["low"]) < float(row["difference"]) < float(row["high"])
    assert float(row["difference"]) == pytest.approx(0.2, abs=0.02)
    assert cells(out / "differences.md", "3-7 − 1-1")[2] == "8 of 8"
