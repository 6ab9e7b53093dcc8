"""The scorer against the literal reference, in memory and over long videos."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import literal
import numpy as np
import pytest
from folders import COLUMNS, perturbed, random_mask, random_stack, scored, write_dataset, write_masks
from hypothesis import given, settings
from hypothesis import strategies as st
from slowfast_vos.errors import UserError
from slowfast_vos.scoring import score, score_masks


@pytest.mark.parametrize("frames", ["inner", "all"])
def test_masks_in_memory_score_as_the_same_masks_in_files(tmp_path: Path, frames: str) -> None:
    rng = np.random.default_rng(7)
    annotations = random_stack(rng, 7, 50, 80, objects=1)
    predictions = perturbed(rng, annotations)
    files = scored(tmp_path, annotations, predictions, year=2016, frames=frames)
    memory = score_masks(iter(predictions != 0), iter(annotations), frames=frames)
    assert memory == files.global_
    assert list(memory) == COLUMNS


def test_masks_in_memory_that_do_not_fit_are_refused() -> None:
    masks = np.zeros((4, 5, 6), dtype=bool)
    with pytest.raises(ValueError, match="zip"):
        score_masks(masks, masks[:3])
    with pytest.raises(ValueError, match="size"):
        score_masks(masks[:, :1], masks)
    with pytest.raises(ValueError, match="no frame"):
        score_masks(masks[:2], masks[:2])
    with pytest.raises(UserError, match="frames"):
        score_masks(masks, masks, frames="some")


@settings(max_examples=50, deadline=None)
@given(
    rule=st.sampled_from([(2016, "unsupervised"), (2017, "semi-supervised"), (2017, "unsupervised")]),
    which=st.sampled_from(["all", "inner"]),
    seed=st.integers(0, 2**32 - 1),
    frames=st.integers(3, 9),
    height=st.integers(1, 70),
    width=st.integers(1, 110),
    objects=st.integers(1, 4),
    void=st.sampled_from([0.0, 0.5]),
    free=st.booleans(),
)
def test_equal_to_the_literal_reference(
    rule: tuple[int, str],
    which: str,
    seed: int,
    frames: int,
    height: int,
    width: int,
    objects: int,
    void: float,
    free: bool,
) -> None:
    year, task = rule
    rng = np.random.default_rng(seed)
    stacks = {name: random_stack(rng, frames, height, width, objects, void) for name in ("one", "two")}
    for annotation in stacks.values():
        annotation[0].flat[rng.integers(annotation[0].size)] = rng.integers(1, objects + 1)  # at least one object
    allowed = {name: int(s[0].max(where=s[0] < 255, initial=0)) for name, s in stacks.items()}
    results = {name: perturbed(rng, s) for name, s in stacks.items()}
    if free:  # proposals that have nothing to do with the objects
        results = {name: random_stack(rng, frames, height, width, 6) for name in stacks}
    if year == 2017 and task == "semi-supervised":
        results = {name: np.where(s > allowed[name], 0, s) for name, s in results.items()}
    with TemporaryDirectory() as folder:
        root = write_dataset(Path(folder) / "davis", stacks, year=year)
        predictions = write_masks(Path(folder) / "results", results)
        ours = score(root, predictions, year=year, task=task, frames=which)
        overall, rows = literal.score(root / "Annotations/480p", predictions, list(stacks), year, task, which)
    literal.assert_equal(ours, overall, rows)


def test_memory_grows_with_the_frame_not_with_the_video() -> None:
    def peak(frames: int) -> int:
        masks = (random_mask(np.random.default_rng(index % 5), 200, 300) for index in range(2 * frames))
        tracemalloc.start()
        score_masks((next(masks) for _ in range(frames)), (next(masks) for _ in range(frames)), frames="all")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(5)
    assert peak(60) < peak(15) + 200 * 300, "45 more frames cost less than one mask"
