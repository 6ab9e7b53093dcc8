"""Any video, segmented with a parent's checkpoint: masks, and on request its instances and an overlay."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path

import numpy as np
from torch import Tensor

from slowfast_vos.config import parse_settings
from slowfast_vos.errors import UserError
from slowfast_vos.files import atomic_folder
from slowfast_vos.jobs.job import Job
from slowfast_vos.model.checkpoints import read_checkpoint
from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
from slowfast_vos.model.streaming import Detection, detect, foreground, instances
from slowfast_vos.progress import ProgressCallback
from slowfast_vos.videos.clips import FOLDER_RATE, Clip, open_source
from slowfast_vos.videos.davis import Video, open_picture
from slowfast_vos.videos.overlay import overlay_video
from slowfast_vos.videos.pngs import write_mask

TABLE = "detections.csv"
COLUMNS = ("frame", "id", "label", "score", "xmin", "ymin", "xmax", "ymax", "pixels")
EXPECTED = "expected another {}, since masks would replace what is there"


def segment_video(
    checkpoint: Path,
    source: Path,
    out: Path,
    device: str,
    *,
    with_instances: Path | None = None,
    overlay: Path | None = None,
    progress: ProgressCallback = lambda *_: None,
) -> Path:
    """Segment a video file or a folder of frames with the network that a parent's checkpoint holds.

    Every output is whole or absent: what an earlier call left stays until this one has ended. Memory does not grow with
    the video's length.

    Args:
        out: gets the masks as `out/VIDEO/FRAME.png`.
        with_instances: gets `VIDEO/FRAME.png`, whose values are ids, and `VIDEO/detections.csv`, a row for each
            detection (`COLUMNS`). An id counts a frame's detections from the best score; it is no track.
        overlay: a new MP4 file of the masks over the frames.

    Raises:
        UserError: the checkpoint is not a network's, the source is no whole video, or an output would replace anything
            but what this wrote.
    """
    video = open_source(source)
    places = {"--out": out / video.name}
    if with_instances is not None:
        places["--instances"] = with_instances / video.name
    _check_places(places, source, overlay)
    model = load_parent(checkpoint, device)
    with ExitStack() as stack:
        # A link in a folder's place stays.
        masks = stack.enter_context(atomic_folder(places["--out"].resolve()))
        add = stack.enter_context(_instances(places["--instances"].resolve())) if with_instances else None
        rate = video.rate if isinstance(video, Clip) else FOLDER_RATE
        draw = stack.enter_context(overlay_video(overlay, rate)) if overlay else None
        for stem, frame, detection in _follow(model, video, progress):
            mask = foreground(detection).numpy().astype(np.uint8)
            write_mask(masks / f"{stem}.png", mask)
            if add:
                add(stem, detection)
            if draw:
                draw(frame.mul(255).round().byte().permute(1, 2, 0).numpy(), mask)
    return places["--out"]


def load_parent(checkpoint: str | PathLike[str], device: str = "auto") -> SlowFastMaskRCNN:
    """The network of a parent's checkpoint, in evaluation mode, on a `device` of `auto`, `cpu` or `cuda`.

    Raises:
        UserError: the file is missing or no parent's, or there is no such device.
    """
    _, about = read_checkpoint(checkpoint)
    for key, kind in {"setup": str, "seed": int, "settings": dict}.items():
        if not isinstance(about.get(key), kind):
            raise UserError(f"{checkpoint}: found no {key} in its header; expected the checkpoint of a parent")
    job = Job(parse_settings(about["settings"] | {"device": device}, str(checkpoint)), about["seed"])
    return job.parent(about["setup"], Path(checkpoint))


def _follow(
    model: SlowFastMaskRCNN, video: Video | Clip, progress: ProgressCallback
) -> Iterator[tuple[str, Tensor, Detection]]:
    """Each frame's name, the frame, and what is detected in it; frames are held until their detections are there."""
    waiting: deque[Tensor] = deque()

    def frames() -> Iterator[Tensor]:
        # While a GPU works, the next chunk's frames are read; on a CPU both would take turns on the same cores.
        for frame in video.iterate(0 if next(model.parameters()).device.type == "cpu" else model.chunk_length):
            waiting.append(frame)
            yield frame

    total = video.length if isinstance(video, Clip) else len(video)
    what, done = f"segmenting {video.name}", 0
    progress(what, done, total)
    for stem, detection in zip(video.stems(), detect(model, frames()), strict=False):
        yield stem, waiting.popleft(), detection
        done += 1
        progress(what, done, total)
    progress(what, done, done)  # a file may announce other than it has


@contextmanager
def _instances(folder: Path) -> Iterator[Callable[[str, Detection], None]]:
    """Write a video's instances into `folder`; yields a function that adds those of a frame."""
    with atomic_folder(folder) as temporary, open(temporary / TABLE, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)

        def add(stem: str, detection: Detection) -> None:
            order = detection.scores.argsort(descending=True, stable=True)
            boxes, labels, scores, masks = (values[order] for values in detection[:4])
            ids = instances(Detection(boxes, labels, scores, masks, detection.size)).numpy()
            write_mask(temporary / f"{stem}.png", ids)
            pixels = np.bincount(ids.ravel(), minlength=len(scores) + 1).tolist()
            rows = zip(labels.tolist(), scores.tolist(), boxes.tolist(), strict=True)
            for number, (label, score, box) in enumerate(rows, start=1):
                corners = (f"{side:.2f}" for side in box)
                table.writerow([stem, number, label, f"{score:.6f}", *corners, pixels[number]])

        yield add


def _check_places(places: Mapping[str, Path], source: Path, overlay: Path | None) -> None:
    """Refuse to write among the frames, into a data set, over what is no mask, or one output into another."""
    for option, shown in places.items():
        place, expected = shown.resolve(), EXPECTED.format(option)
        if place.is_dir() and place.samefile(source):
            raise UserError(f"{shown}: found the frames themselves; {expected}")
        if any((parent / "ImageSets").is_dir() for parent in place.parents):
            raise UserError(f"{shown}: found a place inside a DAVIS tree; {expected}")
        if place.exists() and not place.is_dir():
            raise UserError(f"{shown}: found a file; expected a folder for masks")
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            if problem := _foreign(path):
                raise UserError(f"{shown / path.name}: {problem}; {expected}")
    resolved = {place.resolve() for place in places.values()}
    if len(resolved) < len(places):
        raise UserError(f"{places['--out']}: found it as --out and as --instances; expected two places")
    if overlay is None:
        return
    if overlay.suffix.lower() != ".mp4":
        raise UserError(f"{overlay}: found suffix {overlay.suffix!r}; expected a name that ends in .mp4")
    if overlay.exists() or overlay.is_symlink():
        what = "the video itself" if overlay.exists() and overlay.samefile(source) else "something there already"
        raise UserError(f"{overlay}: found {what}; expected a new file for the overlay, since none is replaced")
    if any(overlay.resolve().is_relative_to(place) for place in resolved):
        raise UserError(f"{overlay}: found a place among the masks; expected another for the overlay")


def _foreign(path: Path) -> str:
    """What is wrong with a file that goes when a folder of masks is replaced; "" if `segment_video` wrote it."""
    if path.name == TABLE and path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            return "" if file.readline().rstrip("\n") == ",".join(COLUMNS) else "found another table"
    if path.suffix != ".png" or not path.is_file():
        return "found what is no mask"
    with open_picture(path) as image:
        return "" if image.mode == "P" else "found a picture that is no mask"
