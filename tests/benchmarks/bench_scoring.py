"""How fast the scorer is, side by side with the literal reference, in one run.

    python tests/benchmarks/bench_scoring.py [--davis-root DIR] [--frames 40]

The literal reference (tests/scoring/literal.py) is built as the official toolkit is: whole videos as float stacks, one
plane for each object, dilation by OpenCV. Both decode the same PNGs from the disk's cache, on one core; each figure is
the least processor time of several runs in turn, but for the comparison of processes, which is wall time. Masks are
those of real DAVIS sequences where they are found ($SLOWFAST_VOS_DAVIS or shared/davis16 beside the repository),
generated blobs otherwise; predictions are the annotations moved by a few pixels.
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
from slowfast_vos.scoring import frames as scoring_frames  # noqa: E402
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
        centre, radii, speed = rng.uniform(100, 380, 2), rng.uniform(30, 160, 2), rng.uniform(-3, 3, 2)
        angle, wave = np.arctan2(y - centre[0], x - centre[1]), rng.integers(3, 9)
        yield [
            ((y - centre[0] - t * speed[0]) / radii[0]) ** 2 + ((x - centre[1] - t * speed[1]) / radii[1]) ** 2
            <= 1 + 0.2 * np.sin(wave * angle + t / 5)
            for t in range(count)
        ]


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


def seconds(run: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of one run."""
    start = clock()
    run()
    return clock() - start


def least(
    runs: Sequence[Callable[[], object]], turns: int, clock: Callable[[], float] = time.process_time
) -> list[float]:
    """Least seconds of each of several runs.

    They take turns, so that a busy machine slows all alike; in each turn a short run is repeated for about as long as
    the longest one takes, so that each has the same chance of an undisturbed moment.
    """
    best = [seconds(run, clock) for run in runs]
    repeats = [max(1, min(20, round(max(best) / taken))) for taken in best]
    for _ in range(turns):
        best = [
            min(least_yet, *(seconds(run, clock) for _ in range(count)))
            for run, count, least_yet in zip(runs, repeats, best, strict=True)
        ]
    return best


def decoding_share(run: Callable[[], object], repeats: int) -> float:
    """Share of the least run that was spent in reading PNGs."""
    original, spent, best = scoring_frames.read_mask, [0.0], (float("inf"), 0.0)

    def timed(path: str) -> np.ndarray:
        start = time.process_time()
        mask = original(path)
        spent[0] += time.process_time() - start
        return mask

    scoring_frames.read_mask = timed  # type: ignore[assignment]
    try:
        for _ in range(repeats):
            spent[0] = 0.0
            total = seconds(run)
            best = min(best, (total, spent[0] / total))
    finally:
        scoring_frames.read_mask = original
    return best[1]


def compare(title: str, root: Path, results: Path, names: list[str], frames: int, rules: dict) -> None:
    """One line: both times a frame, their ratio, the share of decoding."""
    folder = root / "Annotations" / "480p"

    def ours() -> object:
        return score(root, results, sequences=names, **rules)

    fast, slow = least([ours, lambda: literal.score(folder, results, names, **rules)], 4)
    share = decoding_share(ours, 5)
    count = frames * len(names)
    print(
        f"{title:44s} literal {slow / count * 1e3:7.2f} ms/frame   ours {fast / count * 1e3:6.2f} ms/frame   "
        f"ratio {slow / fast:5.1f}   decoding {share:4.0%} of ours"
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--davis-root", type=Path, default=os.environ.get("SLOWFAST_VOS_DAVIS"))
    parser.add_argument("--frames", type=int, default=40, help="frames of each sequence against the literal reference")
    parser.add_argument("--long", type=int, default=80, help="frames of the sequence with 20 proposals")
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
            title = f"2017 semi-supervised, {objects} object{'s' if objects > 1 else ''}"
            compare(title, root, results, [f"objects-{objects}"], arguments.frames, SEMI)
        compare("2016 unsupervised, indexed annotations", root, results, ["objects-1"], arguments.frames, SINGLE)
        if davis is not None:
            name = sorted(path.name for path in (davis / "Annotations" / "480p").iterdir())[1]
            folder = davis / "Annotations" / "480p" / name
            stack = np.stack([read_mask(path) for path in sorted(folder.glob("*.png"))])
            write(results, name, stack != 0, shaken=True)
            compare(f"2016 unsupervised, {name} as it is", davis, results, [name], len(stack), SINGLE)
        compare(
            "2017 unsupervised, 3 proposals, 3 objects", root, results, ["objects-3"], arguments.frames, UNSUPERVISED
        )

        many = [f"many-{index}" for index in range(24)]
        for index, name in enumerate(many):
            for folder in (annotations, results):
                (folder / name).symlink_to(folder / f"objects-{index % 3 + 1}")
        runs = [lambda n=n: score(root, results, sequences=many, processes=n, **SEMI) for n in (1, 2)]
        one, two = least(runs, 5, time.perf_counter)
        print(f"{len(many)} sequences: 1 process {one:.2f} s, 2 processes {two:.2f} s, ratio {one / two:.2f}")

        source = silhouettes(davis, arguments.long)
        write(annotations, "proposals", compose([next(source) for _ in range(4)]))
        write(results, "proposals", compose([next(source) for _ in range(20)]))
        [taken] = least([lambda: score(root, results, sequences=["proposals"], **UNSUPERVISED)], 3)
        print(f"2017 unsupervised, 20 proposals, 4 objects, {arguments.long} frames: {taken:.2f} s")


if __name__ == "__main__":
    main()
