"""What a training step of the paper's run costs: operations (exact) and CPU time (of one core) of each of its stages.

    python tests/benchmarks/bench_paper.py [--config config/davis.yaml] [--setup 3-7] [--size 480x854]
    python tests/benchmarks/bench_paper.py --measured results/published/gpu

It estimates the run's hours of a GPU: from the operations, at a rate that the GPU sustains (--tflops), or from what a
GPU took for each kind of step (records of gpu_evidence.py). Detector, scoring and predictions, a few hours more, are
left out. Counting takes 20 GB and a few minutes. Weights are random; stages.py says how the heads get their usual load.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

import torch  # noqa: E402
from slowfast_vos import SlowFastMaskRCNN  # noqa: E402
from slowfast_vos.config import Settings, load_settings  # noqa: E402
from slowfast_vos.videos.augment import Augment  # noqa: E402
from stages import FREEZES, PRECISIONS, Clip, make_clip, make_network, parent_step  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

TRAIN_FRAMES = 4219  # of DAVIS 2017
VALIDATION_SEQUENCES = 20  # of DAVIS 2016
FROZEN, TRAINED = "parent, moving", "parent, trained"
Costs = dict[str, tuple[float, float]]  # of a stage: TFLOP (a multiplication and an addition are two), seconds


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="config/davis.yaml")
    parser.add_argument("--setup", default="3-7")
    parser.add_argument("--size", default="480x854")
    parser.add_argument("--tflops", type=float, nargs="+", default=[20.0, 50.0, 100.0])
    parser.add_argument("--overhead", type=float, default=0.05, help="seconds of a step that no operation accounts for")
    parser.add_argument("--measured", type=Path, help="folder of records of gpu_evidence.py")
    arguments = parser.parse_args()
    settings = load_settings(HERE.parents[1] / arguments.config)
    work = work_of(settings)
    if arguments.measured:
        show_measured(work, arguments.measured)
        return
    torch.set_num_threads(1)
    clip = make_clip(8, tuple(map(int, arguments.size.split("x"))), torch.device("cpu"))
    options = {**settings.model.options(), "chunk_length": settings.model.chunk_length}
    model = make_network(arguments.setup, options, "fp32", torch.device("cpu"))
    samples = {freeze: sample_costs(settings, model.freeze(parts).train(), clip) for freeze, parts in FREEZES.items()}
    teraflops = {f"fine-tuning, {one}": show(f"a fine-tuning sample, {one}", costs) for one, costs in samples.items()}
    step, costs = parent_step(model, clip, "moving"), {}
    step()  # encodes the other frames
    with measured(costs, "two frames new, six in memory"):
        step()
    teraflops[FROZEN] = show("a parent's step, backbone frozen", costs)
    # Forward and backward of the eight frames' backbone; four pass it in a sample.
    teraflops[TRAINED] = teraflops[FROZEN] + 3 * 2 * samples["none"]["backbone"][0]
    print(f"\nHours of a GPU, with {arguments.overhead:g} s of each step beside, at sustained TFLOPS of")
    print(f"{'':30s}{'steps':>10s}{'PFLOP':>10s}" + "".join(f"{rate:10.0f}" for rate in arguments.tflops))
    for name, counts in work.items():
        steps, total = sum(counts.values()), sum(count * teraflops[kind] for kind, count in counts.items())
        hours = [(total / rate + steps * arguments.overhead) / 3600 for rate in arguments.tflops]
        print(f"  {name:28s}{steps:10,d}{total / 1000:10,.0f}" + "".join(f"{one:10.0f}" for one in hours))


def work_of(settings: Settings) -> dict[str, Counter[str]]:
    """How many steps of each kind (as gpu_evidence.py names them), or samples of fine-tuning, each stage takes."""
    grid, stage, tuning, setups = settings.grid, settings.parent, settings.tuning, len(settings.setups)
    each = setups * len(grid.scale) * len(grid.lr) * len(grid.sequences) * grid.iterations
    epoch = TRAIN_FRAMES // stage.frames_per_step
    points = len(tuning.setups) * len(tuning.lr) * tuning.epochs
    work = {
        "grids": Counter({f"fine-tuning, {freeze}": each for freeze in FREEZES}),
        "final models, frozen as SF": Counter(
            {"fine-tuning, SF": setups * VALIDATION_SEQUENCES * settings.final.iterations}
        ),
        "parents": Counter({FROZEN: setups * stage.epochs * epoch}),
        "tuning": Counter({FROZEN: points * epoch, TRAINED: points * epoch}),
    }
    return {**work, "together": sum(work.values(), Counter())}


def show_measured(work: dict[str, Counter[str]], folder: Path) -> None:
    """Print the hours of the GPU of some records, if all setups took what each of theirs took."""
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("training-*.json"))]
    if not records:
        raise SystemExit(f"error: {folder}: found no training-*.json; expected records of gpu_evidence.py")
    columns = {
        (record["setup"], precision): {
            run["form"]: run["milliseconds"]["median"] / (2 if run["form"].startswith("fine-tuning") else 1)
            for run in record["runs"]
            if run["precision"] == precision
        }
        for record in records
        for precision in PRECISIONS
    }
    print(
        f"Hours of {', '.join(dict.fromkeys(record['provenance']['device'] for record in records))}, were every setup"
    )
    print(f"{'':30s}{'steps':>10s}" + "".join(f"{' '.join(column):>12s}" for column in columns))
    for name, counts in work.items():
        hours = [sum(count * taken[kind] for kind, count in counts.items()) / 3.6e6 for taken in columns.values()]
        print(f"  {name:28s}{sum(counts.values()):10,d}" + "".join(f"{one:12.1f}" for one in hours))


def sample_costs(settings: Settings, model: SlowFastMaskRCNN, clip: Clip) -> Costs:
    """One sample of fine-tuning, stage by stage."""
    costs: Costs = {}
    augment, order = Augment(settings.finetune, 0.25), model.setup.mirrored_window(len(clip))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.0, 0.9)
    network = model.maskrcnn_model
    with measured(costs, "augment, resize"):
        moved, target = augment(torch.stack(clip.frames[: max(order) + 1]), torch.from_numpy(clip.masks[0]).long())
        resized = model.resize(list(moved), [target, *[None] * (len(moved) - 1)])
    parts = {"backbone": (network.backbone, "pyramid"), "RPN": (network.rpn, "forward")}
    with ExitStack() as stack:
        for name, (module, method) in {**parts, "SlowFast": (model.slow_fast, "forward")}.items():
            stack.enter_context(patch.object(module, method, timed(costs, name, getattr(module, method))))
        (prepared,) = model.prepare_resized([resized], order)
    with measured(costs, "heads"):
        total = torch.stack(list(model.head_losses(prepared).values())).sum()
    with measured(costs, "backward"):
        total.backward()
    with measured(costs, "step"):
        optimizer.step()
    model.zero_grad(set_to_none=True)
    return costs


def timed(costs: Costs, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, measured whenever it is called."""

    def call(*arguments: Any) -> Any:
        with measured(costs, name):
            return function(*arguments)

    return call


@contextmanager
def measured(costs: Costs, name: str) -> Iterator[None]:
    """Add what happens meanwhile to a stage."""
    start = time.process_time()
    with FlopCounterMode(display=False) as counter:
        yield
    before = costs.get(name, (0.0, 0.0))
    costs[name] = before[0] + counter.get_total_flops() / 1e12, before[1] + time.process_time() - start


def show(title: str, costs: Costs) -> float:
    """Print the stages; gives the TFLOP of all."""
    total = tuple(map(sum, zip(*costs.values(), strict=True)))
    print(f"\n{title:30s}{'TFLOP':>10s}{'seconds':>10s}")
    for name, (teraflops, seconds) in {**costs, "together": total}.items():
        print(f"  {name:28s}{teraflops:10.3f}{seconds:10.2f}", flush=True)
    return total[0]


if __name__ == "__main__":
    main()
