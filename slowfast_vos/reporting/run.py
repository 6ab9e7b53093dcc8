"""A run's records as data frames: what every table and figure is made from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from slowfast_vos.config import Settings, parse_settings
from slowfast_vos.dag import BASELINES, TASKS, Key, planned_jobs
from slowfast_vos.errors import UserError
from slowfast_vos.files import read_json
from slowfast_vos.measuring.record import Epoch, Record, Scores, read_record
from slowfast_vos.paths import Results

KINDS = ("detector", "parent", "tuning", "grid", "selected", "evaluation", "baseline", "cost")
STATISTICS = [name for name in Scores.model_fields if name != "sequences"]
JOB = ["baseline", "backbone", "freeze", "scale", "lr"]
LOOK_ALIKE = "LA"
MISSING_SHOWN = 10


@dataclass(frozen=True)
class Run:
    """A run: its dataset, and its records as frames. The first index of every frame but `costs` is the record's number.

    Attributes:
        lengths: number of frames of each sequence.
        attributes: DAVIS attributes of each sequence.
        roles: sequences by role: train, selection, val.
        digest: of every file of the dataset.
        records: one row per record: what it is of (kind, task, setup, seed, `name` in tables, configuration), whether
            and why it failed, global statistics, provenance.
        sequences: one row per record and sequence. A failed evaluation has a row without scores for each.
        curves: one row per record and epoch.
        costs: one row per setup.
    """

    settings: Settings
    root: Path
    lengths: dict[str, int]
    attributes: dict[str, list[str]]
    roles: dict[str, list[str]]
    digest: str
    records: pd.DataFrame = field(default_factory=pd.DataFrame)
    sequences: pd.DataFrame = field(default_factory=pd.DataFrame)
    curves: pd.DataFrame = field(default_factory=pd.DataFrame)
    costs: pd.DataFrame = field(default_factory=pd.DataFrame)

    def of(self, kind: str, setup: str | None = None) -> pd.DataFrame:
        """The records of one kind, of one setup or of all."""
        found = self.records[self.records["kind"] == kind]
        return found if setup is None else found[found["setup"] == setup]

    def mean_over(self, sequences: Collection[str], statistic: str = "jf_mean") -> pd.DataFrame:
        """The records with `statistic` as its mean over some sequences; missing unless a record scores all of them."""
        scores = self.sequences[self.sequences["sequence"].isin(sequences)].groupby(level=0)[statistic]
        means = scores.agg(lambda values: fmean(values) if len(values) == len(sequences) else float("nan"))
        return self.records.assign(**{statistic: means})

    def grid(self, setup: str) -> pd.DataFrame:
        """A setup's grid over the seeds (see `over_seeds`), one row per freeze, scale and rate: J&F, J and F."""
        grid = self.settings.grid
        index = pd.MultiIndex.from_product([grid.freeze, grid.scale, grid.lr], names=["freeze", "scale", "lr"])
        return over_seeds(self.of("grid", setup), ["jf_mean", "j_mean", "f_mean"], index)

    def before_tuning(self) -> pd.DataFrame:
        """The parents over the seeds, one row per setup: J&F on the selection sequences, before fine-tuning."""
        means = self.mean_over(self.roles["selection"])
        return over_seeds(means[means["kind"] == "parent"], ["jf_mean"], pd.Index(self.settings.setups, name="setup"))

    @property
    def names(self) -> pd.Index:
        """The baselines and the setups, as tables call them."""
        return pd.Index([*BASELINES.values(), *self.settings.setups], name="name")

    @property
    def val(self) -> list[str]:
        """Validation sequences."""
        return self.roles["val"]

    @property
    def epoch_selection(self) -> str:
        """The sequences that chose a parent's epoch, in words (see `videos.dataset.Dataset`)."""
        if self.settings.option("selection") == "held_out":
            return f"the selection sequences ({', '.join(self.roles['selection'])})"
        return f"all {len(self.val)} validation sequences"

    @property
    def look_alikes(self) -> list[str]:
        """Validation sequences with a distractor beside the object."""
        return [name for name in self.val if LOOK_ALIKE in self.attributes.get(name, [])]

    @property
    def is_davis(self) -> bool:
        """Whether the data are DAVIS, so that the authors' figures may stand beside."""
        return self.settings.data.kind == "davis"

    @property
    def device(self) -> str:
        """Devices and threads of the measurements (else of the evaluations), each once."""
        records = self.of("cost") if len(self.of("cost")) else self.of("evaluation")
        found = records[["record_device", "record_threads"]].drop_duplicates().itertuples(index=False)
        return " / ".join(f"{device}, {threads} thread{'' if threads == 1 else 's'}" for device, threads in found)

    @property
    def data(self) -> str:
        """The data in words: which sequences, how many frames, and the digest."""
        frames = sum(self.lengths[name] for name in self.val)
        kind = f"DAVIS 2016 validation at {self.settings.data.resolution}" if self.is_davis else "generated videos"
        if self.is_davis and self.settings.data.train_year == 2017 and self.settings.davis_val_root is None:
            kind += " with the masks of 2017 merged"
        return f"{kind} ({len(self.val)} sequences, {frames:,} frames, data {self.digest[:12]})"

    @property
    def context(self) -> str:
        """What every caption ends with."""
        seeds = self.settings.seeds
        count = "1 seed" if len(seeds) == 1 else f"mean ± sample standard deviation of {len(seeds)} seeds"
        precision = "" if self.settings.precision == "fp32" else f"; {self.settings.precision}"
        return (
            f"Run {self.settings.name}; protocol {self.settings.protocol_name}{precision}; {self.data}; "
            f"{count} ({', '.join(map(str, seeds))}); {self.device}."
        )


def of_task(frame: pd.DataFrame, task: str) -> pd.DataFrame:
    """Rows of a task's evaluations and of the baselines, which are the same for both tasks."""
    return frame[frame["task"].isin([task, "baseline"])]


def over_seeds(records: pd.DataFrame, values: Sequence[str], index: pd.Index) -> pd.DataFrame:
    """Summarise values over the seeds.

    Args:
        records: rows of `Run.records` or `Run.sequences`.
        index: the rows wanted, be there records of them or not; its names are columns of `records`.

    Returns:
        For each value its mean, and as `VALUE_std` its sample standard deviation (from two seeds on); `n`, the seeds
        that have the first value; `failed`, those that failed; `error`, why.
    """
    groups = records.groupby(list(index.names), sort=False)
    found = {}
    for name in values:
        found |= {name: groups[name].agg(_mean), f"{name}_std": groups[name].agg(_deviation)}
    found |= {"n": groups[values[0]].count(), "failed": groups["failed"].sum()}
    found["error"] = groups["reason"].agg(lambda reasons: "; ".join(reasons.dropna()))
    summary = pd.DataFrame(found).reindex(index).fillna({"n": 0, "failed": 0, "error": ""})
    return summary.astype({"n": int, "failed": int})


def _mean(values: pd.Series) -> float:
    # Python's statistics round once; a sum by pandas depends on the order of its terms.
    known = values.dropna().tolist()
    return fmean(known) if known else float("nan")


def _deviation(values: pd.Series) -> float:
    known = values.dropna().tolist()
    return stdev(known) if len(known) > 1 else float("nan")


def read_run(settings: Settings, root: Path, kinds: Collection[str] = KINDS) -> Run:
    """Read the records of a run.

    Args:
        root: the run's folder, such as `results/demo`.
        kinds: which records are needed.

    Raises:
        UserError: records are missing (the first ten are named) or do not follow the schema.
    """
    root = Path(root)
    entries = record_paths(settings, root, kinds)
    missing = [path for path in [root / "dataset.json", *(path for _, _, path in entries)] if not path.is_file()]
    if missing:
        shown = [f"{path}: missing; expected a record of run {settings.name}" for path in missing[:MISSING_SHOWN]]
        if len(missing) > MISSING_SHOWN:
            shown.append(f"and {len(missing) - MISSING_SHOWN} more of {len(entries) + 1} files")
        raise UserError("\n".join(shown))
    dataset = read_json(root / "dataset.json")
    try:
        known = (dataset["sequences"], dataset["attributes"], dataset["roles"], dataset["digest"])
    except (KeyError, TypeError):
        expected = "sequences, attributes, roles and digest"
        raise UserError(f"{root / 'dataset.json'}: is no dataset record; expected {expected}") from None
    records = []
    for kind, _, path in entries:
        record = read_record(path)
        if record.kind != ("evaluation" if kind == "baseline" else kind):
            raise UserError(f"{path}: found a record of kind {record.kind}; expected {kind}")
        records.append((kind, path.relative_to(root).as_posix(), record))
    return Run(settings, root, *known, **_frames(records, known[2]["val"]))


def _frames(records: list[tuple[str, str, Record]], val: list[str]) -> dict[str, pd.DataFrame]:
    """The frames of a `Run`, from the kind, path and content of each record."""
    rows, scores, epochs, costs = [], [], [], []
    for number, (kind, path, record) in enumerate(records):
        rows.append(_row(kind, path, record))
        scores += [{"record": number} | one for one in _scores(record, val)]
        epochs += [{"record": number} | one.model_dump() for one in record.curve]
        costs += [_cost(record)] if kind == "cost" else []
    frame = pd.DataFrame(rows).astype(dict.fromkeys([*STATISTICS, "last_loss"], float))
    frame["best_epoch"] = frame["best_epoch"].astype("Int64").astype(object)  # integers beside missing values
    identity = frame[["kind", "task", "setup", "name", "seed", "failed", "reason"]]
    sequences = pd.DataFrame(scores, columns=["record", "sequence", *STATISTICS]).set_index("record")
    curves = pd.DataFrame(epochs, columns=["record", *Epoch.model_fields]).set_index("record")
    return {
        "records": frame,
        "sequences": identity.join(sequences, how="inner"),
        "curves": identity.join(curves, how="inner"),
        "costs": pd.DataFrame(costs, columns=None if costs else ["setup", "failed"], dtype=object).set_index("setup"),
    }


def _row(kind: str, path: str, record: Record) -> dict[str, Any]:
    failed = record.status == "failed"
    error = record.error or ("no reason given" if failed else None)
    provenance = record.provenance.model_dump(exclude={"packages"})
    packages = sorted(record.provenance.packages.items())
    return {
        "kind": kind,
        "task": record.task,
        "setup": record.setup,
        "seed": record.seed,
        **{key: record.job.get(key) for key in JOB},
        "status": record.status,
        "error": error,
        "best_epoch": record.best_epoch,
        **{name: getattr(record.scores, name, None) for name in STATISTICS},
        **{f"record_{key}": value for key, value in provenance.items()},
        "packages": " ".join(f"{name}={version}" for name, version in packages),
        "path": path,
        "name": record.setup or BASELINES.get(record.job.get("baseline", "")),
        "failed": failed,
        "reason": f"seed {record.seed}: {error}" if failed else None,
        "last_loss": record.curve[-1].loss if record.curve and not failed else None,
    }


def _scores(record: Record, val: list[str]) -> list[dict[str, Any]]:
    if record.kind == "evaluation" and record.scores is None:
        return [{"sequence": name} for name in val]
    found = record.scores.sequences if record.scores else {}
    return [{"sequence": name, "jf_mean": one.jf_mean} | one.model_dump() for name, one in found.items()]


def _cost(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {"setup": record.setup, "failed": record.status == "failed"}
    for name, value in (record.cost.model_dump() if record.cost else {}).items():
        if isinstance(value, dict):
            row |= {f"{name}_{part}": inner for part, inner in value.items()}
        else:
            row[name] = "x".join(map(str, value)) if isinstance(value, tuple) else value
    return row | ({"cost_error": record.error} if record.error else {})


def record_paths(settings: Settings, root: Path, kinds: Collection[str] = KINDS) -> list[tuple[str, Key, Path]]:
    """Kind, key and path of every record that tables are made from."""
    own = Results(settings).root
    found = [
        ("evaluation" if job.kind in TASKS else job.kind, key, root / path.relative_to(own))
        for job in planned_jobs(settings, val=())
        if job.recorded
        for key, path in job.outputs.items()
    ]
    return [entry for entry in found if entry[0] in kinds]


def has_settings(record: Record, settings: Settings) -> bool:
    """Whether a record was made with what the settings say of its kind of job."""
    try:
        own = parse_settings(record.settings, record.name)
    except UserError:  # of a version with other keys
        return False
    return own.key(record.kind) == settings.key(record.kind)
