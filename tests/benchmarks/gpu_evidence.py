"""What the five setups cost on a GPU at the paper's size: records, and tables of them for results/published/.

    python tests/benchmarks/gpu_evidence.py --part inference [--setups 1-1 3-7] --out results/published/gpu
    python tests/benchmarks/gpu_evidence.py --tables --out results/published/gpu

Each call writes a record `PART-SETUP.json` as soon as a setup is measured; name fewer setups where ten minutes are too
few. It needs what stages.py needs, and nvidia-ml-py for the driver's view of memory; `--tables` needs pandas and
tabulate. `--size tiny --device cpu` tries it out on any machine. Weights are random and data are generated: time and
memory do not depend on them, scores do and are none of this; records tell how many RoIs the heads were given.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torchvision.io import write_jpeg

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

from slowfast_vos.errors import UserError  # noqa: E402
from slowfast_vos.measuring.cost import (  # noqa: E402
    count_operations,
    count_parameters,
    exhaust,
    host_peak_bytes,
    median_interval,
    time_runs,
)
from slowfast_vos.measuring.devices import Device, find_device, is_out_of_memory, process_gpu_bytes  # noqa: E402
from slowfast_vos.measuring.provenance import Stopwatch  # noqa: E402
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN  # noqa: E402
from slowfast_vos.model.streaming import detect, foreground  # noqa: E402
from slowfast_vos.videos.davis import Video  # noqa: E402
from stages import PRECISIONS, TRAINING, Clip, Run, heads_load, make_clip, make_network  # noqa: E402
from windowed import windowed  # noqa: E402

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
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        taken = time_runs(run, device, warmup=arguments.warmup, repeats=arguments.repeats)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return {"error": "out of memory"}
    found: dict[str, Any] = {
        "milliseconds": median_interval([one / per * 1000 for one in taken]),
        "per_second": median_interval([per / one for one in taken]),
        "host_peak_bytes": host_peak_bytes(),
    }
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info()
        # Taken after the run: the allocator has given nothing back since its peak.
        found |= {"gpu_process_bytes": process_gpu_bytes(), "gpu_device_bytes": total - free}
        found["gpu_allocated_bytes"] = torch.cuda.max_memory_allocated()
        found["gpu_reserved_bytes"] = torch.cuda.max_memory_reserved()
    return found


def inference(model: SlowFastMaskRCNN, clip: Clip) -> Iterator[tuple[str, Run]]:
    """Both as far as masks in their boxes pasted at the frame's size."""
    yield "streaming", lambda: model(clip.frames)
    yield "windowed", lambda: windowed(model, clip.frames)


def training(model: SlowFastMaskRCNN, clip: Clip) -> Iterator[tuple[str, Run]]:
    """Steps of two frames of a parent, and of two samples of fine-tuning."""
    for (stage, kind), step in TRAINING.items():
        yield f"{stage}, {kind}", step(model, clip, kind)


def reading(model: SlowFastMaskRCNN, clip: Clip) -> Iterator[tuple[str, Run]]:
    """Inference from JPEGs on the disk to binary masks."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{index:05d}.jpg" for index in range(len(clip))]
        for path, frame in zip(paths, clip.frames, strict=True):
            write_jpeg((frame * 255).byte().cpu(), str(path))
        video = Video("clip", tuple(paths))
        for form, ahead in (("read when asked for", 0), ("read ahead", model.chunk_length)):
            yield form, lambda ahead=ahead: exhaust(map(foreground, detect(model, video.iterate(ahead))))


PARTS = {"inference": inference, "training": training, "reading": reading}


def take(part: str, setup: str, device: Device, arguments: argparse.Namespace) -> None:
    """Measure one part of one setup in each precision and write its record."""
    options, size = SIZES[arguments.size]
    clock, runs = Stopwatch(), []
    clip = make_clip(arguments.frames, size, device.torch)
    per = 1 if part == "training" else len(clip)
    for precision in PRECISIONS:
        model = make_network(setup, options, precision, device.torch)
        for form, run in PARTS[part](model, clip):
            with torch.inference_mode(part != "training"):
                figures = measure(run, per, device.torch, arguments)
                if "error" not in figures and part == "inference":
                    figures["gflops"] = count_operations(run) / per / 1e9
                if "error" not in figures and part != "reading":
                    figures |= heads_load(model, run, per)
            if part == "training":
                figures["parameters_trained"] = count_parameters(model, trained=True)
                model.zero_grad(set_to_none=True)
            runs.append({"precision": precision, "form": form, **figures})
            shown = figures.get("error") or f"{figures['milliseconds']['median']:.1f} ms"
            print(f"{setup} {part} {form} {precision}: {shown}", flush=True)
            del run  # with the features that it keeps
    model = make_network(setup, options, "fp32", torch.device("cpu"))
    resized = model.maskrcnn_model.transform([clip.frames[0].cpu()])[0]
    threads = torch.get_num_threads()
    made = clock.provenance(device=device.name, driver=device.driver, threads=threads, dataset="generated")
    if arguments.commit:
        made |= {"commit": arguments.commit, "dirty": None}
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
        "provenance": made,
    }
    path = arguments.out / f"{part}-{setup}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n")


def main() -> None:
    """Take one part, or write the tables of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--part", choices=list(PARTS))
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
