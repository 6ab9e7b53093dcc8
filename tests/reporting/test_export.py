"""Exports hold a run's own curves and scores, once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_runs import DIVERGED, SMALL, settings_for, write_run
from slowfast_vos.errors import UserError
from slowfast_vos.paths import Results
from slowfast_vos.reporting import export
from slowfast_vos.reporting.export import export_mlflow, export_tensorboard
from slowfast_vos.reporting.records import read_records

from command_line import refused

if TYPE_CHECKING:
    from click.testing import Result

FAILED = "grid/3-7/freeze=none/scale=0.4/lr=0.005/seed=63"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """A run with a failed record; its figures, which have their own tests, are left out."""
    monkeypatch.setattr(export, "write_plots", lambda *_: [])
    results = write_run(settings_for(**SMALL), tmp_path / "run")
    results.settings.save(results.root / "settings.json")
    return results


def test_a_curve_has_every_point_and_its_time(results: Results) -> None:
    record = read_records(results)[1]["parent/3-7/seed=63/record.json"]
    entry = export.Entry("parent/3-7/seed=63", record)
    points = [(value, epoch, time) for name, value, epoch, time in entry.curve if name == "curve/jf_selection"]
    assert points == [(one.jf_selection, one.epoch, 1704067200 + 4.0 * one.epoch) for one in record.curve]
    assert entry.outcome["scores/j_mean"] == record.scores.j_mean
    assert entry.identity["setup"] == "3-7"
    assert entry.settings["parent.epochs"] == str(results.settings.parent.epochs)


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_tracker_that_is_missing_is_named_in_one_line(
    results: Results,
    invoke: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    done = invoke("export", str(results.root), "--to", name, "--out", str(tmp_path / "out"))
    refused(done, f"--to {name}: found no {name} installed; expected it (in the checkout: pip install -e '.[{name}]')")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_tensorboard_reads_curves_scores_and_tables(results: Results, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for _ in range(2):  # the second replaces the first
        folder = export_tensorboard(results, tmp_path / "out")
    records = read_records(results)[1]
    record = records["parent/3-7/seed=63/record.json"]
    events = accumulator.EventAccumulator(str(folder / "parent/3-7/seed=63"))
    events.Reload()
    assert [(one.step, one.value) for one in events.Scalars("curve/loss")] == [
        (one.epoch, pytest.approx(one.loss, rel=1e-6)) for one in record.curve
    ]
    assert events.Scalars("scores/jf_mean")[0].value == pytest.approx(record.scores.jf_mean, rel=1e-6)
    assert "_hparams_/session_start_info" in events.summary_metadata
    failed = accumulator.EventAccumulator(str(folder / FAILED))
    failed.Reload()
    assert failed.Tensors("error/text_summary")[0].tensor_proto.string_val[0].decode() == DIVERGED
    summary = accumulator.EventAccumulator(str(folder / "summary"))
    summary.Reload()
    assert "tables/table1/text_summary" in summary.Tags()["tensors"]
    assert len(list(folder.rglob("events.out.tfevents.*"))) == len(records) + 1
    (folder / "notes.txt").touch()
    with pytest.raises(UserError, match=r"notes\.txt: found a file of others; expected a folder that this command wr"):
        export_tensorboard(results, tmp_path / "out")


@pytest.mark.slow
def test_mlflow_has_each_record_once(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri, records = f"sqlite:///{tmp_path}/new/mlflow.db", read_records(results)[1]
    add_run = export._add_run

    def killed(client: object, experiment: str, entry: export.Entry, digest: str) -> None:
        if entry.name == FAILED:
            client.create_run(experiment, tags={export.DIGEST: digest})
            raise KeyboardInterrupt
        add_run(client, experiment, entry, digest)

    monkeypatch.setattr(export, "_add_run", killed)
    with pytest.raises(KeyboardInterrupt):
        export_mlflow(results, uri)
    monkeypatch.setattr(export, "_add_run", add_run)
    assert not export_mlflow(results, uri).startswith("0 runs added")
    assert export_mlflow(results, uri).startswith(f"0 runs added to experiment 'fake-synthetic' of {uri}, ")
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("fake-synthetic").experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment], max_results=1000)}
    names = {path.removesuffix(".json").removesuffix("/record") for path in records}
    assert {*runs} == names | {"summary"}
    assert (runs[FAILED].info.status, runs[FAILED].data.params["lr"]) == ("FAILED", "0.005")
    run, record = runs["parent/3-7/seed=63"], records["parent/3-7/seed=63/record.json"]
    history = sorted((one.step, one.value) for one in client.get_metric_history(run.info.run_id, "curve/loss"))
    assert history == [(one.epoch, one.loss) for one in record.curve]
    assert run.data.metrics["scores/jf_mean"] == record.scores.jf_mean
    assert run.data.params["parent.epochs"] == str(results.settings.parent.epochs)
    tables = {one.path for one in client.list_artifacts(runs["summary"].info.run_id, "tables")}
    assert "tables/table1.csv" in tables
    changed = write_run(settings_for(**SMALL, seeds=[7]), tmp_path / "changed")
    with pytest.raises(UserError, match=r"found experiment 'fake-synthetic'; expected none of this name, or one that"):
        export_mlflow(changed, uri)
