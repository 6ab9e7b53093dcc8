"""Views of a training video: flipped, zoomed, turned, shifted and recoloured at random, all frames alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from slowfast_vos.videos.davis import Video

ZOOM = (0.7, 1.75)
DEGREES = 10.0
SHIFT = 0.15  # of the frame's sides
BRIGHTNESS = CONTRAST = 0.3  # factors of 1 ± this
SATURATION = 0.4
HUE = 0.05  # of the circle


class Change(NamedTuple):
    """What makes a view of a video."""

    flip: bool
    zoom: float
    degrees: float
    shift: tuple[float, float]  # to the right and down, as a part of the frame's sides
    brightness: float
    contrast: float
    saturation: float
    hue: float

    @classmethod
    def draw(cls, seed: int, flip: float) -> Change:
        """A random one, from a generator of its own: it does not depend on what else is drawn, or by which thread."""
        generator = torch.Generator().manual_seed(seed)
        flipped = bool(torch.rand(1, generator=generator) < flip)
        unit, *signed = torch.rand(8, generator=generator).double().tolist()
        degrees, right, down, brightness, contrast, saturation, hue = (2 * one - 1 for one in signed)
        return cls(
            flipped,
            ZOOM[0] * (ZOOM[1] / ZOOM[0]) ** unit,
            DEGREES * degrees,
            (SHIFT * right, SHIFT * down),
            1 + BRIGHTNESS * brightness,
            1 + CONTRAST * contrast,
            1 + SATURATION * saturation,
            HUE * hue,
        )

    def affine(self, height: int, width: int) -> dict[str, Any]:
        """torchvision's arguments of the affine map."""
        right, down = self.shift
        translate = [right * width, down * height]
        return {"angle": self.degrees, "translate": translate, "scale": self.zoom, "shear": [0.0, 0.0]}


@dataclass(frozen=True)
class View(Video):
    """A video that every call sees through the same random change; where the object leaves the frame, it is not there.

    Args:
        seed: draws the change.
        flip: probability of a horizontal flip.
        min_size: what the network resizes frames to; larger ones are shrunk first, to twice that, since it takes less.
    """

    seed: int = 0
    flip: float = 0.5
    min_size: int = 240
    change: Change = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "change", Change.draw(self.seed, self.flip))

    @classmethod
    def of(cls, video: Video, seed: int, min_size: int, *, name: str | None = None, flip: float = 0.5) -> View:
        """A view of a video, maybe under a name of its own."""
        return cls(name or video.name, video.frames, video.masks, seed, flip, min_size)

    def frame(self, index: int) -> Tensor:
        """The frame as `[3, h, w]` float32 in [0, 1]."""
        frame, change = super().frame(index), self.change
        if (factor := 2 * self.min_size / frame.shape[1]) < 1:
            frame = F.interpolate(frame[None], scale_factor=factor, mode="area")[0]
        frame = functional.horizontal_flip_image(frame) if change.flip else frame
        frame = functional.affine(frame, interpolation=v2.InterpolationMode.BILINEAR, **change.affine(*frame.shape[1:]))
        frame = functional.adjust_brightness(frame, change.brightness)
        frame = functional.adjust_contrast(frame, change.contrast)
        frame = functional.adjust_saturation(frame, change.saturation)
        return functional.adjust_hue(frame, change.hue).clamp(0, 1)

    def ids(self, index: int, *, binary: bool) -> np.ndarray:
        """Object ids `[h, w]`, where they are in the view."""
        ids = torch.from_numpy(np.array(super().ids(index, binary=binary), dtype=np.uint8))
        if (factor := 2 * self.min_size / ids.shape[0]) < 1:
            ids = F.interpolate(ids[None, None], scale_factor=factor, mode="nearest-exact")[0, 0]
        ids = functional.horizontal_flip_mask(ids) if self.change.flip else ids
        moved = functional.affine(tv_tensors.Mask(ids), **self.change.affine(*ids.shape))
        return moved.as_subclass(Tensor).numpy()
