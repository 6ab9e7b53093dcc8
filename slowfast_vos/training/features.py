"""Features and proposals of training frames, where backbone and RPN are frozen: computed once, if memory allows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from slowfast_vos.model.slowfast_maskrcnn import Prepared, SlowFastMaskRCNN, Target, join
from slowfast_vos.model.streaming import Features, batches
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

    On a CPU each frame is encoded by itself: its features do not depend, in their last bits, on its neighbours in a
    batch, so that a training that is resumed equals an undisturbed one. A GPU, whose sums have no fixed order anyway,
    encodes a video's frames of a step as one batch, for speed.

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
        return model.head_losses(model.enhanced(self._windows(model, steps, clips)))

    def centres(self, model: SlowFastMaskRCNN, steps: Sequence[Step], clips: Sequence[Clip]) -> Features:
        """The centre frames' own features: levels `[B, C, h, w]`; arguments as for `losses`."""
        windows = self._windows(model, steps, clips).enhanced
        return {level: maps[:, :, model.setup.before] for level, maps in windows.items()}

    def _windows(self, model: SlowFastMaskRCNN, steps: Sequence[Step], clips: Sequence[Clip]) -> Prepared:
        """All that the heads need, but with windows instead of what the module makes of them."""
        windows, proposals, sizes, wanted = [], [], [], []
        for (video, centres), clip in zip(steps, clips, strict=True):
            window = model.setup.window(centres, len(video))
            frames = self._encoded(model, video, window, clip)
            features = {level: torch.cat([one.features[level] for one in frames]) for level in frames[0].features}
            places = [index - window[0] for index in centres]
            windows.append(model.windows(features, places))
            proposals += [frames[place].proposals for place in places]
            sizes += [frames[place].image_size for place in places]
            wanted += [frames[place].target for place in places]
        return Prepared(join(windows), proposals, sizes, wanted, {})

    def _encoded(self, model: SlowFastMaskRCNN, video: Video, window: Sequence[int], clip: Clip) -> list[Encoded]:
        found = {index: self.frames.pop((video.name, index), None) for index in window}
        missing = [index for index, one in found.items() if one is None]
        at_once = 1 if next(model.parameters()).device.type == "cpu" else model.chunk_length
        for some in batches(missing, at_once):
            read = clip | read_clip((video, [index for index in some if index not in clip]), binary=self.binary)
            found |= zip(some, self._encode(model, [read[index] for index in some]), strict=True)
        self.size_in_bytes += sum(found[index].size_in_bytes for index in missing)
        for index, one in found.items():
            self.frames[video.name, index] = one  # the last one: it is removed last
            while self.size_in_bytes > self.bound and self.frames:
                self.size_in_bytes -= self.frames.popitem(last=False)[1].size_in_bytes
        return [found[index] for index in window]

    @torch.no_grad()
    def _encode(self, model: SlowFastMaskRCNN, read: Sequence[tuple[Tensor, Target]]) -> list[Encoded]:
        network, device = model.maskrcnn_model, next(model.parameters()).device
        frames = [frame.to(device) for frame, _ in read]
        wanted = [{key: value.to(device) for key, value in target.items()} for _, target in read]
        # In training, torchvision draws the size to resize to; caching must not move the step's random numbers.
        with torch.random.fork_rng(devices=[]):
            images, scaled = network.transform(frames, wanted)
        features = model.encode(images.tensors)
        rpn, counts = network.rpn, (network.rpn._pre_nms_top_n, network.rpn._post_nms_top_n)
        if self.many_proposals:
            rpn._pre_nms_top_n, rpn._post_nms_top_n = ({**some, "testing": some["training"]} for some in counts)
        proposals = rpn(images, features)[0]
        rpn._pre_nms_top_n, rpn._post_nms_top_n = counts
        encoded = []
        for place, (boxes, target) in enumerate(zip(proposals, scaled, strict=True)):
            # Copies, which leave the memory one by one.
            own = {level: maps[place : place + 1].clone() for level, maps in features.items()}
            size_in_bytes = sum(one.nbytes for one in (*own.values(), boxes, *target.values()))
            encoded.append(Encoded(own, images.image_sizes[place], boxes, target, size_in_bytes))
        return encoded
