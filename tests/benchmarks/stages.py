"""What bench_stages.py and gpu_evidence.py run: a clip in memory, networks with random weights, steps of each stage.

Needs torch, torchvision, numpy, PIL and PyYAML (and timm for its backbones): a machine with a GPU may lack the rest.
Random weights change how much the heads are given: so every frame keeps its best detections whatever their score, and
whatever touches the object counts as a match, which fills the quota of RoIs that a trained detector's proposals fill.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1] / "model")]

from slowfast_vos import SlowFastMaskRCNN  # noqa: E402
from slowfast_vos.setups import Setup  # noqa: E402
from slowfast_vos.training.features import FeatureCache  # noqa: E402
from slowfast_vos.videos.davis import targets  # noqa: E402

# As slowfast_vos.sections has them, which needs pydantic.
FREEZES = {"none": (), "SF": ("slow_fast",), "BB_SF": ("backbone", "rpn", "slow_fast")}
PRECISIONS = ("fp32", "bf16")
FRAMES_PER_STEP = 2
Run = Callable[[], object]


@dataclass
class Clip:
    """What a video offers to a training, in memory: frames `[3, H, W]` and masks `[H, W]` of one object."""

    frames: list[Tensor]
    masks: list[np.ndarray]
    name: str = "clip"

    def __len__(self) -> int:
        return len(self.frames)

    def frame(self, index: int) -> Tensor:
        return self.frames[index]

    def ids(self, index: int, *, binary: bool) -> np.ndarray:
        return self.masks[index]

    def target(self, index: int) -> dict[str, Tensor]:
        """The target of a frame, where the frame is."""
        return {key: value.to(self.frames[0].device) for key, value in targets(self.masks[index]).items()}


def make_clip(length: int, size: tuple[int, int], device: torch.device) -> Clip:
    """A bright ellipse, a third of the frame high, that moves over noise."""
    height, width = size
    noise = torch.rand((length, 3, height, width), generator=torch.Generator().manual_seed(0)) * 0.6
    y, x = np.mgrid[:height, :width]
    masks = []
    for index in range(length):
        across = (0.3 + 0.4 * index / length) * width
        masks.append(((((y - height / 2) * 6 / height) ** 2 + ((x - across) * 6 / height) ** 2) <= 1).astype(np.uint8))
        noise[index] += 0.4 * torch.from_numpy(masks[-1])
    return Clip(list(noise.to(device)), masks)


def make_network(setup: str, options: dict[str, Any], precision: str, device: torch.device) -> SlowFastMaskRCNN:
    """A network with random weights whose heads have as much to do as those of a trained one."""
    torch.manual_seed(0)
    frames = Setup.parse(setup)
    busy = {"box_score_thresh": 0.0, "box_fg_iou_thresh": 0.01, "box_bg_iou_thresh": 0.01}
    model = SlowFastMaskRCNN(frames.slow, frames.fast, control=frames.control, precision=precision, **options | busy)
    return model.to(device).eval()


def training_step(model: torch.nn.Module, losses: Callable[[], dict[str, Tensor]]) -> Run:
    """Gradients of the losses and a step of SGD; its rate is 0, so that every step is of the same weights."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, 0.0, 0.9, weight_decay=1e-4)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses().values())).sum().backward()
        optimizer.step()

    return run


def detector_step(model: SlowFastMaskRCNN, clip: Clip, batch: int) -> Run:  # Mask R-CNN on single frames
    detector = model.freeze(()).maskrcnn_model.train()
    wanted = [clip.target(index) for index in range(batch)]
    return training_step(detector, lambda: detector(clip.frames[:batch], wanted))


def parent_step(model: SlowFastMaskRCNN, clip: Clip, features: str) -> Run:
    """Two consecutive frames in the middle of the clip.

    Args:
        features: "trained" (nothing is frozen), or of a frozen backbone: "kept" (all frames are in memory), "moving"
            (two frames are new, as where memory holds a window but no epoch), "not kept" (every frame is new).
    """
    first = (len(clip) - FRAMES_PER_STEP) // 2
    centres = list(range(first, first + FRAMES_PER_STEP))
    if features == "trained":
        start = max(first - model.setup.before, 0)
        frames = clip.frames[start : centres[-1] + model.setup.after + 1]
        wanted = [clip.target(start + i) if start + i in centres else None for i in range(len(frames))]
        model.freeze(()).train()
        return training_step(model, lambda: model.losses(frames, wanted))
    model.freeze(("backbone", "rpn")).train()
    bound = 0.0 if features == "not kept" else float("inf")
    cache = FeatureCache(bound, binary=True, many_proposals=False)
    last = min(centres[-1] + model.setup.after, len(clip) - 1)

    def losses() -> dict[str, Tensor]:
        if features == "moving":
            for index in range(last - FRAMES_PER_STEP + 1, last + 1):
                cache.frames.pop((clip.name, index), None)
        return cache.losses(model, [(clip, centres)], [{}])  # type: ignore[list-item]

    return training_step(model, losses)


def finetune_step(model: SlowFastMaskRCNN, clip: Clip, freeze: str) -> Run:
    """Two samples of the annotated first frame, its window mirrored in time; without augmentation."""
    model.freeze(FREEZES[freeze]).train()
    order = model.setup.mirrored_window(len(clip))
    frames = clip.frames[: max(order) + 1]
    wanted = [clip.target(0), *[None] * (len(frames) - 1)]

    def losses() -> dict[str, Tensor]:
        torch.stack(list(model.losses(frames, wanted, order).values())).sum().backward()
        return model.losses(frames, wanted, order)

    return training_step(model, losses)


TRAINING: dict[tuple[str, str], Callable[[SlowFastMaskRCNN, Clip, str], Run]] = {
    **{("parent", kind): parent_step for kind in ("kept", "moving", "not kept", "trained")},
    **{("fine-tuning", freeze): finetune_step for freeze in FREEZES},
}


def heads_load(model: SlowFastMaskRCNN, run: Run, per: int) -> dict[str, float]:
    """RoIs (or detections) that box and mask head are given in a run, for each of its `per` frames or steps."""
    found = {}
    for name in ("box", "mask"):
        given: list[int] = []
        head = model.maskrcnn_model.roi_heads.get_submodule(f"{name}_head")
        hook = head.register_forward_pre_hook(lambda _, features, given=given: given.append(len(features[0])))
        run()
        hook.remove()
        found[f"{name}_rois"] = sum(given) / per
    return found
