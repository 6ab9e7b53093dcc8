"""Features and proposals of training frames, where backbone and RPN are frozen: computed once, if memory allows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from slowfast_vos.model.slowfast_maskrcnn import Prepared, SlowFastMaskRCNN, Target, join
from slowfast_vos.model.streaming import Features
from slowfast_vos.videos.davis import Video, targets

GIB = 2**30
Step = tuple[Video, list[int]]  # some frames of a video, such as consecutive centre frames
Clip = dict[int, tuple[Tensor, Target]]  # by index: frames [3, H, W] in [0, 1], and their targets


def read_clip(step: Step, *, binary: bool) -> Clip:
    """Some frames of a video with their targets."""
    video, indices = step
    return {index: (video.frame(index), targets(video.ids(index, binary=binary))) for index in indices}


class Encoded(NamedTuple):
    """What a frozen backbone and RPN make of one frame, resized."""

    features: Features  # FPN levels, each [1, C, h, w]
    image_size: tuple[int, int]
    proposals: Tensor  # [P, 4]
    target: Target
    size_in_bytes: int


class FeatureCache:
    """Frames through a frozen backbone and RPN, for all networks that have these two; those used last are cached.

    Each frame is encoded by itself: its features do not depend, in their last bits, on its neighbours in a batch, so
    that a training that is resumed equals an undisturbed one.

    Args:
        gib: bound on the cache's memory.
        many_proposals: let the RPN propose as many boxes as in training.
    """

    def __init__(self, gib: float, *, binary: bool, many_proposals: bool) -> None:
        self.binary, self.many_proposals = binary, many_proposals
        self.bound = gib * GIB
        self.frames: OrderedDict[tuple[str, int], Encoded] = OrderedDict()
        self.size_in_bytes = 0

    def losses(self, model: SlowFastMaskRCNN, steps: Sequence[Step], clips: Sequence[Clip]) -> dict[str, Tensor]:
        """RoI losses of consecutive centre frames of some videos; what is neither cached nor in `clips` is read now."""
        windows, *others = self._windows(model, steps, clips)
        return model.head_losses(Prepared(model.enhance(windows), *others))

    def identity_losses(
        self, model: SlowFastMaskRCNN, steps: Sequence[Step], clips: Sequence[Clip]
    ) -> dict[str, Tensor]:
        """How far the module is from giving each centre frame's own features: squared error over their variance."""
        windows = self._windows(model, steps, clips).enhanced
        given = model.enhance(windows)
        own = {level: windows[level][:, :, model.setup.before] for level in given}
        errors = [F.mse_loss(given[level], maps) / maps.var() for level, maps in own.items()]
        return {"loss_identity": torch.stack(errors).mean()}

    def _windows(self, model: SlowFastMaskRCNN, steps: Sequence[Step], clips: Sequence[Clip]) -> Prepared:
        """All that the heads need, but with windows instead of what the module makes of them."""
        windows, proposals, sizes, wanted = [], [], [], []
        for (video, centres), clip in zip(steps, clips, strict=True):
            window = model.setup.window(centres, len(video))
            frames = [self._encoded(model, video, index, clip) for index in window]
            features = {level: torch.cat([one.features[level] for one in frames]) for level in frames[0].features}
            places = [index - window[0] for index in centres]
            windows.append(model.windows(features, places))
            proposals += [frames[place].proposals for place in places]
            sizes += [frames[place].image_size for place in places]
            wanted += [frames[place].target for place in places]
        return Prepared(join(windows), proposals, sizes, wanted, {})

    def _encoded(self, model: SlowFastMaskRCNN, video: Video, index: int, clip: Clip) -> Encoded:
        encoded = self.frames.pop((video.name, index), None)
        if encoded is None:
            clip = clip if index in clip else read_clip((video, [index]), binary=self.binary)
            encoded = self._encode(model, *clip[index])
            self.size_in_bytes += encoded.size_in_bytes
        self.frames[video.name, index] = encoded  # the last one: it is removed last
        while self.size_in_bytes > self.bound and self.frames:
            self.size_in_bytes -= self.frames.popitem(last=False)[1].size_in_bytes
        return encoded

    @torch.no_grad()
    def _encode(self, model: SlowFastMaskRCNN, frame: Tensor, target: Target) -> Encoded:
        network, device = model.maskrcnn_model, next(model.parameters()).device
        target = {key: value.to(device) for key, value in target.items()}
        # In training, torchvision draws the size to resize to; caching must not move the step's random numbers.
        with torch.random.fork_rng(devices=[]):
            images, scaled = network.transform([frame.to(device)], [target])
        features = model.encode(images.tensors)
        rpn, counts = network.rpn, (network.rpn._pre_nms_top_n, network.rpn._post_nms_top_n)
        if self.many_proposals:
            rpn._pre_nms_top_n, rpn._post_nms_top_n = ({**some, "testing": some["training"]} for some in counts)
        proposals = rpn(images, features)[0][0]
        rpn._pre_nms_top_n, rpn._post_nms_top_n = counts
        size_in_bytes = sum(one.nbytes for one in (*features.values(), proposals, *scaled[0].values()))
        return Encoded(features, images.image_sizes[0], proposals, scaled[0], size_in_bytes)
