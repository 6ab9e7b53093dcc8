"""Scores of any two folders: which frames of which objects count, by hand-made masks and a literal reference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import literal
import numpy as np
import pytest
from folders import perturbed, random_stack, save, write_bars, write_dataset, write_masks
from slowfast_vos.scoring import Scores, score, score_folders

if TYPE_CHECKING:
    pass

RULES = ("inner", "all", "after-first")


def of_bars(folder: Path, annotations: dict, predictions: dict, **rules: Any) -> Scores:
    return score_folders(
        write_bars(folder / "annotations", annotations), write_bars(folder / "results", predictions), **rules
    )


def values(scores: Scores) -> dict[str, dict[str, float]]:
    """J by object and frame, as far as it counts."""
    return {
        name: dict(zip(frames, region.tolist(), strict=True))
        for sequence in scores.sequences
        for name, frames, region, _ in sequence.objects()
    }


A, B, HALF = (0, 10), (20, 30), (20, 25)
# Frames 0, 5, … are annotated. Object 7 appears in the third of them, and is gone in the fourth.
LATER = {0: {2: A}, 5: {2: A}, 10: {2: A, 7: B}, 15: {2: A}, 20: {2: A, 7: B}}
FOUND = {number: {2: A} | ({7: HALF} if number >= 10 else {}) for number in range(1, 21)} | {0: {}}


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ("all", {"bars_2": {0: 0, 5: 1, 10: 1, 15: 1, 20: 1}, "bars_7": {10: 0.5, 15: 0, 20: 0.5}}),
        ("inner", {"bars_2": {5: 1, 10: 1, 15: 1}, "bars_7": {10: 0.5, 15: 0}}),
        ("after-first", {"bars_2": {5: 1, 10: 1, 15: 1, 20: 1}, "bars_7": {15: 0, 20: 0.5}}),
    ],
)
def test_annotated_frames_count_and_an_object_from_its_first_on(tmp_path: Path, frames: str, expected: dict) -> None:
    scores = of_bars(tmp_path, LATER, FOUND, frames=frames)
    assert values(scores) == {
        name: {f"{number:05d}": value for number, value in of.items()} for name, of in expected.items()
    }
    means = [np.mean(list(of.values())) for of in expected.values()]
    assert scores.global_["J-Mean"] == pytest.approx(np.mean(means), abs=1e-15)
    assert scores.unscored == []


def test_an_object_counts_from_where_it_is_predicted_but_needs_an_annotation_that_is_scored(tmp_path: Path) -> None:
    annotations = {0: {1: A, 9: B}, 1: {1: A}, 2: {1: A, 3: B}, 3: {1: A, 4: B}}
    predictions = {1: {1: A, 3: HALF, 9: (35, 40)}, 2: {1: A, 3: B}}
    scores = of_bars(tmp_path, annotations, predictions)
    assert values(scores) == {"bars_1": {"00001": 1, "00002": 1}, "bars_3": {"00001": 0, "00002": 1}}
    assert scores.unscored == ["bars_4", "bars_9"]  # annotated in the first and the last frame alone
    later = of_bars(tmp_path, annotations, predictions | {3: {1: A}}, frames="after-first")
    assert values(later) == {
        "bars_1": {"00001": 1, "00002": 1, "00003": 1},
        "bars_3": {"00003": 1},
        "bars_9": {"00001": 0, "00002": 1, "00003": 1},
    }
    assert later.unscored == ["bars_4"]


def test_void_counts_neither_as_region_nor_as_boundary_and_16_bits_make_ids(tmp_path: Path) -> None:
    annotations = {number: {1: A, 255: (10, 20), 3: B} for number in range(3)}
    predictions = {number: {1: (0, 20), 3: B} for number in range(3)}
    assert values(of_bars(tmp_path, annotations, predictions, void=255)) == {
        "bars_1": {"00001": 1},
        "bars_3": {"00001": 1},
    }
    one = of_bars(tmp_path, annotations, predictions, void=255, single_object=True)
    assert values(one) == {"bars_1": {"00001": 1}}
    assert one.global_["F-Mean"] == 1


def test_ids_beyond_8_bits(tmp_path: Path) -> None:
    from PIL import Image

    for name, columns in (("annotations", (0, 20)), ("results", (10, 20))):
        (tmp_path / name / "bars").mkdir(parents=True)
        ids = np.zeros((12, 40), dtype=np.uint16)
        ids[:, slice(*columns)] = 300
        ids[:, 30:] = 44  # 300 % 256
        Image.fromarray(ids).save(tmp_path / name / "bars" / "0.png")
    scores = score_folders(tmp_path / "annotations", tmp_path / "results", frames="all")
    assert values(scores) == {"bars_44": {"0": 1.0}, "bars_300": {"0": 0.5}}


def test_a_folder_for_each_object_is_a_sequence_of_its_own(tmp_path: Path) -> None:
    for index, (last, value) in enumerate([(4, 255), (3, 1)]):
        for number in range(last):
            for folder, bar in (("annotations", (0, 10 + index)), ("results", (0, 5))):
                write_bars(tmp_path / folder, {number: {value: bar}}, f"cat/{index:03d}")
    write_bars(tmp_path / "annotations", {number: {1: A} for number in range(3)}, "dog")
    write_bars(tmp_path / "results", {number: {9: A} for number in range(3)}, "dog")
    scores = score_folders(tmp_path / "annotations", tmp_path / "results", single_object=True)
    assert values(scores) == {
        "cat/000_1": {"00001": 0.5, "00002": 0.5},
        "cat/001_1": {"00001": 5 / 11},
        "dog_1": {"00001": 1},
    }
    assert list(scores.per_sequence_means()) == ["cat/000", "cat/001", "dog"]


def reference(
    annotations: dict[int, np.ndarray], predictions: dict[int, np.ndarray], rule: str, void: int
) -> Iterator[tuple[int, list[int], dict[str, dict[str, float]]]]:
    """Each object's id, the frames that count for it and its statistics, one object at a time."""
    numbers = sorted(annotations)
    scored = {"all": numbers, "inner": numbers[1:-1], "after-first": numbers}[rule]
    for index in sorted({int(value) for ids in annotations.values() for value in np.unique(ids)} - {0, void}):
        annotated = [number for number in scored if (annotations[number] == index).any()]
        seen = [n for n in scored if (np.where(annotations[n] == void, 0, predictions[n]) == index).any()]
        if rule == "after-first":
            frames = [number for number in scored if number > annotated[0]]
        else:
            frames = [number for number in scored if annotated and number >= min(annotated + seen)]
        if frames:
            masks = [np.stack([stack[number] for number in frames]) for stack in (annotations, predictions)]
            three = [masks[0] == index, masks[1] == index, masks[0] == void]
            measures = {"J": literal.jaccard(*three), "F": literal.contours(*three)}
            yield index, frames, {name: literal.statistics(of) for name, of in measures.items()}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_literal_reference(tmp_path: Path, rule: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = np.zeros(256, dtype=np.uint8)
    ids[[1, 2, 3, 255]] = [3, 60, 200, 255]
    expected, sequences = {}, ("one", "two")
    for sequence in sequences:
        stack = random_stack(rng, 12, 30, 60, objects=3, void=0.4)
        before = stack[: rng.integers(3, 8)]
        before[before == 3] = 0  # it appears later
        annotations, predictions = ids[stack], ids[perturbed(rng, stack)]
        some = {n: annotations[n] for n in range(0, 12, 2)}
        known = np.unique(np.concatenate([one.ravel() for one in some.values()]))
        predictions[~np.isin(predictions, known)] = 0
        every = dict(enumerate(predictions))
        for folder, masks in (("annotations", some), ("results", every)):
            for number, mask in masks.items():
                save(tmp_path / folder / sequence / f"{number:05d}.png", mask)
        for index, frames, figures in reference(some, every, rule, 255):
            expected[f"{sequence}_{index}"] = frames, figures
    scores = score_folders(tmp_path / "annotations", tmp_path / "results", frames=rule, void=255)
    assert list(scores.objects) == list(expected)
    for name, (frames, figures) in expected.items():
        assert list(values(scores)[name]) == [f"{number:05d}" for number in frames]
        for measure, of in figures.items():
            for statistic, value in of.items():
                found = scores.objects[name][f"{measure}-{statistic}"]
                assert found == pytest.approx(value, abs=1e-12, rel=0), (name, measure, statistic)
    for column in ("J-Mean", "F-Decay"):
        mean = np.mean([figures[column[0]][column[2:]] for _, figures in expected.values()])
        assert scores.global_[column] == pytest.approx(mean, abs=1e-12, rel=0)


@pytest.mark.parametrize(("year", "frames"), [(2016, "all"), (2016, "inner"), (2017, "inner")])
def test_agrees_with_davis_where_every_object_is_there_from_the_first_scored_frame_on(
    tmp_path: Path, year: int, frames: str
) -> None:
    rng = np.random.default_rng(year)
    stack = random_stack(rng, 9, 40, 70, objects=3)
    for index in (1, 2, 3):
        stack[:2, index, :4] = index
    root = write_dataset(tmp_path / "davis", {"one": stack}, year=year)
    results = write_masks(tmp_path / "results", {"one": perturbed(rng, stack)})
    davis = score(root, results, year=year, task="semi-supervised", frames=frames)
    folders = score_folders(
        root / "Annotations" / "480p", results, frames=frames, single_object=year == 2016, processes=2
    )
    assert folders.objects == davis.objects
    assert folders.global_ == davis.global_
