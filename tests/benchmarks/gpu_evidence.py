"""What the five setups cost on a GPU at the paper's size: records, and tables of them for results/published/.

    python tests/benchmarks/gpu_evidence.py --part inference [--setups 1-1 3-7] --out results/published/gpu
    python tests/benchmarks/gpu_evidence.py --part training  [--setups 1-1 3-7] --out results/published/gpu
    python tests/benchmarks/gpu_evidence.py --part reading   [--setups 3-7]     --out results/published/gpu
    python tests/benchmarks/gpu_evidence.py --tables --out results/published/gpu

Each call writes a record `PART-SETUP.json` as soon as a setup is measured; name fewer setups where ten minutes are too
few. It needs torch, torchvision, numpy, PIL and PyYAML, and nvidia-ml-py for the driver's view of memory; `--tables`
needs pandas and tabulate. `--size tiny --device cpu` tries it out on any machine.

Weights are random and data are generated: time and memory do not depend on them, scores do and are none of this. Every
frame keeps its 10 best detections whatever their score, and a training samples its full quota of RoIs, as it does
with a trained detector; records tell how many the heads were given.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

from slowfast_vos.errors import UserError  # noqa: E402
from slowfast_vos.measuring.cost import (  # noqa: E402
    count_operations,
    count_parameters,
    exhaust,
    host_peak_bytes,
    quartiles,
    time_runs,
)
from slowfast_vos.measuring.devices import Device, find_device, is_out_of_memory, process_gpu_bytes  # noqa: E402
from slowfast_vos.measuring.provenance import Stopwatch  # noqa: E402
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN  # noqa: E402
from slowfast_vos.model.streaming import detect, foreground  # noqa: E402
from slowfast_vos.videos.davis import Video  # noqa: E402
from stages import PRECISIONS, TRAINING, Clip, Run, heads_load, make_clip, make_network, windowed  # noqa: E402

SETUPS = ("1-1", "3-3", "7-7", "1-7", "3-7")
TINY = {
    **{"backbone": "resnet18", "fpn_channels": 16, "box_hidden": 16, "mask_channels": [8], "mask_hidden": 8},
    **{"min_size": 64, "max_size": 96, "rpn_post_nms_top_n_train": 40, "rpn_post_nms_top_n_test": 20},
}
SIZES: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "paper": ({"backbone": "resnet50", "min_size": 800, "max_size": 1333}, (480, 854)),
    "tiny": (TINY, (48, 72)),
}


def measure(run: Run, per: int, device: torch.device, arguments: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of each of the `per` frames or steps of a run, and the peaks of memory; or why it failed."""
    cuda = device.type == "cuda"
    gc.collect()
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        taken = time_runs(run, device, warmup=arguments.warmup, repeats=arguments.repeats)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return {"error": "out of memory"}
    found: dict[str, Any] = {
        "milliseconds": quartiles([one / per * 1000 for one in taken]),
        "per_second": quartiles([per / one for one in taken]),
        "host_peak_bytes": host_peak_bytes(),
    }
    if cuda:
        free, total = torch.cuda.mem_get_info()
        found["gpu_allocated_bytes"] = torch.cuda.max_memory_allocated()
        found["gpu_reserved_bytes"] = torch.cuda.max_memory_reserved()
        # Taken after the run: the allocator has given nothing back since its peak.
        found["gpu_process_bytes"] = process_gpu_bytes()
        found["gpu_device_bytes"] = total - free
    return found


def networks(setup: str, options: dict[str, Any], device: torch.device) -> Any:
    """The setup's network in each precision, one at a time."""
    for precision in PRECISIONS:
        yield precision, make_network(setup, options, precision, device)


def inference(setup: str, options: dict[str, Any], clip: Clip, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Streaming against a window for each frame; both as far as masks in their boxes pasted at the frame's size."""
    found, device = [], clip.frames[0].device
    for precision, model in networks(setup, options, device):
        forms = {"streaming": lambda m=model: m(clip.frames), "windowed": lambda m=model: windowed(m, clip.frames)}
        for form, run in forms.items():
            with torch.inference_mode():
                figures = measure(run, len(clip), device, arguments)
                if "error" not in figures:
                    figures["gflops"] = count_operations(run) / len(clip) / 1e9
                    figures |= heads_load(model, run, len(clip))
            found.append({"precision": precision, "form": form, **figures})
    return found


def training(setup: str, options: dict[str, Any], clip: Clip, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """A parent's step of two frames, and a fine-tuning step of two samples, for all that may be frozen."""
    found, device = [], clip.frames[0].device
    for precision, model in networks(setup, options, device):
        for (stage, kind), step in TRAINING.items():
            run = step(model, clip, kind)
            figures = measure(run, 1, device, arguments)
            load = {} if "error" in figures else heads_load(model, run, 1)
            name = {"precision": precision, "form": f"{stage}, {kind}"}
            found.append(name | figures | load | {"parameters_trained": count_parameters(model, trained=True)})
            model.zero_grad(set_to_none=True)
            del run
    return found


def reading(setup: str, options: dict[str, Any], clip: Clip, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Inference from JPEGs on the disk to binary masks, with frames read when asked for and read ahead."""
    from torchvision.io import write_jpeg

    found, device = [], clip.frames[0].device
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{index:05d}.jpg" for index in range(len(clip))]
        for path, frame in zip(paths, clip.frames, strict=True):
            write_jpeg((frame * 255).byte().cpu(), str(path))
        video = Video("clip", tuple(paths))
        for precision, model in networks(setup, options, device):
            for form, ahead in (("read when asked for", 0), ("read ahead", model.chunk_length)):

                def run(model: SlowFastMaskRCNN = model, ahead: int = ahead) -> None:
                    exhaust(foreground(one) for one in detect(model, video.iterate(ahead)))

                figures = measure(run, len(clip), device, arguments)
                found.append({"precision": precision, "form": form, **figures})
    return found


def take(part: str, setup: str, device: Device, arguments: argparse.Namespace) -> Path:
    """Measure one part of one setup and write its record."""
    options, size = SIZES[arguments.size]
    clock = Stopwatch()
    clip = make_clip(arguments.frames, size, device.torch)
    runs = {"inference": inference, "training": training, "reading": reading}[part](setup, options, clip, arguments)
    model = make_network(setup, options, "fp32", torch.device("cpu"))
    resized = model.maskrcnn_model.transform([clip.frames[0].cpu()])[0]
    record = {
        "part": part,
        "setup": setup,
        "network": {**options, "weights": "random"},
        "data": f"a generated clip of {len(clip)} frames",
        "frame_size": size,
        "resized": resized.image_sizes[0],
        "padded": list(resized.tensors.shape[-2:]),
        "parameters": count_parameters(model),
        "parameters_slow_fast": count_parameters(model.slow_fast),
        "tf32": {"convolutions": torch.backends.cudnn.allow_tf32, "products": torch.backends.cuda.matmul.allow_tf32},
        "warmup": arguments.warmup,
        "runs": runs,
        "provenance": clock.provenance(
            device=device.name, driver=device.driver, threads=torch.get_num_threads(), dataset="generated"
        )
        | ({"commit": arguments.commit, "dirty": None} if arguments.commit else {}),
    }
    path = arguments.out / f"{part}-{setup}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n")
    for run in runs:
        figures = run.get("error") or f"{run['milliseconds']['median']:.1f} ms"
        print(f"{setup} {part} {run['form']} {run['precision']}: {figures}", flush=True)
    return path


def main() -> None:
    """Take one part, or write the tables of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--part", choices=["inference", "training", "reading"])
    what.add_argument("--tables", action="store_true", help="write tables of the records in --out")
    parser.add_argument("--setups", nargs="+", default=SETUPS, metavar="SETUP")
    parser.add_argument("--out", type=Path, required=True, help="folder of the records")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--size", default="paper", choices=list(SIZES))
    parser.add_argument("--frames", type=int, default=24, help="length of the clip")
    parser.add_argument("--commit", help="of a copy that is no checkout")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    if arguments.tables:
        from evidence_tables import write_tables

        for path in write_tables(arguments.out):
            print(path)
        return
    torch.set_num_threads(1)
    device = find_device(arguments.device)
    print(f"{device.name}, torch {torch.__version__}")
    for setup in arguments.setups:
        take(arguments.part, setup, device, arguments)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
