"""A run's records as data frames: what every table and figure is made from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from slowfast_vos.config import Settings, parse_settings
from slowfast_vos.dag import BASELINES, NEEDS, TASKS, planned_jobs
from slowfast_vos.errors import UserError
from slowfast_vos.files import read_json
from slowfast_vos.measuring.record import Epoch, Record, Scores, read_record
from slowfast_vos.paths import Results

STATISTICS = [name for name in Scores.model_fields if name != "sequences"]
MEASURES = {"J&F": "jf_mean", "J": "j_mean", "F": "f_mean"}
AXES = {"freeze": "freeze", "scale": "scale", "lr": "rate"}  # of the grid, with their headings in tables
JOB = ["baseline", "backbone", *AXES]
LOOK_ALIKE = "LA"
MISSING_SHOWN = 10


@dataclass(frozen=True)
class Run:
    """A run: its dataset, and its records as frames. The index of every frame but `costs` is the record's number."""

    results: Results
    lengths: dict[str, int]  # frames of each sequence
    attributes: dict[str, list[str]]  # DAVIS attributes of each sequence
    roles: dict[str, list[str]]  # sequences by role: train, selection, val
    digest: str  # of every file of the dataset
    # What each record is of (kind, task, setup, seed, `name` in tables, configuration), whether and why it failed,
    # global statistics, provenance.
    records: pd.DataFrame
    sequences: pd.DataFrame  # the statistics of each record and sequence
    curves: pd.DataFrame  # one row per record and epoch
    costs: pd.DataFrame  # one row per setup

    def of(self, kind: str, setup: str | None = None) -> pd.DataFrame:
        """The records of one kind, of one setup or of all."""
        found = self.records[self.records["kind"] == kind]
        return found if setup is None else found[found["setup"] == setup]

    def mean_over(self, sequences: Collection[str], statistics: Sequence[str] = ("jf_mean",)) -> pd.DataFrame:
        """The records with statistics as means over some sequences; missing unless a record scores all of them."""
        scores = self.sequences[self.sequences["sequence"].isin(sequences)].groupby(level=0)[[*statistics]]
        means = scores.agg(lambda values: fmean(values) if len(values) == len(sequences) else float("nan"))
        return self.records.assign(**means)

    def scores_over(
        self, groups: Mapping[str, Collection[str]], statistics: Sequence[str] = ("jf_mean",)
    ) -> pd.DataFrame:
        """Means over each group of sequences and the seeds (see `over_seeds`), one row per task, name and group."""
        means = pd.concat({group: self.mean_over(groups[group], statistics) for group in groups}, names=["group"])
        means = means.reset_index("group")
        index = pd.MultiIndex.from_product([self.names, groups], names=["name", "group"])
        frames = {task: over_seeds(of_task(means, task), statistics, index) for task in TASKS}
        return pd.concat(frames, names=["task"])

    def grid(self, setup: str) -> pd.DataFrame:
        """A setup's grid over the seeds (see `over_seeds`), one row per freeze, scale and rate: J&F, J and F."""
        values = [getattr(self.settings.grid, axis) for axis in AXES]
        index = pd.MultiIndex.from_product(values, names=[*AXES])
        return over_seeds(self.of("grid", setup), [*MEASURES.values()], index)

    def before_tuning(self) -> pd.DataFrame:
        """The parents over the seeds, one row per setup: J&F on the selection sequences, before fine-tuning."""
        means = self.mean_over(self.roles["selection"])
        return over_seeds(means[means["kind"] == "parent"], ["jf_mean"], pd.Index(self.settings.setups, name="setup"))

    @property
    def settings(self) -> Settings:
        """The run's settings."""
        return self.results.settings

    @property
    def names(self) -> pd.Index:
        """The baselines and the setups, as tables call them."""
        return pd.Index([*BASELINES.values(), *self.settings.setups], name="name")

    @property
    def val(self) -> list[str]:
        """Validation sequences."""
        return self.roles["val"]

    @property
    def distractors(self) -> list[str]:
        """Validation sequences with a distractor beside the object."""
        return [name for name in self.val if LOOK_ALIKE in self.attributes.get(name, [])]

    @property
    def is_davis(self) -> bool:
        """Whether the data are DAVIS, so that the authors' figures may stand beside."""
        return self.settings.data.kind == "davis"

    @property
    def device(self) -> str:
        """Devices and threads of the measurements, each once."""
        found = self.of("cost")[["record_device", "record_threads"]].drop_duplicates().itertuples(index=False)
        return " / ".join(f"{device}, {threads} thread{'' if threads == 1 else 's'}" for device, threads in found)

    @property
    def figures(self) -> dict[str, str]:
        """The run's figures by file name (without suffix), each with its caption."""
        titles = {
            "jf-vs-time": "Accuracy against inference time: median and quartiles of the time per frame.",
            "look-alikes": "J&F on sequences with and without look-alikes.",
            "per-sequence": "J&F of each validation sequence.",
            "learning-curves": "Learning curves of the parents and of the detector.",
        }
        if not self.distractors:
            del titles["look-alikes"]
        grid = "The grid of setup {}: J&F on the selection sequences."
        return titles | {f"grid-{setup}": grid.format(setup) for setup in self.settings.setups}

    @property
    def context(self) -> str:
        """What every caption ends with."""
        settings, seeds, frames = self.settings, self.settings.seeds, sum(self.lengths[name] for name in self.val)
        data = f"DAVIS 2016 validation at {settings.data.resolution}" if self.is_davis else "generated videos"
        if self.is_davis and settings.data.train_year == 2017 and settings.davis_val_root is None:
            data += " with the masks of 2017 merged"
        count = "1 seed" if len(seeds) == 1 else f"mean ± sample standard deviation of {len(seeds)} seeds"
        precision = "" if settings.precision == "fp32" else f"; {settings.precision}"
        return (
            f"Run {settings.name}; protocol {settings.protocol_name}{precision}; "
            f"{data} ({len(self.val)} sequences, {frames:,} frames, data {self.digest[:12]}); "
            f"{count} ({', '.join(map(str, seeds))}); {self.device}."
        )


def of_task(frame: pd.DataFrame, task: str) -> pd.DataFrame:
    """Rows of a task's evaluations and of the baselines, which are the same for both tasks."""
    return frame[frame["task"].isin([task, "baseline"])]


def over_seeds(records: pd.DataFrame, values: Sequence[str], index: pd.Index) -> pd.DataFrame:
    """Summarise values over the seeds.

    Args:
        records: rows of `Run.records`.
        index: the rows wanted, be there records of them or not; its names are columns of `records`.

    Returns:
        For each value its mean, and as `VALUE_std` its sample standard deviation (from two seeds on); `n`, the seeds
        that have the first value; `failed`, those that failed; `error`, why.
    """
    groups, found = records.groupby(list(index.names), sort=False), {}
    for name in values:
        found |= {name: groups[name].agg(_known, fmean, 1), f"{name}_std": groups[name].agg(_known, stdev, 2)}
    found |= {"n": groups[values[0]].count(), "failed": groups["failed"].sum()}
    found["error"] = groups["reason"].agg(lambda reasons: "; ".join(reasons.dropna()))
    summary = pd.DataFrame(found).reindex(index).fillna({"n": 0, "failed": 0, "error": ""})
    return summary.astype({"n": int, "failed": int})


def _known(values: pd.Series, statistic: Callable[[list[float]], float], least: int) -> float:
    # Python's statistics round once; a sum by pandas depends on the order of its terms.
    known = values.dropna().tolist()
    return statistic(known) if len(known) >= least else float("nan")


def read_run(results: Results, kinds: Collection[str] = NEEDS) -> Run:
    """Read the records of a run, or of some kinds of its jobs.

    Raises:
        UserError: records are missing (the first ten are named) or do not follow the schema.
    """
    jobs = [job for job in planned_jobs(results, val=()) if job.recorded and job.kind in kinds]
    paths = {path: job.kind for job in jobs for path in job.outputs}
    missing = [path for path in (results.dataset, *paths) if not path.is_file()]
    if missing:
        shown = [f"{path}: missing; expected a record of run {results.settings.name}" for path in missing]
        more = [f"and {len(missing) - MISSING_SHOWN} more of {len(paths) + 1} files"] * (len(missing) > MISSING_SHOWN)
        raise UserError("\n".join(shown[:MISSING_SHOWN] + more))
    records = {}
    for path, kind in paths.items():
        record = records[path.relative_to(results.root).as_posix()] = read_record(path)
        if (found := record.task or record.kind) != kind:
            raise UserError(f"{path}: found a record of kind {found}; expected {kind}")
    dataset = read_json(results.dataset)
    about = (dataset["sequences"], dataset["attributes"], dataset["roles"], dataset["digest"])
    return Run(results, *about, **_frames(records))


def _frames(records: dict[str, Record]) -> dict[str, pd.DataFrame]:
    """The frames of a `Run`, from its records by path."""
    scores, epochs, costs = [], [], {}
    for number, record in enumerate(records.values()):
        for name, one in record.scores.sequences.items() if record.scores else ():
            scores.append({"record": number, "sequence": name, "jf_mean": one.jf_mean} | one.model_dump())
        identity = {"kind": record.kind, "setup": record.setup, "seed": record.seed}
        epochs += [identity | epoch.model_dump() for epoch in record.curve]
        if record.kind == "cost":
            costs[record.setup] = _cost(record)
    frame = pd.DataFrame([_row(path, record) for path, record in records.items()])
    frame = frame.astype(dict.fromkeys([*STATISTICS, "last_loss"], float))
    frame["best_epoch"] = frame["best_epoch"].astype("Int64").astype(object)  # integers beside missing values
    sequences = pd.DataFrame(scores, columns=["record", "sequence", *STATISTICS]).set_index("record")
    return {
        "records": frame,
        "sequences": sequences.astype(dict.fromkeys(STATISTICS, float)),
        "curves": pd.DataFrame(epochs, columns=["kind", "setup", "seed", *Epoch.model_fields]),
        "costs": pd.DataFrame(list(costs.values()), pd.Index(costs, name="setup"), dtype=object),
    }


def _row(path: str, record: Record) -> dict[str, Any]:
    failed = record.status == "failed"
    packages = sorted(record.provenance.packages.items())
    return {
        "kind": "baseline" if record.task == "baseline" else record.kind,
        "task": record.task,
        "setup": record.setup,
        "seed": record.seed,
        **{key: record.job.get(key) for key in JOB},
        "status": record.status,
        "error": record.error,
        "best_epoch": record.best_epoch,
        **{name: getattr(record.scores, name, None) for name in STATISTICS},
        **{f"record_{key}": value for key, value in record.provenance if key != "packages"},
        "packages": " ".join(f"{name}={version}" for name, version in packages),
        "path": path,
        "name": record.setup or BASELINES.get(record.job.get("baseline", "")),
        "failed": failed,
        "reason": f"seed {record.seed}: {record.error}" if failed else None,
        "last_loss": record.curve[-1].loss if record.curve and not failed else None,
    }


def _cost(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {"failed": record.status == "failed"}
    for name, value in record.cost.model_dump().items() if record.cost else ():
        if isinstance(value, dict):
            row |= {f"{name}_{part}": inner for part, inner in value.items()}
        else:
            row[name] = "x".join(map(str, value)) if isinstance(value, tuple) else value
    return row | ({"cost_error": record.error} if record.error else {})


def has_settings(record: Record, settings: Settings) -> bool:
    """Whether a record was made with what the settings say of its kind of job."""
    try:
        own = parse_settings(record.settings, record.name)
    except UserError:  # of a version with other keys
        return False
    return own.key(record.kind) == settings.key(record.kind)
