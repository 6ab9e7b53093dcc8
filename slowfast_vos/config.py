"""The typed configuration: one source of truth for the Snakefile and the command line.

The defaults are the paper's values; a YAML file changes what it names. Rates and scales are strings, since they
name paths and keys: "0.001" stays "0.001".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from slowfast_vos.errors import UserError
from slowfast_vos.files import write_text

Freeze = Literal["none", "SF", "BB_SF"]
FREEZES: dict[str, tuple[str, ...]] = {
    "none": (),
    "SF": ("slow_fast",),
    "BB_SF": ("backbone", "rpn", "slow_fast"),
}
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


def _number_in_quotes(value: Any) -> Any:
    if isinstance(value, int | float):
        raise ValueError(f'expected a number in quotes, such as "{value}", since it names paths')
    return value


def _rate(value: str) -> str:
    try:
        valid = 0 <= float(value) < float("inf")
    except ValueError:
        valid = False
    if not valid or value.strip() != value:
        raise ValueError("expected a number ≥ 0")
    return value


def _scale(value: str) -> str:
    if float(value) >= 1:
        raise ValueError("expected a number below 1, since a frame is scaled by 1 ± scale")
    return value


def _setup(value: str) -> str:
    from slowfast_vos.setups import Setup

    try:
        return str(Setup.parse(value))
    except UserError as error:
        raise ValueError(str(error)) from error


def _distinct(values: list[Any]) -> list[Any]:
    if len(set(values)) != len(values):
        raise ValueError("expected each value once")
    return values


Rate = Annotated[str, BeforeValidator(_number_in_quotes), AfterValidator(_rate)]
Scale = Annotated[Rate, AfterValidator(_scale)]
SetupName = Annotated[str, AfterValidator(_setup)]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def axis(kind: Any, **limits: Any) -> Any:
    """A non-empty list of distinct values."""
    return Annotated[list[kind], Field(min_length=1, **limits), AfterValidator(_distinct)]


class SyntheticData(Section):
    """What `slowfast-vos synthesize` draws."""

    seed: Seed = 63
    train: Annotated[int, Field(ge=2)] = 12
    val: Count = 8
    frames: Annotated[int, Field(ge=4)] = 24
    height: Annotated[int, Field(ge=64)] = 240
    width: Annotated[int, Field(ge=64)] = 400


class Data(Section):
    """Where the videos come from, and which are used for what."""

    kind: Literal["synthetic", "davis"] = "davis"
    root: str = "data/davis"
    train_year: Literal[2016, 2017] = 2017
    resolution: str = "480p"
    held_out: axis(str) | None = None
    train_only: axis(str) | None = None
    val_only: axis(str) | None = None
    synthetic: SyntheticData = SyntheticData()


class Model(Section):
    """The network's widths and torchvision's options; `weights` starts the detector."""

    backbone: str = "resnet50"
    weights: str = "coco"
    trainable_backbone_layers: Annotated[int, Field(ge=0, le=5)] = 5
    fpn_channels: Annotated[int, Field(ge=8, multiple_of=8)] = 256
    box_hidden: Count = 1024
    mask_channels: Annotated[list[Count], Field(min_length=1)] = [256, 256, 256, 256]
    mask_hidden: Count = 256
    anchor_sizes: Annotated[list[Count], Field(min_length=5, max_length=5)] = [32, 64, 128, 256, 512]
    roi_levels: axis(Literal["0", "1", "2", "3"]) = ["0", "1", "2", "3"]
    image_mean: Annotated[list[float], Field(min_length=3, max_length=3)] = [0.485, 0.456, 0.406]
    image_std: Annotated[list[float], Field(min_length=3, max_length=3)] = [0.229, 0.224, 0.225]
    min_size: Count = 800
    max_size: Count = 1333
    box_score_thresh: Annotated[float, Field(ge=0, lt=1)] = 0.05
    box_nms_thresh: Annotated[float, Field(gt=0, le=1)] = 0.5
    box_detections_per_img: Count = 10
    box_batch_size_per_image: Count = 512
    rpn_batch_size_per_image: Count = 256
    rpn_pre_nms_top_n_train: Count = 2000
    rpn_pre_nms_top_n_test: Count = 1000
    rpn_post_nms_top_n_train: Count = 2000
    rpn_post_nms_top_n_test: Count = 1000
    chunk_length: Count = 16

    def options(self) -> dict[str, Any]:
        """Keywords of `build_detector` (and, with `chunk_length`, of `SlowFastMaskRCNN`)."""
        return self.model_dump(exclude={"weights", "chunk_length"})


class Training(Section):
    """What every SGD stage has."""

    lr: Rate = "0.001"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4


Frames = Annotated[int, Field(ge=2)] | None


class Detector(Training):
    """Stage 2: Mask R-CNN on single frames."""

    lr: Rate = "0.005"
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    epochs: Count = 15
    train_frames: Frames = None
    batch_size: Count = 2
    decay_every: Count = 3
    decay_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    warmup_steps: Annotated[int, Field(ge=0)] = 1000
    flip: Annotated[float, Field(ge=0, le=1)] = 0.5


class Parent(Training):
    """Stage 3: the unsupervised parent of each setup."""

    epochs: Count = 20
    backbone: Literal["frozen", "trained"] = "frozen"
    frames_per_step: Count = 2
    step: Literal["a", "b"] = "a"
    shuffle: bool = False
    train_frames: Frames = None
    score_every: Count = 1
    feature_cache_gib: Annotated[float, Field(ge=0)] = 4.0


class Tuning(Section):
    """The unsupervised stage's own search, on some of the setups."""

    setups: Annotated[list[SetupName], AfterValidator(_distinct)] = ["3-7"]
    lr: axis(Rate) = ["0.0001", "0.001", "0.005"]
    epochs: Count = 20
    train_frames: Frames = None
    backbone: axis(Literal["frozen", "trained"]) = ["frozen", "trained"]


class Finetune(Training):
    """Stages 4 and 6: fine-tuning on the annotated first frame."""

    accumulate: Count = 2
    flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    rotation: Annotated[float, Field(ge=0, le=180)] = 30.0
    redraws: Count = 20


class Grid(Section):
    """Stage 4: the axes of the grid, the budget of one configuration, and how many jobs share it."""

    freeze: axis(Freeze) = ["none", "SF", "BB_SF"]
    scale: axis(Scale) = ["0", "0.25", "0.4"]
    lr: axis(Rate) = ["0.0001", "0.0005", "0.001", "0.005"]
    iterations: Count = 1000
    sequences: axis(str) = ["breakdance", "bmx-trees"]
    shards: Count = 36


class Final(Section):
    """Stage 6: the budget of a final model, and how many jobs share a setup's sequences."""

    iterations: Count = 2000
    shards: Count = 20


class Cost(Section):
    """Stage 9: how inference is timed."""

    frames: Annotated[int, Field(ge=2)] = 50
    warmup: Annotated[int, Field(ge=0)] = 2
    repeats: Annotated[int, Field(ge=3)] = 5


class Switches(Section):
    """What `paper` and `strict` decide; a key that is set overrides the protocol.

    Attributes:
        selection: sequences that choose epochs and hyper-parameters: the validation set's own, or held out of train.
        frames: frames that are scored.
        frozen_statistics: whether a frozen SlowFast module's batch-norm statistics drift.
        border: features beyond the video's ends.
        seeding: one seed for every job, or a seed of each job's own identity.
    """

    selection: Literal["val", "held_out"] | None = None
    frames: Literal["all", "inner"] | None = None
    frozen_statistics: Literal["drift", "frozen"] | None = None
    border: Literal["zeros", "replicate"] | None = None
    seeding: Literal["fixed", "identity"] | None = None


PROTOCOLS = {
    "paper": Switches(selection="val", frames="all", frozen_statistics="drift", border="zeros", seeding="fixed"),
    "strict": Switches(
        selection="held_out",
        frames="inner",
        frozen_statistics="frozen",
        border="replicate",
        seeding="identity",
    ),
}


class Settings(Section):
    """A run: everything that decides its results."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "davis"
    protocol: Literal["paper", "strict"] = "strict"
    switches: Switches = Switches()
    seeds: axis(Seed) = [63]
    setups: axis(SetupName) = ["1-1", "3-3", "7-7", "1-7", "3-7"]
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Count = 1
    davis_root: str | None = None
    data: Data = Data()
    model: Model = Model()
    detector: Detector = Detector()
    parent: Parent = Parent()
    tuning: Tuning = Tuning()
    finetune: Finetune = Finetune()
    grid: Grid = Grid()
    final: Final = Final()
    cost: Cost = Cost()

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        unknown = [setup for setup in self.tuning.setups if setup not in self.setups]
        if unknown:
            raise ValueError(f"tuning.setups: found {unknown}; expected some of setups {self.setups}")
        if self.rule("selection") == "held_out" and not self.data.held_out:
            raise ValueError(
                "data.held_out: missing; the strict protocol selects on sequences held out of train, name them"
            )
        if self.davis_root is not None and self.data.kind != "davis":
            raise ValueError(f"davis_root: found {self.davis_root!r} with data.kind {self.data.kind!r}; expected davis")
        return self

    def rule(self, switch: str) -> str:
        """The value of a switch: its own, or the protocol's."""
        return getattr(self.switches, switch) or getattr(PROTOCOLS[self.protocol], switch)

    @property
    def protocol_name(self) -> str:
        """The protocol as tables name it, with the switches that differ from it."""
        differing = {
            key: value
            for key, value in self.switches.model_dump(exclude_none=True).items()
            if value != getattr(PROTOCOLS[self.protocol], key)
        }
        return self.protocol + "".join(f", {key}={value}" for key, value in differing.items())

    @property
    def data_root(self) -> Path:
        """The dataset's folder."""
        return Path(self.davis_root or self.data.root)

    @property
    def selection_sequences(self) -> list[str]:
        """Sequences that epochs and hyper-parameters are chosen on."""
        return list(self.grid.sequences if self.rule("selection") == "val" else self.data.held_out or [])

    def digest(self, *sections: str) -> str:
        """A short digest of some sections (all, if none is named): what Snakemake compares before it reruns."""
        values = self.model_dump(mode="json", include=set(sections) or None)
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]

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
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; expected a configuration file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: found {type(values).__name__}; expected keys and values")
    return parse_settings(values, str(path))


def _explain(error: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; expected one of those in config/README.md"
    if not key:
        return message
    return f"{key}: found {error['input']!r}; {message.replace('input should', 'it should')}"
