"""RoIAlign whose gradient a CPU computes as matrix products."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import _setup_scales

MOST_PIXELS = 4096  # of a map: the products grow with it, torchvision's scattered additions do not


class SeparableRoIAlign(MultiScaleRoIAlign):
    """torchvision's RoIAlign; from one level of small maps on a CPU, its gradient takes a third of the time.

    Bilinear samples on a grid, and their means, are a product of what happens to rows and to columns: a RoI is
    `Y @ map @ X.T`, `Y` and `X` with a row for each of its bins. Values and gradients are the same but for rounding.

    Shape: as torchvision's, `[B, C, h, w]` and a list of B tensors of boxes `[P, 4]` → `[ΣP, C, size, size]`.
    """

    def forward(self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]) -> Tensor:
        maps = x[self.featmap_names[0]]
        few = len(self.featmap_names) == 1 and maps.shape[-2] * maps.shape[-1] <= MOST_PIXELS
        if not few or maps.device.type != "cpu" or not maps.requires_grad:
            return super().forward(x, boxes, image_shapes)
        if self.scales is None:  # torchvision infers it from the first frames, and keeps it
            known = [maps], image_shapes, self.canonical_scale, self.canonical_level
            self.scales, self.map_levels = _setup_scales(*known)
        [scale] = self.scales
        return torch.cat([self._align(one, some * scale) for one, some in zip(maps, boxes, strict=True)])

    def _align(self, maps: Tensor, boxes: Tensor) -> Tensor:
        """RoIs `[P, C, size, size]` of maps `[C, h, w]`; boxes in pixels of the maps."""
        channels, height, width = maps.shape
        left, top, right, bottom = boxes.unbind(1)
        of_columns, of_rows = self._weights(left, right, width), self._weights(top, bottom, height)
        number, size = of_rows.shape[:2]
        columns = maps.reshape(-1, width) @ of_columns.flatten(0, 1).T  # [C · h, P · size]
        columns = columns.view(channels, height, number, size).permute(2, 1, 0, 3).flatten(2)  # [P, h, C · size]
        return (of_rows @ columns).view(number, size, channels, size).transpose(1, 2)

    @torch.no_grad()
    def _weights(self, start: Tensor, end: Tensor, length: int) -> Tensor:
        """How much each pixel of a side adds to each bin of the RoIs from `start` to `end`: `[P, size, length]`."""
        size = self.output_size[0]
        samples = (torch.arange(size * self.sampling_ratio) + 0.5) / (size * self.sampling_ratio)
        places = start[:, None] + (end - start).clamp(min=1)[:, None] * samples
        inside = (places >= -1) & (places <= length)
        distances = (places.clamp(0, length - 1)[:, :, None] - torch.arange(length)).abs()
        weights = (1 - distances).clamp(min=0) * inside[:, :, None]
        return weights.unflatten(1, (size, self.sampling_ratio)).mean(2)
