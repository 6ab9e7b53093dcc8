"""A run's records, read once: what every table and figure is made from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from slowfast_vos.config import Settings, parse_settings
from slowfast_vos.dag import BASELINES, TASKS, planned_jobs
from slowfast_vos.errors import UserError
from slowfast_vos.files import read_json
from slowfast_vos.measuring.record import Record, Scores, SequenceScores, read_record
from slowfast_vos.paths import Results

KINDS = ("detector", "parent", "tuning", "grid", "selected", "evaluation", "baseline", "cost")
LOOK_ALIKE = "LA"
MISSING_SHOWN = 10

Key = tuple[Any, ...]
Pick = Callable[[Record], float | None]


class Value(NamedTuple):
    """One quantity over the seeds: mean, sample standard deviation (from two seeds on), how many seeds.

    `failed` counts the seeds that ended in an error.
    """

    mean: float | None
    std: float | None = None
    n: int = 0
    failed: int = 0


def over_seeds(records: Iterable[Record], pick: Pick) -> Value:
    """A quantity of each seed's record, summarised; failed records and those without it do not count."""
    values: list[float] = []
    failed = 0
    for record in records:
        if record.status == "failed":
            failed += 1
        elif (value := pick(record)) is not None:
            values.append(value)
    if not values:
        return Value(None, failed=failed)
    return Value(fmean(values), stdev(values) if len(values) > 1 else None, len(values), failed)


def score(statistic: str) -> Pick:
    """Pick a global statistic, such as `jf_mean`."""
    return lambda record: getattr(record.scores, statistic) if record.scores else None


def sequence_score(sequence: str, statistic: str) -> Pick:
    """Pick a statistic of one sequence."""

    def pick(record: Record) -> float | None:
        scores = _of_sequence(record.scores, sequence)
        return getattr(scores, statistic) if scores else None

    return pick


def mean_over(sequences: Collection[str], statistic: str = "jf_mean") -> Pick:
    """Pick a statistic's mean over some sequences; None unless the record scores all of them."""

    def pick(record: Record) -> float | None:
        found = [_of_sequence(record.scores, name) for name in sequences]
        values = [getattr(scores, statistic) for scores in found if scores]
        return fmean(values) if values and len(values) == len(found) else None

    return pick


def _of_sequence(scores: Scores | None, name: str) -> SequenceScores | None:
    return scores.sequences.get(name) if scores else None


@dataclass(frozen=True)
class Run:
    """The records of a run, by kind.

    Keys end in the seed: detector (seed), parent (setup, seed), tuning (setup, backbone, lr, seed), grid (setup,
    freeze, scale, lr, seed),
    selected (setup, seed), evaluation (task, setup, seed), baseline (name, seed), cost (setup, seed).

    Attributes:
        frames: frames of each sequence.
        attributes: DAVIS attributes of each sequence.
        digest: of every file of the dataset.
    """

    settings: Settings
    root: Path
    frames: dict[str, int]
    attributes: dict[str, list[str]]
    roles: dict[str, list[str]]
    digest: str
    records: dict[str, dict[Key, Record]] = field(default_factory=dict)

    def seeds(self, kind: str, *key: Any) -> list[Record]:
        """The records of one job, one per seed."""
        found = self.records.get(kind, {})
        return [found[*key, seed] for seed in self.settings.seeds if (*key, seed) in found]

    def columns(self, task: str) -> dict[str, list[Record]]:
        """The baselines and the setups, by the name that tables give them, each with its seeds' records."""
        baselines = {name: self.seeds("baseline", key) for key, name in BASELINES.items()}
        return baselines | {setup: self.seeds("evaluation", task, setup) for setup in self.settings.setups}

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
        """Validation sequences with a look-alike beside the object."""
        return [name for name in self.val if LOOK_ALIKE in self.attributes.get(name, [])]

    @property
    def is_davis(self) -> bool:
        """Whether the data are DAVIS, so that the authors' figures may stand beside."""
        return self.settings.data.kind == "davis"

    @property
    def device(self) -> str:
        """Device and threads of the records, each once."""
        records = [*self.records.get("cost", {}).values()] or [*self.records.get("evaluation", {}).values()]
        found = dict.fromkeys(_device(record) for record in records)
        return " / ".join(found)

    @property
    def data(self) -> str:
        """The data in words: which sequences, how many frames, and the digest."""
        frames = sum(self.frames[name] for name in self.val)
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

    @property
    def failures(self) -> list[tuple[str, Record]]:
        """Every failed record, with its place in the results."""
        entries = record_paths(self.settings, self.root)
        found = [(path, self.records.get(kind, {}).get(key)) for kind, key, path in entries]
        return [(path.relative_to(self.root).as_posix(), one) for path, one in found if one and one.status == "failed"]


def _device(record: Record) -> str:
    threads = record.provenance.threads
    return f"{record.provenance.device}, {threads} thread{'' if threads == 1 else 's'}"


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
        run = Run(settings, root, dataset["sequences"], dataset["attributes"], dataset["roles"], dataset["digest"])
    except (KeyError, TypeError):
        expected = "sequences, attributes, roles and digest"
        raise UserError(f"{root / 'dataset.json'}: is no dataset record; expected {expected}") from None
    for kind, key, path in entries:
        record = read_record(path)
        if record.kind != ("evaluation" if kind == "baseline" else kind):
            raise UserError(f"{path}: found a record of kind {record.kind}; expected {kind}")
        run.records.setdefault(kind, {})[key] = record
    return run
