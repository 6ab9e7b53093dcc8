"""The time that a run still takes: how it is estimated, and what a frame counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_runs import settings_for
from slowfast_vos.dag import NEEDS, PlannedJob
from slowfast_vos.jobs.runner import JobStatus
from slowfast_vos.measuring.record import CheckedData
from slowfast_vos.reporting.status import JobState, Output
from slowfast_vos.reporting.time_left import frames_of_outputs, in_words, side_by_side, time_left


def job(
    name: str, state: str, *seconds: float | None, kind: str = "grid", setup: str | None = None, ran: Any = None
) -> JobState:
    """A job with an output for each of `seconds`, None for a missing one; it `ran` from a time for some seconds."""
    found = [Output(Path(name), "missing" if took is None else "done", None, took) for took in seconds]
    status = JobStatus("running" if ran[1] is None else "done", 1, "host", *ran) if ran else None
    return JobState(PlannedJob(kind, kind, Path(name), [one.path for one in found], setup), state, found, status)


DONE = [job("a", "done", 10.0, 20.0, setup="1-1"), job("b", "done", 120.0, setup="3-7")]
TO_RETRY = [job("a", "done", 20.0), job("b", "failed", None), job("c", "skipped", None)]


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        # The mean of the same kind and setup; of the same kind.
        ([*DONE, job("c", "missing", None, None, setup="1-1")], "about 30 s left one job at a time"),
        ([*DONE, job("d", "missing", None, setup="3-7")], "about 2 min left one job at a time"),
        ([*DONE, job("e", "missing", None, setup="7-7")], "about 50 s left one job at a time"),
        # A kind of which nothing is finished is named. Its frames take what frames took: 150 s for 30 of them.
        ([*DONE, job("c", "missing", None, None, kind="cost")], "about 30 s left one job at a time (a guess for cost)"),
        (
            [*DONE, job("b", "done", 20.0, kind="final"), job("c", "missing", None, kind="tables")],
            "about 20 s left one job at a time (a guess for tables)",
        ),
        ([job("c", "missing", None, kind="cost")], "time left not known yet: nothing is finished of cost"),
        # Drawing the videos says nothing of what trains on them.
        (
            [job("a", "done", 8.0, kind="data"), job("c", "missing", None, kind="cost")],
            "time left not known yet: nothing is finished of cost",
        ),
        # Where records say no time, the job's status does.
        ([job("a", "missing", None, None, ran=(0.0, 30.0), setup="1-1")], "about 30 s left one job at a time"),
        # What failed is tried again by the next start alone.
        (TO_RETRY, "about 40 s left one job at a time"),
        ([*TO_RETRY, job("d", "running", None, ran=(0.0, None))], "about 20 s left one job at a time"),
    ],
)
def test_the_time_left(jobs: list[JobState], said: str) -> None:
    assert time_left(jobs, {"grid": 10.0, "cost": 3.0}) == said


def test_jobs_side_by_side_are_the_most_that_ever_were() -> None:
    jobs = [job(str(start), "done", 1.0, ran=(start, 9.0)) for start in (0.0, 5.0, 10.0)]
    assert side_by_side(jobs) == 2
    assert side_by_side([]) == 1
    running = [job(f"r{index}", "running", None, ran=(50.0, None)) for index in range(3)]
    assert side_by_side([*jobs, *running]) == 3
    assert time_left([job("a", "done", 30.0, ran=(0.0, 30.0)), *running], {}) == "about 30 s left with 3 side by side"


def test_durations_in_words() -> None:
    words = {0: "10 s", 44: "40 s", 89: "90 s", 90: "2 min", 400: "7 min", 9000: "2.5 h"}
    assert {seconds: in_words(seconds) for seconds in words} == words


def test_frames_of_outputs_are_those_of_the_configuration() -> None:
    """Three training sequences of 4, 10 and 20 frames, two that select (5 and 6), two validated (7 and 9)."""
    settings = settings_for(
        detector={"epochs": 2, "train_frames": 8},
        parent={"epochs": 4, "train_frames": 5, "views": 10},
        tuning={"epochs": 1, "train_frames": 2, "backbone": ["frozen", "trained"]},
        grid={"iterations": 6},
        final={"iterations": 12},
        cost={"frames": 10, "warmup": 1, "repeats": 6},
    )
    roles = {"train": ["a", "b", "c"], "selection": ["d", "e"], "val": ["f", "g"]}
    sequences = dict(zip("abcdefg", (4, 10, 20, 5, 6, 7, 9), strict=True))
    frames = frames_of_outputs(settings, CheckedData(sequences=sequences, digest="", roles=roles, attributes={}))
    assert frames == {
        "detector": 3 * 2 * (4 + 8 + 8),
        "parent": 1.5 * 4 * 10 * (4 + 5 + 5),
        "tuning": 2.25 * 10 * (2 + 2 + 2),
        "grid": (3 * 6 + 5) + (3 * 6 + 6),
        "final": 3 * 12 + (7 + 9) / 2,
        "cost": 16 + 10 * 7,
        "predict": 16,
        "predict baseline": 16,
        "baseline": pytest.approx(0.8),
        "unsupervised": pytest.approx(0.8),
        "semi-supervised": pytest.approx(0.8),
    }
    assert set(frames) < set(NEEDS)
