"""What a network costs: parameters, operations, seconds and memory. Needs torch and numpy alone."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(module: nn.Module, *, trained: bool = False) -> int:
    """Parameters of a module; with `trained`, of those that get gradients."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


def count_operations(run: Callable[[], object]) -> int:
    """Floating-point operations of a run's convolutions and matrix products; a multiply-add counts as 2."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def time_runs(run: Callable[[], object], device: torch.device, *, warmup: int, repeats: int) -> list[float]:
    """Seconds of each of `repeats` runs, synchronised, after `warmup` that do not count."""
    synchronise = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    seconds = []
    for repeat in range(warmup + repeats):
        synchronise()
        started = time.perf_counter()
        run()
        synchronise()
        if repeat >= warmup:
            seconds.append(time.perf_counter() - started)
    return seconds


def median_interval(values: Sequence[float]) -> dict[str, float]:
    """Median, its 95 % interval, and how many values: the fields of a record's `Spread`.

    The interval is that of the sign test, whatever the distribution: from the k-th lowest to the k-th highest value,
    k as large as 95 % allow. It needs six values; of fewer it has all, and covers less.
    """
    ordered, count = sorted(values), len(values)
    # Below the k-th lowest value the median lies with the chance of fewer than k heads in `count` throws of a coin.
    chances = list(accumulate(math.comb(count, heads) / 2**count for heads in range(count + 1)))
    k = max(sum(chance <= 0.025 for chance in chances), 1)
    return {"median": float(np.median(ordered)), "low": ordered[k - 1], "high": ordered[count - k], "repeats": count}


def host_peak_bytes() -> int:
    """Peak resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def exhaust(items: Iterable[object]) -> None:
    """Go through an iterator for its work alone."""
    for _ in items:
        pass
