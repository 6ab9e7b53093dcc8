"""The jobs of a run, as the rules of the workflow make them: what each writes, and where it logs.

The one table that the status, the tables of results and the Snakefile's targets are derived from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slowfast_vos.config import Settings
from slowfast_vos.files import read_json
from slowfast_vos.paths import Results, shard
from slowfast_vos.videos.dataset import validation_names

TASKS = ("unsupervised", "semi-supervised")
BASELINES = {"detector": "all detections", "foreground": "all foreground"}
# What each kind of job needs, of the same seed and subject where both have one.
NEEDS: Mapping[str, Sequence[str]] = {
    "synthesize": (),
    "check-data": ("synthesize",),
    "detector": ("check-data",),
    "parent": ("detector",),
    "tuning": ("detector",),
    "grid": ("parent",),
    "selected": ("grid",),
    "final": ("selected",),
    "predict baseline": ("detector",),
    "predict": ("parent",),
    "baseline": ("predict baseline",),
    "unsupervised": ("predict",),
    "semi-supervised": ("final",),
    "cost": ("parent",),
    "tables": ("tuning", "baseline", "unsupervised", "semi-supervised", "cost"),
    "plots": ("tuning", "baseline", "unsupervised", "semi-supervised", "cost"),
    "strips": ("baseline", "unsupervised", "semi-supervised"),
}
Key = tuple[Any, ...]


@dataclass(frozen=True)
class PlannedJob:
    """One job.

    Attributes:
        stage: the row of `slowfast-vos status` that counts it.
        kind: one of `NEEDS`; jobs of one kind and subject take about equally long.
        log: its log file; no two jobs share one.
        outputs: records, files or folders, by what tells a record from its siblings, which ends in the seed.
        subject: the setup, or the baseline's name.
        recorded: whether the outputs are records.
    """

    stage: str
    kind: str
    log: Path
    outputs: Mapping[Key, Path]
    subject: str | None = None
    seed: int | None = None
    recorded: bool = True

    @property
    def status_file(self) -> Path:
        """Where the job's process keeps its status."""
        return self.log.with_suffix(".json")

    def needs(self, other: PlannedJob) -> bool:
        """Whether this job reads what another one writes."""
        return (
            other.kind in NEEDS[self.kind]
            and (self.subject is None or other.subject in (None, self.subject))
            and (self.seed is None or other.seed in (None, self.seed))
        )


def planned_jobs(settings: Settings, base: Path = Path(), val: Sequence[str] | None = None) -> list[PlannedJob]:
    """Every job of a run, each after those that it needs.

    Args:
        val: the validation sequences; those of the checked dataset, or of the data, if None.

    Raises:
        UserError: the validation sequences are not known, since the dataset is not there.
    """
    results = Results(settings, base)
    if val is None:
        checked = results.dataset.is_file()
        val = read_json(results.dataset)["roles"]["val"] if checked else validation_names(settings)
    jobs = [*_data(results)]
    for seed in results.settings.seeds:
        jobs += _without_setup(results, seed)
        for setup in results.settings.setups:
            jobs += _of_setup(results, setup, seed, val)
    reports = {"tables": "tables/summary.md", "plots": "figures", "strips": "strips"}
    return jobs + [_files("tables", name, results.log(name), results.reports / at) for name, at in reports.items()]


def _files(stage: str, kind: str, log: Path, path: Path, **about: Any) -> PlannedJob:
    return PlannedJob(stage, kind, log, {(): path}, recorded=False, **about)


def _data(results: Results) -> Iterator[PlannedJob]:
    if results.settings.data.kind == "synthetic":
        drawn = results.base / results.settings.data_root / "Annotations" / "db_info.yml"
        yield _files("data", "synthesize", results.log("synthesize"), drawn)
    yield _files("data", "check-data", results.log("check-data"), results.dataset)


def _without_setup(results: Results, seed: int) -> Iterator[PlannedJob]:
    """The detector, the baselines, and the tuning."""
    detector = {(seed,): results.detector(seed) / "record.json"}
    yield PlannedJob("detector", "detector", results.log("detector", seed=seed), detector, seed=seed)
    for name in BASELINES:
        masks, scores = results.predictions("baseline", name, seed), results.scores("baseline", name, seed)
        log = results.log("predict", name, seed=seed)
        yield _files("predictions", "predict baseline", log, masks, subject=name, seed=seed)
        log = results.log("evaluate", "baseline", name, seed=seed)
        yield PlannedJob("evaluation", "baseline", log, {(name, seed): scores}, name, seed)
    for setup, backbone, lr in results.tunings():
        log = results.log("tuning", setup, f"backbone={backbone}", f"lr={lr}", seed=seed)
        record = {(setup, backbone, lr, seed): results.tuning(setup, backbone, lr, seed)}
        yield PlannedJob("tuning", "tuning", log, record, setup, seed)


def _of_setup(results: Results, setup: str, seed: int, val: Sequence[str]) -> Iterator[PlannedJob]:
    settings, of = results.settings, {"subject": setup, "seed": seed}
    key, points = (setup, seed), results.configurations()
    record = {key: results.parent(setup, seed) / "record.json"}
    yield PlannedJob("parents", "parent", results.log("parent", setup, seed=seed), record, **of)
    for part in parts(settings.grid.shards, len(points)):
        records = {(setup, *point, seed): results.grid(setup, *point, seed) for point in shard(points, *part)}
        yield PlannedJob(f"grid {setup}", "grid", results.log("grid", setup, seed=seed, part=part), records, **of)
    log = results.log("select", setup, seed=seed)
    yield PlannedJob("selection", "selected", log, {key: results.selected(setup, seed)}, **of)
    for part in parts(settings.final.shards, len(val)):
        records = {(setup, name, seed): results.final(setup, seed, name) for name in shard(list(val), *part)}
        yield PlannedJob("finals", "final", results.log("final", setup, seed=seed, part=part), records, **of)
    masks = results.predictions("unsupervised", setup, seed)
    yield _files("predictions", "predict", results.log("predict", setup, seed=seed), masks, **of)
    for task in TASKS:
        log = results.log("evaluate", task, setup, seed=seed)
        yield PlannedJob("evaluation", task, log, {(task, *key): results.scores(task, setup, seed)}, **of)
    if seed == settings.seeds[0]:
        log = results.log("cost", setup, seed=seed)
        yield PlannedJob("cost", "cost", log, {key: results.cost(setup, seed)}, **of)


def parts(wanted: int, items: int) -> list[tuple[int, int]]:
    """Index and count of each of the jobs that share some items: `wanted` jobs, if there are as many items."""
    count = min(wanted, items)
    return [(index, count) for index in range(count)]


def table_names(settings: Settings) -> list[str]:
    """The tables of a run, in their order; each is NAME.csv, NAME.md and NAME.tex."""
    grids = [f"grid-{setup}" for setup in settings.setups]
    return ["table1", "table2", "cost", "tuning", *grids, "per-sequence", "attributes", "records"]
