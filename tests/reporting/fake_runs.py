"""Plausible runs without any training: records by the schema, drawn from a fixed seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from slowfast_vos.config import Settings, parse_settings
from slowfast_vos.files import write_json
from slowfast_vos.measuring.record import Cost, Epoch, Provenance, Record, Scores, SequenceScores, Spread
from slowfast_vos.reporting.published import PER_SEQUENCE, SETUPS
from slowfast_vos.reporting.run import record_paths

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


class Faker:
    """Draws the records of a run; `edit` may change each before it is written, or return None to leave it out."""

    def __init__(self, settings: Settings, gpu: bool) -> None:
        self.settings, self.gpu = settings, gpu
        self.rng = np.random.default_rng(7)
        names = list(PER_SEQUENCE["1-1"]) if settings.data.kind == "davis" else list(SYNTHETIC)
        self.attributes = {name: SYNTHETIC.get(name, ["AC", "BC"][: 1 + index % 2]) for index, name in enumerate(names)}
        self.hard = {name: float(self.rng.uniform(-0.25, 0.15)) for name in names}

    def record(self, kind: str, key: tuple[Any, ...]) -> Record:
        """A plausible record of one job."""
        values: dict[str, Any] = {"kind": kind, "status": "done", "seed": key[-1]}
        values |= getattr(self, f"_{kind}")(*key[:-1])
        return Record(
            name=self.settings.name,
            protocol=self.settings.protocol_name,
            settings=self.settings.model_dump(mode="json"),
            provenance=Provenance(
                commit="0" * 40, dirty=False, packages={"torch": "2.11.0", "numpy": "2.3"}, python="3.11.9",
                host="host", device="NVIDIA H100" if self.gpu else "cpu", driver="550.1" if self.gpu else None,
                threads=1, dataset="d" * 64, started="2024-01-01T00:00:00Z", seconds=12.5,
            ),
            **values,
        )  # fmt: skip

    def _scores(self, level: float, twins: float = 0.0) -> Scores:
        drawn = {}
        for name, hard in self.hard.items():
            j = level + hard + (twins if "LA" in self.attributes[name] else 0.0) + self.rng.normal(0, 0.02)
            drawn[name] = (float(np.clip(j, 0.02, 0.97)), float(np.clip(j + self.rng.normal(0.01, 0.03), 0.02, 0.98)))
        return scores_of(drawn)

    def _curve(self, epochs: int, level: float | None, start: float = 1.4) -> list[Epoch]:
        return [
            Epoch(
                epoch=epoch + 1,
                iteration=100 * (epoch + 1),
                loss=float(start * np.exp(-epoch / (0.35 * epochs)) + 0.25 + self.rng.normal(0, 0.015)),
                jf_selection=None
                if level is None
                else float(level - 0.2 * np.exp(-epoch / 3) + self.rng.normal(0, 0.01)),
                seconds=4.0,
            )
            for epoch in range(epochs)
        ]

    def _detector(self) -> dict[str, Any]:
        return {"curve": self._curve(15, None)}

    def _baseline(self, name: str) -> dict[str, Any]:
        level = {"detector": 0.52, "foreground": 0.14}[name]
        return {
            "kind": "evaluation",
            "task": "baseline",
            "job": {"baseline": name},
            "scores": self._scores(level, -0.1),
        }

    def _parent(self, setup: str) -> dict[str, Any]:
        return self._tuning(setup, self.settings.parent.backbone, self.settings.parent.lr)

    def _tuning(self, setup: str, backbone: str, lr: str) -> dict[str, Any]:
        level = 0.62 + SKILL.get(setup, 0.0) - 0.03 * (backbone == "trained") - 0.05 * (lr != "0.001")
        curve = self._curve(20, level)
        best = int(np.argmax([one.jf_selection for one in curve]))
        selection = scores_of({"held-a": (level, level + 0.02), "held-b": (level - 0.05, level)})
        job = {"backbone": backbone, "lr": lr}
        return {"setup": setup, "job": job, "scores": selection, "curve": curve, "best_epoch": curve[best].epoch}

    def _grid(self, setup: str, freeze: str, scale: str, lr: str) -> dict[str, Any]:
        job = {"freeze": freeze, "scale": scale, "lr": lr}
        if (setup, freeze, scale, lr) == ("3-7", "none", "0.4", "0.005"):
            error = "loss is nan at iteration 112 of held-a; expected a finite number (lr 0.005 & 100% of steps_done)"
            return {"setup": setup, "job": job, "status": "failed", "error": error}
        level = 0.70 + SKILL.get(setup, 0.0) + 0.02 * (freeze == "SF") + 0.03 * (scale == "0.25")
        level -= 0.04 * abs(np.log10(float(lr)) + 3) + (0.2 if float(lr) > 0.004 and freeze == "none" else 0)
        level += self.rng.normal(0, 0.01)
        return {"setup": setup, "job": job, "scores": scores_of({"held-a": (level, level), "held-b": (level, level)})}

    def _selected(self, setup: str) -> dict[str, Any]:
        job = {"freeze": "SF", "scale": "0.25", "lr": "0.001"}
        level = 0.75 + SKILL.get(setup, 0.0)
        return {"setup": setup, "job": job, "scores": scores_of({"held-a": (level, level), "held-b": (level, level)})}

    def _evaluation(self, task: str, setup: str) -> dict[str, Any]:
        skill = SKILL.get(setup, 0.0)
        level = {"unsupervised": 0.64, "semi-supervised": 0.74}[task] + 0.4 * skill
        return {"task": task, "setup": setup, "scores": self._scores(level, 2 * skill - 0.12)}

    def _cost(self, setup: str) -> dict[str, Any]:
        slow, fast = map(int, setup.split("-"))
        time = 20 + 2.2 * slow + 1.1 * fast
        theirs = SETUPS.get(setup)
        total = theirs.parameters if theirs else 45_000_000
        return {
            "setup": setup,
            "cost": Cost(
                parameters_total=total, parameters_trained=total - 27_393_231, parameters_slow_fast=total - 43_922_395,
                gflops_per_frame=134.2 + 3 * time,
                milliseconds_per_frame=Spread(median=time, low=time * 0.97, high=time * 1.05, repeats=5),
                frames_per_second=Spread(median=1000 / time, low=950 / time, high=1030 / time, repeats=5),
                timed_frames=50, frame_size=(480, 854), end_to_end_seconds=1376 * time / 900, end_to_end_frames=1376,
                gpu_allocated_bytes=2_511_724_032 if self.gpu else None,
                gpu_reserved_bytes=3_221_225_472 if self.gpu else None,
                gpu_process_bytes=3_888_119_808 if self.gpu else None,
                host_peak_bytes=1_610_612_736 + 1_000_000 * slow,
            ),
        }  # fmt: skip

    def dataset(self) -> dict[str, Any]:
        """What the data stage leaves."""
        roles = {"train": ["train-a"], "selection": ["held-a", "held-b"], "val": list(self.hard)}
        frames = {name: 24 + index for index, name in enumerate(one for some in roles.values() for one in some)}
        attributes = self.attributes | {"held-a": ["LA"], "train-a": []}
        return {"sequences": frames, "digest": "0123456789abcdef" * 4, "attributes": attributes, "roles": roles}


Edit = Callable[[str, tuple[Any, ...], Record], Record | None]


def write_run(settings: Settings, root: Path, *, gpu: bool = False, edit: Edit | None = None) -> Path:
    """Write a run's records to `root`."""
    faker = Faker(settings, gpu)
    for kind, key, path in record_paths(settings, root):
        record = faker.record(kind, key)
        if edit:
            record = edit(kind, key, record)
        if record:
            record.save(path)
    write_json(root / "dataset.json", faker.dataset())
    return root
