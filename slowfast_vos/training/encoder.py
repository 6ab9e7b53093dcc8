"""What a frozen backbone and RPN make of training frames, kept within a bound on memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchvision.models.detection.rpn import RegionProposalNetwork

from slowfast_vos.model.slowfast_maskrcnn import Features, SlowFastMaskRCNN, Target
from slowfast_vos.videos.davis import Video, targets

if TYPE_CHECKING:
    from slowfast_vos.sections import Parent

GIB = 2**30


@dataclass
class Encoded:
    """One frame.

    Attributes:
        features: FPN levels, each `[1, C, h, w]`.
        image_size: height and width of the resized frame.
        centre: proposals `[P, 4]` and the target, where the frame was a window's centre.
    """

    features: Features
    image_size: tuple[int, int]
    centre: tuple[Tensor, Target] | None = None

    @property
    def size_in_bytes(self) -> int:
        """Memory that it takes."""
        tensors = [*self.features.values()]
        if self.centre is not None:
            tensors += [self.centre[0], *self.centre[1].values()]
        return sum(tensor.nbytes for tensor in tensors)


class Encoder:
    """Frames through a frozen backbone and RPN; those used last are kept, up to `parent.feature_cache_gib`.

    Each frame is encoded by itself: its features do not depend, in their last bits, on its neighbours in a batch, so
    that a training that is resumed equals an undisturbed one.
    """

    def __init__(self, model: SlowFastMaskRCNN, parent: Parent, *, binary: bool) -> None:
        self.model, self.parent, self.binary = model, parent, binary
        self.bound = parent.feature_cache_gib * GIB
        self.kept: OrderedDict[tuple[str, int], Encoded] = OrderedDict()
        self.size_in_bytes = 0

    def losses(self, video: Video, centres: Sequence[int]) -> dict[str, Tensor]:
        """RoI losses of consecutive centre frames, from the frames of their windows."""
        window = self.model.setup.window(centres, len(video))
        frames = [self._frame(video, index, centre=index in centres) for index in window]
        features = {level: torch.cat([one.features[level] for one in frames]) for level in frames[0].features}
        places = [index - window[0] for index in centres]
        proposals, wanted = zip(*(frames[place].centre for place in places), strict=True)
        sizes = [frames[place].image_size for place in places]
        return self.model.roi_losses(self.model.windows(features, places), list(proposals), sizes, list(wanted))

    def to_read(self, video: Video, centres: Sequence[int], *, after: tuple[Video, Sequence[int]]) -> list[int]:
        """Frames that `losses` will have to read, once it was asked for those of `after`."""
        window, missing = self.model.setup.window, []
        passing = window(after[1], len(video)) if after[0].name == video.name else ()
        for index in window(centres, len(video)):
            kept = self.kept.get((video.name, index))
            if index in centres:  # what was only a neighbour so far is read again for its proposals
                known = kept is not None and kept.centre is not None
            else:
                known = kept is not None or index in passing
            if not known:
                missing.append(index)
        return missing

    def _frame(self, video: Video, index: int, *, centre: bool) -> Encoded:
        encoded = self.kept.pop((video.name, index), None)
        if encoded is not None:
            self.size_in_bytes -= encoded.size_in_bytes
        if encoded is None or (centre and encoded.centre is None):
            encoded = self._encode(video, index, encoded, centre=centre)
        self.kept[video.name, index] = encoded
        self.size_in_bytes += encoded.size_in_bytes
        while self.size_in_bytes > self.bound and self.kept:
            self.size_in_bytes -= self.kept.popitem(last=False)[1].size_in_bytes
        return encoded

    @torch.no_grad()
    def _encode(self, video: Video, index: int, known: Encoded | None, *, centre: bool) -> Encoded:
        network, device = self.model.maskrcnn_model, next(self.model.parameters()).device
        frame, target = video.frame(index).to(device), None
        if centre:
            found = targets(video.ids(index, binary=self.binary))
            target = [{key: value.to(device) for key, value in found.items()}]
        # In training, torchvision draws the size to resize to; what is kept must not move the step's random numbers.
        with torch.random.fork_rng(devices=[]):
            images, scaled = network.transform([frame], target)
        encoded = known or Encoded(self.model.encode(images.tensors), images.image_sizes[0])
        if centre:
            with training_proposals(network.rpn, wanted=self.parent.step == "b"):
                encoded.centre = network.rpn(images, encoded.features)[0][0], scaled[0]
        return encoded


@contextmanager
def training_proposals(rpn: RegionProposalNetwork, *, wanted: bool) -> Iterator[None]:
    """Let a frozen RPN propose as many boxes as in training (variant b of the step)."""
    kept = rpn._pre_nms_top_n, rpn._post_nms_top_n
    if wanted:
        rpn._pre_nms_top_n, rpn._post_nms_top_n = ({**counts, "testing": counts["training"]} for counts in kept)
    try:
        yield
    finally:
        rpn._pre_nms_top_n, rpn._post_nms_top_n = kept
