"""Runs side by side: equal ones are merged, others paired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import SMALL, SYNTHETIC, scores_of, settings_for, write_run
from slowfast_vos.errors import UserError
from slowfast_vos.measuring.record import Record
from slowfast_vos.paths import Results
from slowfast_vos.reporting.compare import compare, merge_runs, write_comparison
from slowfast_vos.reporting.publish import publish
from slowfast_vos.reporting.records import read_folder


def run_of(base: Path, gain: float = 0.0, **changes: Any) -> Path:
    """The folder of a fake run whose scores are above a common level by `gain`."""

    def edit(record: Record) -> Record:
        if record.task is None or record.setup is None:
            return record
        noise = np.random.default_rng([record.seed, len(record.task), record.setup == "3-7"])
        scores = {name: 0.5 + gain + noise.normal(0, 0.05) for name in SYNTHETIC}
        return record.model_copy(update={"scores": scores_of({name: (j, j) for name, j in scores.items()})})

    results = write_run(settings_for(**(SMALL | changes)), base, edit=edit)
    results.settings.save(results.root / "settings.json")
    return results.root


def test_seeds_of_equal_runs_are_merged_and_judged(tmp_path: Path) -> None:
    folders = [run_of(tmp_path, name=f"run-{seed}", seeds=[seed]) for seed in (1, 2, 3)]
    lines = write_comparison(folders, tmp_path / "out")
    assert lines[0].startswith("run-1 + run-2 + run-3: equal but for their seeds; merged. Of ")
    assert any("3 seeds" in line for line in lines)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"claims-run-1+run-2+run-3.{suffix}" for suffix in ("csv", "md", "tex", "svg", "png")}


def test_different_runs_are_paired_by_seed_and_sequence(tmp_path: Path) -> None:
    folders = [
        run_of(tmp_path, gain, name=name, seeds=[1, 2, 3], precision=name)
        for name, gain in (("fp32", 0), ("bf16", 0.1))
    ]
    lines = write_comparison(folders, tmp_path / "out")
    # The same noise in both runs: the pairs differ by the gain alone.
    assert lines[1] == "  unsupervised/1-1: +0.100 [+0.100, +0.100] J&F, above 0 on 8 of 8"
    assert (tmp_path / "out/fp32-and-bf16.csv").is_file()
    assert (tmp_path / "out/fp32-and-bf16.svg").is_file()


def test_runs_that_share_seeds_are_compared_even_if_they_are_equal(tmp_path: Path) -> None:
    folders = [run_of(tmp_path, name=name, seeds=[1, 2]) for name in ("here", "there")]
    one, other = merge_runs([read_folder(folder) for folder in folders])
    assert {contrast.estimate.mean for contrast in compare(one, other).values()} == {0.0}


def test_runs_without_a_common_seed_are_averaged_over_their_seeds(tmp_path: Path) -> None:
    folders = [
        run_of(tmp_path, name=name, seeds=seeds, precision=name) for name, seeds in (("fp32", [1]), ("bf16", [2, 3]))
    ]
    found = compare(*merge_runs([read_folder(folder) for folder in folders]))
    assert {contrast.estimate.seeds for contrast in found.values()} == {1}


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    folder = run_of(tmp_path)
    with pytest.raises(UserError, match="found 1 run; expected two or more"):
        write_comparison([folder], tmp_path / "out")
    with pytest.raises(UserError, match=r"found a run twice in .*; expected different runs"):
        write_comparison([folder, folder], tmp_path / "out")
    with pytest.raises(UserError, match="nowhere: found no run; expected a folder with settings"):
        write_comparison([folder, tmp_path / "nowhere"], tmp_path / "out")


def test_a_published_run_compares_as_the_run_itself(tmp_path: Path) -> None:
    folder = run_of(tmp_path, name="here", seeds=[1, 2])
    page = tmp_path / "reports/here/report.html"
    page.parent.mkdir(parents=True)
    page.write_text("A page.")
    run = read_folder(folder)
    published = read_folder(publish(Results(run.settings, tmp_path), tmp_path / "published"))
    found = compare(*merge_runs([run, published]))
    assert {contrast.estimate.mean for contrast in found.values()} == {0.0}
    (tmp_path / "published/records.zip").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"records\.zip: cannot be unpacked"):
        read_folder(tmp_path / "published")
