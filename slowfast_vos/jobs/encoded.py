"""Whole videos through a frozen backbone and RPN, which the networks of one process share."""

from __future__ import annotations

from hashlib import sha256

from torch import nn

from slowfast_vos.jobs.job import Job
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.model.streaming import Chunk, batches, encode_chunk
from slowfast_vos.training.features import GIB
from slowfast_vos.videos.davis import Video


def weights_digest(model: nn.Module) -> str:
    """Digest of a network's weights."""
    digest = sha256()
    for value in model.state_dict().values():
        digest.update(value.cpu().contiguous().numpy())
    return digest.hexdigest()


def frozen_digest(model: SlowFastMaskRCNN) -> str:
    """Digest of the weights of backbone and RPN."""
    return weights_digest(nn.ModuleList([model.part("backbone"), model.part("rpn")]))


class EncodedVideos:
    """Videos through one backbone and RPN, as far as memory allows.

    Args:
        gib: bound on the memory.
    """

    def __init__(self, gib: float) -> None:
        self.bytes_left = gib * GIB
        self._chunks: dict[str, list[Chunk] | None] = {}

    def get(self, model: SlowFastMaskRCNN, video: Video) -> list[Chunk] | None:
        """The video's frames through `model`'s backbone and RPN; None where it exceeds what is left of the memory."""
        if video.name not in self._chunks:
            self._chunks[video.name] = self._encode(model, video)
        return self._chunks[video.name]

    def _encode(self, model: SlowFastMaskRCNN, video: Video) -> list[Chunk] | None:
        if self.bytes_left <= 0:
            return None
        chunks = []
        for indices in batches(range(len(video)), model.chunk_length):
            chunk = encode_chunk(model, [video.frame(index) for index in indices])
            size_in_bytes = sum(maps.nbytes for maps in chunk.features.values())
            if not chunks and size_in_bytes / len(indices) * len(video) > self.bytes_left:
                return None
            self.bytes_left -= size_in_bytes
            chunks.append(chunk)
        return chunks


def encoded_videos(job: Job, use: str, frozen: SlowFastMaskRCNN) -> EncodedVideos:
    """What the jobs of this process share for one use, among networks with the backbone and RPN of `frozen`."""
    key = (use, frozen_digest(frozen))
    return job.encoded.setdefault(key, EncodedVideos(job.settings.parent.feature_cache_gib))
