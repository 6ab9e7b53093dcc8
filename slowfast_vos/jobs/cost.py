"""Stage 9: what a setup costs in parameters, operations, memory and time."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from slowfast_vos.jobs.common import Job
from slowfast_vos.jobs.predict import write_predictions
from slowfast_vos.measuring.devices import process_gpu_bytes
from slowfast_vos.measuring.record import Cost, Record, Spread
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.model.streaming import detect
from slowfast_vos.scoring import score
from slowfast_vos.training.loop import log


def measure_cost(job: Job, setup: str) -> Record:
    """Measure a setup's parent on the validation sequences."""
    settings, model = job.settings, job.parent(setup)
    cuda = job.device.torch.type == "cuda"
    end_to_end, frames = _end_to_end(job, model)
    log.info("end to end: %d frames in %.1f s", frames, end_to_end)
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    video = max(job.dataset.val, key=len)
    clip = [video.frame(index % len(video)).to(job.device.torch) for index in range(settings.cost.frames)]
    seconds = np.array(_time_inference(job, model, clip)) / len(clip)
    per_frame = _spread(seconds * 1000)
    log.info("inference: %.1f ms a frame", per_frame.median)
    cost = Cost(
        parameters_total=count(model),
        parameters_trained=count(model.freeze(("backbone", "rpn")), trained=True),
        parameters_slow_fast=count(model.slow_fast),
        gflops_per_frame=count_operations(model.eval(), clip) / len(clip) / 1e9,
        milliseconds_per_frame=per_frame,
        frames_per_second=_spread(1 / seconds),
        timed_frames=len(clip),
        frame_size=tuple(clip[0].shape[-2:]),
        end_to_end_seconds=end_to_end,
        end_to_end_frames=frames,
        gpu_allocated_bytes=torch.cuda.max_memory_allocated() if cuda else None,
        gpu_reserved_bytes=torch.cuda.max_memory_reserved() if cuda else None,
        gpu_process_bytes=process_gpu_bytes() if cuda else None,
        host_peak_bytes=host_peak_bytes(),
    )
    record = job.record("cost", setup=setup, cost=cost)
    record.save(job.results.cost(setup, job.seed))
    return record


def count(module: torch.nn.Module, *, trained: bool = False) -> int:
    """Parameters of a module; with `trained`, of those that get gradients."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


def count_operations(model: SlowFastMaskRCNN, frames: list[torch.Tensor]) -> int:
    """Floating-point operations of streaming inference, by torch's counter: a multiply-add counts as 2.

    Counted are the operations that torch's counter knows (convolutions and matrix products).
    """
    with FlopCounterMode(display=False) as counter:
        for _ in detect(model, frames):
            pass
    return counter.get_total_flops()


def _end_to_end(job: Job, model: SlowFastMaskRCNN) -> tuple[float, int]:
    """Seconds as the paper measured: loading, inference, pasting, writing PNGs and J&F, without warm-up."""
    settings, videos = job.settings, job.dataset.val
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        for video in videos:
            write_predictions(model, video, Path(folder))
        score(
            settings.data_root,
            folder,
            frames=settings.rule("frames"),
            sequences=[video.name for video in videos],
            resolution=settings.data.resolution,
        )
        return time.perf_counter() - started, sum(map(len, videos))


def _time_inference(job: Job, model: SlowFastMaskRCNN, clip: list[torch.Tensor]) -> list[float]:
    """Seconds of each repetition: from frames on the device to merged masks."""
    cost = job.settings.cost
    seconds = []
    for repeat in range(cost.warmup + cost.repeats):
        synchronise(job.device.torch)
        started = time.perf_counter()
        for _ in detect(model, clip):
            pass
        synchronise(job.device.torch)
        if repeat >= cost.warmup:
            seconds.append(time.perf_counter() - started)
    return seconds


def synchronise(device: torch.device) -> None:
    """Wait for the device to finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def host_peak_bytes() -> int:
    """Peak resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _spread(values: np.ndarray) -> Spread:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return Spread(median=float(median), low=float(low), high=float(high), repeats=len(values))
