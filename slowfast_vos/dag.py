"""The jobs of a run, as the rules of the workflow make them: the one list that status, tables and targets go by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from slowfast_vos.config import Settings
from slowfast_vos.measuring.record import Record, read_checked, read_record
from slowfast_vos.paths import Results, shard
from slowfast_vos.setups import Setup
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
    "report": ("tables", "plots", "strips"),
}

# The rows of `slowfast-vos status`, in its order.
STAGES = ("data", "detector", "parents", "tuning", "grid", "selection", "finals", "predictions", "evaluation", "cost")
STAGES += ("tables",)


@dataclass(frozen=True)
class PlannedJob:
    """One job."""

    stage: str  # the row of `slowfast-vos status` that counts it
    kind: str  # one of `NEEDS`; jobs of one kind and subject take about equally long
    log: Path  # no two jobs share one
    outputs: Sequence[Path]  # records, or one file or folder
    subject: str | None = None  # the setup, maybe with a control at test time, or the baseline's name
    seed: int | None = None
    recorded: bool = True  # whether the outputs are records

    @property
    def status_file(self) -> Path:
        """Where the job's process keeps its status."""
        return self.log.with_suffix(".json")

    def needs(self, other: PlannedJob) -> bool:
        """Whether this job reads what another one writes."""
        return (
            other.kind in NEEDS[self.kind]
            and (self.subject is None or other.subject in (None, self.subject, self.subject.partition("@")[0]))
            and (self.seed is None or other.seed in (None, self.seed))
        )


def planned_jobs(results: Results, val: Sequence[str] | None = None) -> list[PlannedJob]:
    """Every job of a run, each after those that it needs.

    Args:
        val: the validation sequences; those of the checked dataset, or of the data, if None.

    Raises:
        UserError: the validation sequences are not known, since the dataset is not there.
    """
    settings, jobs = results.settings, []
    if val is None:
        checked = results.dataset.is_file()
        val = read_checked(results.dataset).roles["val"] if checked else validation_names(settings)
    if settings.data.kind == "synthetic":
        drawn = results.base / settings.data_root / "Annotations" / "db_info.yml"
        jobs.append(PlannedJob("data", "synthesize", results.log("synthesize"), [drawn], recorded=False))
    jobs.append(PlannedJob("data", "check-data", results.log("check-data"), [results.dataset], recorded=False))
    for seed in settings.seeds:
        jobs += _without_setup(results, seed)
        for setup in settings.setups:
            jobs += _of_setup(results, setup, seed, val)
    reports = {"tables": "tables/summary.md", "plots": "figures", "strips": "strips", "report": "report.html"}
    for kind, name in reports.items():
        jobs.append(PlannedJob("tables", kind, results.log(kind), [results.reports / name], recorded=False))
    return jobs


def read_output(results: Results, job: PlannedJob, path: Path) -> Record:
    """Read one of a job's records; a UserError if it is the record of another job, run or data set."""
    evaluates, place = job.kind in (*TASKS, "baseline"), results.place(path)
    point = {"final": {"sequence": path.stem}, "baseline": {"baseline": job.subject}}.get(job.kind, place)
    return read_record(
        path,
        name=results.settings.name,
        kind="evaluation" if evaluates else job.kind,
        task=job.kind if evaluates else None,
        setup=None if job.kind == "baseline" else job.subject,
        seed=job.seed,
        job=point,
    )


def _without_setup(results: Results, seed: int) -> Iterator[PlannedJob]:
    """The detector, the baselines, and the tuning."""
    log = partial(results.log, seed=seed)
    yield PlannedJob("detector", "detector", log("detector"), [results.detector(seed) / "record.json"], seed=seed)
    for name in BASELINES:
        masks, scores = results.predictions("baseline", name, seed), results.scores("baseline", name, seed)
        yield PlannedJob(
            "predictions", "predict baseline", log("predict", "baseline", name), [masks], name, seed, recorded=False
        )
        yield PlannedJob("evaluation", "baseline", log("evaluate", "baseline", name), [scores], name, seed)
    for setup, backbone, lr in results.tunings() if results.settings.search_seed(seed) == seed else ():
        path = log("tuning", setup, backbone, lr)
        yield PlannedJob("tuning", "tuning", path, [results.tuning(setup, backbone, lr, seed)], setup, seed)


def _of_setup(results: Results, setup: str, seed: int, val: Sequence[str]) -> Iterator[PlannedJob]:
    settings, points, log = results.settings, results.configurations(), partial(results.log, seed=seed)
    record = results.parent(setup, seed) / "record.json"
    yield PlannedJob("parents", "parent", log("parent", setup), [record], setup, seed)
    if settings.search_seed(seed) == seed:
        for part in parts(settings.grid.shards, len(points)):
            records = [results.grid(setup, *point, seed) for point in shard(points, *part)]
            yield PlannedJob(f"grid {setup}", "grid", log("grid", setup, part=part), records, setup, seed)
        yield PlannedJob("selection", "selected", log("select", setup), [results.selected(setup, seed)], setup, seed)
    for part in parts(settings.final.shards, len(val)):
        records = [results.final(setup, seed, name) for name in shard(list(val), *part)]
        yield PlannedJob("finals", "final", log("final", setup, part=part), records, setup, seed)
    masks = results.predictions("unsupervised", setup, seed)
    yield PlannedJob("predictions", "predict", log("predict", TASKS[0], setup), [masks], setup, seed, recorded=False)
    for task in TASKS:
        scores = results.scores(task, setup, seed)
        yield PlannedJob("evaluation", task, log("evaluate", task, setup), [scores], setup, seed)
    for name in settings.tested:
        if Setup.parse(name).trained == setup:
            masks, scores = results.predictions(TASKS[0], name, seed), results.scores(TASKS[0], name, seed)
            yield PlannedJob(
                "predictions", "predict", log("predict", TASKS[0], name), [masks], name, seed, recorded=False
            )
            yield PlannedJob("evaluation", TASKS[0], log("evaluate", TASKS[0], name), [scores], name, seed)
    if seed == settings.seeds[0]:
        yield PlannedJob("cost", "cost", log("cost", setup), [results.cost(setup, seed)], setup, seed)


def parts(wanted: int, items: int) -> list[tuple[int, int]]:
    """Index and count of each of the jobs that share some items: `wanted` jobs, if there are as many items."""
    count = min(wanted, items)
    return [(index, count) for index in range(count)]


def table_names(settings: Settings) -> list[str]:
    """The tables of a run, in their order; each is NAME.csv, NAME.md and NAME.tex."""
    grids = [f"grid-{setup}" for setup in settings.setups]
    return [
        "claims",
        "differences",
        "table1",
        "table2",
        "cost",
        *(["tuning"] if settings.tuning.setups else []),
        *grids,
        "per-sequence",
        "attributes",
        "records",
    ]
