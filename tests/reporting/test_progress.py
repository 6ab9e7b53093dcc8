"""Where a run stands, from generated records: what is counted, what is said, and how the time left is estimated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_runs import settings_for, write_run
from slowfast_vos.config import Settings
from slowfast_vos.files import write_json
from slowfast_vos.measuring.notes import Note, begin_note
from slowfast_vos.measuring.record import Record, read_record
from slowfast_vos.paths import Results
from slowfast_vos.reporting.plan import Step, plan
from slowfast_vos.reporting.progress import Job, Result, count_results, read_jobs
from slowfast_vos.reporting.remaining import estimate, makespan, side_by_side
from slowfast_vos.reporting.status import ending, in_words, read_status

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
    results = Results(settings)
    write_run(
        settings,
        results.root,
        edit=lambda kind, key, record: record.model_copy(update={"status": "done", "error": None}),
    )
    settings.save(results.root / "settings.json")
    template = read_record(results.grid("1-1", "SF", "0.25", "0.001", 63))
    for step in plan(settings):
        for path in step.results:
            if step.kind == "final":
                template.save(path)
            elif not step.recorded and path.suffix and not path.exists():
                write_json(path, {})
            elif not step.recorded and not path.suffix:
                path.mkdir(parents=True)
    age(settings)
    return results


def age(settings: Settings) -> None:
    """Give everything the times it would have, each result newer than what it is made from."""
    for seconds, step in enumerate(plan(settings), start=1_000_000):
        for path in step.results:
            if path.exists():
                os.utime(path, (seconds, seconds))


def states(settings: Settings, stage: str) -> dict[str, int]:
    return dict(count_results(read_jobs(settings))[stage])


def fail(path: Path, error: str = "loss is nan") -> None:
    record: Record = read_record(path)
    record.model_copy(update={"status": "failed", "error": error}).save(path)


def test_a_finished_run_is_done_and_says_so(settings: Settings, results: Results) -> None:
    status = read_status(settings)
    assert set(status.totals) == {"done"}
    assert status.headline == f"{len(status.jobs)} of {len(status.jobs)} jobs done"
    assert ending(status) == [f"{status.totals['done']} results: {status.totals['done']} done, 0 failed, 0 skipped"]
    assert states(settings, "finals") == {"done": 16}
    assert states(settings, "tuning") == {"done": len(results.tunings())}


def test_a_failed_record_is_counted_and_stops_nothing(settings: Settings, results: Results) -> None:
    path = results.grid("3-7", "none", "0.25", "0.005", 63)
    fail(path, "loss is nan\n at once")
    age(settings)
    status = read_status(settings)
    assert states(settings, "grid 3-7") == {"done": 3, "failed": 1}
    assert all(job.state == "done" for job in status.jobs)
    assert status.problems("failed") == [f"failed: {path}: loss is nan at once"]
    assert ending(status)[0].endswith("1 failed, 0 skipped")


def test_a_running_shard_computes_one_result_at_a_time(settings: Settings, results: Results) -> None:
    points = [results.grid("3-7", *point, 63) for point in results.configurations()]
    for path in points[1:]:
        path.unlink()
    log = results.log(*SHARD, seed=63, part=(0, 2))
    log.parent.mkdir(parents=True)
    log.write_text("hello")
    note = begin_note(log.with_suffix(".json"))
    assert states(settings, "grid 3-7") == {"done": 1, "running": 1, "missing": 2}
    (line,) = read_status(settings).problems("running", "failed", "stopped")
    assert line.startswith("running: grid/3-7/seed=63.part=1-of-2: process ")
    assert line.endswith(f"log: {log}")
    note.end("stopped")
    assert states(settings, "grid 3-7") == {"done": 1, "stopped": 1, "missing": 2}
    assert "was killed or interrupted; the same command goes on" in read_status(settings).problems("stopped")[0]


def test_what_stands_on_a_failed_job_is_skipped(settings: Settings, results: Results) -> None:
    for path in Path().glob("results/*/*/3-7/**/*.json"):
        path.unlink()
    for path in Path("reports").rglob("*.md"):
        path.unlink()
    begin_note(results.log("parent", "3-7", seed=63).with_suffix(".json")).end(
        "failed", "found a loss that is not finite"
    )
    assert states(settings, "parents") == {"done": 1, "failed": 1}
    assert states(settings, "grid 3-7") == {"skipped": 4}
    assert states(settings, "grid 1-1") == {"done": 4}
    assert states(settings, "tables") == {"skipped": 3}
    last = ending(read_status(settings))
    assert " 1 failed, " in last[0]
    assert "skipped" in last[0]
    assert last[1].endswith("parent/3-7/seed=63/record.json: found a loss that is not finite")
    assert last[-1] == f"logs: {results.logs}; the same command goes on from here"


def test_what_is_older_than_what_it_is_made_from_is_to_be_made_again(settings: Settings, results: Results) -> None:
    (results.parent("3-7", 63) / "record.json").touch()
    assert states(settings, "parents") == {"done": 2}
    assert states(settings, "grid 1-1") == {"done": 4}
    assert states(settings, "grid 3-7") == {"missing": 4}
    assert states(settings, "finals") == {"done": 8, "missing": 8}
    assert states(settings, "tables") == {"missing": 3}
    assert estimate(read_jobs(settings)).seconds > 8 * 12.5  # what is outdated tells how long it takes
    age(settings)
    note = begin_note(results.log("parent", "3-7", seed=63).with_suffix(".json"))
    (results.parent("3-7", 63) / "record.json").unlink()
    assert states(settings, "parents") == {"done": 1, "running": 1}
    assert states(settings, "selection") == {"done": 1, "missing": 1}
    note.end("done")


def test_pictures_show_predictions_and_not_what_they_cost(settings: Settings, results: Results) -> None:
    for setup in settings.setups:
        os.utime(results.cost(setup, 63))
    made = {job.step.kind: job.state for job in read_jobs(settings) if job.step.stage == "tables"}
    assert made == {"tables": "missing", "plots": "missing", "strips": "done"}


def test_a_folder_of_a_job_that_was_killed_is_not_taken_for_finished(settings: Settings, results: Results) -> None:
    note = results.log("predict", "3-7", seed=63).with_suffix(".json")
    write_json(note, {"state": "running", "pid": 1, "host": "somewhere", "started": 0.0})
    assert results.predictions("unsupervised", "3-7", 63).is_dir()
    assert states(settings, "predictions") == {"done": 3, "stopped": 1}


def step(name: str, *needs: str, kind: str = "grid", setup: str | None = None, count: int = 1) -> Step:
    paths = tuple(Path(f"{name}-{index}") for index in range(count))
    return Step(kind, kind, Path(name), paths, tuple(map(Path, needs)), setup)


def job(name: str, state: str, *seconds: float | None, note: Note | None = None, **values: Any) -> Job:
    own = step(name, count=len(seconds), **values)
    found = [
        Result(path, "missing" if took is None else "done", None, took)
        for path, took in zip(own.results, seconds, strict=True)
    ]
    return Job(own, state, tuple(found), note)


def test_the_time_left_is_that_of_the_same_kind_and_setup() -> None:
    done = [job("a", "done", 10.0, 20.0, setup="1-1"), job("b", "done", 100.0, setup="3-7")]
    assert estimate([*done, job("c", "missing", None, None, setup="1-1")]).seconds == 30
    assert estimate([*done, job("d", "missing", None, setup="3-7")]).seconds == 100
    assert estimate([*done, job("e", "missing", None, setup="7-7")]).seconds == pytest.approx(130 / 3)


def test_a_jobs_start_counts_and_a_running_jobs_time_so_far() -> None:
    done = job("a", "done", 10.0, 10.0, note=Note("done", 1, "host", 0.0, 26.0))
    assert estimate([done, job("b", "missing", None)]).seconds == 16
    running = job("c", "running", 10.0, None, note=Note("running", 2, "host", 100.0))
    assert estimate([done, running], now=120.0).seconds == 6
    assert estimate([done, running], now=500.0).seconds == 0


def test_kinds_without_a_finished_job_are_named_and_taken_for_the_mean_job() -> None:
    done = job("a", "done", 10.0, note=Note("done", 1, "host", 0.0, 16.0))
    found = estimate([done, job("b", "missing", None), job("c", "missing", None, kind="cost")])
    assert (found.seconds, found.unknown) == (16 + 16, ("cost",))
    assert estimate([job("c", "missing", None, kind="cost")]).seconds == 0


def test_where_records_are_gone_notes_tell() -> None:
    before = job("a", "missing", None, None, note=Note("done", 1, "host", 0.0, 30.0), setup="1-1")
    assert estimate([before]).seconds == 30
    assert estimate([before, job("b", "done", 4.0, setup="3-7")]).seconds == 8


def test_what_failed_is_tried_again_by_the_next_start_alone() -> None:
    jobs = [job("a", "done", 10.0), job("b", "failed", None), job("c", "skipped", None)]
    assert estimate(jobs).seconds == 20
    assert estimate([*jobs, job("d", "running", None, note=Note("running", 1, "host", 0.0))], now=0.0).seconds == 10


def test_jobs_side_by_side_are_the_most_that_ever_were() -> None:
    notes = [Note("done", 1, "host", 0.0, 10.0), Note("done", 1, "host", 5.0, 10.0), Note("done", 1, "host", 10.0, 9.0)]
    jobs = [job(str(index), "done", 1.0, note=note) for index, note in enumerate(notes)]
    assert side_by_side(jobs) == 2
    assert side_by_side([]) == 1
    running = [job(f"r{index}", "running", None, note=Note("running", 1, "host", 50.0)) for index in range(3)]
    assert side_by_side([*jobs, *running]) == 3


@pytest.mark.parametrize(
    ("workers", "expected"),
    [(1, 10 + 4 * 5 + 3 + 6), (2, 10 + 2 * 5 + 3 + 6), (4, 10 + 5 + 3 + 6), (9, 10 + 5 + 3 + 6)],
)
def test_jobs_wait_for_what_they_stand_on_and_measurements_run_alone(workers: int, expected: float) -> None:
    shards = [step(f"shard-{index}", "parent") for index in range(4)]
    steps = [(step("parent"), 10.0), *((one, 5.0) for one in shards)]
    steps += [(step("select", *(str(one.log) for one in shards)), 3.0)]
    steps += [(step(f"cost-{index}", "select", kind="cost"), 3.0) for index in range(2)]
    assert makespan(steps, workers) == expected


def test_durations_in_words() -> None:
    assert [in_words(seconds) for seconds in (0, 44, 89, 90, 400, 9000)] == [
        "10 s",
        "40 s",
        "90 s",
        "2 min",
        "7 min",
        "2.5 h",
    ]


def test_the_first_line_before_anything_is_known(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "time left not known yet: nothing is finished of data, detector, parents, " in read_status(settings).headline


def test_status_lists_all_runs_in_plain_text_and_exits_with_3_if_something_failed(
    results: Results, settings: Settings, invoke: Callable[..., Ended]
) -> None:
    done = invoke("status")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0] == f"run {settings.name} ({results.root})"
    assert not set("\x1b┃│") & set(done.output)
    fail(results.final("1-1", 63, "kites"))
    age(settings)
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
    age(settings)
    done = invoke(*command)
    assert done.exit_code == 1
    assert "tables/records.csv: found 1 of 43 records failed; " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not Path("complete.json").exists()


def test_a_record_of_other_settings_is_found_and_what_earlier_settings_left_is_removed(
    settings: Settings, results: Results, invoke: Callable[..., Ended]
) -> None:
    command = ("check-records", "--config", str(results.root / "settings.json"), "--out", "complete.json")
    left = results.root / "work" / "grid" / "0123.tennis.pt"
    left.parent.mkdir(parents=True)
    left.write_text("")
    left.with_name("0123.attempt").write_text("{}")
    paths = [results.tuning("3-7", "frozen", "0.001", 63), results.parent("3-7", 63) / "record.json"]
    for path in paths:
        record = read_record(path)
        other = settings.model_copy(update={"parent": settings.parent.model_copy(update={"epochs": 99})})
        record.model_copy(update={"settings": other.model_dump(mode="json")}).save(path)
    age(settings)
    done = invoke(*command)
    assert done.exit_code == 1
    assert [f"error: {path}: found other settings of its stage; expected the run's" for path in sorted(paths)] == [
        line.split(";")[0] + ";" + line.split(";")[1] for line in sorted(done.stderr.splitlines())
    ]
    assert not list(left.parent.iterdir())


def test_a_run_that_is_not_there_and_a_broken_record_are_named_in_one_line(
    results: Results, invoke: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results.cost("1-1", 63).write_text('{"status": "do')
    assert "cost/1-1/seed=63.json: cannot be read as JSON" in invoke("status").stderr
    results.cost("1-1", 63).write_text("{}")
    assert "cost/1-1/seed=63.json: is no record" in invoke("status").stderr
    monkeypatch.chdir(tmp_path / "reports")
    done = invoke("status")
    assert (done.exit_code, done.stderr) == (
        1,
        "error: results: found no run (results/NAME/settings.json); expected one, or --config\n",
    )


def test_status_needs_no_torch(results: Results) -> None:
    code = "import sys; from slowfast_vos.cli import app; app(['status'], standalone_mode=False); "
    code += "assert not {'torch', 'pandas', 'matplotlib'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
