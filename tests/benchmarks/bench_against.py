"""Training on one core, side by side with another checkout of the project: CPU time, and the ratio for each setup.

    git worktree add --detach ../other COMMIT
    python tests/benchmarks/bench_against.py ../other [--turns 5] [--setups 1-1,3-7] [--config config/config.yaml]

Each turn runs either checkout once, in a process of its own. It times what the configuration asks for: a whole grid on
one video in one process (milliseconds a sample, for each freeze), the setups' final models one after another in one
process, both weighted as the run has them, an epoch of the setups' parents on the video, of as many epochs as each
configuration asks for, and the start of a process. Figures are the least of the turns: what else a machine does only
adds to them. Weights are random, and whatever touches the object counts as a match, which fills the heads' quota.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from inspect import signature
from itertools import product
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[2]
FRAMES, FINAL_SAMPLES = 12, 12


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--setups", default="1-1,3-3,7-7,1-7,3-7")
    parser.add_argument("--config", default="config/config.yaml")
    arguments = parser.parse_args()
    found: list[list[dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as folder:
        draw_video(Path(folder))
        for turn in range(arguments.turns):
            found.append([])
            for root in (arguments.other.resolve(), HERE):
                command = [sys.executable, __file__, "--timed", root, folder, arguments.setups, arguments.config]
                environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
                done = subprocess.run(command, env=environment, cwd=root, stdout=subprocess.PIPE, check=True, text=True)
                found[-1].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"turn {turn + 1} of {arguments.turns}", file=sys.stderr)
    least = {name: tuple(min(turn[side][name] for turn in found) for side in (0, 1)) for name in found[0][0]}
    print(f"{'ms of CPU time':40s}{'other':>9s}{'this':>9s}{'ratio':>8s}")
    for name, (other, this) in (least | mixed(least, arguments.config)).items():
        print(f"{name:40s}{other:9.1f}{this:9.1f}{this / other:8.2f}")


def mixed(least: dict[str, tuple[float, float]], config: str) -> dict[str, tuple[float, float]]:
    """Means over the run: a sample, if all its final models had this freeze, and a parent's epoch."""
    from slowfast_vos.config import load_settings

    settings = load_settings(HERE / config)
    grid, final = settings.grid, settings.final
    searched = len({settings.search_seed(seed) for seed in settings.seeds}) * len(settings.selection_sequences)
    counts = {
        "grid": searched * len(grid.scale) * len(grid.lr) * grid.iterations,
        "final": len(settings.seeds) * settings.data.synthetic.val * final.iterations,
    }
    means = {}
    for freeze in grid.freeze:
        weighted = [
            (counts[kind], times)
            for name, times in least.items()
            for kind in counts
            if name.endswith(f"{kind}, {freeze}: a sample")
        ]
        total = sum(count for count, _ in weighted)
        other, this = (sum(count * times[side] for count, times in weighted) / total for side in (0, 1))
        means[f"the run, {freeze}: a sample"] = other, this
    epochs = [times for name, times in least.items() if name.endswith("parent: an epoch")]
    other, this = (sum(times) / len(epochs) for times in zip(*epochs, strict=True))
    return means | {"the run, parent: an epoch": (other, this)}


def draw_video(folder: Path) -> None:
    """A bright disc that moves over noise, in DAVIS's formats, of the default's size."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 150, (FRAMES, 240, 400, 3), np.uint8)
    y, x = np.mgrid[:240, :400]
    for index in range(FRAMES):
        disc = (y - 120) ** 2 + (x - 120 - 12 * index) ** 2 < 40**2
        Image.fromarray(np.where(disc[..., None], noise[index] + 100, noise[index])).save(folder / f"{index:05}.jpg")
        mask = Image.fromarray(disc.astype(np.uint8), "P")
        mask.putpalette([0, 0, 0, 255, 255, 255])
        mask.save(folder / f"{index:05}.png")


def timed(root: str, folder: str, setups: str, config: str) -> Iterator[tuple[str, float]]:
    """What one checkout takes, in milliseconds."""
    import torch
    from slowfast_vos.config import load_settings
    from slowfast_vos.jobs import finetune as jobs
    from slowfast_vos.measuring import devices
    from slowfast_vos.measuring.record import Scores
    from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
    from slowfast_vos.training import finetune
    from slowfast_vos.training.finetune import Configuration, fine_tune
    from slowfast_vos.training.parent import train_parent
    from slowfast_vos.videos.davis import Video

    yield "start of a process", 1000 * time.process_time()
    torch.set_num_threads(1)
    if hasattr(devices, "keep_freed_memory"):
        devices.keep_freed_memory()
    settings = load_settings(Path(root) / config)
    video = Video("disc", *(tuple(sorted(Path(folder).glob(f"*.{suffix}"))) for suffix in ("jpg", "png")))
    columns = [column for column in Scores.model_fields if column != "sequences"]
    scores = Scores(**dict.fromkeys(columns, 0.5), sequences={})
    busy = {"box_score_thresh": 0.0, "box_fg_iou_thresh": 0.01, "box_bg_iou_thresh": 0.01}
    binary = "merged" if "merged" in signature(train_parent).parameters else "binary"  # its former name
    share = hasattr(getattr(finetune, "SampleKey", None), "_fields")  # older checkouts share nothing between setups
    if share:
        from slowfast_vos.training.features import FeatureCache
    # The parents of a seed have one backbone, and share what it makes of a frame.
    encoded = {"cache": FeatureCache(1, binary=True, many_proposals=False)} if share else {}
    caches: dict[str, Any] = defaultdict(lambda: jobs.SampleCache(settings.parent.feature_cache_gib))

    def shared(freeze: str) -> dict[str, Any]:
        if not share:
            return {}
        cache = caches[freeze]
        return {"reuse": lambda key, make: cache.get(key, make) if key.kind != "prepared" else make()}

    for setup in setups.split(","):
        torch.manual_seed(0)
        frames = map(int, setup.split("-"))
        options = {**settings.model.options(), "chunk_length": settings.model.chunk_length, **busy}
        parent = SlowFastMaskRCNN(*frames, **options).eval()

        def tuned(*point: str, iterations: int, parent: SlowFastMaskRCNN = parent, **more: Any) -> None:
            configuration = Configuration(**dict(zip(("freeze", "scale", "lr"), point, strict=True)))
            fine_tune(settings, parent, video, configuration, iterations=iterations, seed=1, **more)

        tuned("none", "0", "0", iterations=2)  # warms up
        more, known = {}, signature(fine_tune).parameters
        if "model" in known:
            tuned = partial(tuned, model=copy.deepcopy(parent))
        if "reuse" in known:
            more["reuse"] = jobs.SampleCache(settings.parent.feature_cache_gib).get
        grid, spent = settings.grid, defaultdict(float)
        for point in product(grid.freeze, grid.scale, ("1e-6", "2e-6", "3e-6", "4e-6")):
            spent[point[0]] += taken(partial(tuned, *point, iterations=grid.iterations, **more))
        for freeze, total in spent.items():
            yield f"{setup}, grid, {freeze}: a sample", total / (4 * len(grid.scale) * grid.iterations)
        for freeze in grid.freeze:
            once = taken(partial(tuned, freeze, "0.25", "1e-6", iterations=FINAL_SAMPLES, **shared(freeze)))
            yield f"{setup}, final, {freeze}: a sample", once / FINAL_SAMPLES
        same = {"lr": "1e-6", "train_frames": None, "start": "random", "identity_epochs": 0}
        stage = settings.parent.model_copy(update=same)
        train = partial(train_parent, stage, parent, [video], seed=1, select=lambda *_: scores, **encoded)
        yield f"{setup}, parent: an epoch", taken(partial(train, **{binary: True})) / stage.epochs


def taken(run: Callable[[], object]) -> float:
    """CPU time, in milliseconds."""
    start = time.process_time()
    run()
    return 1000 * (time.process_time() - start)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--timed"]:
        print(json.dumps(dict(timed(*sys.argv[2:]))))
    else:
        main()
