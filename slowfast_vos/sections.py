"""The sections of a configuration, one class each; their defaults are the paper's values.

The text below a key is its description in `slowfast-vos schema` and in config/README.md.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from slowfast_vos.values import Count, Folder, Rate, Scale, Section, Seed, SetupName, axis, distinct, folder_name

Freeze = Literal["none", "SF", "BB_SF"]
FREEZES: dict[str, tuple[str, ...]] = {
    "none": (),
    "SF": ("slow_fast",),
    "BB_SF": ("backbone", "rpn", "slow_fast"),
}


class SyntheticData(Section):
    """What `slowfast-vos synthesize` draws."""

    seed: Seed = 63
    """Seed of the whole dataset. A tree drawn with other values of this section is refused."""
    train: Annotated[int, Field(ge=2, le=10_000)] = 12
    """Training sequences."""
    val: Annotated[int, Field(ge=1, le=10_000)] = 8
    """Validation sequences."""
    frames: Annotated[int, Field(ge=4, le=100_000)] = 24
    """Frames of a sequence."""
    height: Annotated[int, Field(ge=64, le=10_000)] = 240
    """Height of a frame in pixels."""
    width: Annotated[int, Field(ge=96, le=10_000)] = 400
    """Width of a frame in pixels."""


class Data(Section):
    """Where the videos come from, and which are used for what."""

    kind: Literal["synthetic", "davis"] = "davis"
    """`davis`, or `synthetic` for generated videos."""
    root: Folder = "data/davis"
    """A tree in DAVIS's layout."""
    train_year: Literal[2016, 2017] = 2017
    """Masks of training: 2017, objects by id; 2016, every non-zero pixel is one object."""
    resolution: Annotated[str, AfterValidator(folder_name)] = "480p"
    """Folder below JPEGImages and Annotations: `480p`, `Full-Resolution` (2017) or `1080p` (2016)."""
    held_out: axis(str) | None = None
    """Training sequences that select instead of train (`selection: held_out`): configurations, and epochs if no others
    are named."""
    held_out_epochs: axis(str) | None = None
    """Training sequences that choose the epochs of parents and tuning instead."""
    train_only: axis(str) | None = None
    """Train on these sequences of the split only."""
    val_only: axis(str) | None = None
    """Validate on these sequences of the split only."""
    allow_partial: bool = False
    """Skip sequences that a partial copy of DAVIS lacks, with a line in the log; never one that selects."""
    synthetic: SyntheticData = SyntheticData()


class Model(Section):
    """The network's widths and torchvision's options; `weights` starts the detector."""

    backbone: str = "resnet50"
    """A torchvision ResNet or a timm model with features at strides 4, 8, 16, 32."""
    weights: str = "coco"
    """What the detector starts from: `coco`, `imagenet`, `none`, or a file of Mask R-CNN weights."""
    trainable_backbone_layers: Annotated[int, Field(ge=0, le=5)] = 5
    """Layers of the backbone's five that train wherever the backbone does, from the last on."""
    fpn_channels: Annotated[int, Field(ge=8, multiple_of=8)] = 256
    """Channels of every FPN level; the SlowFast module's widths follow in proportion."""
    box_hidden: Count = 1024
    """Width of the box head's two layers."""
    mask_channels: Annotated[list[Count], Field(min_length=1)] = [256, 256, 256, 256]
    """Channels of the mask head's convolutions."""
    mask_hidden: Count = 256
    """Channels of the mask predictor."""
    anchor_sizes: Annotated[list[Count], Field(min_length=5, max_length=5)] = [32, 64, 128, 256, 512]
    """Side of the anchors in pixels, one per level."""
    roi_levels: axis(Literal["0", "1", "2", "3"]) = ["0", "1", "2", "3"]
    """FPN levels that the RoI heads read."""
    image_mean: Annotated[list[float], Field(min_length=3, max_length=3)] = [0.485, 0.456, 0.406]
    """Mean of each channel, red first; ImageNet's by default."""
    image_std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=3, max_length=3)] = [0.229, 0.224, 0.225]
    """Standard deviation of each channel, red first; ImageNet's by default."""
    min_size: Count = 800
    """Length that a frame's short side is resized to, as torchvision does."""
    max_size: Count = 1333
    """Bound on a resized frame's long side."""
    norm_eps: Annotated[float, Field(ge=0)] | None = None
    """What a ResNet's frozen batch norm adds to its variances. Without it: 0 with `coco` or a file of torchvision's,
    1e-5 with `imagenet`, `none` or a `.safetensors`; a detector trained here needs what it was trained with."""
    box_score_thresh: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Detections with a lower score are dropped."""
    box_nms_thresh: Annotated[float, Field(gt=0, le=1)] = 0.5
    """IoU above which non-maximum suppression drops the detection with the lower score."""
    box_detections_per_img: Count = 10
    """Detections kept per frame."""
    box_batch_size_per_image: Count = 512
    """RoIs sampled per frame to train the RoI heads."""
    rpn_batch_size_per_image: Count = 256
    """Anchors sampled per frame to train the RPN."""
    rpn_pre_nms_top_n_train: Count = 2000
    """Proposals per level before non-maximum suppression, in training."""
    rpn_pre_nms_top_n_test: Count = 1000
    """The same in inference."""
    rpn_post_nms_top_n_train: Count = 2000
    """Proposals per frame after non-maximum suppression, in training."""
    rpn_post_nms_top_n_test: Count = 1000
    """The same in inference."""
    chunk_length: Count = 16
    """Frames that inference holds at a time, whatever the video's length."""

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
    """Learning rate of SGD."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of SGD."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """Weight decay of SGD."""


Frames = Annotated[int, Field(ge=2)] | None


class Detector(Training):
    """Stage 2: Mask R-CNN on single frames."""

    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    """Weight decay of SGD."""
    epochs: Count = 15
    """Epochs over the training frames."""
    train_frames: Frames = None
    """Frames of each sequence that an epoch visits, evenly spread; all without it."""
    batch_size: Count = 2
    """Frames per step."""
    decay_every: Count = 3
    """Epochs between decays of the rate."""
    decay_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    """What a decay multiplies the rate by."""
    warmup_steps: Annotated[int, Field(ge=0)] = 1000
    """Steps of linear warm-up within the first epoch."""
    trainable_backbone_layers: Annotated[int, Field(ge=0, le=5)] = 3
    """As `model.trainable_backbone_layers`, for the detector's training alone: torchvision's own builder keeps stem and
    first stage."""
    flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Probability of a horizontal flip."""
    views: bool = False
    """Train on random views of the frames: zoomed, turned, shifted, recoloured. Else masks learn the colours of a few
    videos."""
    schedule: Literal["steps", "cosine"] = "steps"
    """The rate after the warm-up: decays by `steps` of epochs, or falls to 0 along half a cosine (`cosine`)."""


class Parent(Training):
    """Stage 3: the unsupervised parent of each setup."""

    epochs: Count = 20
    """Epochs over the training frames."""
    backbone: Literal["frozen", "trained"] = "frozen"
    """Whether backbone and RPN are `frozen` or `trained`."""
    frames_per_step: Count = 2
    """Consecutive frames of a video per step."""
    videos_per_step: Count = 1
    """Runs of such frames per step, of several videos where steps are shuffled: the batch norm of the SlowFast module
    then sees in training what its running statistics stand for in inference."""
    start: Literal["random", "identity"] = "random"
    """What the SlowFast module starts from: `random` weights, or (`identity`) such that it gives each centre frame its
    own features, which the detector's heads know."""
    views: Annotated[int, Field(ge=0, le=1000)] = 0
    """Train on this many random views of each video (as `detector.views`), each of `train_frames` frames, instead of
    the video; 0 takes the video itself."""
    step: Literal["a", "b"] = "a"
    """Variant of the step: `a` averages the losses of its frames, `b` sums the gradients of each."""
    shuffle: bool = False
    """Visit the steps in random order instead of the files'."""
    schedule: Literal["constant", "cosine"] = "constant"
    """The rate over the training: `constant`, or falling to 0 along half a cosine (`cosine`)."""
    train_frames: Frames = None
    """Frames of each sequence that an epoch visits, evenly spread; all without it."""
    score_every: Count = 1
    """Epochs between scores on the selection sequences; the best scored epoch is kept."""
    feature_cache_gib: Annotated[float, Field(ge=0)] = 4.0
    """Bound on the memory for the features of a frozen backbone, in GiB: this much for the training frames, and the
    same again for the sequences that select, or those that a job predicts for all setups of a seed."""

    @model_validator(mode="before")
    @classmethod
    def _from_former_records(cls, values: Any) -> Any:
        """Where the module learned to be the identity, for so many epochs: published records say so."""
        if not isinstance(values, dict) or "identity_epochs" not in values:
            return values
        start = "identity" if values["identity_epochs"] else "random"
        return {"start": start} | {key: value for key, value in values.items() if key != "identity_epochs"}

    @property
    def frozen_parts(self) -> tuple[str, ...]:
        """Parts of the network that do not train."""
        return ("backbone", "rpn") if self.backbone == "frozen" else ()


class Tuning(Section):
    """The unsupervised stage's own search, on some of the setups."""

    setups: Annotated[list[SetupName], AfterValidator(distinct)] = ["3-7"]
    """Setups whose unsupervised stage is tuned."""
    lr: axis(Rate) = ["0.0001", "0.001", "0.005"]
    """Rates of the tuning."""
    epochs: Count = 20
    """Epochs of each point."""
    train_frames: Frames = None
    """Frames of each sequence that an epoch visits, evenly spread; all without it."""
    backbone: axis(Literal["frozen", "trained"]) = ["frozen", "trained"]
    """Backbones of the tuning: `frozen`, `trained` or both."""


class Finetune(Training):
    """Stages 4 and 6: fine-tuning on the annotated first frame."""

    accumulate: Count = 2
    """Samples per step."""
    flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Probability of a horizontal flip."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 30.0
    """Greatest angle of the random rotation, in degrees."""
    redraws: Count = 20
    """Bound on draws that lose the object."""


class Configuration(Section):
    """A point of the grid; the paper's choice."""

    freeze: Freeze = "SF"
    """Parts that do not train, one of `grid.freeze`."""
    scale: Scale = "0.25"
    """Range of the random scale, one of `grid.scale`."""
    lr: Rate = "0.001"
    """Learning rate, one of `grid.lr`."""


class Grid(Section):
    """Stage 4: the axes of the grid, the budget of one configuration, and how many jobs share it."""

    freeze: axis(Freeze) = ["none", "SF", "BB_SF"]
    """Parts that do not train: `none`, `SF` (the SlowFast module) or `BB_SF` (backbone, RPN and SlowFast module)."""
    scale: axis(Scale) = ["0", "0.25", "0.4"]
    """Ranges of the random scale, a factor of 1 ± scale."""
    lr: axis(Rate) = ["0.0001", "0.0005", "0.001", "0.005"]
    """Learning rates. Every configuration of the three axes has one record."""
    iterations: Count = 1000
    """Samples of one configuration on each selection sequence."""
    sequences: axis(str) = ["breakdance", "bmx-trees"]
    """Sequences that choose configurations under `selection: val`."""
    reference: Configuration = Configuration()
    """The configuration of the final models unless another beats it (`choice: one_error`); the paper's."""
    shards: Count = 36
    """Jobs that share a setup's grid."""


class Final(Section):
    """Stage 6: the budget of a final model, and how many jobs share a setup's sequences."""

    iterations: Count = 2000
    """Samples of a final model."""
    shards: Count = 20
    """Jobs that share a setup's final models."""


class Cost(Section):
    """Stage 9: how inference is timed."""

    frames: Annotated[int, Field(ge=2)] = 50
    """Frames timed."""
    warmup: Annotated[int, Field(ge=0)] = 2
    """Runs before timing."""
    repeats: Annotated[int, Field(ge=3)] = 6
    """Timed runs; six give a 95 % interval of the median."""


class Claims(Section):
    """What the run is to decide, declared before it (docs/claims.md)."""

    margin: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """Differences of J&F below it do not matter."""
    family: axis(str) | None = None
    """Ids of the claims that are tested as one family; all that the setups can answer without it."""
    file: str | None = None
    """A YAML file of further claims."""


class Switches(Section):
    """What `paper` and `strict` decide; a key that is set overrides the protocol."""

    selection: Literal["val", "held_out"] | None = None
    """`val` chooses epochs on all validation sequences and configurations on `grid.sequences`; `held_out` chooses both
    on sequences held out of train."""
    frames: Literal["all", "inner"] | None = None
    """`all` scores every frame, `inner` all frames but the first and the last."""
    frozen_statistics: Literal["drift", "frozen"] | None = None
    """With `drift` the batch-norm statistics of a frozen SlowFast module drift, with `frozen` they stay."""
    border: Literal["zeros", "replicate"] | None = None
    """What stands for features beyond the video's ends: `zeros`, or the features of the end frame (`replicate`)."""
    seeding: Literal["fixed", "identity"] | None = None
    """`fixed`: one seed for every job; `identity`: a seed of each job's own."""
    choice: Literal["best", "one_error"] | None = None
    """`best` takes the best configuration of the grid; `one_error` takes `grid.reference`, if the grid has it, unless
    another beats it by more than the standard error of their paired differences."""


PROTOCOLS = {
    "paper": Switches(
        selection="val", frames="all", frozen_statistics="drift", border="zeros", seeding="fixed", choice="best"
    ),
    "strict": Switches(
        selection="held_out",
        frames="inner",
        frozen_statistics="frozen",
        border="replicate",
        seeding="identity",
        choice="one_error",
    ),
}
