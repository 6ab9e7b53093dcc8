"""How fast the scorer is, side by side with the literal reference, in one run.

    python tests/benchmarks/bench_scoring.py [--davis-root DIR] [--frames 40]

The literal reference (tests/scoring/literal.py) is built as the official toolkit is: whole videos as float stacks, one
plane for each object, dilation by OpenCV. Both decode the same PNGs from the disk's cache, on one core; each figure is
the least processor time of several runs in turn. Masks are those of real DAVIS sequences where they are found
($SLOWFAST_VOS_DAVIS or shared/davis16 beside the repository), generated blobs otherwise; predictions are the
annotations moved by a few pixels.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2]), str(HERE.parents[1] / "scoring")]

import cv2  # noqa: E402
import literal  # noqa: E402
import numpy as np  # noqa: E402
from slowfast_vos.scoring import score  # noqa: E402
from slowfast_vos.videos.pngs import read_mask, write_mask  # noqa: E402

SIZE = (480, 854)


def silhouettes(davis: Path | None, count: int) -> Iterator[list[np.ndarray]]:
    """Videos of `count` bool masks [480, 854] of one object each, without end."""
    if davis is not None:
        for folder in itertools.cycle(sorted((davis / "Annotations" / "480p").iterdir())):
            paths = sorted(folder.glob("*.png"))
            video = [read_mask(paths[index % len(paths)]) != 0 for index in range(count)]
            if video[0].shape == SIZE:
                yield video
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    while True:
        centre, radius, wave = rng.uniform(100, 380, 2), rng.uniform(30, 160), rng.integers(3, 9)
        distance, angle = np.hypot(y - centre[0], x - centre[1]), np.arctan2(y - centre[0], x - centre[1])
        yield [distance <= radius * (1 + 0.1 * np.sin(wave * angle + t / 5)) for t in range(count)]


def moved(mask: np.ndarray, down: int, right: int) -> np.ndarray:
    """A mask [H, W] moved; what leaves the frame is gone."""
    return cv2.warpAffine(mask.astype(np.uint8), np.float32([[1, 0, right], [0, 1, down]]), SIZE[::-1], flags=0)


def compose(videos: list[list[np.ndarray]]) -> np.ndarray:
    """Ids [N, H, W] of several objects, each moved to its own place."""
    ids = np.zeros((len(videos[0]), *SIZE), dtype=np.uint8)
    for index, video in enumerate(videos):
        shift = (index * 97 % 200 - 100, index * 211 % 600 - 300) if len(videos) > 1 else (0, 0)
        for frame, mask in zip(ids, video, strict=True):
            frame[moved(mask, *shift) != 0] = index + 1
    return ids


def seconds(run: Callable[[], object]) -> float:
    """Processor time of a run."""
    start = time.process_time()
    run()
    return time.process_time() - start


def compare(title: str, root: Path, results: Path, name: str, year: int, task: str, frames: str) -> None:
    """One line: both times a frame, their ratio, the share of decoding."""
    rules = {"year": year, "task": task, "frames": frames}
    annotations = root / "Annotations" / "480p"
    paths = [path for folder in (annotations, results) for path in sorted((folder / name).glob("*.png"))]
    runs = [
        lambda: score(root, results, sequences=[name], **rules),
        lambda: literal.score(annotations, results, [name], **rules),
        lambda: [read_mask(path) for path in paths],
    ]
    # They take turns, so that a busy machine slows all alike.
    turns = [[seconds(run) for run in runs] for _ in range(5)]
    ours, slow, decoding = np.min(turns, axis=0) / len(paths) * 2000
    print(
        f"{title:44s} literal {slow:7.2f} ms/frame   ours {ours:6.2f} ms/frame   "
        f"ratio {slow / ours:5.1f}   decoding {decoding / ours:4.0%} of ours"
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--davis-root", type=Path, default=os.environ.get("SLOWFAST_VOS_DAVIS"))
    parser.add_argument("--frames", type=int, default=40, help="frames of each sequence against the literal reference")
    arguments = parser.parse_args()
    beside = HERE.parents[3] / "shared" / "davis16"
    davis = Path(arguments.davis_root) if arguments.davis_root else beside if beside.is_dir() else None
    cv2.setNumThreads(1)
    print(f"masks: {davis or 'generated blobs'}, {SIZE[1]}x{SIZE[0]}, one core unless said otherwise")
    with tempfile.TemporaryDirectory() as temporary:
        root, results = Path(temporary) / "davis", Path(temporary) / "results"
        annotations = root / "Annotations" / "480p"
        source = silhouettes(davis, arguments.frames)
        for objects in (1, 2, 3):
            ids = compose([next(source) for _ in range(objects)])
            for index, frame in enumerate(ids):
                path = Path(f"objects-{objects}") / f"{index:05d}.png"
                write_mask(annotations / path, frame)
                write_mask(results / path, moved(frame, index % 5 - 2, index % 7 - 3))
        for objects in (1, 2, 3):
            title = f"2017 semi-supervised, objects: {objects}"
            compare(title, root, results, f"objects-{objects}", 2017, "semi-supervised", "inner")
        title = "2016 unsupervised, indexed annotations"
        compare(title, root, results, "objects-1", 2016, "unsupervised", "inner")
        title = "2017 unsupervised, 3 proposals, 3 objects"
        compare(title, root, results, "objects-3", 2017, "unsupervised", "all")


if __name__ == "__main__":
    main()
