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
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
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
SEMI = {"year": 2017, "task": "semi-supervised", "frames": "inner"}
UNSUPERVISED = {"year": 2017, "task": "unsupervised", "frames": "all"}
SINGLE = {"year": 2016, "task": "unsupervised", "frames": "inner"}


def silhouettes(davis: Path | None, count: int) -> Iterator[list[np.ndarray]]:
    """Videos of `count` bool masks [480, 854] of one object each, without end."""
    if davis is not None:
        folders = sorted(path for path in (davis / "Annotations" / "480p").iterdir() if path.is_dir())
        while True:
            for folder in folders:
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


def write(folder: Path, name: str, ids: np.ndarray, shaken: bool = False) -> None:
    """One sequence as indexed PNGs."""
    for index, frame in enumerate(ids):
        step = (index % 5 - 2, index % 7 - 3) if shaken else (0, 0)
        write_mask(folder / name / f"{index:05d}.png", moved(frame, *step))


def least(runs: Sequence[Callable[[], object]], turns: int) -> list[float]:
    """Least seconds of each of several runs, which take turns, so that a busy machine slows all alike."""
    best = [float("inf")] * len(runs)
    for _ in range(turns):
        for index, run in enumerate(runs):
            start = time.process_time()
            run()
            best[index] = min(best[index], time.process_time() - start)
    return best


def compare(title: str, root: Path, results: Path, name: str, rules: dict) -> None:
    """One line: both times a frame, their ratio, the share of decoding."""
    annotations = root / "Annotations" / "480p"
    paths = [path for folder in (annotations, results) for path in sorted((folder / name).glob("*.png"))]
    runs = [
        lambda: score(root, results, sequences=[name], **rules),
        lambda: literal.score(annotations, results, [name], **rules),
        lambda: [read_mask(path) for path in paths],
    ]
    ours, slow, decoding = (seconds / len(paths) * 2000 for seconds in least(runs, 5))
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
            write(annotations, f"objects-{objects}", ids)
            write(results, f"objects-{objects}", ids, shaken=True)
        for objects in (1, 2, 3):
            compare(f"2017 semi-supervised, objects: {objects}", root, results, f"objects-{objects}", SEMI)
        compare("2016 unsupervised, indexed annotations", root, results, "objects-1", SINGLE)
        compare("2017 unsupervised, 3 proposals, 3 objects", root, results, "objects-3", UNSUPERVISED)


if __name__ == "__main__":
    main()
