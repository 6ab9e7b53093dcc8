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
    """Several measurements: median, quartiles and how many."""

    median: float
    low: float
    high: float
    repeats: int


class Cost(Part):
    """What a setup costs; GPU figures are None without a GPU.

    Attributes:
        parameters_total, parameters_trained, parameters_slow_fast: counts; trained means in the unsupervised stage.
        gflops_per_frame: 10⁹ floating-point operations per frame, by torch's own counter (a multiply-add is 2).
        milliseconds_per_frame: inference alone, synchronised, after warm-up.
        frames_per_second: its inverse.
        end_to_end_seconds: loading, inference, pasting, writing PNGs and J&F over all validation sequences.
        gpu_*_bytes: peaks of torch's allocator, and of the process as NVML reports it.
        host_peak_bytes: the process's peak resident memory.
    """

    parameters_total: int
    parameters_trained: int
    parameters_slow_fast: int
    gflops_per_frame: float
    milliseconds_per_frame: Spread
    frames_per_second: Spread
    timed_frames: int
    frame_size: tuple[int, int]
    end_to_end_seconds: float
    end_to_end_frames: int
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
    """One job, done or failed.

    Attributes:
        kind: which stage it belongs to.
        error: why it failed, in one line.
        key: digest of all that decides the result, by which a restarted job reuses it.
        protocol: `paper` or `strict`, with the switches that differ.
        setup: "slow-fast", or None where it belongs to no setup.
        task: of an evaluation.
        job: what tells this job from its siblings, such as {"freeze": "SF", "scale": "0.25", "lr": "0.001"}.
        settings: the full configuration.
        best_epoch: the epoch that was kept, where one was chosen.
    """

    kind: Kind
    status: Literal["done", "failed"]
    error: str | None = None
    key: str = ""
    name: str
    protocol: str
    setup: str | None = None
    task: Task | None = None
    seed: int
    job: dict[str, str] = Field(default_factory=dict)
    scores: Scores | None = None
    curve: list[Epoch] = Field(default_factory=list)
    best_epoch: int | None = None
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
