"""Scores on the sequences that select; what a frozen backbone computes of them is cached."""

from __future__ import annotations

from slowfast_vos.jobs.job import Job, gather_scores
from slowfast_vos.measuring.record import Scores
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.model.streaming import Chunk, batches, encode_chunk, predict_masks
from slowfast_vos.scoring import score_masks
from slowfast_vos.training.features import GIB
from slowfast_vos.training.loop import TrainingState, stop_asked
from slowfast_vos.videos.davis import Video


class Selection:
    """Scores a network on the selection sequences.

    Args:
        job: names the sequences, and bounds the cache by `parent.feature_cache_gib`.
        frozen: whether backbone and RPN stay as they are, so that their features of a sequence can be cached.
    """

    def __init__(self, job: Job, *, frozen: bool) -> None:
        self.job, self.frozen = job, frozen
        # None where the sequence exceeds what is left of the cache.
        self._chunks: dict[str, list[Chunk] | None] = {}
        self._bytes_left = job.settings.parent.feature_cache_gib * GIB

    def encoded(self, model: SlowFastMaskRCNN, video: Video) -> list[Chunk] | None:
        """The video's frames through backbone and RPN; None where these train, or the cache is too small."""
        if not self.frozen:
            return None
        if video.name not in self._chunks:
            self._chunks[video.name] = self._encode(model, video)
        return self._chunks[video.name]

    def _encode(self, model: SlowFastMaskRCNN, video: Video) -> list[Chunk] | None:
        first = encode_chunk(model, [video.frame(0)])
        if _size(first) * len(video) > self._bytes_left:
            return None
        chunks = [
            encode_chunk(model, [video.frame(index) for index in indices])
            for indices in batches(range(len(video)), model.chunk_length)
        ]
        self._bytes_left -= sum(map(_size, chunks))
        return chunks

    def score(self, model: SlowFastMaskRCNN, state: TrainingState) -> Scores:
        """Official statistics of every sequence that chooses a parent's epoch; `state` saves them one by one."""
        videos = self.job.dataset.epoch_selection
        with stop_asked() as asked:
            for video in videos:
                if video.name not in state.scored:
                    statistics = self.score_video(model, video)
                    state.scored[video.name] = {column: float(value) for column, value in statistics.items()}
                    state.save_or_leave(asked, f"{len(state.scored)} of {len(videos)} sequences scored")
        return gather_scores({video.name: state.scored[video.name] for video in videos})

    def score_video(self, model: SlowFastMaskRCNN, video: Video, *, frozen: bool = True) -> dict[str, float]:
        """Official statistics of one sequence.

        Args:
            frozen: whether this model's backbone and RPN are those of the cached features.
        """
        chunks = self.encoded(model, video) if frozen else None
        frames = (video.frame(index) for index in range(len(video)))
        annotations = [video.ids(index, binary=True) for index in range(len(video))]
        masks = predict_masks(model, frames, chunks)
        return score_masks(masks, annotations, frames=self.job.settings.option("frames"))


def _size(chunk: Chunk) -> int:
    return sum(maps.nbytes for maps in chunk.features.values())
