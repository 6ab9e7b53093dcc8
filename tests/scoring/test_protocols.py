"""The protocols' rules, one by one on hand-made masks, and all together against the literal reference."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from folders import COLUMNS, SEMI, UNSUPERVISED, perturbed, random_stack, scored, write_dataset, write_masks
from slowfast_vos.errors import UserError
from slowfast_vos.scoring import Scores, score


def stack(*frames: dict[int, tuple[int, int]], size: tuple[int, int] = (12, 40)) -> np.ndarray:
    """Frames of full-height bars: {id: (first column, last column + 1)}."""
    ids = np.zeros((len(frames), *size), dtype=np.uint8)
    for frame, bars in zip(ids, frames, strict=True):
        for index, (left, right) in bars.items():
            frame[:, left:right] = index
    return ids


def regions(scores: Scores) -> list[list[float]]:
    return [values.tolist() for values in scores.sequences[0].region]


ONE = {1: (0, 10)}
TWO = {1: (0, 10), 2: (20, 30)}


@pytest.mark.parametrize(
    ("annotations", "predictions", "rules", "expected"),
    [
        # 2016: every non-zero pixel is the one object, whatever its value.
        ([{1: (0, 10), 3: (10, 20), 255: (20, 30)}] * 3, [{2: (0, 15)}] * 3, {"year": 2016}, [[0.5]]),
        *[([{255: (0, 10)}] * 3, [{value: (0, 5)}] * 3, {"year": 2016}, [[0.5]]) for value in (1, 255, 128)],
        # Semi-supervised: void is background; objects go by id, and an id that the prediction lacks is empty.
        ([{1: (0, 10), 255: (10, 20)}] * 3, [{1: (0, 20)}] * 3, SEMI, [[0.5]]),
        ([TWO] * 3, [{1: (20, 30)}] * 3, SEMI, [[0.0], [0.0]]),
        ([TWO] * 3, [{2: (20, 30)}] * 3, SEMI, [[0.0], [1.0]]),
        # Id 2 is skipped and counts as an object that is always empty; id 4 comes later and is ignored. The first frame
        # counts the objects, also where it is not scored.
        ([{1: (0, 10), 3: (20, 30)}, {1: (0, 10), 4: (20, 30)}, {}], [{}, ONE, {}], SEMI, [[1.0], [1.0], [1.0]]),
        # An id too many in a frame that is not scored does no harm.
        ([ONE] * 3, [{9: (0, 10)}, ONE, {255: (0, 3)}], SEMI, [[1.0]]),
        # Unsupervised: twenty proposals are allowed.
        ([ONE] * 2, [{20: (0, 10)}] * 2, UNSUPERVISED, [[1.0, 1.0]]),
        # Void counts neither as region nor as boundary.
        ([{1: (0, 10), 255: (10, 20)}] * 2, [{1: (0, 20)}] * 2, UNSUPERVISED, [[1.0, 1.0]]),
        # A proposal that lies in void alone is empty and still counts: it has no object, as the second frame.
        ([ONE | {255: (20, 30)}, {255: (20, 30)}], [{2: (20, 30)}, {1: (0, 9), 2: (20, 30)}], UNSUPERVISED, [[0, 1]]),
    ],
)
def test_what_is_an_object(
    tmp_path: Path, annotations: list[dict], predictions: list[dict], rules: dict, expected: list[list[float]]
) -> None:
    scores = scored(tmp_path, stack(*annotations), stack(*predictions), **rules)
    assert regions(scores) == expected
    assert list(scores.objects) == [f"bars_{index + 1}" for index in range(len(expected))]


def test_2016_scores_inner_frames_and_the_paper_all(tmp_path: Path) -> None:
    annotations = stack(*[{1: (0, 10)}] * 4)
    predictions = stack({}, {1: (0, 10)}, {1: (0, 5)}, {})
    assert regions(scored(tmp_path, annotations, predictions)) == [[1.0, 0.5]]
    assert regions(scored(tmp_path, annotations, predictions, frames="inner")) == [[1.0, 0.5]]
    assert regions(scored(tmp_path, annotations, predictions, frames="all")) == [[0.0, 1.0, 0.5, 0.0]]
    late = stack({}, {1: (0, 10)}, {}, {})
    assert regions(scored(tmp_path, late, late)) == [[1.0, 1.0]], "an object that the first frame lacks"


def test_a_first_and_a_last_prediction_are_not_needed_where_they_are_not_scored(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "davis", {"bars": stack(*[{1: (0, 10)}] * 4)}, year=2016)
    results = write_masks(tmp_path / "results", {"bars": stack(*[{1: (0, 10)}] * 4)})
    (results / "bars" / "00000.png").unlink()
    (results / "bars" / "00003.png").unlink()
    assert score(root, results).global_["J-Mean"] == 1.0
    with pytest.raises(UserError, match=r"bars: found no 00000\.png, 00003\.png; expected all 4 scored frames"):
        score(root, results, frames="all")


def test_unsupervised_assigns_proposals_for_the_best_mean_of_both_measures(tmp_path: Path) -> None:
    annotations = stack(*[{1: (0, 10), 2: (20, 30)}] * 2)
    predictions = stack(*[{1: (20, 30), 3: (0, 5)}] * 2)
    scores = scored(tmp_path, annotations, predictions, **UNSUPERVISED)
    # Rows come in the order of the proposals: 1 (object 2), then 3 (object 1).
    assert regions(scores) == [[1.0, 1.0], [0.5, 0.5]]
    fewer = scored(tmp_path / "fewer", annotations, stack(*[{1: (20, 30)}] * 2), **UNSUPERVISED)
    assert sorted(np.mean(regions(fewer), axis=1)) == [0.0, 1.0]


def test_more_objects_than_proposals_allowed(tmp_path: Path) -> None:
    annotations = np.zeros((2, 12, 100), dtype=np.uint8)
    annotations[:, :, :96] = np.arange(96) // 4 + 1  # 24 objects
    scores = scored(tmp_path, annotations, np.where(annotations <= 3, annotations, 0), **UNSUPERVISED)
    assert len(scores.objects) == 24
    assert scores.global_["J-Mean"] == pytest.approx(3 / 24)


def test_unsupervised_annotations_are_preferred_where_they_exist(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "davis", {"bars": stack(*[{1: (0, 10)}] * 3)})
    write_masks(root / "Annotations_unsupervised" / "480p", {"bars": stack(*[{1: (0, 5)}] * 3)})
    results = write_masks(tmp_path / "results", {"bars": stack(*[{1: (0, 10)}] * 3)})
    assert score(root, results, **UNSUPERVISED).global_["J-Mean"] == 0.5
    assert score(root, results, **SEMI).global_["J-Mean"] == 1.0


def test_means_are_over_objects_not_sequences(tmp_path: Path) -> None:
    stacks = {"two": stack(*[{1: (0, 10), 2: (20, 30)}] * 3), "one": stack(*[{1: (0, 10)}] * 3)}
    results = {"two": stack(*[{1: (0, 10), 2: (20, 30)}] * 3), "one": stack(*[{}] * 3)}
    root = write_dataset(tmp_path / "davis", stacks)
    scores = score(root, write_masks(tmp_path / "results", results), **SEMI)
    assert scores.global_["J-Mean"] == pytest.approx(2 / 3)
    assert list(scores.global_) == COLUMNS
    assert {name: row["J-Mean"] for name, row in scores.per_sequence_means().items()} == {"two": 1.0, "one": 0.0}
    assert list(scores.objects) == ["two_1", "two_2", "one_1"]


def test_a_sequence_without_objects_adds_no_rows(tmp_path: Path) -> None:
    stacks = {"none": stack({}, {1: (0, 3)}, {}), "one": stack(*[{1: (0, 10)}] * 3)}
    root = write_dataset(tmp_path / "davis", stacks)
    results = write_masks(tmp_path / "results", {"none": stack({}, {}, {}), "one": stacks["one"]})
    for task in ("semi-supervised", "unsupervised"):
        scores = score(root, results, year=2017, task=task)
        assert list(scores.objects) == ["one_1"]
        assert list(scores.per_sequence_means()) == ["one"]


def test_named_sequences_replace_the_split_and_may_differ_in_size(tmp_path: Path) -> None:
    stacks = {"small": stack(*[{1: (0, 3)}] * 3, size=(5, 7)), "large": stack(*[{1: (0, 30)}] * 3, size=(100, 160))}
    root = write_dataset(tmp_path / "davis", stacks, year=2016)
    results = write_masks(tmp_path / "results", stacks)
    assert score(root, results).global_["J&F-Mean"] == 1.0
    assert list(score(root, results, sequences=["large"], split="no such list").objects) == ["large_1"]


def test_tables_and_files_hold_full_precision(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    annotations = random_stack(rng, 9, 60, 90, objects=1)
    scores = scored(tmp_path, annotations, perturbed(rng, annotations), year=2016)
    written = scores.write(tmp_path / "out", per_frame=True)
    assert [path.name for path in written] == ["global.csv", "per-sequence.csv", "per-frame.csv"]
    overall, objects, frames = (list(csv.DictReader(path.open())) for path in written)
    assert [{name: float(value) for name, value in row.items()} for row in overall] == [scores.global_]
    assert list(overall[0]) == COLUMNS
    assert list(objects[0]) == ["Sequence", *COLUMNS[1:], COLUMNS[0]]
    assert {row.pop("Sequence"): {name: float(row[name]) for name in row} for row in objects} == scores.objects
    assert list(frames[0]) == ["Sequence", "Frame", "J", "F"]
    [(name, _, region, contour)] = scores.sequences[0].objects()
    assert [(row["Sequence"], row["Frame"]) for row in frames] == [(name, f"{index:05d}") for index in range(1, 8)]
    assert [[float(row[key]) for row in frames] for key in "JF"] == [region.tolist(), contour.tolist()]
    assert scores.write(tmp_path / "less") == [tmp_path / "less" / name for name in ("global.csv", "per-sequence.csv")]


@pytest.mark.parametrize("year", [2016, 2017])
def test_processes_change_nothing(tmp_path: Path, year: int) -> None:
    rng = np.random.default_rng(5)
    stacks = {name: random_stack(rng, 4, 40, 50, objects=2) for name in "abc"}
    root = write_dataset(tmp_path / "davis", stacks, year=year)
    results = write_masks(tmp_path / "results", {name: perturbed(rng, s) for name, s in stacks.items()})
    one, two = (score(root, results, year=year, processes=n) for n in (1, 2))
    assert one.objects == two.objects
    assert one.global_ == two.global_
    assert list(one.per_sequence_means()) == list("abc")
