"""Real DAVIS masks: the fast reader against Pillow, and scores against the literal reference."""

from __future__ import annotations

from pathlib import Path

import literal
import numpy as np
import pytest
from PIL import Image
from slowfast_vos.scoring import score
from slowfast_vos.videos.pngs import read_mask, write_mask

pytestmark = pytest.mark.davis
FRAMES = 14


@pytest.fixture(scope="module")
def excerpt(davis_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A dataset of the first frames of two real sequences, as links, and predictions: the masks moved about."""
    folder = tmp_path_factory.mktemp("excerpt")
    root, results = folder / "davis", folder / "results"
    names = sorted(path.name for path in (davis_root / "Annotations" / "480p").iterdir())[:2]
    for name in names:
        for path in sorted((davis_root / "Annotations" / "480p" / name).glob("*.png"))[:FRAMES]:
            link = root / "Annotations" / "480p" / name / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
            index = int(path.stem)
            ids = (read_mask(path) != 0).astype(np.uint8) * (1 if index % 2 else 255)
            write_mask(results / name / path.name, np.roll(ids, (index, -2 * index), (0, 1)))
    (root / "ImageSets" / "2016").mkdir(parents=True)
    (root / "ImageSets" / "2016" / "val.txt").write_text("\n".join(names))
    return root, results


def test_real_masks_are_read_as_by_pillow(davis_root: Path) -> None:
    paths = sorted((davis_root / "Annotations" / "480p").glob("*/*.png"))
    grey_alpha = davis_root / "Annotations" / "480p" / "bear" / "00077.png"
    for path in [*paths[::15], *([grey_alpha] if grey_alpha.exists() else [])]:
        with Image.open(path) as image:
            expected = np.array(image)
        np.testing.assert_array_equal(read_mask(path), expected if expected.ndim == 2 else expected[..., 0])


@pytest.mark.parametrize("frames", ["all", "inner"])
def test_scores_equal_the_literal_reference(excerpt: tuple[Path, Path], frames: str) -> None:
    root, results = excerpt
    ours = score(root, results, year=2016, frames=frames)
    names = [sequence.name for sequence in ours.sequences]
    overall, rows = literal.score(root / "Annotations/480p", results, names, 2016, "unsupervised", frames)
    literal.assert_equal(ours, overall, rows)
