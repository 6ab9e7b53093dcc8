"""How fast `slowfast-vos score --annotations` is beside vos-benchmark, on the same masks, and whether both agree.

    python tests/benchmarks/bench_folders.py --vos-benchmark PYTHON [--davis-root DIR] [--objects 3]

PYTHON is the interpreter of an environment with vos-benchmark (`pip install vos-benchmark`), which wants another OpenCV
than this project. Each runs as a whole process with one process of work, in turn; each figure is the least processor
time of three. The masks are those of bench_scoring.py: sequences of one, two, … objects (--objects at most), ids with
gaps; the last of several objects appears after a third of the frames.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import bench_scoring
import numpy as np
from slowfast_vos.videos.pngs import write_mask

IDS = np.array([0, 1, 4, 200], dtype=np.uint8)
THEIRS = """
import json, sys
from vos_benchmark.benchmark import benchmark
found = benchmark([sys.argv[1]], [sys.argv[2]], num_processes=1, verbose=False)[3][0]
print(json.dumps({f"{name}_{index}": [j[index], f[index]] for name, (j, f) in found.items() for index in j}))
"""
OURS = "from slowfast_vos.cli import app; app()"


def write_sequences(folder: Path, davis: Path | None, sequences: int, frames: int, most: int) -> tuple[Path, Path]:
    """Annotations and predictions."""
    source = bench_scoring.silhouettes(davis, frames)
    for number in range(sequences):
        objects = number % most + 1
        stack = bench_scoring.compose([next(source) for _ in range(objects)])
        if objects > 1:
            early = stack[: frames // 3]
            early[early == objects] = 0
        for index, ids in enumerate(IDS[stack]):
            path = Path(f"sequence-{number}") / f"{index:05d}.png"
            write_mask(folder / "annotations" / path, ids)
            write_mask(folder / "predictions" / path, bench_scoring.moved(ids, index % 5 - 2, index % 7 - 3))
    return folder / "annotations", folder / "predictions"


def seconds(*command: object) -> tuple[float, str]:
    """Processor time of a whole process and of those that it starts, and what it wrote to stdout."""
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([str(part) for part in command], check=True, text=True, stdout=subprocess.PIPE)
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end.ru_utime - start.ru_utime + end.ru_stime - start.ru_stime, done.stdout


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vos-benchmark", type=Path, required=True, metavar="PYTHON")
    parser.add_argument("--davis-root", type=Path)
    parser.add_argument("--sequences", type=int, default=10)
    parser.add_argument("--frames", type=int, default=72)
    parser.add_argument("--objects", type=int, default=3, choices=(1, 2, 3))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sizes = arguments.sequences, arguments.frames, arguments.objects
        annotations, predictions = write_sequences(folder, arguments.davis_root, *sizes)
        ours = (sys.executable, "-c", OURS, "score", "--annotations", annotations, "--predictions", predictions)
        runs = [
            (*ours, "--out", folder / "scores", "--json"),
            (arguments.vos_benchmark, "-c", THEIRS, annotations, predictions),
        ]
        turns = [[seconds(*run) for run in runs] for _ in range(3)]
        found = json.loads((folder / "scores" / "scores.json").read_text())["objects"]
        theirs = json.loads(turns[0][1][1])
    one, other = np.min([[spent for spent, _ in turn] for turn in turns], axis=0)
    pairs = [([found[name]["J-Mean"], found[name]["F-Mean"]], np.array(theirs[name]) / 100) for name in theirs]
    apart = max(np.abs(np.subtract(*pair)).max() for pair in pairs)
    print(f"{arguments.sequences * arguments.frames} frames, {len(theirs)} objects, one process")
    print(f"ours {one:.2f} s   vos-benchmark {other:.2f} s   ratio {other / one:.1f}")
    print(f"the same objects: {found.keys() == theirs.keys()}; J and F apart by {apart:.1e} at most")


if __name__ == "__main__":
    main()
