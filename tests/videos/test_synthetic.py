"""The generated dataset: its files, its promises, and that the object is what moves."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from slowfast_vos.errors import UserError
from slowfast_vos.videos.pngs import read_mask
from slowfast_vos.videos.synthetic import (
    TRAIN_NAMES,
    VAL_NAMES,
    attributes_of,
    make_scene,
    sequence_names,
    synthesize,
)
from slowfast_vos.videos.synthetic_render import render
from slowfast_vos.videos.synthetic_scenes import Scene
from slowfast_vos.videos.synthetic_tracks import View, camera_path

SMALL = {"frames": 24, "height": 96, "width": 160}
TINY = {"train": 2, "val": 1, "frames": 6, "height": 96, "width": 160}
SCALE = 96 / 240
SEQUENCES = [("train", name) for name in TRAIN_NAMES] + [("val", name) for name in VAL_NAMES]


def hashes(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny")
    synthesize(root, **TINY)
    return root


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    synthesize(root, **SMALL)
    return root


@pytest.fixture(scope="module")
def scenes() -> dict[str, Scene]:
    return {name: make_scene(split, name, seed=63, **SMALL) for split, name in SEQUENCES}


def masks(root: Path, name: str) -> list[np.ndarray]:
    return [read_mask(path) for path in sorted((root / "Annotations/480p" / name).glob("*.png"))]


def info(root: Path) -> dict[str, dict]:
    listed = yaml.safe_load((root / "Annotations/db_info.yml").read_text())
    return {sequence["name"]: sequence for sequence in listed["sequences"]}


def test_the_same_arguments_give_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    synthesize(tmp_path, **TINY)
    assert hashes(tmp_path) == hashes(tiny)


def test_writing_again_changes_nothing_and_a_shorter_run_leaves_no_frames_behind(tiny: Path, tmp_path: Path) -> None:
    synthesize(tmp_path, **{**TINY, "frames": 8})
    synthesize(tmp_path, **TINY)
    assert hashes(tmp_path) == hashes(tiny)


def test_a_sequence_depends_on_its_own_identity_alone(tiny: Path, tmp_path: Path) -> None:
    synthesize(tmp_path, **{**TINY, "train": 1, "val": 2})
    ours, theirs = hashes(tmp_path), hashes(tiny)
    shared = [path for path in ours if path in theirs and path.endswith((".jpg", ".png"))]
    assert {Path(path).parent.name for path in shared} == {TRAIN_NAMES[0], VAL_NAMES[0]}
    assert all(ours[path] == theirs[path] for path in shared)


def test_another_seed_gives_another_video() -> None:
    first, second = (
        next(render(make_scene("val", VAL_NAMES[0], seed=seed, frames=2, height=96, width=160))) for seed in (1, 2)
    )
    assert (first.image != second.image).mean() > 0.5


def test_layout_and_split_files(tiny: Path) -> None:
    train, val = list(TRAIN_NAMES[:2]), list(VAL_NAMES[:1])
    for split, names in {"train": train, "val": val, "trainval": train + val}.items():
        for year in ("2016", "2017"):
            assert (tiny / f"ImageSets/{year}/{split}.txt").read_text().split() == names
        pairs = [line.split() for line in (tiny / f"ImageSets/480p/{split}.txt").read_text().splitlines()]
        assert len(pairs) == 6 * len(names)
        for frame, mask in pairs:
            assert frame.startswith("/JPEGImages/480p/")
            assert mask.startswith("/Annotations/480p/")
            image = cv2.imread(str(tiny / frame[1:]))
            assert image.shape == (96, 160, 3)
            assert read_mask(tiny / mask[1:]).shape == (96, 160)
    assert "CC0" in (tiny / "README.txt").read_text()
    assert "seed 63" in (tiny / "README.txt").read_text()


def test_sequences_beyond_the_list_are_named_and_numbered() -> None:
    names = sequence_names("train", 40)
    assert names[: len(TRAIN_NAMES)] == list(TRAIN_NAMES)
    assert names[12].endswith("-12")
    assert len(set(names)) == len(names)
    scene = make_scene("train", names[-1], seed=63, frames=2, height=96, width=160)
    family, _, ground = names[-1].rpartition("-")[0].partition("-on-")
    assert scene.recipe.species[0].family == family
    assert scene.recipe.ground[0] == ground


def test_the_first_frame_shows_every_object_and_ids_are_as_in_davis(whole: Path, scenes: dict[str, Scene]) -> None:
    for split, name in SEQUENCES:
        numbers = [actor.number for actor in scenes[name].objects]
        assert numbers == list(range(1, len(numbers) + 1))
        assert split == "train" or numbers == [1]
        found = masks(whole, name)
        counts = np.bincount(found[0].ravel(), minlength=len(numbers) + 1)[1:]
        assert (counts >= 500 * SCALE**2).all(), name
        assert set(np.unique(np.stack(found))) <= {0, *numbers}


def test_only_what_moves_is_annotated(scenes: dict[str, Scene]) -> None:
    for split, name in SEQUENCES:
        scene = scenes[name]
        for actor in scene.actors:
            assert (actor.number > 0) == (actor.role == "object")
            if actor.role == "look-alike":
                assert actor.track.steps.max() == 0
                assert actor.species == scene.objects[0].species
            else:
                assert actor.track.steps.min() >= 4 * SCALE, name
        assert split == "val" or not any(actor.role == "passer-by" for actor in scene.actors)


def test_no_mask_covers_a_look_alike_that_stands_alone(whole: Path, scenes: dict[str, Scene]) -> None:
    scene = scenes["moth-among-twins"]
    for t, ids in enumerate(masks(whole, scene.name)):
        for actor in scene.actors:
            x, y = scene.seen(actor)[t].round().astype(int)
            others = [scene.seen(a)[t] for a in scene.actors if a is not actor]
            alone = min(np.linalg.norm(scene.seen(actor)[t] - place) for place in others) > 40
            if alone and 0 <= x < 160 and 0 <= y < 96:
                assert ids[y, x] == actor.number


def test_most_sequences_have_look_alikes_and_none_of_those_is_blurred(scenes: dict[str, Scene]) -> None:
    with_twins = {
        split: [n for s, n in SEQUENCES if s == split and scenes[n].recipe.twins] for split in ("train", "val")
    }
    assert len(with_twins["train"]) >= 9
    assert len(with_twins["val"]) >= 5
    assert not any(scenes[name].recipe.blur for names in with_twins.values() for name in names)


def test_attributes_are_listed_true_and_varied(whole: Path, scenes: dict[str, Scene]) -> None:
    listed = info(whole)
    assert list(listed) == [name for _, name in SEQUENCES]
    for split, name in SEQUENCES:
        entry, scene = listed[name], scenes[name]
        assert entry["set"] == {"train": "training", "val": "test"}[split]
        assert entry["num_frames"] == 24
        assert entry["attributes"] == attributes_of(scene, list(render(scene)))
        assert ("LA" in entry["attributes"]) == any(actor.role == "look-alike" for actor in scene.actors)
    shown = set().union(*(listed[name]["attributes"] for name in VAL_NAMES))
    assert {"OCC", "SV", "FM", "BC", "OV", "DEF", "LA", "DB"} <= shown


def test_an_object_leaves_and_returns(whole: Path) -> None:
    present = np.array([ids.any() for ids in masks(whole, "ray-leaves-and-returns")])
    assert (~present).sum() >= 3
    assert present[0]
    assert present[-1]


def test_masks_follow_the_visible_contour(scenes: dict[str, Scene]) -> None:
    """Without anything in front, a mask's area is the sprite's: bending and turning keep areas."""
    scene = scenes["puck-that-darts"]
    actor = scene.objects[0]
    for picture in render(scene):
        if picture.inside[0] == picture.whole[0]:
            assert picture.visible[0] == pytest.approx(actor.sprite.area, rel=0.04)
            assert picture.visible[0] == (picture.ids == 1).sum()


def test_motion_tells_the_object_from_its_look_alikes(scenes: dict[str, Scene]) -> None:
    """Differences of three frames, aligned by the camera's path, are largest on the object in nearly every frame."""
    right = []
    for scene in scenes.values():
        if scene.recipe.twins == 0 or scene.recipe.objects > 1:
            continue
        steady = [aligned(picture.image, scene.view, t) for t, picture in enumerate(render(scene))]
        for t in range(1, scene.frames - 1):
            change = np.maximum(np.abs(steady[t] - steady[t - 1]), np.abs(steady[t + 1] - steady[t]))
            change = cv2.blur(change, (9, 9))
            places = {actor.role: [] for actor in scene.actors}
            for actor in scene.actors:
                x, y = actor.track.place[t].round().astype(int)
                seen_x, seen_y = scene.seen(actor)[t]
                if 8 <= seen_x < 152 and 8 <= seen_y < 88 and 6 <= x < 154 and 6 <= y < 90:
                    places[actor.role].append(change[y - 6 : y + 6, x - 6 : x + 6].mean())
            if places["object"] and places["look-alike"]:
                right.append(max(places["object"]) > max(places["look-alike"]))
    assert len(right) > 100
    assert np.mean(right) > 0.9


def aligned(image: np.ndarray, view: View, t: int) -> np.ndarray:
    """A grey frame moved back to world coordinates, [H, W] float32."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    matrix = np.array([[1, 0, view.camera[t, 0]], [0, 1, view.camera[t, 1]]])
    return cv2.warpAffine(grey, matrix, (view.width, view.height), flags=cv2.INTER_CUBIC)


@pytest.mark.parametrize("shake", [False, True])
def test_the_camera_is_gentle(shake: bool) -> None:
    for seed in range(20):
        path = camera_path(np.random.default_rng(seed), 200, 1.0, shake)
        assert np.abs(path).max() <= 46
        assert np.median(np.linalg.norm(np.diff(path, axis=0), axis=1)) < 2.5


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    synthesize(tmp_path, **{**TINY, "frames": 2}, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", -1), ("train", 0), ("val", 0), ("frames", 1), ("height", 32), ("width", 64), ("frames", 2.5)],
)
def test_a_value_out_of_range_is_named(tmp_path: Path, name: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"{name}: found {value}, expected"):
        synthesize(tmp_path, **{**TINY, name: value})
    assert not any(tmp_path.iterdir())


def test_another_dataset_is_not_overwritten(tmp_path: Path) -> None:
    listing = tmp_path / "ImageSets/2016/val.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("blackswan\n")
    with pytest.raises(UserError, match="another dataset"):
        synthesize(tmp_path, **TINY)
    assert listing.read_text() == "blackswan\n"
