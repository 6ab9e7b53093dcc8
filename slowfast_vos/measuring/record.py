"""The record of one job: the only thing that tables and plots are made from."""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from slowfast_vos.errors import UserError
from slowfast_vos.files import read_json, write_json

Kind = Literal["detector", "parent", "tuning", "grid", "selected", "final", "evaluation", "cost"]
Task = Literal["unsupervised", "semi-supervised", "baseline"]
Share = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=-1, le=1)]
UNCHECKED = "unchecked"  # stands for the digest of data that nothing has checked
# What a record that is done must hold, by its kind.
OUTCOMES = dict.fromkeys(("grid", "selected", "evaluation"), "scores") | {"cost": "cost"}


P = TypeVar("P", bound=BaseModel)


class Part(BaseModel):
    """Base of a record's parts: unknown keys are errors, and so are numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class SequenceScores(Part):
    """Official statistics of one sequence: J (region similarity) and F (contour accuracy)."""

    j_mean: Share
    j_recall: Share
    j_decay: Decay
    f_mean: Share
    f_recall: Share
    f_decay: Decay

    @property
    def jf_mean(self) -> float:
        """J&F of the sequence."""
        return (self.j_mean + self.f_mean) / 2


class Scores(Part):
    """Scores of one job: the official global statistics, and every sequence's."""

    jf_mean: Share
    j_mean: Share
    j_recall: Share
    j_decay: Decay
    f_mean: Share
    f_recall: Share
    f_decay: Decay
    sequences: dict[str, SequenceScores]

    @model_validator(mode="after")
    def _means(self) -> Scores:
        """One object a sequence: a global statistic is the mean of its sequences, so that an edited number shows."""
        for name in ("jf_mean", *SequenceScores.model_fields) if self.sequences else ():
            found, expected = getattr(self, name), fmean(getattr(one, name) for one in self.sequences.values())
            if not isclose(found, expected, abs_tol=1e-9):
                raise ValueError(f"found {name} {found:g}; expected {expected:g}, as its sequences say")
        return self


class Epoch(Part):
    """A point of a learning curve; `iteration` counts the forward passes so far."""

    epoch: int
    iteration: int
    loss: float
    losses: dict[str, float] = Field(default_factory=dict)
    jf_selection: Share | None = None
    seconds: float


class Spread(Part):
    """Several measurements: median, its 95 % interval, and how many."""

    median: float
    low: float
    high: float
    repeats: int


class Cost(Part):
    """What a setup costs; GPU figures are None without a GPU."""

    parameters_total: int
    parameters_trained: int  # in the unsupervised stage
    parameters_slow_fast: int
    gflops_per_frame: float  # 10⁹ floating-point operations by torch's own counter; a multiply-add is 2
    milliseconds_per_frame: Spread  # inference alone, synchronised, after warm-up
    frames_per_second: Spread  # its inverse
    timed_frames: int
    frame_size: tuple[int, int]
    # Loading, inference, pasting, writing PNGs and J&F over all validation sequences.
    end_to_end_seconds: float
    end_to_end_frames: int
    # Peaks of torch's allocator, of the process as NVML reports it, and of its resident memory.
    gpu_allocated_bytes: int | None
    gpu_reserved_bytes: int | None
    gpu_process_bytes: int | None
    host_peak_bytes: int


class Provenance(Part):
    """Where a record comes from."""

    commit: str | None
    dirty: bool | None
    packages: dict[str, str]
    python: str
    host: str
    device: str
    driver: str | None
    threads: int
    dataset: str
    started: str
    seconds: float


class Record(Part):
    """One job, done or failed; `error` says why, in one line."""

    kind: Kind
    status: Literal["done", "failed"]
    error: str | None = None
    key: str = ""  # digest of all that decides the result, by which a restarted job reuses it
    name: str
    protocol: str  # `paper` or `strict`, with the switches that differ
    setup: str | None = None  # "slow-fast", or None where it belongs to no setup
    task: Task | None = None
    seed: int
    job: dict[str, str] = Field(default_factory=dict)  # what tells it from its siblings, such as {"lr": "0.001"}
    scores: Scores | None = None
    curve: list[Epoch] = Field(default_factory=list)
    best_epoch: int | None = None  # whose weights were kept, where one was chosen
    cost: Cost | None = None
    settings: dict[str, Any]
    provenance: Provenance

    @model_validator(mode="after")
    def _whole(self) -> Record:
        lacking = "error" if self.status == "failed" else OUTCOMES.get(self.kind)
        if lacking and not getattr(self, lacking):
            raise ValueError(f"found {self.status} without {lacking}; expected both")
        if self.scores and not self.scores.sequences:
            raise ValueError("found scores of no sequence; expected one at least")
        if self.settings.get("name") != self.name:
            raise ValueError(f"found settings of {self.settings.get('name')!r}; expected those of {self.name!r}")
        return self

    def save(self, path: str | Path) -> None:
        """Write the record as a whole file."""
        write_json(path, self.model_dump(mode="json"))


class CheckedData(Part):
    """What the check of a run's data leaves."""

    sequences: dict[str, Annotated[int, Field(ge=1)]]  # frames of each
    digest: str  # of every file
    roles: dict[Literal["train", "selection", "val"], list[str]]
    attributes: dict[str, list[str]]  # of each sequence
    skipped: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _consistent(self) -> CheckedData:
        named = [*self.attributes, *(name for names in self.roles.values() for name in names)]
        if lost := [name for name in named if name not in self.sequences]:
            raise ValueError(f"found {lost[0]!r} without its frames; expected each among the sequences")
        if len(self.roles) != 3:
            raise ValueError(f"found roles {[*self.roles]}; expected train, selection and val")
        return self


def read_record(path: str | Path, *, job: Mapping[str, str] | None = None, **identity: Any) -> Record:
    """Read a record.

    Args:
        identity: values of fields that the record must have, since it lies at this path.
        job: the same of some keys of `Record.job`.

    Raises:
        UserError: the file is missing, does not follow the schema, or is the record of another job.
    """
    record = _read(Record, path, "record")
    found = {key: getattr(record, key) for key in identity} | {key: record.job.get(key) for key in job or {}}
    for key, expected in {**identity, **(job or {})}.items():
        if found[key] != expected:
            raise UserError(
                f"{path}: found the record of {key} {found[key]!r}; expected {expected!r}, as its path says"
            )
    return record


def read_checked(path: str | Path) -> CheckedData:
    """Read what the check of the data left; a UserError as `read_record`."""
    return _read(CheckedData, path, "checked data set")


def _read(model: type[P], path: str | Path, what: str) -> P:
    values = read_json(path)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}." for part in first["loc"]).removesuffix(".")
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{path}: is no {what}; {where}{': ' * bool(where)}{message}") from None
