"""The generated dataset: its files, its bytes, what it refuses, and that the object is what moves."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import yaml
from slowfast_vos.errors import UserError
from slowfast_vos.generated import sequence_names, synthesize
from slowfast_vos.generated.rendering import attributes_of, render
from slowfast_vos.generated.scenes import CREEP, JERK, PAUSE, TRAIN, VAL, Scene, sequences
from slowfast_vos.videos.pngs import read_mask


class Shown(NamedTuple):
    """A scene, and all of its rendered frames [T, H, W, 3], masks [T, H, W] and areas [T, 3, K]."""

    scene: Scene
    images: np.ndarray
    ids: np.ndarray
    areas: np.ndarray


SMALL = {"frames": 24, "height": 96, "width": 160}
TINY = {"train": 2, "val": 1, "frames": 6, "height": 96, "width": 160}
SCALE = 96 / 240
RECIPES = {**TRAIN, **VAL}


def hashes(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny")
    synthesize(root, **TINY)
    return root


@pytest.fixture(scope="module")
def videos() -> dict[str, Shown]:
    scenes = {
        name: Scene("train" if name in TRAIN else "val", name, RECIPES[name], seed=63, **SMALL) for name in RECIPES
    }
    return {name: Shown(scene, *map(np.stack, zip(*render(scene), strict=True))) for name, scene in scenes.items()}


@pytest.mark.parametrize("processes", [1, 2])
def test_the_same_arguments_give_the_same_bytes(tiny: Path, tmp_path: Path, processes: int) -> None:
    synthesize(tmp_path, **{**TINY, "frames": 8})  # a shorter run leaves none of its frames behind
    done: list[tuple[int, int]] = []
    synthesize(tmp_path, **TINY, processes=processes, progress=lambda *numbers: done.append(numbers))
    assert hashes(tmp_path) == hashes(tiny)
    assert done == [(1, 3), (2, 3), (3, 3)]


def test_a_sequence_depends_on_its_own_identity_alone(tiny: Path, tmp_path: Path) -> None:
    synthesize(tmp_path, **{**TINY, "train": 1, "val": 2})
    found, expected = hashes(tmp_path), hashes(tiny)
    shared = [path for path in found if path in expected and path.endswith((".jpg", ".png"))]
    assert {Path(path).parent.name for path in shared} == {next(iter(TRAIN)), next(iter(VAL))}
    assert all(found[path] == expected[path] for path in shared)


def test_layout_and_split_files(tiny: Path) -> None:
    train, val = list(TRAIN)[:2], list(VAL)[:1]
    for split, names in {"train": train, "val": val, "trainval": train + val}.items():
        for year in ("2016", "2017"):
            assert (tiny / f"ImageSets/{year}/{split}.txt").read_text().split() == names
        pairs = [line.split() for line in (tiny / f"ImageSets/480p/{split}.txt").read_text().splitlines()]
        assert len(pairs) == 6 * len(names)
        for frame, mask in pairs:
            assert frame.startswith("/JPEGImages/480p/")
            assert mask.startswith("/Annotations/480p/")
            assert cv2.imread(str(tiny / frame[1:])).shape == (96, 160, 3)
            assert read_mask(tiny / mask[1:]).shape == (96, 160)
    assert "CC0" in (tiny / "README.txt").read_text()
    assert "seed 63" in (tiny / "README.txt").read_text()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("seed", -1), ("train", 0), ("val", 0), ("frames", 1), ("height", 32), ("width", 64), ("processes", 0)],
        *[(name, 10**30) for name in ("seed", "train", "val", "frames", "height", "width", "processes")],
    ],
)
def test_a_value_out_of_range_is_named(tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(UserError, match=rf"{name}: found {value}; expected"):
        synthesize(tmp_path, **{**TINY, name: value})
    assert not any(tmp_path.iterdir())


def test_another_dataset_is_not_overwritten(tmp_path: Path) -> None:
    listing = tmp_path / "ImageSets/2016/val.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("blackswan\n")
    with pytest.raises(UserError, match="found another dataset; expected"):
        synthesize(tmp_path, **TINY)
    assert listing.read_text() == "blackswan\n"


@pytest.mark.parametrize(("pattern", "count"), [("README.txt", 1), ("JPEGImages/480p/*", 2), ("JPEGImages/480p/*", 5)])
def test_ctrl_c_stops_all_processes_without_a_traceback(tmp_path: Path, pattern: str, count: int) -> None:
    # Whoever runs the tests in the background has SIGINT ignored.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from slowfast_vos.cli import app; app()"
    command = [sys.executable, "-c", code, "synthesize", "--root", str(tmp_path)]
    run = subprocess.Popen([*command, "--processes", "2"], stderr=subprocess.PIPE, text=True, start_new_session=True)
    while len(list(tmp_path.glob(pattern))) < count:  # both processes start or draw
        assert run.poll() is None
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in errors


def test_the_files_hold_what_the_scenes_show(tmp_path: Path, videos: dict[str, Shown]) -> None:
    synthesize(tmp_path, **SMALL, train=len(TRAIN), val=len(VAL))
    listed = yaml.safe_load((tmp_path / "Annotations/db_info.yml").read_text())["sequences"]
    assert [entry["name"] for entry in listed] == list(RECIPES)
    for entry in listed:
        name = entry["name"]
        assert entry["attributes"] == attributes_of(videos[name].scene, videos[name].areas), name
        assert ("LA" in entry["attributes"]) == (RECIPES[name].distractors > 0)
        assert entry["set"] == ("training" if name in TRAIN else "test")
        assert entry["num_frames"] == 24
        masks = [read_mask(path) for path in sorted((tmp_path / "Annotations/480p" / name).glob("*.png"))]
        assert np.array_equal(masks, videos[name].ids)
    shown = set().union(*(entry["attributes"] for entry in listed if entry["name"] in VAL))
    assert {"OCC", "SV", "FM", "BC", "OV", "DEF", "LA", "DB", "IM"} <= shown


def test_sequences_beyond_the_recipes_are_named_and_numbered() -> None:
    names = sequence_names("train", 40)
    assert names[: len(TRAIN)] == list(TRAIN)
    assert names[len(TRAIN)].endswith(f"-{len(TRAIN)}")
    assert len(set(names)) == len(names) == 40
    recipe = sequences("train", 40)[names[-1]]
    family, _, ground = names[-1].rpartition("-")[0].partition("-on-")
    scene = Scene("train", names[-1], recipe, seed=63, frames=2, height=96, width=160)
    assert (scene.looks[0].split()[0], recipe.ground) == (family, ground)


def test_the_first_frame_shows_every_object_and_ids_are_as_in_davis(videos: dict[str, Shown]) -> None:
    for name, recipe in RECIPES.items():
        assert name in TRAIN or recipe.objects == 1
        counts = np.bincount(videos[name].ids[0].ravel(), minlength=recipe.objects + 1)[1:]
        assert (counts >= 500 * SCALE**2).all(), name
        assert set(np.unique(videos[name].ids)) <= set(range(recipe.objects + 1))
        visible = [(videos[name].ids == thing + 1).sum((1, 2)) for thing in range(recipe.objects)]
        assert np.array_equal(videos[name].areas[:, 2].T, visible)


def test_objects_and_passers_move_and_distractors_stand_still(videos: dict[str, Shown]) -> None:
    for name, recipe in RECIPES.items():
        looks, tracks = videos[name].scene.looks, videos[name].scene.tracks
        assert len(looks) == recipe.objects + recipe.distractors + bool(recipe.passer)
        steps = np.linalg.norm(np.diff(tracks[..., :2], axis=1), axis=-1)  # [N, T - 1]
        for thing in range(len(looks)):
            if recipe.objects <= thing < recipe.objects + recipe.distractors:
                assert np.ptp(tracks[thing], axis=0).max() == 0
                assert looks[thing] == looks[0]
            elif recipe.motion.rests:
                resting = (steps[thing] == 0).mean()
                assert 0.4 < resting < 0.85, name
                assert steps[thing].max() >= 4 * SCALE, name
            else:
                assert steps[thing].min() >= (3 if recipe.motion == CREEP else 4) * SCALE, name
        assert not recipe.passer or (name in VAL and looks[-1] == recipe.passer)
        assert not (recipe.blur and recipe.distractors)


def test_no_mask_covers_a_distractor_that_stands_alone(videos: dict[str, Shown]) -> None:
    seen, checked = videos["moth-among-twins"].scene.seen, 0
    for t, ids in enumerate(videos["moth-among-twins"].ids):
        for thing, place in enumerate(seen[:, t]):
            x, y = place.round().astype(int)
            others = np.delete(seen[:, t], thing, axis=0)
            if np.linalg.norm(others - place, axis=1).min() > 40 and 0 <= x < 160 and 0 <= y < 96:
                assert ids[y, x] == (1 if thing == 0 else 0)
                checked += thing > 0
    assert checked > 0


def test_an_object_leaves_and_returns(videos: dict[str, Shown]) -> None:
    present = videos["ray-leaves-and-returns"].ids.any((1, 2))
    assert (~present).sum() >= 3
    assert present[[0, -1]].all()


def test_motion_tells_the_object_from_its_distractors(videos: dict[str, Shown]) -> None:
    """Differences of three frames, aligned by the camera's path, are largest on the object in nearly every frame."""
    steady = {name: video for name, video in videos.items() if "IM" not in attributes_of(video.scene, video.areas)}
    right = found_by_motion(steady, 1)
    assert len(right) > 100
    assert np.mean(right) > 0.9


def test_three_frames_do_not_suffice_for_interrupted_motion_and_seven_do(videos: dict[str, Shown]) -> None:
    interrupted = {name: videos[name] for name, recipe in RECIPES.items() if recipe.motion in (PAUSE, JERK)}
    assert len(interrupted) == 7
    assert np.mean(found_by_motion(interrupted, 1)) < 0.75 < 0.9 < np.mean(found_by_motion(interrupted, 3))


def test_validation_has_enough_of_each_kind() -> None:
    kinds = {name: (recipe.distractors > 0, recipe.motion in (PAUSE, JERK, CREEP)) for name, recipe in VAL.items()}
    assert Counter(like for like, _ in list(kinds.values())[:16]) == {True: 8, False: 8}
    assert Counter(kinds.values()) == {(True, True): 6, (True, False): 6, (False, False): 8}


def found_by_motion(videos: dict[str, Shown], reach: int) -> list[bool]:
    """Whether the largest change within `reach` frames of one is on the object, for each frame and video."""
    right = []
    for video in videos.values():
        scene = video.scene
        if scene.recipe.distractors == 0 or scene.recipe.objects > 1:
            continue
        steady = [aligned(image, scene, t) for t, image in enumerate(video.images)]
        for t in range(reach, SMALL["frames"] - reach):
            near = [steady[t + k] for k in range(-reach, reach + 1) if k]
            change = cv2.blur(np.max([np.abs(steady[t] - other) for other in near], axis=0), (9, 9))
            changes = {}
            for thing in range(1 + scene.recipe.distractors):
                x, y = scene.tracks[thing, t, :2].round().astype(int)
                seen_x, seen_y = scene.seen[thing, t]
                if 8 <= seen_x < 152 and 8 <= seen_y < 88 and 6 <= x < 154 and 6 <= y < 90:
                    changes[thing] = change[y - 6 : y + 6, x - 6 : x + 6].mean()
            if 0 in changes and len(changes) > 1:
                right.append(max(changes, key=changes.__getitem__) == 0)
    return right


def aligned(image: np.ndarray, scene: Scene, t: int) -> np.ndarray:
    """A grey frame moved back to world coordinates, [H, W] float32."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    matrix = np.array([[1, 0, scene.camera[t, 0]], [0, 1, scene.camera[t, 1]]])
    return cv2.warpAffine(grey, matrix, (scene.width, scene.height), flags=cv2.INTER_CUBIC)
