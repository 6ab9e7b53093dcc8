"""The jobs of a run, as Snakemake has them: what each leaves, where it logs, and which ones it stands on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slowfast_vos.config import Settings
from slowfast_vos.files import read_json
from slowfast_vos.paths import Results, shard
from slowfast_vos.reporting.collect import BASELINES, TASKS
from slowfast_vos.videos.dataset import validation_names


@dataclass(frozen=True)
class Step:
    """One job.

    Attributes:
        stage: the row of `slowfast-vos status` that counts it.
        kind: jobs of one kind take about as long as each other, given the setup.
        log: what it says; no two jobs share one.
        results: records, files or folders, one for each thing it computes.
        needs: logs of the jobs it stands on.
        recorded: whether the results are records.
    """

    stage: str
    kind: str
    log: Path
    results: tuple[Path, ...]
    needs: tuple[Path, ...] = ()
    setup: str | None = None
    recorded: bool = True

    @property
    def note(self) -> Path:
        """Where the job's process says how it stands."""
        return self.log.with_suffix(".json")


def plan(settings: Settings, base: Path = Path()) -> list[Step]:
    """Every job of a run, each after those it stands on.

    Raises:
        UserError: the validation sequences are not known, since the dataset is not there.
    """
    results = Results(settings, base)
    val = read_json(results.dataset)["roles"]["val"] if results.dataset.is_file() else validation_names(settings)
    steps = _data(results)
    checked = steps[-1].log
    for seed in settings.seeds:
        steps += _training(results, seed, checked)
    for setup in settings.setups:
        for seed in settings.seeds:
            steps += _fine_tuning(results, setup, seed, val)
    for seed in settings.seeds:
        steps += _scoring(results, seed)
    records = tuple(step.log for step in steps if step.recorded)
    evaluations = tuple(step.log for step in steps if step.stage == "evaluation")
    made = (("tables", "tables/summary.md", records), ("plots", "figures", records), ("strips", "strips", evaluations))
    for name, path, needs in made:
        steps.append(Step("tables", name, results.log(name), (results.reports / path,), needs, recorded=False))
    return steps


def _data(results: Results) -> list[Step]:
    steps, data = [], results.settings.data
    if data.kind == "synthetic":
        drawn = results.base / results.settings.data_root / "Annotations" / "db_info.yml"
        steps.append(Step("data", "synthesize", results.log("synthesize"), (drawn,), recorded=False))
    needs = tuple(step.log for step in steps)
    return [*steps, Step("data", "check-data", results.log("check-data"), (results.dataset,), needs, recorded=False)]


def _training(results: Results, seed: int, checked: Path) -> Iterator[Step]:
    detector = results.log("detector", seed=seed)
    yield Step("detector", "detector", detector, (results.detector(seed) / "record.json",), (checked,))
    for setup in results.settings.setups:
        log = results.log("parent", setup, seed=seed)
        yield Step("parents", "parent", log, (results.parent(setup, seed) / "record.json",), (detector,), setup)
    for setup, backbone, lr in results.tunings():
        log = results.log("tuning", setup, f"backbone={backbone}", f"lr={lr}", seed=seed)
        yield Step("tuning", "tuning", log, (results.tuning(setup, backbone, lr, seed),), (detector,), setup)


def _fine_tuning(results: Results, setup: str, seed: int, val: list[str]) -> Iterator[Step]:
    settings, points = results.settings, results.configurations()
    parent, select = results.log("parent", setup, seed=seed), results.log("select", setup, seed=seed)
    parts = [(index, count) for count in [min(settings.grid.shards, len(points))] for index in range(count)]
    shards = tuple(results.log("grid", setup, seed=seed, part=part) for part in parts)
    for log, part in zip(shards, parts, strict=True):
        records = tuple(results.grid(setup, *point, seed) for point in shard(points, *part))
        yield Step(f"grid {setup}", "grid", log, records, (parent,), setup)
    yield Step("selection", "selected", select, (results.selected(setup, seed),), shards, setup)
    parts = [(index, count) for count in [min(settings.final.shards, len(val))] for index in range(count)]
    finals = tuple(results.log("final", setup, seed=seed, part=part) for part in parts)
    for log, part in zip(finals, parts, strict=True):
        records = tuple(results.final(setup, seed, name) for name in shard(val, *part))
        yield Step("finals", "final", log, records, (select,), setup)
    yield _evaluation(results, TASKS[1], setup, seed, finals)


def _scoring(results: Results, seed: int) -> Iterator[Step]:
    detector = results.log("detector", seed=seed)
    for name in BASELINES:
        log, folder = results.log("predict", name, seed=seed), results.predictions("baseline", name, seed)
        yield Step("predictions", f"baseline {name}", log, (folder,), (detector,), recorded=False)
        yield _evaluation(results, "baseline", name, seed, (log,))
    for setup in results.settings.setups:
        parent = results.log("parent", setup, seed=seed)
        log, folder = results.log("predict", setup, seed=seed), results.predictions(TASKS[0], setup, seed)
        yield Step("predictions", "predict", log, (folder,), (parent,), setup, recorded=False)
        yield _evaluation(results, TASKS[0], setup, seed, (log,))
        if seed == results.settings.seeds[0]:
            log = results.log("cost", setup, seed=seed)
            yield Step("cost", "cost", log, (results.cost(setup, seed),), (parent,), setup)


def _evaluation(results: Results, task: str, subject: str, seed: int, needs: tuple[Path, ...]) -> Step:
    log = results.log("evaluate", task, subject, seed=seed)
    return Step("evaluation", "evaluation", log, (results.scores(task, subject, seed),), needs)
