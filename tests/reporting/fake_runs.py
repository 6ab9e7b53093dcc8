"""Plausible runs without any training: records by the schema, drawn from a fixed seed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from slowfast_vos.config import Settings, parse_settings
from slowfast_vos.dag import TASKS, PlannedJob, planned_jobs
from slowfast_vos.files import write_json
from slowfast_vos.measuring.record import Cost, Epoch, Provenance, Record, Scores, SequenceScores, Spread
from slowfast_vos.paths import Results
from slowfast_vos.reporting.published import SETUPS, per_sequence

SKILL = {"1-1": 0.0, "3-3": 0.05, "7-7": 0.06, "1-7": 0.03, "3-7": 0.08}
SYNTHETIC = {
    "twin-moths": ["LA", "FM", "LC"],
    "kites": ["LA", "OV"],
    "marbles": ["LA", "SC"],
    "slow-leaf": ["DEF", "LC"],
    "ribbon": ["DEF", "OCC"],
    "lantern": ["SC"],
    "drifter": ["FM", "OV", "OCC"],
    "pebble": ["LC", "SC"],
}

SMALL = {
    "setups": ["1-1", "3-7"],
    "grid": {"freeze": ["none", "SF"], "scale": ["0", "0.4"], "lr": ["0.001", "0.005"]},
    "tuning": {"setups": []},
}
DIGEST = "0123456789abcdef" * 4
DIVERGED = "loss is nan at iteration 112 of held-a; expected a finite number (lr 0.005 & 100% of steps_done)"
FAILED = {"status": "failed", "error": "out of memory\nat step 3", "scores": None, "cost": None, "curve": []}


def settings_for(kind: str = "synthetic", **changes: Any) -> Settings:
    """Settings of a small run."""
    data = {"kind": kind, "root": "data/none", "held_out": ["held-a", "held-b"]}
    return parse_settings({"name": f"fake-{kind}", "data": data} | changes, "test")


def scores_of(sequences: dict[str, tuple[float, float]]) -> Scores:
    """Scores with these J and F by sequence; global statistics are plain means."""
    each = {
        name: SequenceScores(j_mean=j, j_recall=min(1.0, j + 0.2), j_decay=0.04, f_mean=f, f_recall=f, f_decay=0.06)
        for name, (j, f) in sequences.items()
    }
    means = {key: float(np.mean([getattr(one, key) for one in each.values()])) for key in SequenceScores.model_fields}
    return Scores(jf_mean=(means["j_mean"] + means["f_mean"]) / 2, **means, sequences=each)


def selection(level: float) -> Scores:
    """Scores of the selection sequences."""
    return scores_of({"held-a": (level, level + 0.02), "held-b": (level - 0.05, level)})


class Faker:
    """Draws the records of a run."""

    def __init__(self, settings: Settings, gpu: bool) -> None:
        self.settings, self.gpu = settings, gpu
        self.rng = np.random.default_rng(7)
        names = list(per_sequence().loc["1-1"].index) if settings.data.kind == "davis" else list(SYNTHETIC)
        self.attributes = {name: SYNTHETIC.get(name, ["AC", "BC"][: 1 + index % 2]) for index, name in enumerate(names)}
        self.hard = {name: float(self.rng.uniform(-0.25, 0.15)) for name in names}
        self.provenance = Provenance(
            commit="0" * 40, dirty=False, packages={"torch": "2.11.0", "numpy": "2.3"}, python="3.11.9", host="host",
            device="NVIDIA H100" if gpu else "cpu", driver="550.1" if gpu else None, threads=1, dataset=DIGEST,
            started="2024-01-01T00:00:00Z", seconds=12.5,
        )  # fmt: skip

    def record(self, job: PlannedJob, path: Path) -> Record:
        """A plausible record of one job."""
        values: dict[str, Any] = {"kind": job.kind, "setup": job.subject, "seed": job.seed, "status": "done"}
        point, skill = dict(re.findall(r"(backbone|freeze|scale|lr)=([^/]+)", str(path))), SKILL.get(job.subject, 0.0)
        match job.kind:
            case "detector":
                values["curve"] = self._curve(15, None)
            case "baseline":
                scores = self._scores({"detector": 0.52, "foreground": 0.14}[job.subject], -0.1)
                about = {"kind": "evaluation", "task": "baseline", "setup": None, "job": {"baseline": job.subject}}
                values |= about | {"scores": scores}
            case "parent" | "tuning":
                point = point or {"backbone": self.settings.parent.backbone, "lr": self.settings.parent.lr}
                level = 0.62 + skill - 0.03 * (point["backbone"] == "trained") - 0.05 * (point["lr"] != "0.001")
                curve = self._curve(20, level)
                best = 1 + int(np.argmax([one.jf_selection for one in curve]))
                values |= {"job": point, "scores": selection(level), "curve": curve, "best_epoch": best}
            case "grid" if (job.subject, *point.values()) == ("3-7", "none", "0.4", "0.005"):
                values |= {"job": point, "status": "failed", "error": DIVERGED}
            case "grid":
                rate, freeze = float(point["lr"]), point["freeze"]
                level = 0.70 + skill + 0.02 * (freeze == "SF") + 0.03 * (point["scale"] == "0.25")
                level -= 0.04 * abs(np.log10(rate) + 3) + (0.2 if rate > 0.004 and freeze == "none" else 0)
                values |= {"job": point, "scores": selection(level + self.rng.normal(0, 0.01))}
            case "selected":
                chosen = {"freeze": "SF", "scale": "0.25", "lr": "0.001"}
                values |= {"job": chosen, "scores": selection(0.75 + skill)}
            case "cost":
                values["cost"] = self._cost(job.subject)
            case task:
                scores = self._scores((0.64 if task == TASKS[0] else 0.74) + 0.4 * skill, 2 * skill - 0.12)
                values |= {"kind": "evaluation", "task": task, "scores": scores}
        settings = self.settings.model_dump(mode="json")
        about = {"name": self.settings.name, "protocol": self.settings.protocol_name, "settings": settings}
        return Record(provenance=self.provenance, **about, **values)

    def _scores(self, level: float, beside_distractors: float) -> Scores:
        drawn = {}
        for name, hard in self.hard.items():
            j = level + hard + beside_distractors * ("LA" in self.attributes[name]) + self.rng.normal(0, 0.02)
            drawn[name] = (float(np.clip(j, 0.02, 0.97)), float(np.clip(j + self.rng.normal(0.01, 0.03), 0.02, 0.98)))
        return scores_of(drawn)

    def _curve(self, epochs: int, level: float | None) -> list[Epoch]:
        losses = 1.4 * np.exp(-np.arange(epochs) / (0.35 * epochs)) + 0.25 + self.rng.normal(0, 0.015, epochs)
        scores = (level or 0) - 0.2 * np.exp(-np.arange(epochs) / 3) + self.rng.normal(0, 0.01, epochs)
        return [
            Epoch(epoch=at, iteration=100 * at, loss=loss, jf_selection=None if level is None else score, seconds=4.0)
            for at, loss, score in zip(range(1, epochs + 1), losses, scores, strict=True)
        ]

    def _cost(self, setup: str) -> Cost:
        slow, fast = map(int, setup.split("-"))
        time, total = 20 + 2.2 * slow + 1.1 * fast, SETUPS[setup].parameters
        peaks = {"allocated": 2_511_724_032, "reserved": 3_221_225_472, "process": 3_888_119_808}
        return Cost(
            parameters_total=total, parameters_trained=total - 27_393_231, parameters_slow_fast=total - 43_922_395,
            gflops_per_frame=134.2 + 3 * time,
            milliseconds_per_frame=Spread(median=time, low=time * 0.97, high=time * 1.05, repeats=5),
            frames_per_second=Spread(median=1000 / time, low=950 / time, high=1030 / time, repeats=5),
            timed_frames=50, frame_size=(480, 854), end_to_end_seconds=1376 * time / 900, end_to_end_frames=1376,
            host_peak_bytes=1_610_612_736 + 1_000_000 * slow,
            **{f"gpu_{name}_bytes": peak if self.gpu else None for name, peak in peaks.items()},
        )  # fmt: skip

    def dataset(self) -> dict[str, Any]:
        """What the data stage leaves."""
        roles = {"train": ["train-a"], "selection": ["held-a", "held-b"], "val": list(self.hard)}
        frames = {name: 24 + index for index, name in enumerate(one for some in roles.values() for one in some)}
        attributes = self.attributes | {"held-a": ["LA"], "train-a": []}
        return {"sequences": frames, "digest": DIGEST, "attributes": attributes, "roles": roles}


def write_run(
    settings: Settings,
    base: Path,
    *,
    gpu: bool = False,
    edit: Callable[[Record], Record | None] = lambda record: record,
) -> Results:
    """Write a run's records below `base`; `edit` may change each, or return None to leave it out."""
    faker, results = Faker(settings, gpu), Results(settings, base)
    for job in planned_jobs(results, val=()):
        for path in job.outputs if job.recorded else ():
            if record := edit(faker.record(job, path)):
                record.save(path)
    write_json(results.dataset, faker.dataset())
    return results


def fail(record: Record) -> Record:
    """An edit by which every job failed."""
    return record.model_copy(update=FAILED)
