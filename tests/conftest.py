"""Fixtures that several rooms share: real sequences, small networks, small videos, one small run of every stage."""

from __future__ import annotations

import copy
import logging
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

# One thread a process, as on every CPU job; torch reads it when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import numpy as np
import pytest
import yaml
from PIL import Image

from command_line import STAGES
from workflow_runs import LocalRun, snakemake

if TYPE_CHECKING:
    from click.testing import Result
    from slowfast_vos import SlowFastMaskRCNN
    from slowfast_vos.config import Settings
    from slowfast_vos.paths import Results
    from slowfast_vos.videos.davis import Video

hypothesis.settings.register_profile("shared", deadline=None)
hypothesis.settings.load_profile("shared")

NETWORK: dict[str, Any] = {
    "backbone": "tf_efficientnet_lite0",
    "fpn_channels": 16,
    "box_hidden": 16,
    "mask_channels": [8],
    "mask_hidden": 8,
    "anchor_sizes": [8, 12, 20, 32, 48],
    "min_size": 64,
    "max_size": 96,
    "box_score_thresh": 0.0,
    "box_detections_per_img": 5,
    "box_batch_size_per_image": 16,
    "rpn_batch_size_per_image": 16,
    "rpn_pre_nms_top_n_train": 40,
    "rpn_pre_nms_top_n_test": 20,
    "rpn_post_nms_top_n_train": 30,
    "rpn_post_nms_top_n_test": 12,
}
RUN: dict[str, Any] = {
    "name": "tiny",
    "protocol": "strict",
    "seeds": [63],
    "setups": ["1-3"],
    "device": "cpu",
    "model": {**NETWORK, "weights": "none", "chunk_length": 3},
    "detector": {"epochs": 1, "train_frames": 2, "lr": "0.01", "warmup_steps": 1},
    "parent": {"epochs": 2, "train_frames": 4, "lr": "0.01"},
    "tuning": {"setups": ["1-3"], "lr": ["0.001", "1e30"], "backbone": ["frozen", "trained"], "epochs": 1},
    "finetune": {"accumulate": 1},
    "grid": {"freeze": ["SF", "BB_SF"], "scale": ["0"], "lr": ["0.001", "1e30"], "iterations": 3, "shards": 2},
    "final": {"iterations": 2, "shards": 1},
    "cost": {"frames": 4, "warmup": 0, "repeats": 3},
}
DATA = {"train": 3, "val": 2, "frames": 5, "height": 96, "width": 160}


def pytest_collection_finish() -> None:
    """Keep to one thread where a plugin imported torch before this file."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def davis_root() -> Path:
    """Real DAVIS 2016 sequences: $SLOWFAST_VOS_DAVIS, or `shared/davis16` beside the repository."""
    root = Path(os.environ.get("SLOWFAST_VOS_DAVIS") or Path(__file__).parents[2] / "shared" / "davis16")
    if not (root / "Annotations").is_dir():
        pytest.skip(f"no DAVIS sequences at {root} (set SLOWFAST_VOS_DAVIS)")
    return root


@pytest.fixture(scope="session")
def network_options() -> dict[str, Any]:
    """Options of the small networks."""
    return dict(NETWORK)


def spread_out(slow: int, fast: int, options: dict[str, Any]) -> SlowFastMaskRCNN:
    """A network whose fresh weights are not nearly constant: else every score is a half, and every box the same."""
    import torch
    from slowfast_vos import SlowFastMaskRCNN

    model = SlowFastMaskRCNN(slow, fast, **options)
    for module in model.slow_fast.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(module.weight, 1, 2)
            torch.nn.init.normal_(module.bias)
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    maskrcnn = model.maskrcnn_model
    heads = maskrcnn.roi_heads
    torch.nn.init.normal_(heads.box_predictor.cls_score.weight, std=1.5)
    torch.nn.init.normal_(heads.box_predictor.bbox_pred.weight, std=5)
    torch.nn.init.normal_(heads.mask_predictor.mask_fcn_logits.weight, std=3)
    torch.nn.init.normal_(maskrcnn.rpn.head.cls_logits.weight, std=0.3)
    return model.eval()


@pytest.fixture(scope="session")
def network() -> Callable[..., SlowFastMaskRCNN]:
    """Builds small networks in evaluation mode, whose random weights tell boxes, frames and channels apart."""

    built: dict[str, SlowFastMaskRCNN] = {}

    def build(slow: int = 1, fast: int = 3, *, seed: int = 0, **options: Any) -> SlowFastMaskRCNN:
        import torch

        key = repr((slow, fast, seed, sorted(options.items())))
        if key not in built:
            torch.manual_seed(seed)
            built[key] = spread_out(slow, fast, {**NETWORK, **options})
        torch.manual_seed(seed)
        return copy.deepcopy(built[key])

    return build


def shapes(length: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames `[T, H, W, 3]` of noise with a bright square that moves, and masks `[T, H, W]` of ids 1 and 2."""
    noise = np.random.default_rng(length).integers(0, 120, (length, height, width, 3))
    frames, masks = noise.astype(np.uint8), np.zeros((length, height, width), np.uint8)
    for index in range(length):
        left, side = 4 + 3 * index, height // 3
        masks[index, 4 : 4 + side, left : left + side] = 1
        masks[index, height - side // 2 - 2 : height - 2, 2 : 2 + side] = 2
        frames[index][masks[index] == 1] += 130
        frames[index][masks[index] == 2] += 60
    return frames, masks


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Video]:
    """Writes a small video with two annotated objects in the layout of DAVIS, below `tmp_path`."""

    def make(name: str = "square", length: int = 5, height: int = 64, width: int = 96) -> Video:
        from slowfast_vos.videos.davis import DavisTree
        from slowfast_vos.videos.pngs import write_mask

        for index, (frame, mask) in enumerate(zip(*shapes(length, height, width), strict=True)):
            path = tmp_path / "JPEGImages" / "480p" / name / f"{index:05d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(frame).save(path)
            write_mask(tmp_path / "Annotations" / "480p" / name / f"{index:05d}.png", mask)
        return DavisTree(tmp_path).video(name)

    return make


@dataclass(frozen=True)
class Run:
    """A run in a folder of its own, and the command line to work on it."""

    folder: Path
    values: dict[str, Any]
    invoke: Callable[..., Result]

    @property
    def settings(self) -> Settings:
        """The run's settings."""
        from slowfast_vos.config import parse_settings

        return parse_settings(self.values, "tests")

    @property
    def results(self) -> Results:
        """The run's paths."""
        from slowfast_vos.paths import Results

        return Results(self.settings, self.folder)

    def verb(self, verb: str, /, *options: str, **changes: Any) -> Result:
        """Run a verb with the run's configuration; of `changes` a mapping updates its section, all else replaces it."""
        values = dict(self.values)
        for key, value in changes.items():
            values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
        path = self.folder / f"{'changed' if changes else 'tiny'}.yaml"
        path.write_text(yaml.safe_dump(values))
        return self.invoke(verb, "--config", str(path), *options)

    def done(self, verb: str, /, *options: str, **changes: Any) -> Result:
        """Run a verb, which must end well."""
        done = self.verb(verb, *options, **changes)
        assert done.exit_code == 0, (verb, done.output, done.exception)
        return done

    @property
    def grid_paths(self) -> list[Path]:
        """The records of the grid of setup 1-3, in the order of its configurations."""
        return [self.results.grid("1-3", *point, 63) for point in self.results.configurations()]


@pytest.fixture(scope="session")
def invoke() -> Callable[..., Result]:
    """Runs the command line within this process."""
    from slowfast_vos.cli import app
    from typer.testing import CliRunner

    def run(*arguments: str) -> Result:
        root = logging.getLogger()
        kept = root.handlers[:]
        root.handlers.clear()
        try:
            return CliRunner().invoke(app, arguments)
        finally:
            root.handlers[:] = kept

    return run


@pytest.fixture(scope="session")
def dataset_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated dataset of three training and two validation sequences of five frames."""
    from slowfast_vos.generated import synthesize

    root = tmp_path_factory.mktemp("data")
    synthesize(root, **DATA)
    return root


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, dataset_root: Path, invoke: Callable[..., Result]) -> Run:
    """Every stage of a run with tiny networks, through the command line; half of the grid diverges.

    Tests add to it what they like, and leave what it wrote as it is.
    """
    from slowfast_vos.generated import sequence_names

    folder = tmp_path_factory.mktemp("run")
    held_out = sequence_names("train", 3)[:1]
    data = {"kind": "synthetic", "root": str(dataset_root), "held_out": held_out, "synthetic": DATA}
    run = Run(folder, {**RUN, "data": data}, invoke)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for verb, *options in STAGES:
            run.done(verb, *options)
    return run


@pytest.fixture
def inside(tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The tiny run, from within its folder, where commands look for it."""
    monkeypatch.chdir(tiny_run.folder)
    return tiny_run


@pytest.fixture
def copied(tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of the tiny run for a test to change, from within its folder."""
    shutil.copytree(tiny_run.folder, tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    return replace(tiny_run, folder=tmp_path / "run")


@pytest.fixture(scope="session")
def local_run(tmp_path_factory: pytest.TempPathFactory) -> LocalRun:
    """A finished run of `tests/tiny.yaml` through Snakemake on this machine, and what it said; leave it as it is."""
    folder = tmp_path_factory.mktemp("tiny")
    return folder, snakemake(folder, "--cores", "2")
