"""The sections of a configuration, one class each; their defaults are the paper's values.

Rates and scales are strings, since they name paths and keys: "0.001" stays "0.001".
"""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from slowfast_vos.errors import UserError
from slowfast_vos.setups import Setup

Freeze = Literal["none", "SF", "BB_SF"]
FREEZES: dict[str, tuple[str, ...]] = {
    "none": (),
    "SF": ("slow_fast",),
    "BB_SF": ("backbone", "rpn", "slow_fast"),
}
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Folder = Annotated[str, Field(min_length=1)]


def _number_in_quotes(value: Any) -> Any:
    if isinstance(value, int | float):
        raise ValueError(f'expected a number in quotes, such as "{value}", since it names paths')
    return value


def _rate(value: str) -> str:
    # As float() reads it, but for what it takes beside: 1_0, " 1" and other scripts' digits.
    if not re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", value) or float(value) == float("inf"):
        raise ValueError("expected a number ≥ 0")
    return value


def _scale(value: str) -> str:
    if float(value) >= 1:
        raise ValueError("expected a number below 1, since a frame is scaled by 1 ± scale")
    return value


def _setup(value: str, tested: bool = False) -> str:
    try:
        setup = Setup.parse(value)
    except UserError as error:
        raise ValueError(str(error)) from error
    if setup.tested != tested:
        raise ValueError(
            'expected a trained setup, and "7-7@still" under tested' if setup.tested else 'expected "7-7@still"'
        )
    return str(setup)


def distinct(values: list[Any]) -> list[Any]:
    """The values, each of which may come once."""
    if len(set(values)) != len(values):
        raise ValueError("expected each value once")
    return values


def _folder_name(value: str) -> str:
    if not value.strip(".") or set(value) & set("/\\\0"):
        raise ValueError("expected the name of a folder, such as 480p")
    return value


def _distinct_numbers(values: list[str]) -> list[str]:
    distinct([float(value) for value in values])  # "0.001" and "1e-3" would be two paths for one value
    return values


Rate = Annotated[str, BeforeValidator(_number_in_quotes), AfterValidator(_rate)]
Scale = Annotated[Rate, AfterValidator(_scale)]
SetupName = Annotated[str, AfterValidator(_setup)]
TestedName = Annotated[str, AfterValidator(partial(_setup, tested=True))]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, numbers are finite, true is no 1, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_is_a_boolean(cls, value: Any, info: ValidationInfo) -> Any:
        values = value if isinstance(value, list) else [value]
        if any(isinstance(one, bool) for one in values) and cls.model_fields[info.field_name].annotation is not bool:
            raise ValueError("expected no boolean")
        return value


def axis(kind: Any, **limits: Any) -> Any:
    """A non-empty list of distinct values; rates and scales differ as numbers."""
    differ = _distinct_numbers if kind in (Rate, Scale) else distinct
    return Annotated[list[kind], Field(min_length=1, **limits), AfterValidator(differ)]


class SyntheticData(Section):
    """What `slowfast-vos synthesize` draws."""

    seed: Seed = 63
    train: Annotated[int, Field(ge=2, le=10_000)] = 12
    val: Annotated[int, Field(ge=1, le=10_000)] = 8
    frames: Annotated[int, Field(ge=4, le=100_000)] = 24
    height: Annotated[int, Field(ge=64, le=10_000)] = 240
    width: Annotated[int, Field(ge=96, le=10_000)] = 400


class Data(Section):
    """Where the videos come from, and which are used for what."""

    kind: Literal["synthetic", "davis"] = "davis"
    root: Folder = "data/davis"
    train_year: Literal[2016, 2017] = 2017
    resolution: Annotated[str, AfterValidator(_folder_name)] = "480p"
    held_out: axis(str) | None = None
    train_only: axis(str) | None = None
    val_only: axis(str) | None = None
    allow_partial: bool = False
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
    image_std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=3, max_length=3)] = [0.229, 0.224, 0.225]
    min_size: Count = 800
    max_size: Count = 1333
    norm_eps: Annotated[float, Field(ge=0)] | None = None
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
        options = self.model_dump(exclude={"weights", "chunk_length"})
        if self.norm_eps is None:
            # Added to variances by frozen batch norm: nothing with weights of Mask R-CNN, which torchvision made so.
            published = self.weights not in ("imagenet", "none") and not self.weights.endswith(".safetensors")
            options["norm_eps"] = 0.0 if published else 1e-5
        return options


class Training(Section):
    """What every SGD stage has."""

    lr: Rate = "0.001"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4


Frames = Annotated[int, Field(ge=2)] | None


class Detector(Training):
    """Stage 2: Mask R-CNN on single frames."""

    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    epochs: Count = 15
    train_frames: Frames = None
    batch_size: Count = 2
    decay_every: Count = 3
    decay_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    warmup_steps: Annotated[int, Field(ge=0)] = 1000
    trainable_backbone_layers: Annotated[int, Field(ge=0, le=5)] = 3
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

    @property
    def frozen_parts(self) -> tuple[str, ...]:
        """Parts of the network that do not train."""
        return ("backbone", "rpn") if self.backbone == "frozen" else ()


class Tuning(Section):
    """The unsupervised stage's own search, on some of the setups."""

    setups: Annotated[list[SetupName], AfterValidator(distinct)] = ["3-7"]
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
    repeats: Annotated[int, Field(ge=3)] = 6


class Claims(Section):
    """What the run is to decide, declared before it."""

    margin: Annotated[float, Field(gt=0, lt=1)] = 0.02
    family: axis(str) | None = None
    file: str | None = None


class Switches(Section):
    """What `paper` and `strict` decide; a key that is set overrides the protocol."""

    # Sequences that choose epochs and hyper-parameters: the validation set's own, or held out of train.
    selection: Literal["val", "held_out"] | None = None
    frames: Literal["all", "inner"] | None = None  # that are scored
    frozen_statistics: Literal["drift", "frozen"] | None = None  # of a frozen SlowFast module's batch norm
    border: Literal["zeros", "replicate"] | None = None  # features beyond the video's ends
    seeding: Literal["fixed", "identity"] | None = None  # one seed for every job, or one of each job's own identity


PROTOCOLS = {
    "paper": Switches(selection="val", frames="all", frozen_statistics="drift", border="zeros", seeding="fixed"),
    "strict": Switches(
        selection="held_out", frames="inner", frozen_statistics="frozen", border="replicate", seeding="identity"
    ),
}
