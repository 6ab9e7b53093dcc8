"""The unsupervised protocol against the public package trackeval, where both follow the same rules.

They agree on J, F, void and, when matching on both measures, on the assignment. trackeval counts an object wherever
it first appears and leaves out skipped ids, takes 0.5 + epsilon as the recall's threshold and overflows beyond 255
frames: the masks here avoid these.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from folders import perturbed, random_stack, write_dataset, write_masks
from slowfast_vos.scoring import score

trackeval = pytest.importorskip("trackeval")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def ids_from_the_first_frame_on(rng: np.random.Generator, frames: int, objects: int, void: float) -> np.ndarray:
    stack = random_stack(rng, frames, 64, 130, objects, void)
    for index in range(1, objects + 1):
        stack[0, 3 * index, :3] = index
    return stack


def figures_of_trackeval(root: Path, results: Path, name: str) -> dict[str, float]:
    dataset = trackeval.datasets.DAVIS(
        {
            "GT_FOLDER": str(root / "Annotations" / "480p"),
            "TRACKERS_FOLDER": str(results.parent),
            "TRACKERS_TO_EVAL": [results.name],
            "TRACKER_SUB_FOLDER": "",
            "PRINT_CONFIG": False,
        }
    )
    raw = dataset.get_raw_seq_data(results.name, name)
    metric = trackeval.metrics.JAndF()
    metric.optim_type = "J&F"
    return metric.eval_sequence(dataset.get_preprocessed_seq_data(raw, "general"))


@pytest.mark.parametrize("seed", range(6))
def test_unsupervised_2017(tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(seed)
    annotations = ids_from_the_first_frame_on(rng, frames=6, objects=3, void=0.5 if seed % 2 else 0.0)
    predictions = perturbed(rng, annotations) if seed % 3 else random_stack(rng, 6, 64, 130, objects=5)
    for index in range(1, 6 if seed % 3 == 0 else 4):
        predictions[1, 4 + 3 * index, :2] = index
    root = write_dataset(tmp_path / "davis", {"one": annotations})
    ours = score(root, write_masks(tmp_path / "results", {"one": predictions}), year=2017, task="unsupervised")
    theirs = figures_of_trackeval(root, tmp_path / "results", "one")
    for column in ("J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay"):
        assert ours.global_[column] == pytest.approx(theirs[column], abs=1e-12, rel=0), column
    assert ours.global_["J&F-Mean"] == pytest.approx(theirs["J&F"], abs=1e-12, rel=0)
