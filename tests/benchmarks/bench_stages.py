"""Where the time goes: milliseconds of a step and of a frame in every stage, side by side in one run.

    python tests/benchmarks/bench_stages.py [--size demo|paper] [--setup 3-7] [--device cpu|cuda]

`demo` is the network of config/config.yaml at its frames' size, `paper` that of config/davis.yaml at 480p (for a GPU:
a CPU takes seconds a frame). Videos are generated, weights random; stages.py tells how the heads get their usual load.
What is compared takes turns, so that a busy machine slows all alike; each figure is the median. A GPU is waited for.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from slowfast_vos.config import load_settings  # noqa: E402
from slowfast_vos.generated import sequence_names, synthesize  # noqa: E402
from slowfast_vos.measuring.cost import exhaust, time_runs  # noqa: E402
from slowfast_vos.measuring.devices import find_device  # noqa: E402
from slowfast_vos.model.streaming import detect, foreground  # noqa: E402
from slowfast_vos.videos.augment import Augment  # noqa: E402
from slowfast_vos.videos.davis import DavisTree, targets  # noqa: E402
from slowfast_vos.videos.pngs import write_mask  # noqa: E402
from stages import PRECISIONS, TRAINING, Clip, Run, detector_step, make_network, windowed  # noqa: E402

SIZES = {"demo": ("config/config.yaml", (240, 400)), "paper": ("config/davis.yaml", (480, 854))}


def medians(runs: Iterable[Run], device: torch.device, turns: int) -> np.ndarray:
    """Median milliseconds of each of several runs, which take turns after one that does not count."""
    runs = list(runs)
    taken = [[time_runs(run, device, warmup=0, repeats=1)[0] for run in runs] for _ in range(turns + 1)]
    return np.median(taken[1:], axis=0) * 1000


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
    config, (height, width) = SIZES[arguments.size]
    settings, found = load_settings(HERE.parents[1] / config), find_device(arguments.device)
    device = found.torch
    print(
        f"{arguments.setup} of {config}, frames of {width}×{height}; {found.name}, torch {torch.__version__}, 1 thread"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synthesize(folder, train=2, val=1, frames=arguments.frames, height=height, width=width)
        video = DavisTree(folder).video(sequence_names("val", 1)[0])
        indices = range(len(video))
        clip = Clip([video.frame(i).to(device) for i in indices], [video.ids(i, binary=True) for i in indices])
        options = {**settings.model.options(), "chunk_length": settings.model.chunk_length}
        models = [make_network(arguments.setup, options, precision, device) for precision in PRECISIONS]
        batch = settings.detector.batch_size
        stages: dict[str, Callable[..., Run]] = {
            f"detector, {batch} frames": lambda model: detector_step(model, clip, batch)
        }
        for (stage, kind), step in TRAINING.items():
            stages[f"{stage}, {kind}"] = lambda model, step=step, kind=kind: step(model, clip, kind)
        inference = {
            "inference, windowed": lambda model: lambda: windowed(model.eval(), clip.frames),
            "inference, streaming": lambda model: lambda: model.eval()(clip.frames),
        }
        print(f"\n{'ms a step, or a frame of inference':36s}" + "".join(f"{name:>11s}" for name in PRECISIONS))
        for name, make in {**stages, **inference}.items():
            with torch.inference_mode(name in inference):
                taken = medians(map(make, models), device, arguments.turns) / (len(clip) if name in inference else 1)
            print(f"  {name:34s}{taken[0]:11.1f}{taken[1]:11.1f}   fp32 / bf16 {taken[0] / taken[1]:.2f}", flush=True)
            for model in models:
                model.zero_grad(set_to_none=True)

        with torch.inference_mode():
            detections = list(detect(models[0].eval(), clip.frames))
        masks = [foreground(one).numpy().astype(np.uint8) for one in detections]
        augment, ids = Augment(settings.finetune, 0.25), torch.from_numpy(clip.masks[0].astype(np.int64)).to(device)
        window = torch.stack(clip.frames[: models[0].setup.after + 1])
        beside: dict[str, Run] = {
            "read a frame": lambda: exhaust(video.iterate()),
            "read a mask, make the target": lambda: exhaust(targets(video.ids(i, binary=True)) for i in indices),
            "paste and merge a frame's masks": lambda: exhaust(map(foreground, detections)),
            "write a mask": lambda: exhaust(write_mask(folder / f"{i}.png", masks[i]) for i in indices),
            "augment a window": lambda: exhaust(augment(window, ids) for _ in indices),
        }
        print("\nbeside the network, ms (on the CPU, but for the augmentation)")
        for name, taken in zip(beside, medians(beside.values(), device, arguments.turns), strict=True):
            print(f"  {name:34s}{taken / len(clip):11.1f}")


if __name__ == "__main__":
    main()
