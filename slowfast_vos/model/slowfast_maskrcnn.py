"""`SlowFastMaskRCNN`: Mask R-CNN whose RoI heads see features enhanced over time (paper, section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from numbers import Integral
from os import PathLike
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from slowfast_vos.errors import UserError
from slowfast_vos.model.backbones import Precision
from slowfast_vos.model.detector import ROI_LEVELS, build_detector
from slowfast_vos.model.inputs import Target, check_clip, check_frames, check_range, check_targets
from slowfast_vos.model.pathways import temporal_module
from slowfast_vos.model.streaming import Features, beyond, detect, paste
from slowfast_vos.setups import Setup

Border = Literal["zeros", "replicate"]
PARTS = ("backbone", "rpn", "slow_fast", "roi_heads")


class Resized(NamedTuple):
    """Frames through the layers that never train."""

    stem: Tensor  # [T, C, h, w], as `BackboneFPN.stem` gives it
    size: tuple[int, int]  # height and width of the batch of images
    centres: list[int]  # frames with a target
    image_sizes: list[tuple[int, int]]  # of each, height and width of the resized frame
    targets: list[Target]  # of each, resized
    random: Tensor  # state of the CPU's generator, from which resizing draws

    @property
    def nbytes(self) -> int:
        """Memory of the maps and masks."""
        return self.stem.nbytes + sum(target["masks"].nbytes for target in self.targets)


class Prepared(NamedTuple):
    """Frames as the RoI heads need them in training."""

    enhanced: Features  # of the centre frames, each [B, C, h, w]
    proposals: list[Tensor]  # of each, [P, 4], in pixels of the resized frame
    image_sizes: list[tuple[int, int]]  # height and width of the resized frame
    targets: list[Target]  # resized
    rpn_losses: dict[str, Tensor]  # while the RPN trains

    @property
    def nbytes(self) -> int:
        """Memory of the maps."""
        return sum(maps.nbytes for maps in self.enhanced.values())


def join(windows: Sequence[Features]) -> Features:
    """Windows of several videos as one batch: levels `[B, C, fast, h, w]`, the smaller ones with zeros beside them."""
    joined = {}
    for level in windows[0]:
        maps = [each[level] for each in windows]
        height, width = (max(one.shape[side] for one in maps) for side in (-2, -1))
        joined[level] = torch.cat([F.pad(one, (0, width - one.shape[-1], 0, height - one.shape[-2])) for one in maps])
    return joined


class SlowFastMaskRCNN(nn.Module):
    """Mask R-CNN with a SlowFast module between the FPN and the RoI heads.

    The RPN sees the original features of each frame; the RoI heads see those that the SlowFast module makes of
    the frame's window `[t − ⌊fast/2⌋, t + ⌈fast/2⌉)`. The defaults are the paper's network.

    In evaluation, `model(frames)` takes consecutive frames of one video and returns one dict per frame, as
    torchvision does: `boxes [N, 4]`, `labels [N]`, `scores [N]`, `masks [N, 1, H, W]`. In training,
    `model(frames, targets)` returns the dict of losses; `targets` holds one entry per frame: torchvision's
    (`boxes`, `labels`, `masks [N, H, W]`), or None for a frame that only gives context to its neighbours.

    Args:
        slow: frames of the slow pathway.
        fast: frames of the fast pathway; fast − slow is even.
        control: what the module sees or is, if not the setup's own (see `Setup`).
        border: what lies beyond the video's ends: all-zero features, or the end frame's features again.
        chunk_length: frames that inference holds in memory at a time, whatever the video's length.
        precision: "fp32", or "bf16" to run backbone, FPN and SlowFast module in bfloat16; weights, features between the
            parts, boxes and losses are float32 in either.
        detector_options: keywords of `build_detector` and of torchvision's `MaskRCNN` (backbone, fpn_channels,
            min_size, max_size, box_score_thresh, …).

    Shape: a frame is `[3, H, W]` in [0, 1]; all frames of a call have one size.

    Raises:
        UserError: a setup that cannot be, or an unknown option, border, precision, backbone or size.
        ValueError: when called, frames or targets that cannot be (see `inputs`).
    """

    def __init__(
        self,
        slow: int = 3,
        fast: int = 7,
        *,
        control: str = "",
        border: Border = "zeros",
        chunk_length: int = 16,
        precision: Precision = "fp32",
        **detector_options: Any,
    ) -> None:
        super().__init__()
        if border not in ("zeros", "replicate"):
            raise UserError(f'border: found {border!r}; expected "zeros" or "replicate"')
        if not isinstance(chunk_length, Integral) or chunk_length < 1:
            raise UserError(f"chunk_length: found {chunk_length}; expected at least 1 frame")
        self.setup = Setup(slow, fast, control)
        self.border = border
        self.chunk_length = chunk_length
        # Convolutions run faster with the channels last: 10 against 19 ms a frame for the small backbone on a CPU.
        self.maskrcnn_model = build_detector(precision=precision, **detector_options)
        self.maskrcnn_model.to(memory_format=torch.channels_last)
        self.slow_fast = temporal_module(self.setup, self.maskrcnn_model.backbone.out_channels, precision)
        self.roi_levels = tuple(self.maskrcnn_model.roi_heads.box_roi_pool.featmap_names)
        self._never_trained = [p for p in self.parameters() if not p.requires_grad]
        self._frozen: frozenset[str] = frozenset()
        self._drifting_statistics = False

    @classmethod
    def from_authors_checkpoint(
        cls, path: str | PathLike[str], slow: int = 3, fast: int = 7, **options: Any
    ) -> SlowFastMaskRCNN:
        """Load a checkpoint of the authors' public implementation; `options` as for the constructor.

        Raises:
            UserError: the file cannot be read, or a tensor is missing, left over or of another shape.
        """
        # All else does without safetensors.
        from slowfast_vos.model.checkpoints import load_state, read_torch_checkpoint

        model = cls(slow, fast, **options)
        load_state(model, read_torch_checkpoint(path), source=str(path))
        return model

    def part(self, name: str) -> nn.Module:
        """One of `backbone` (with the FPN), `rpn`, `slow_fast`, `roi_heads`."""
        return self.slow_fast if name == "slow_fast" else getattr(self.maskrcnn_model, name)

    def freeze(self, parts: Iterable[str], *, drifting_statistics: bool = False) -> SlowFastMaskRCNN:
        """Train all parts but these, which also stay in evaluation mode whenever the model trains.

        Args:
            parts: names as in `part`.
            drifting_statistics: leave a frozen SlowFast module in training mode, so that its batch norm uses the
                batch's statistics and goes on updating its own, as the 2020 code did.

        Raises:
            UserError: a name that is none of a part.
        """
        frozen = frozenset([parts] if isinstance(parts, str) else parts)
        if unknown := sorted(frozen - set(PARTS)):
            raise UserError(f"freeze: found {', '.join(unknown)}; expected some of {', '.join(PARTS)}")
        self._frozen = frozen
        self._drifting_statistics = drifting_statistics
        for name in PARTS:
            self.part(name).requires_grad_(name not in self._frozen)
        for parameter in self._never_trained:
            parameter.requires_grad_(False)
        return self.train() if self.training else self  # in evaluation, all parts are in it already

    def train(self, mode: bool = True) -> SlowFastMaskRCNN:
        """Set the mode, except for the parts that are frozen."""
        super().train(mode)
        for name in self._frozen:
            self.part(name).train(mode and name == "slow_fast" and self._drifting_statistics)
        return self

    def forward(
        self, frames: Sequence[Tensor], targets: Sequence[Target | None] | None = None
    ) -> list[dict[str, Tensor]] | dict[str, Tensor]:
        check_clip(frames, targets)
        if self.training:
            if len(targets or ()) != len(frames):
                found = f"{len(targets or ())} for {len(frames)} frames"
                raise ValueError(f"targets: found {found}; expected one or None per frame")
            return self.losses(frames, targets)
        return [paste(detection) for detection in detect(self, frames)]

    def losses(
        self,
        frames: Sequence[Tensor],
        targets: Sequence[Target | None],
        order: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """Losses of the frames that have a target; RPN losses only while the RPN trains (see `prepare`)."""
        return self.head_losses(self.prepare(frames, targets, order))

    def prepare(
        self,
        frames: Sequence[Tensor],
        targets: Sequence[Target | None],
        order: Sequence[int] | None = None,
    ) -> Prepared:
        """All that comes before the RoI heads.

        Args:
            frames: each `[3, H, W]` in [0, 1].
            targets: one per frame, None for a frame that only gives context.
            order: indices of the frames in the order of time, where it is not theirs; a frame may come repeatedly
                (it is encoded once), and one with a target then stands at the middle of its places.
        """
        return self.prepare_resized([self.resize(frames, targets)], order)[0]

    def resize(self, frames: Sequence[Tensor], targets: Sequence[Target | None]) -> Resized:
        """What no weight that trains changes; `frames` and `targets` as for `prepare`."""
        centres = [i for i, target in enumerate(targets) if target is not None]
        if not centres:
            raise ValueError("targets: found None for every frame; expected one at least")
        check_frames(frames)
        check_range(frames)
        check_targets(targets, frames)
        nothing = {"boxes": frames[0].new_zeros((0, 4))}
        images, scaled = self.maskrcnn_model.transform(list(frames), [target or nothing for target in targets])
        sizes = [images.image_sizes[i] for i in centres]
        size = tuple(images.tensors.shape[-2:])
        scaled = [scaled[i] for i in centres]
        return Resized(self._stem(images.tensors), size, centres, sizes, scaled, torch.get_rng_state())

    def prepare_resized(self, samples: Sequence[Resized], order: Sequence[int] | None = None) -> list[Prepared]:
        """As `prepare`, for some samples whose frames pass the backbone as one batch."""
        return list(map(self.enhanced, self.windowed(samples, order)))

    def prepare_together(self, samples: Sequence[Resized]) -> Prepared:
        """As `prepare_resized`, for samples that also pass the module as one batch, whose batch norm sees them all."""
        windowed = [self.windowed([sample], None)[0] for sample in samples]  # their sizes may differ
        windows, *lists, rpn_losses = map(list, zip(*windowed, strict=True))
        means = {name: torch.stack([losses[name] for losses in rpn_losses]).mean() for name in rpn_losses[0]}
        return Prepared(self.enhance(join(windows)), *(list(chain.from_iterable(some)) for some in lists), means)

    def enhanced(self, windowed: Prepared) -> Prepared:
        """With what the module makes of the windows instead of these."""
        return windowed._replace(enhanced=self.enhance(windowed.enhanced))

    def windowed(self, samples: Sequence[Resized], order: Sequence[int] | None) -> list[Prepared]:
        """All that comes before the module: `Prepared`, but with its windows instead of what it makes of them."""
        stems = [sample.stem for sample in samples]
        levels = self._pyramid(torch.cat(stems) if len(stems) > 1 else stems[0])
        split = {level: maps.split([len(stem) for stem in stems]) for level, maps in levels.items()}
        encoded = [{level: maps[i] for level, maps in split.items()} for i in range(len(samples))]
        return [self._propose(*one, order) for one in zip(samples, encoded, strict=True)]

    def _propose(self, resized: Resized, features: Features, order: Sequence[int] | None) -> Prepared:
        stem, size, centres, sizes, scaled, random = resized
        torch.set_rng_state(random)  # an RPN that trains draws next
        own = {level: maps[centres] for level, maps in features.items()}
        shape = stem.new_empty(1).expand(len(centres), 3, *size)  # the RPN reads no more of the images
        proposals, rpn_losses = self.maskrcnn_model.rpn(ImageList(shape, sizes), own, scaled)
        if order is not None:
            features = {level: maps[list(order)] for level, maps in features.items()}
            places = [[place for place, i in enumerate(order) if i == centre] for centre in centres]
            centres = [some[len(some) // 2] for some in places]
        return Prepared(self.windows(features, centres), proposals, sizes, scaled, rpn_losses)

    def head_losses(self, prepared: Prepared) -> dict[str, Tensor]:
        """RoI losses of prepared frames, and their RPN losses."""
        enhanced, proposals, sizes, targets, rpn_losses = prepared
        return self.maskrcnn_model.roi_heads(enhanced, list(proposals), sizes, targets)[1] | rpn_losses

    def encode(self, images: Tensor) -> Features:
        """Backbone and FPN: `[T, 3, H, W]` → levels `[T, C, h, w]`; no graph is built for a frozen backbone."""
        return self._pyramid(self._stem(images))

    def _stem(self, images: Tensor) -> Tensor:
        return self.maskrcnn_model.backbone.stem(images.contiguous(memory_format=torch.channels_last))

    def _pyramid(self, stem: Tensor) -> Features:
        with torch.set_grad_enabled(torch.is_grad_enabled() and "backbone" not in self._frozen):
            return self.maskrcnn_model.backbone.pyramid(stem)

    def windows(self, features: Features, centres: Sequence[int]) -> Features:
        """Cut the window of each centre frame: levels `[T, C, h, w]` → `[len(centres), C, fast, h, w]`.

        In training the level that no RoI reads (`pool`) passes through the module too, as in the authors' code: it
        shares in the batch norm's running statistics. Where RoIs are pooled from some levels only, no other passes.
        """
        before, after = self.setup.before, self.setup.after
        every = self.slow_fast.training and self.roi_levels == ROI_LEVELS
        windows = {}
        for level in features if every else self.roi_levels:
            maps = features[level]
            missing = max(before - min(centres), 0), max(max(centres) + after + 1 - len(maps), 0)
            if any(missing):
                ends = zip((maps[:1], maps[-1:]), missing, strict=True)
                first, last = (beyond(self.border, end, count) for end, count in ends)
                maps = torch.cat([first, maps, last])
            starts = [missing[0] + centre - before for centre in centres]
            # Frame after frame in memory: the layout from which the module's convolutions are fastest.
            windows[level] = torch.stack([maps[start : start + before + 1 + after] for start in starts]).transpose(1, 2)
        return windows

    def enhance(self, windows: Features) -> Features:
        """The module on one window per centre frame: levels `[B, C, fast, h, w]` → `[B, C, h, w]`."""
        return {level: self.slow_fast(maps)[:, :, 0] for level, maps in windows.items()}
