"""Stage 9: what a setup costs in parameters, operations, memory and time."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from slowfast_vos.jobs.evaluate import score_predictions
from slowfast_vos.jobs.job import Job
from slowfast_vos.jobs.predict import write_predictions
from slowfast_vos.measuring.cost import (
    count_operations,
    count_parameters,
    exhaust,
    host_peak_bytes,
    median_interval,
    time_runs,
)
from slowfast_vos.measuring.devices import process_gpu_bytes
from slowfast_vos.measuring.record import Cost, Record, Spread
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.model.streaming import detect

log = logging.getLogger(__name__)


def measure_cost(job: Job, setup: str) -> Record:
    """Measure a setup's parent on the validation sequences."""
    settings, model = job.settings, job.parent(setup)
    end_to_end, frames = _end_to_end(job, model)
    log.info("end to end: %d frames in %.1f s", frames, end_to_end)
    video = max(job.dataset.val, key=len)
    frames_read = [video.frame(index % len(video)) for index in range(settings.cost.frames)]
    memory = _gpu_memory(lambda: exhaust(detect(model, frames_read)), job.device.torch)
    clip = [frame.to(job.device.torch) for frame in frames_read]
    runs = {"warmup": settings.cost.warmup, "repeats": settings.cost.repeats}
    seconds = np.array(time_runs(lambda: exhaust(detect(model, clip)), job.device.torch, **runs)) / len(clip)
    per_frame = Spread(**median_interval(seconds * 1000))
    log.info("inference: %.1f ms a frame", per_frame.median)
    cost = Cost(
        parameters_total=count_parameters(model),
        parameters_trained=count_parameters(model.freeze(settings.parent.frozen_parts), trained=True),
        parameters_slow_fast=count_parameters(model.slow_fast),
        gflops_per_frame=count_operations(lambda: exhaust(detect(model.eval(), clip))) / len(clip) / 1e9,
        milliseconds_per_frame=per_frame,
        frames_per_second=Spread(**median_interval(1 / seconds)),
        timed_frames=len(clip),
        frame_size=tuple(clip[0].shape[-2:]),
        end_to_end_seconds=end_to_end,
        end_to_end_frames=frames,
        **memory,
        host_peak_bytes=host_peak_bytes(),
    )
    return job.write_record(job.results.cost(setup, job.seed), "cost", setup=setup, cost=cost)


def _gpu_memory(run: Callable[[], None], device: torch.device) -> dict[str, int | None]:
    """Peaks of a run whose frames come from the host, one chunk after another; None on a CPU."""
    figures = (None, None, None)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        run()
        # The allocator has given nothing back since its peak.
        figures = (torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved(), process_gpu_bytes())
    return dict(zip(("gpu_allocated_bytes", "gpu_reserved_bytes", "gpu_process_bytes"), figures, strict=True))


def _end_to_end(job: Job, model: SlowFastMaskRCNN) -> tuple[float, int]:
    """Seconds as the paper measured: loading, inference, pasting, writing PNGs and J&F, without warm-up."""
    videos = job.dataset.val
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        for video in videos:
            write_predictions(model, video, Path(folder) / video.name)
        score_predictions(job, Path(folder))
        return time.perf_counter() - started, sum(map(len, videos))
