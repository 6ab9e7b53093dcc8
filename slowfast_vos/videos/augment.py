"""Random flips, scales and rotations that move frames and masks together (paper, section 4.2)."""

from __future__ import annotations

import logging

from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from slowfast_vos.sections import Finetune
from slowfast_vos.videos.davis import targets

log = logging.getLogger(__name__)


class Augment:
    """One random flip, scale (1 + U(−scale, scale)) and rotation for all frames of a window and for its mask."""

    def __init__(self, finetune: Finetune, scale: float) -> None:
        self.redraws = finetune.redraws
        degrees = (-finetune.rotation, finetune.rotation)
        affine = v2.RandomAffine(degrees, scale=(1 - scale, 1 + scale), interpolation=v2.InterpolationMode.BILINEAR)
        self.transform = v2.Compose([v2.RandomHorizontalFlip(finetune.flip), affine])

    def __call__(self, frames: Tensor, ids: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Augment frames `[T, 3, H, W]` and the mask `[H, W]`; a draw that loses the object is drawn again.

        Returns:
            the frames, and the target computed from the augmented mask, where they are.
        """
        for _ in range(self.redraws):
            moved, mask = self.transform(tv_tensors.Video(frames), tv_tensors.Mask(ids))
            if len((target := _targets(mask))["boxes"]):
                return moved.as_subclass(Tensor), target
        log.info("%d draws lost the object; the frame is used as it is", self.redraws)
        return frames, _targets(ids)


def _targets(ids: Tensor) -> dict[str, Tensor]:
    return {key: value.to(ids.device) for key, value in targets(ids.cpu().numpy()).items()}
