"""J and F of single frames and their statistics, by hand and against the literal reference."""

from __future__ import annotations

import literal
import numpy as np
import pytest
from folders import random_mask
from hypothesis import given, settings
from hypothesis import strategies as st
from slowfast_vos.scoring import measures
from slowfast_vos.scoring.measures import region_pair, tolerance
from slowfast_vos.scoring.regions import Region
from slowfast_vos.scoring.results import statistics


def mask(*rows: str) -> np.ndarray:
    return np.array([[character == "#" for character in row] for row in rows])


def region_similarity(prediction: np.ndarray, annotation: np.ndarray) -> float:
    return measures.region_similarity(*region_pair(prediction, annotation))


def contour_accuracy(prediction: np.ndarray, annotation: np.ndarray) -> float:
    return measures.contour_accuracy(*region_pair(prediction, annotation))


def unpack(region: Region, window: np.ndarray) -> np.ndarray:
    """One of a region's windows as a [H, W] bool map of the whole frame."""
    full = np.zeros(region.shape, dtype=bool)
    for row, words in enumerate(window):
        bits = np.unpackbits(words.view(np.uint8), bitorder="little")
        columns = np.flatnonzero(bits) + 64 * region.left
        full[region.top + row, columns[(columns >= 0) & (columns < region.shape[1])]] = True
    return full


def boundary(pixels: np.ndarray) -> np.ndarray:
    region = Region.of_mask(pixels, tolerance(*pixels.shape))
    return unpack(region, region.edge)


def square(height: int, width: int, top: int, left: int, size: int) -> np.ndarray:
    full = np.zeros((height, width), dtype=bool)
    full[top : top + size, left : left + size] = True
    return full


def test_boundary_lies_towards_the_origin_and_compares_edge_pixels_with_themselves() -> None:
    inner = mask(".....", ".....", "..##.", "..##.", ".....")
    np.testing.assert_array_equal(boundary(inner), mask(".....", ".###.", ".#.#.", ".###.", "....."))
    # Last row: east only. Last column: south only. Corner: never.
    np.testing.assert_array_equal(boundary(mask("...", "...", ".#.")), mask("...", "##.", "##."))
    np.testing.assert_array_equal(boundary(mask("...", "..#", "...")), mask(".##", ".##", "..."))
    np.testing.assert_array_equal(boundary(mask("...", "...", "..#")), mask("...", ".##", ".#."))
    np.testing.assert_array_equal(boundary(mask("#..", "...", "...")), mask("#..", "...", "..."))
    assert not boundary(np.ones((7, 130), dtype=bool)).any()


def test_region_similarity_by_hand() -> None:
    assert region_similarity(mask("##.."), mask(".##.")) == 1 / 3
    assert region_similarity(mask("...."), mask("....")) == 1.0
    assert region_similarity(mask("...."), mask(".#..")) == 0.0
    assert region_similarity(mask("####"), mask("####")) == 1.0


def test_contour_accuracy_of_equal_masks_and_of_empty_boundaries() -> None:
    one, empty, full = square(20, 20, 5, 5, 6), np.zeros((20, 20), bool), np.ones((20, 20), bool)
    assert contour_accuracy(one, one) == 1.0
    assert contour_accuracy(empty, empty) == 1.0
    assert contour_accuracy(one, empty) == 0.0
    assert contour_accuracy(empty, one) == 0.0
    assert contour_accuracy(full, empty) == 1.0, "a full frame's boundary is empty too"
    assert contour_accuracy(full, full) == 1.0
    assert contour_accuracy(one * np.uint8(255), one * np.int64(-3)) == 1.0, "any non-zero value is foreground"


def test_the_tolerance_is_a_disk() -> None:
    # 240 x 427: tolerance 4. Of single pixels the boundary is a block of 2 x 2.
    def pixel(y: int, x: int) -> np.ndarray:
        return square(240, 427, y, x, 1)

    assert tolerance(240, 427) == 4
    assert contour_accuracy(pixel(100, 100), pixel(100, 105)) == 1 / 2, "one column of each block is 4 away, one 5 or 6"
    assert contour_accuracy(pixel(100, 100), pixel(105, 100)) == 1 / 2
    # Nearest pixels are 3 and 3 apart: 18 > 16, so that a diagonal of (4, 4) matches nothing.
    assert contour_accuracy(pixel(100, 100), pixel(104, 104)) == 0.0
    assert contour_accuracy(pixel(100, 100), pixel(103, 104)) == 1 / 4, "2 and 3 apart: 13 <= 16"


def test_what_is_no_pair_of_masks_is_refused() -> None:
    good = np.zeros((4, 5), dtype=bool)
    for bad in (np.zeros((1, 5), bool), np.zeros((4, 5, 1), bool), np.zeros((4, 5)), np.zeros((0, 5), bool)):
        with pytest.raises(ValueError, match=r"mask|size"):
            region_pair(bad, good)


sizes = st.one_of(st.integers(1, 12), st.integers(50, 140))


def assert_equal_to_the_literal_reference(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    prediction, annotation = (random_mask(rng, height, width) for _ in range(2))
    np.testing.assert_array_equal(boundary(prediction), literal.boundary_map(prediction))
    assert contour_accuracy(prediction, annotation) == literal.contour(annotation, prediction)
    assert region_similarity(prediction, annotation) == literal.jaccard(annotation[None], prediction[None])[0]


@settings(max_examples=180)
@given(height=sizes, width=sizes, seed=st.integers(0, 2**32 - 1))
def test_equal_to_the_literal_reference(height: int, width: int, seed: int) -> None:
    assert_equal_to_the_literal_reference(height, width, seed)


@pytest.mark.parametrize(("height", "width"), [(480, 854), (1080, 1920), (64, 64), (9, 2000), (1500, 128), (1, 9000)])
@pytest.mark.parametrize("seed", [0, 1])
def test_equal_to_the_literal_reference_at_other_tolerances(height: int, width: int, seed: int) -> None:
    assert_equal_to_the_literal_reference(height, width, seed)


@pytest.mark.parametrize("radius", [*range(1, 13), 18, 36, 63, 64, 65, 72, 130])
@pytest.mark.parametrize("corner", [(0, 0), (70, 100)])
def test_near_a_boundary_pixel_lies_a_disk(radius: int, corner: tuple[int, int]) -> None:
    pixels = np.zeros((141, 201), dtype=bool)
    pixels[corner] = True
    region = Region.of_mask(pixels, radius)
    y, x = np.mgrid[:141, :201]
    edge = np.argwhere(unpack(region, region.edge))
    assert len(edge) == (1 if corner == (0, 0) else 4)
    expected = np.any([(y - top) ** 2 + (x - left) ** 2 <= radius**2 for top, left in edge], axis=0)
    np.testing.assert_array_equal(unpack(region, region.near), expected)


@pytest.mark.parametrize(
    ("values", "decay"),
    [
        # linspace(1, 8, 5) = 1, 2.75, 4.5, 6.25, 8, rounded 1, 3, 5 (4.5 + 1e-10), 6, 8: frames 0..2 minus 5..7.
        ([1.0, 0.9, 0.8, 0.0, 0.0, 0.5, 0.4, 0.3], 0.9 - 0.4),
        # 1, 1.5, 2, 2.5, 3; 1.5 and 2.5 become 2 and 3: frames 0..1 minus 2..2.
        ([1.0, 0.5, 0.25], 0.75 - 0.25),
        ([1.0, 0.8, 9.0, 0.2, 0.0], 0.8),  # frames 0..1 minus 3..4
        ([0.7], 0.0),
        (np.linspace(1, 0, 257), 0.75),  # the official toolkit counts frames in 8 bits
    ],
)
def test_statistics_by_hand(values: list[float], decay: float) -> None:
    found = statistics(np.array(values))
    assert found == tuple(literal.statistics(np.array(values)).values())
    assert found[2] == pytest.approx(decay, abs=1e-15)


def test_recall_is_of_values_strictly_above_a_half() -> None:
    assert statistics(np.array([0.5, 0.5000001, 1.0, 0.0]))[1] == 0.5
