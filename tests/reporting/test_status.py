"""Where a run stands, from generated records: what is counted, and what is said."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_runs import settings_for, write_run
from slowfast_vos.config import Settings
from slowfast_vos.dag import planned_jobs
from slowfast_vos.errors import UserError
from slowfast_vos.files import write_json
from slowfast_vos.jobs.runner import JobStatus, run_job
from slowfast_vos.measuring.record import Record, read_record
from slowfast_vos.paths import Results
from slowfast_vos.reporting.status import last_lines, read_status

if TYPE_CHECKING:
    from click.testing import Result as Ended

GRID = {"freeze": ["SF", "none"], "scale": ["0.25"], "lr": ["0.001", "0.005"], "shards": 2}
SHARD = ("grid", "3-7")


@pytest.fixture
def settings() -> Settings:
    """A run of two setups with four configurations each, in two shards, and eight final models each."""
    return settings_for(setups=["1-1", "3-7"], tuning={"setups": ["3-7"]}, grid=GRID, final={"shards": 2})


@pytest.fixture
def results(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """All that the run leaves, in a folder that is now the current one."""
    monkeypatch.chdir(tmp_path)
    results = write_run(
        settings, Path(), edit=lambda record: record.model_copy(update={"status": "done", "error": None})
    )
    settings.save(results.root / "settings.json")
    template = read_record(results.grid("1-1", "SF", "0.25", "0.001", 63))
    for job in planned_jobs(results):
        for path in job.outputs:
            if job.kind == "final":
                about = {"kind": "final", "setup": job.subject, "job": {"sequence": path.stem}}
                template.model_copy(update=about).save(path)
            elif not job.recorded and path.suffix and not path.exists():
                write_json(path, {})
            elif not job.recorded and not path.suffix:
                path.mkdir(parents=True)
    return results


def states(settings: Settings, stage: str) -> dict[str, int]:
    return dict(read_status(settings).counts[stage])


def fail(path: Path, error: str = "loss is nan") -> None:
    record: Record = read_record(path)
    record.model_copy(update={"status": "failed", "error": error}).save(path)


def test_a_finished_run_is_done_and_says_so(settings: Settings, results: Results) -> None:
    status = read_status(settings)
    assert set(status.totals) == {"done"}
    assert status.headline == f"{len(status.jobs)} of {len(status.jobs)} jobs done"
    assert last_lines(status) == [f"{status.totals['done']} results: {status.totals['done']} done, 0 failed, 0 skipped"]
    assert states(settings, "finals") == {"done": 16}
    assert states(settings, "tuning") == {"done": len(results.tunings())}


def test_a_failed_record_is_counted_and_stops_nothing(settings: Settings, results: Results) -> None:
    path = results.grid("3-7", "none", "0.25", "0.005", 63)
    fail(path, "loss is nan\n at once")
    status = read_status(settings)
    assert states(settings, "grid 3-7") == {"done": 3, "failed": 1}
    assert all(job.state == "done" for job in status.jobs)
    assert status.problems("failed") == [f"failed: {path}: loss is nan at once"]
    assert last_lines(status)[0].endswith("1 failed, 0 skipped")


def test_a_running_shard_computes_one_result_at_a_time(settings: Settings, results: Results) -> None:
    points = [results.grid("3-7", *point, 63) for point in results.configurations()]
    for path in points[1:]:
        path.unlink()
    log = results.log(*SHARD, seed=63, part=(0, 2))
    log.parent.mkdir(parents=True)
    log.write_text("hello")
    with contextlib.suppress(KeyboardInterrupt), run_job(log.with_suffix(".json")):
        assert states(settings, "grid 3-7") == {"done": 1, "running": 1, "missing": 2}
        (line,) = read_status(settings).problems("running", "failed", "stopped")
        assert line.startswith("running: grid/3-7/seed=63.part=1-of-2: process ")
        assert line.endswith(f"log: {log}")
        raise KeyboardInterrupt
    assert states(settings, "grid 3-7") == {"done": 1, "stopped": 1, "missing": 2}
    assert "was killed or interrupted; the same command goes on" in read_status(settings).problems("stopped")[0]


def test_the_downstream_jobs_of_a_failed_one_are_skipped(settings: Settings, results: Results) -> None:
    for path in [*Path("results").rglob("3-7")]:
        shutil.rmtree(path)
    shutil.rmtree("reports")
    with contextlib.suppress(UserError), run_job(results.log("parent", "3-7", seed=63).with_suffix(".json")):
        raise UserError("found a loss that is not finite")
    assert states(settings, "parents") == {"done": 1, "failed": 1}
    assert states(settings, "grid 3-7") == {"skipped": 4}
    assert states(settings, "grid 1-1") == {"done": 4}
    assert states(settings, "tables") == {"skipped": 4}
    last = last_lines(read_status(settings))
    assert " 1 failed, " in last[0]
    assert "skipped" in last[0]
    assert last[1].endswith("parent/3-7/seed=63/record.json: found a loss that is not finite")
    assert last[-1] == f"logs: {results.logs}; the same command goes on from here"


def test_a_job_that_runs_again_is_running(settings: Settings, results: Results) -> None:
    with run_job(results.log("parent", "3-7", seed=63).with_suffix(".json")):
        (results.parent("3-7", 63) / "record.json").unlink()
        assert states(settings, "parents") == {"done": 1, "running": 1}
        assert states(settings, "selection") == {"done": 2}


def test_a_folder_of_a_job_that_was_killed_is_not_taken_for_finished(settings: Settings, results: Results) -> None:
    killed = JobStatus("running", pid=1, host="somewhere", started=0.0)
    write_json(results.log("predict", "unsupervised", "3-7", seed=63).with_suffix(".json"), asdict(killed))
    assert results.predictions("unsupervised", "3-7", 63).is_dir()
    assert states(settings, "predictions") == {"done": 3, "stopped": 1}


def test_status_lists_all_runs_in_plain_text_and_exits_with_3_if_something_failed(
    results: Results, settings: Settings, invoke: Callable[..., Ended]
) -> None:
    done = invoke("status")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0] == f"run {settings.name} ({results.root})"
    assert not set("\x1b┃│") & set(done.output)
    fail(results.final("1-1", 63, "kites"))
    done = invoke("status", "--config", str(results.root / "settings.json"))
    assert done.exit_code == 3
    assert f"failed: {results.final('1-1', 63, 'kites')}: loss is nan" in done.output


def test_the_check_of_the_records_makes_the_exit_code(
    settings: Settings, results: Results, invoke: Callable[..., Ended]
) -> None:
    command = ("check-records", "--config", str(results.root / "settings.json"), "--out", "complete.json")
    assert invoke(*command).exit_code == 0
    assert json.loads(Path("complete.json").read_text())["failed"] == 0
    Path("complete.json").unlink()
    fail(results.tuning("3-7", "frozen", "0.001", 63))
    done = invoke(*command)
    assert done.exit_code == 1
    assert "tables/records.csv: found 1 of 43 records failed; " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not Path("complete.json").exists()


def test_a_record_of_other_settings_is_found(
    settings: Settings, results: Results, invoke: Callable[..., Ended]
) -> None:
    paths = [results.tuning("3-7", "frozen", "0.001", 63), results.parent("3-7", 63) / "record.json"]
    other = settings.model_copy(update={"parent": settings.parent.model_copy(update={"epochs": 99})})
    for path in paths:
        read_record(path).model_copy(update={"settings": other.model_dump(mode="json")}).save(path)
    done = invoke("check-records", "--config", str(results.root / "settings.json"), "--out", "complete.json")
    assert done.exit_code == 1
    assert [f"error: {path}: found other settings of its stage; expected the run's" for path in sorted(paths)] == [
        line.rpartition(";")[0] for line in sorted(done.stderr.splitlines())
    ]


def test_a_run_that_is_not_there_and_a_broken_record_are_named_in_one_line(
    results: Results, invoke: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results.cost("1-1", 63).write_text('{"status": "do')
    assert "cost/1-1/seed=63.json: cannot be read as JSON" in invoke("status").stderr
    results.cost("1-1", 63).write_bytes(results.cost("3-7", 63).read_bytes())
    assert "cost/1-1/seed=63.json: found the record of setup '3-7'; expected '1-1'" in invoke("status").stderr
    results.cost("1-1", 63).write_text("{}")
    assert "cost/1-1/seed=63.json: is no record" in invoke("status").stderr
    monkeypatch.chdir(tmp_path / "reports")
    headline = "time left not known yet: nothing is finished of data, detector, parents, "
    assert headline in read_status(results.settings).headline
    done = invoke("status")
    assert (done.exit_code, done.stderr) == (
        1,
        "error: results: found no run (results/NAME/settings.json); expected one, or --config\n",
    )


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("from slowfast_vos.cli import app; app(['status'], standalone_mode=False)", {"torch", "pandas", "matplotlib"}),
        ("from slowfast_vos.reporting import tables, figures, qualitative", {"torch"}),
    ],
)
def test_status_and_reports_do_without_what_takes_seconds_to_import(
    results: Results, code: str, absent: set[str]
) -> None:
    code = f"{code}; import sys; assert not {absent} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
