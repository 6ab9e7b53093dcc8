"""Where the time goes: milliseconds of a step and of a frame in every stage, side by side in one run.

    python tests/benchmarks/bench_stages.py [--size demo|paper] [--setup 3-7] [--device cpu|cuda]

`demo` is the network of config/config.yaml at its frames' size, `paper` that of config/davis.yaml at 480p (for a GPU:
a CPU takes seconds a frame). The clip is generated, weights are random; stages.py says how the heads get their usual
load. What is compared takes turns, so that a busy machine slows all alike; each figure is the median of some turns.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from slowfast_vos.config import load_settings  # noqa: E402
from slowfast_vos.measuring.cost import time_runs  # noqa: E402
from slowfast_vos.measuring.devices import find_device  # noqa: E402
from stages import PRECISIONS, TRAINING, Run, detector_step, make_clip, make_network  # noqa: E402
from windowed import windowed  # noqa: E402

SIZES = {"demo": ("config/config.yaml", (240, 400)), "paper": ("config/davis.yaml", (480, 854))}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="demo", choices=list(SIZES))
    parser.add_argument("--setup", default="3-7")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config, size = SIZES[arguments.size]
    settings, device = load_settings(HERE.parents[1] / config), find_device(arguments.device)
    print(f"{arguments.setup} of {config}, frames of {size[1]}×{size[0]}; {device.name}, torch {torch.__version__}")
    clip, batch = make_clip(arguments.frames, size, device.torch), settings.detector.batch_size
    options = {**settings.model.options(), "chunk_length": settings.model.chunk_length}
    models = [make_network(arguments.setup, options, precision, device.torch) for precision in PRECISIONS]
    stages: dict[str, Callable[..., Run]] = {
        "inference, windowed": lambda model: lambda: windowed(model, clip.frames),
        "inference, streaming": lambda model: lambda: model(clip.frames),
        f"detector, {batch} frames": lambda model: detector_step(model, clip, batch),
    }
    for (stage, kind), step in TRAINING.items():
        stages[f"{stage}, {kind}"] = lambda model, step=step, kind=kind: step(model, clip, kind)
    print(f"\n{'ms a step, or a frame of inference':36s}" + "".join(f"{name:>11s}" for name in PRECISIONS))
    for name, make in stages.items():
        inference = name.startswith("inference")
        with torch.inference_mode(inference):
            runs = [make(model) for model in models]
            # The first turn warms up.
            turns = [
                [time_runs(run, device.torch, warmup=0, repeats=1)[0] for run in runs]
                for _ in range(1 + arguments.turns)
            ]
        fp32, bf16 = np.median(turns[1:], axis=0) * 1000 / (len(clip) if inference else 1)
        print(f"  {name:34s}{fp32:11.1f}{bf16:11.1f}   fp32 / bf16 {fp32 / bf16:.2f}", flush=True)
        for model in models:
            model.zero_grad(set_to_none=True)


if __name__ == "__main__":
    main()
