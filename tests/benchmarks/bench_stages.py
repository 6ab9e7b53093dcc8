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
import time
from collections.abc import Sequence
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from slowfast_vos.config import Settings, load_settings  # noqa: E402
from slowfast_vos.generated import sequence_names, synthesize  # noqa: E402
from slowfast_vos.measuring.cost import exhaust, time_runs  # noqa: E402
from slowfast_vos.measuring.devices import find_device  # noqa: E402
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN  # noqa: E402
from slowfast_vos.model.streaming import detect, foreground  # noqa: E402
from slowfast_vos.videos.augment import Augment  # noqa: E402
from slowfast_vos.videos.davis import DavisTree, Video, targets  # noqa: E402
from slowfast_vos.videos.pngs import write_mask  # noqa: E402
from stages import (  # noqa: E402
    FREEZES,
    PRECISIONS,
    Clip,
    Run,
    detector_step,
    finetune_step,
    make_network,
    parent_step,
    windowed,
)

SIZES = {"demo": ("config/config.yaml", (240, 400)), "paper": ("config/davis.yaml", (480, 854))}


def medians(runs: Sequence[Run], device: torch.device, turns: int) -> list[float]:
    """Median milliseconds of each of several runs, which take turns after one that does not count."""
    for run in runs:
        time_runs(run, device, warmup=1, repeats=0)
    taken = [[time_runs(run, device, warmup=0, repeats=1)[0] for run in runs] for _ in range(turns)]
    return [float(value) * 1000 for value in np.median(taken, axis=0)]


def line(name: str, values: Sequence[float], note: str = "") -> None:
    """One line of a table."""
    print(f"  {name:34s}" + "".join(f"{value:11.1f}" for value in values) + (f"   {note}" if note else ""), flush=True)


def compare_stages(
    models: list[SlowFastMaskRCNN], clip: Clip, settings: Settings, turns: int
) -> dict[str, tuple[float, ...]]:
    """Print ms of every stage in both precisions; returns them by the stage's name."""
    device, batch = clip.frames[0].device, settings.detector.batch_size
    stages = {f"detector, step of {batch} frames": lambda model: detector_step(model, clip, batch)}
    for kind in ("trained", "not kept", "moving", "kept"):
        name = "backbone trained" if kind == "trained" else f"features {kind}"
        stages[f"parent, {name}"] = lambda model, kind=kind: parent_step(model, clip, kind)
    for freeze in FREEZES:
        stages[f"fine-tuning, freeze {freeze}"] = lambda model, freeze=freeze: finetune_step(model, clip, freeze)
    frames = len(clip)
    stages["inference, windowed"] = lambda model: lambda: windowed(model.eval(), clip.frames)
    stages["inference, streaming"] = lambda model: lambda: model.eval()(clip.frames)
    print(f"\n{'ms a step, or a frame of inference':36s}" + "".join(f"{name:>11s}" for name in PRECISIONS))
    found = {}
    for name, make in stages.items():
        per = frames if name.startswith("inference") else 1
        with torch.inference_mode(name.startswith("inference")):
            found[name] = tuple(value / per for value in medians([make(model) for model in models], device, turns))
        line(name, found[name], f"fp32 / bf16 {found[name][0] / found[name][1]:.2f}")
        for model in models:
            model.zero_grad(set_to_none=True)
    for slow, fast in (
        ("inference, windowed", "inference, streaming"),
        ("parent, features not kept", "parent, features kept"),
        ("parent, backbone trained", "parent, features kept"),
        ("fine-tuning, freeze none", "fine-tuning, freeze BB_SF"),
    ):
        print(f"  {slow} / {fast.rpartition(', ')[2]}: {found[slow][0] / found[fast][0]:.1f} times the time in fp32")
    return found


def data_share(
    model: SlowFastMaskRCNN, video: Video, settings: Settings, stages: dict[str, tuple[float, ...]], turns: int
) -> None:
    """Print what is not the network: reading, augmentation, masks; and its share of the stages it belongs to."""
    device = next(model.parameters()).device
    clip = [video.frame(index) for index in range(len(video))]
    with torch.inference_mode():
        detections = list(detect(model.eval(), clip))
    masks = [foreground(detection).numpy().astype(np.uint8) for detection in detections]
    augment, ids = Augment(settings.finetune, 0.25), torch.from_numpy(video.ids(0, binary=True).astype(np.int64))
    window, ids = torch.stack(clip[: model.setup.after + 1]).to(device), ids.to(device)
    with tempfile.TemporaryDirectory() as folder:
        parts = {
            "read a frame": lambda: exhaust(video.frame(index) for index in range(len(video))),
            "read a mask, make the target": lambda: exhaust(
                targets(video.ids(index, binary=True)) for index in range(len(video))
            ),
            "paste and merge a frame's masks": lambda: exhaust(map(foreground, detections)),
            "write a mask": lambda: exhaust(
                write_mask(Path(folder) / f"{index}.png", mask) for index, mask in enumerate(masks)
            ),
            "augment a window": lambda: exhaust(augment(window, ids) for _ in range(len(video))),
        }
        found = dict(zip(parts, medians(list(parts.values()), device, turns), strict=True))
    found = {name: value / len(video) for name, value in found.items()}
    print("\nbeside the network, ms (on the CPU, but for the augmentation)")
    frame, mask, paste, write, augmented = found.values()
    batch = settings.detector.batch_size
    detector = stages[f"detector, step of {batch} frames"][0]
    inference, finetune = stages["inference, streaming"][0], stages["fine-tuning, freeze BB_SF"][0]
    trained, window_frames = stages["parent, backbone trained"][0], model.setup.fast + 1
    shares = {
        "detector's step": (batch * (frame + mask), detector),
        "parent's step, backbone trained": (window_frames * frame + 2 * mask, trained),
        "fine-tuning's step, BB_SF": (2 * augmented, finetune),
        "reading in inference": (frame, inference),
        "masks in inference": (paste + write, inference),
    }
    for name, value in found.items():
        line(name, [value])
    print("  share of the time, one after the other:")
    for name, (beside, network) in shares.items():
        print(f"    {name:34s}{beside / (beside + network):6.0%}")
    read_ahead(model, video, device, turns)


def read_ahead(model: SlowFastMaskRCNN, video: Video, device: torch.device, turns: int) -> None:
    """Print what reading frames ahead gains, on this device and beside a stand-in for another one.

    The stand-in waits as long as reading takes, and keeps no core busy while it does.
    """
    [reading] = medians([lambda: exhaust(video.iterate())], torch.device("cpu"), turns)
    wait = reading / len(video) / 1000

    def network(ahead: int) -> Run:
        return lambda: exhaust(foreground(one) for one in detect(model, video.iterate(ahead)))

    def stand_in(ahead: int) -> Run:
        return lambda: exhaust(time.sleep(wait) for _ in video.iterate(ahead))

    ahead = model.chunk_length
    for what, make in ((f"the network on {device.type}", network), ("a device as fast as reading", stand_in)):
        asked, early = medians([make(0), make(ahead)], device, turns)
        print(f"  frames read when asked for / read ahead, {what}: {asked / early:.2f}")


def profile(title: str, run: Run, device: torch.device, top: int = 6) -> None:
    """Print the operations that take most of a run's time."""
    from torch.profiler import ProfilerActivity

    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    run()
    with torch.profiler.profile(activities=activities, acc_events=True) as profiler:
        run()
    events = profiler.key_averages()
    if cuda:  # kernels stand there by themselves as well
        events = [event for event in events if event.device_type == torch.autograd.DeviceType.CPU]
    own = "self_device_time_total" if cuda else "self_cpu_time_total"
    total = sum(getattr(event, own) for event in events)
    first = sorted(events, key=lambda event: -getattr(event, own))[:top]
    parts = (f"{event.key.removeprefix('aten::')[:40]} {getattr(event, own) / total:.0%}" for event in first)
    print(f"  {title}: {', '.join(parts)}", flush=True)


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
    settings, device = load_settings(HERE.parents[1] / config), find_device(arguments.device)
    print(
        f"{arguments.setup} of {config}, frames of {width}×{height}; {device.name}, torch {torch.__version__}, 1 thread"
    )
    with tempfile.TemporaryDirectory() as folder:
        synthesize(Path(folder), train=2, val=1, frames=arguments.frames, height=height, width=width)
        video = DavisTree(Path(folder)).video(sequence_names("val", 1)[0])
        frames = [video.frame(index).to(device.torch) for index in range(len(video))]
        clip = Clip(frames, [video.ids(index, binary=True) for index in range(len(video))])
        options = {**settings.model.options(), "chunk_length": settings.model.chunk_length}
        models = [make_network(arguments.setup, options, precision, device.torch) for precision in PRECISIONS]
        stages = compare_stages(models, clip, settings, arguments.turns)
        data_share(models[0], video, settings, stages, arguments.turns)
        print("\nwhere the time goes in fp32, by operation")
        profile("inference", lambda: exhaust(detect(models[0].eval(), clip.frames)), device.torch)
        profile("parent, features kept", parent_step(models[0], clip, "kept"), device.torch)
        profile("fine-tuning, nothing frozen", finetune_step(models[0], clip, "none"), device.torch)


if __name__ == "__main__":
    main()
