"""The typed configuration: one source of truth for the Snakefile and the command line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from slowfast_vos import sections
from slowfast_vos.errors import UserError
from slowfast_vos.files import parse_yaml, write_text
from slowfast_vos.setups import Setup
from slowfast_vos.values import Count, Folder, Section, Seed, SetupName, TestedName, axis, distinct

# Bounds on memory. They decide no result, so that lowering one makes nothing again.
_BOUNDS = {"model": {"chunk_length"}, "parent": {"feature_cache_gib"}}
# What decides the outcome of each kind of job, beside what it reads.
_DECISIVE: dict[str, dict[str, Any]] = {
    "detector": {"precision": True, "model": True, "detector": True},
    "parent": {"precision": True, "parent": True},
    "tuning": {"precision": True, "parent": True, "tuning": {"epochs", "train_frames"}},
    "grid": {"precision": True, "finetune": True, "grid": {"iterations"}},
    "final": {"precision": True, "finetune": True, "final": {"iterations"}},
    "selected": {"protocol": True, "switches": {"choice"}, "grid": {"reference"}},
    "cost": {"precision": True, "cost": True},
}


def _not_taken(name: str) -> str:
    if name in ("published", "compare"):
        raise ValueError("expected another name, since results/published and reports/compare are no runs")
    return name


class Settings(Section):
    """A run: everything that decides its results."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"), AfterValidator(_not_taken)] = "davis"
    """Names `results/NAME`, `reports/NAME` and `logs/NAME`; not `published` or `compare`, which are taken."""
    protocol: Literal["paper", "strict"] = "strict"
    """`paper` repeats the 2020 code's choices, `strict` fixes their weaknesses."""
    switches: sections.Switches = sections.Switches()
    seeds: axis(Seed) = Field([63])
    """The whole run once per seed; a verdict takes three."""
    setups: axis(SetupName) = Field(["1-1", "3-3", "7-7", "1-7", "3-7"])
    """Slow-fast frames, any `m-n` with 1 ≤ m ≤ n and n − m even, also with a control such as `7-7+still`
    (docs/claims.md)."""
    tested: Annotated[list[TestedName], AfterValidator(distinct)] = Field([])
    """Trained setups tested with a control: `7-7@still`, `7-7@shuffled`."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`, `cpu` or `cuda`; on a cluster `auto` looks at the machine that submits: set `cuda` there."""
    threads: Count = 1
    """CPU threads of a job."""
    one_job_per: Literal["setup", "seed"] = "setup"
    """`setup`: jobs of one setup each; `seed`: one job trains, searches, predicts or scores all setups of a seed, which
    saves starts and computes features of a frozen backbone once."""
    search_seeds: Literal["all", "first"] = "all"
    """Seeds whose parents tuning and grid search; `first` alone chooses for all."""
    save_every: Annotated[float, Field(ge=0, le=60)] = 30.0
    """Seconds between saves of a training's state, from which a killed job resumes."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """`bf16` runs backbone, FPN and SlowFast module in bfloat16 (meant for a GPU; a CPU is slower with it); captions
    then say so, and docs/numbers.md says what it does to scores."""
    loading_workers: Annotated[int, Field(ge=0)] = 0
    """Threads that prefetch frames for the detector's training and, on a GPU, for the parents' (one at least); they
    change no result."""
    davis_root: Folder | None = None
    """Overrides `data.root` for DAVIS."""
    davis_val_root: Folder | None = None
    """DAVIS 2016's own tree, to validate on its masks; without it, 2016's sequences in the same tree, whose objects are
    joined into one."""
    data: sections.Data = sections.Data()
    model: sections.Model = sections.Model()
    detector: sections.Detector = sections.Detector()
    parent: sections.Parent = sections.Parent()
    tuning: sections.Tuning = sections.Tuning()
    finetune: sections.Finetune = sections.Finetune()
    grid: sections.Grid = sections.Grid()
    final: sections.Final = sections.Final()
    cost: sections.Cost = sections.Cost()
    claims: sections.Claims = sections.Claims()

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        unknown = [setup for setup in self.tuning.setups if setup not in self.setups]
        if unknown:
            raise ValueError(f"tuning.setups: found {unknown}; expected some of setups {self.setups}")
        untrained = [name for name in self.tested if Setup.parse(name).trained not in self.setups]
        if untrained:
            raise ValueError(f"tested: found {untrained}; expected controls of setups {self.setups}")
        if self.option("selection") == "held_out" and not self.data.held_out:
            raise ValueError(
                "data.held_out: missing; the strict protocol selects on sequences held out of train, name them"
            )
        for key, root in (("davis_root", self.davis_root), ("davis_val_root", self.davis_val_root)):
            if root is not None and self.data.kind != "davis":
                raise ValueError(f"{key}: found {root!r} with data.kind {self.data.kind!r}; expected davis")
        # Snakemake takes these paths for patterns.
        for key, path in (("data.root", self.data.root), ("claims.file", self.claims.file or "")):
            if {*path} & {*"{}"} and (key != "data.root" or self.data.kind == "synthetic"):
                raise ValueError(
                    f"{key}: found {path!r}; expected a path without braces, which name wildcards in Snakemake"
                )
        point, known = self.grid.reference, sections.Configuration()
        outside = [
            axis for axis in sections.Configuration.model_fields if getattr(point, axis) not in getattr(self.grid, axis)
        ]
        if outside and point != known:
            raise ValueError(f"grid.reference: found {point.model_dump()}; expected a configuration of the grid")
        if self.data.allow_partial and self.data.kind != "davis":
            raise ValueError(f"data.allow_partial: found true with data.kind {self.data.kind!r}; expected davis")
        return self

    def option(self, switch: str) -> str:
        """The value of a switch: its own, or the protocol's."""
        return getattr(self.switches, switch) or getattr(sections.PROTOCOLS[self.protocol], switch)

    @property
    def protocol_name(self) -> str:
        """The protocol as tables name it, with the switches that differ from it."""
        differing = {
            key: value
            for key, value in self.switches.model_dump(exclude_none=True).items()
            if value != getattr(sections.PROTOCOLS[self.protocol], key)
        }
        return self.protocol + "".join(f", {key}={value}" for key, value in differing.items())

    @property
    def data_root(self) -> Path:
        """The dataset's folder."""
        return Path(self.davis_root or self.data.root)

    @property
    def val_root(self) -> Path:
        """The folder of the sequences that validate."""
        return Path(self.davis_val_root or self.data_root)

    @property
    def selection_sequences(self) -> list[str]:
        """Sequences that epochs and hyper-parameters are chosen on."""
        return list(self.grid.sequences if self.option("selection") == "val" else self.data.held_out or [])

    def search_seed(self, seed: int) -> int:
        """The seed whose parents the tuning and the grid search for `seed`."""
        return seed if self.search_seeds == "all" else self.seeds[0]

    @property
    def epoch_sequences(self) -> list[str]:
        """Held-out sequences that choose the epochs of parents and tuning: their own, or those of the grid."""
        return list(self.data.held_out_epochs or self.data.held_out or [])

    def digest(self, include: Any = None) -> str:
        """A short digest of some sections (as `include` of `model_dump`), or of all."""
        values = self.model_dump(mode="json", include=include, exclude=_BOUNDS)
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]

    def key(self, kind: str) -> str:
        """A short digest of what decides a kind of job: what Snakemake compares before it reruns one.

        Other kinds depend on their inputs alone: their digest is that of nothing.
        """
        return self.digest(_DECISIVE.get(kind, set()))

    def decisive(self, kind: str) -> dict[str, Any]:
        """The sections that decide a kind of job, and their values; empty where it depends on its inputs alone."""
        return self.model_dump(mode="json", include=_DECISIVE.get(kind, set()), exclude=_BOUNDS)

    def save(self, path: Path) -> None:
        """Write the settings as JSON, unless the file holds them already."""
        text = self.model_dump_json(indent=2) + "\n"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)


def parse_settings(values: Mapping[str, Any], source: str) -> Settings:
    """Validate a mapping, such as a parsed YAML file.

    Raises:
        UserError: names every key that is wrong, what was found and what was expected.
    """
    try:
        return Settings.model_validate(dict(values))
    except ValidationError as error:
        raise UserError("\n".join(f"{source}: {_explain(one)}" for one in error.errors())) from None


def load_settings(path: str | Path) -> Settings:
    """Read and validate a YAML or JSON file (see `parse_settings`)."""
    return parse_settings(read_values(path), str(path))


def read_values(path: str | Path) -> dict[str, Any]:
    """The keys and values of a YAML or JSON file, each key once; a UserError where it is none."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: missing; expected a configuration file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as YAML ({error})") from None
    # JSON may be indented by tabs, and has them in no string; YAML may not.
    values = parse_yaml(text.replace("\t", " ") if str(path).endswith(".json") else text, str(path))
    if not isinstance(values, dict):
        raise UserError(f"{path}: found {type(values).__name__}; expected keys and values")
    return values


def without_places(values: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings for others to read: without the folders where DAVIS lay."""
    return {key: None if key in ("davis_root", "davis_val_root") else value for key, value in values.items()}


def _explain(error: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; expected one of those in config/README.md"
    if not key:
        return message
    return f"{key}: found {error['input']!r}; {message.replace('input should', 'it should')}"
