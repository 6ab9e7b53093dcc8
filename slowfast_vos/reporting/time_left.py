"""The time that a run still takes, from what its jobs took and from how many frames the others see."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate
from statistics import fmean
from typing import TYPE_CHECKING

from slowfast_vos.config import Settings
from slowfast_vos.dag import STAGES, TASKS
from slowfast_vos.measuring.record import CheckedData

if TYPE_CHECKING:
    from slowfast_vos.reporting.status import JobState

# What a frame takes, as a multiple of one that is predicted; measured with a small network on a CPU.
TRAINED, HEADS_TRAINED, SCORED = 3.0, 1.5, 0.05


def frames_of_outputs(settings: Settings, data: CheckedData) -> dict[str, float]:
    """By kind of job: how many predicted frames take about as long as one output of it."""
    names, parent, tuning, cost = data.roles, settings.parent, settings.tuning, settings.cost
    lengths = {role: [data.sequences[name] for name in names[role]] for role in ("train", "selection", "val")}

    def visited(limit: int | None, views: int = 0) -> int:
        return max(views, 1) * sum(length if limit is None else min(length, limit) for length in lengths["train"])

    whole, trains = sum(lengths["val"]), {"frozen": HEADS_TRAINED, "trained": TRAINED}
    points = fmean(trains[backbone] for backbone in tuning.backbone)
    tuned = parent.train_frames if tuning.train_frames is None else tuning.train_frames
    frames = {
        "detector": TRAINED * settings.detector.epochs * visited(settings.detector.train_frames),
        "parent": trains[parent.backbone] * parent.epochs * visited(parent.train_frames, parent.views),
        "tuning": points * tuning.epochs * visited(tuned, parent.views),
        "grid": sum(TRAINED * settings.grid.iterations + length for length in lengths["selection"]),
        "final": TRAINED * settings.final.iterations + whole / max(len(lengths["val"]), 1),
        "cost": whole + cost.frames * (cost.warmup + cost.repeats),
    }
    frames |= dict.fromkeys(("predict", "predict baseline"), whole)
    return frames | dict.fromkeys(("baseline", *TASKS), SCORED * whole)


def time_left(jobs: Sequence[JobState], frames: Mapping[str, float]) -> str:
    """The time that a run still takes, in words: mean seconds of an output × those missing ÷ jobs side by side.

    An output of a kind of which nothing is finished takes its `frames` times what a frame took so far, and one that
    sees no frames as long as one of the kind that took least. While a run works, what failed is not tried again; the
    next start tries it.
    """
    took: dict[tuple[str, str | None], list[float]] = defaultdict(list)
    for one in jobs:
        for seconds in _durations(one):
            for subject in {one.job.subject, None}:
                took[one.job.kind, subject].append(seconds)
    kinds = {kind: seconds for (kind, subject), seconds in took.items() if subject is None}
    seen = sum(frames.get(kind, 0.0) * len(seconds) for kind, seconds in kinds.items())
    frame = sum(sum(seconds) for kind, seconds in kinds.items() if kind in frames) / seen if seen else 0.0
    least = min(map(fmean, kinds.values())) if frame else 0.0
    closed = ("done", "failed", "skipped") if any(one.state == "running" for one in jobs) else ("done",)
    unknown, left = set(), 0.0
    for one in jobs:
        if one.state in closed:
            continue
        own = took[one.job.kind, one.job.subject] or kinds.get(one.job.kind)
        if not own:
            unknown.add(one.job.stage.split()[0])
            own = [frame * frames.get(one.job.kind, 0.0) or least]
        left += fmean(own) * sum(output.state not in ("done", "failed") for output in one.outputs)
    stages = ", ".join(sorted(unknown, key=STAGES.index))
    if not left:
        return f"time left not known yet: nothing is finished of {stages}"
    workers = side_by_side(jobs)
    beside = f"with {workers} side by side" if workers > 1 else "one job at a time"
    guess = f" (a guess for {stages})" if unknown else ""
    return f"about {in_words(left / workers)} left {beside}{guess}"


def _durations(one: JobState) -> list[float]:
    """Seconds of each output, by its record; else those of the job, shared by its outputs."""
    recorded = [output.seconds for output in one.outputs if output.seconds is not None and output.state != "failed"]
    if recorded or not one.status or one.status.state != "done" or one.status.seconds is None:
        return recorded
    return [one.status.seconds / len(one.outputs)] * len(one.outputs)


def side_by_side(jobs: Sequence[JobState]) -> int:
    """The most jobs that ran at one moment, those that run now included; at least 1."""
    changes: list[tuple[float, int]] = []
    for status in (one.status for one in jobs):
        if status and status.started is not None and status.state in ("done", "running"):
            ended = math.inf if status.seconds is None else status.started + status.seconds
            changes += [(status.started, 1), (ended, -1)]
    return max(1, *accumulate(change for _, change in sorted(changes)), 1)


def in_words(seconds: float) -> str:
    """A duration, about: "40 s", "6 min", "2.5 h"."""
    if seconds < 90:
        return f"{max(round(seconds / 10), 1) * 10} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
