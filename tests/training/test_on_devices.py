"""Every stage on a GPU, where there is one (`pytest -m gpu`), against the CPU; on the CPU, twice the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.model.streaming import predict_masks
from slowfast_vos.videos.davis import Video
from stages_to_train import STAGES, Build, MakeVideo

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])]


@pytest.fixture(autouse=True)
def same_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anchors and RoIs are drawn on the CPU: a GPU's generator draws others from the same seed. No TF32."""
    draw = torch.randperm

    def on_cpu(count: int, *, device: torch.device | None = None, **options: Any) -> torch.Tensor:
        return draw(count, **options).to(device or "cpu")

    monkeypatch.setattr(torch, "randperm", on_cpu)
    # These networks are made to be sensitive: TF32's rounding alone moves their losses by up to a fifth.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def trained(build: Build, video: Video, stage: str, device: str) -> tuple[SlowFastMaskRCNN, list[float]]:
    """A network after a stage's training, and its losses."""
    model = build(box_score_thresh=0.0).to(device)
    state = STAGES[stage](model, video, None)
    return model.eval(), [point.loss for point in state.curve]


@torch.no_grad()
def best_scores(model: SlowFastMaskRCNN, video: Video) -> list[float]:
    """Of each frame's detections; 0 where there is none."""
    device = next(model.parameters()).device
    return [
        max(found["scores"].tolist(), default=0) for found in model([frame.to(device) for frame in video.iterate()])
    ]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_trains_and_predicts_as_on_a_cpu(
    network: Build, make_video: MakeVideo, stage: str, device: str
) -> None:
    video = make_video(length=6)
    reference, expected = trained(network, video, stage, "cpu")
    model, losses = trained(network, video, stage, device)
    # A GPU's kernels sum in other orders, which training amplifies.
    assert losses == pytest.approx(expected, rel=0 if device == "cpu" else 0.02)
    reference.load_state_dict(model.state_dict())
    best, others = (best_scores(one, video) for one in (model, reference))
    assert len(best) == 6
    assert best == pytest.approx(others, rel=0 if device == "cpu" else 0.05)
    assert all(mask.shape == (64, 96) for mask in predict_masks(model, video.iterate()))
