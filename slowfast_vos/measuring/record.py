"""The record of one job: the only thing that tables and plots are made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slowfast_vos.errors import UserError
from slowfast_vos.files import read_json, write_json

Kind = Literal["detector", "parent", "tuning", "grid", "selected", "final", "evaluation", "cost"]
Task = Literal["unsupervised", "semi-supervised", "baseline"]


class Part(BaseModel):
    """Base of a record's parts: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class SequenceScores(Part):
    """Official statistics of one sequence: J (region similarity) and F (contour accuracy)."""

    j_mean: float
    j_recall: float
    j_decay: float
    f_mean: float
    f_recall: float
    f_decay: float

    @property
    def jf_mean(self) -> float:
        """J&F of the sequence."""
        return (self.j_mean + self.f_mean) / 2


class Scores(Part):
    """Scores of one job: the official global statistics, and every sequence's."""

    jf_mean: float
    j_mean: float
    j_recall: float
    j_decay: float
    f_mean: float
    f_recall: float
    f_decay: float
    sequences: dict[str, SequenceScores]


class Epoch(Part):
    """A point of a learning curve; `iteration` counts the forward passes so far."""

    epoch: int
    iteration: int
    loss: float
    losses: dict[str, float] = Field(default_factory=dict)
    jf_selection: float | None = None
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

    def save(self, path: str | Path) -> None:
        """Write the record as a whole file."""
        write_json(path, self.model_dump(mode="json"))


def read_record(path: str | Path) -> Record:
    """Read a record.

    Raises:
        UserError: the file is missing or does not follow the schema.
    """
    values = read_json(path)
    try:
        return Record.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: is no record; {where}: {first['msg']}") from None
