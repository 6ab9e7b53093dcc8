"""The plain form of inference that streaming must equal: every frame on its own, a window of frames for each."""

from __future__ import annotations

import torch
from slowfast_vos import SlowFastMaskRCNN
from torch import Tensor


@torch.no_grad()
def windowed(model: SlowFastMaskRCNN, frames: list[Tensor]) -> list[dict[str, Tensor]]:
    """Detections of one video, as the paper describes them."""
    maskrcnn, seen = model.maskrcnn_model, model.setup.seen
    features, proposals = [], []
    for frame in frames:
        images, _ = maskrcnn.transform([frame])
        levels = maskrcnn.backbone(images.tensors)
        features.append(levels)
        proposals.append(maskrcnn.rpn(images, levels)[0][0])
    found = []
    for centre, frame in enumerate(frames):
        window = range(centre - seen // 2, centre - seen // 2 + seen)
        enhanced = {}
        for level in model.roi_levels:
            maps = torch.stack([_at(features, t, level, model.border) for t in window], dim=2)
            enhanced[level] = model.slow_fast(maps, centre)[:, :, 0]
        size = images.image_sizes[0]
        detections, _ = maskrcnn.roi_heads(enhanced, [proposals[centre]], [size])
        found += maskrcnn.transform.postprocess(detections, [size], [tuple(frame.shape[-2:])])
    return found


def _at(features: list[dict[str, Tensor]], t: int, level: str, border: str) -> Tensor:
    """Features `[1, C, h, w]` of frame `t`, which may lie beyond the video's ends."""
    if 0 <= t < len(features):
        return features[t][level]
    if border == "zeros":
        return torch.zeros_like(features[0][level])
    return features[0 if t < 0 else -1][level]


def largest_difference(found: list[dict[str, Tensor]], expected: list[dict[str, Tensor]]) -> float:
    """The largest difference of any box, score or mask; infinite where the numbers of detections differ."""
    worst = 0.0
    for one, other in zip(found, expected, strict=True):
        for key in ("boxes", "labels", "scores", "masks"):
            if one[key].shape != other[key].shape:
                return float("inf")
            if one[key].numel():
                worst = max(worst, (one[key] - other[key]).abs().max().item())
    return worst
