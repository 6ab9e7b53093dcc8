"""What tests of trainings share: settings, scores, and every stage as one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.config import Settings, parse_settings
from slowfast_vos.measuring.record import Scores
from slowfast_vos.sections import Configuration, Parent
from slowfast_vos.training.detector import train_detector
from slowfast_vos.training.features import FeatureCache
from slowfast_vos.training.finetune import fine_tune
from slowfast_vos.training.loop import Resume, TrainingState
from slowfast_vos.training.parent import train_parent
from slowfast_vos.videos.davis import Video

Build = Callable[..., SlowFastMaskRCNN]
MakeVideo = Callable[..., Video]
Train = Callable[[SlowFastMaskRCNN, Video, Resume | None], TrainingState]


def settings(**values: Any) -> Settings:
    """The defaults, but for some sections."""
    return parse_settings({"data": {"held_out": ["bear"]}, **values}, "tests")


def scores(value: float = 0.5) -> Scores:
    """Every column of the same value, and no sequence."""
    columns = [column for column in Scores.model_fields if column != "sequences"]
    return Scores(**dict.fromkeys(columns, value), sequences={})


def detector(model: SlowFastMaskRCNN, video: Video, resume: Resume | None) -> TrainingState:
    """Two epochs of the detector."""
    run = settings(detector={"epochs": 2, "lr": "0.01", "batch_size": 1})
    return train_detector(run, model.maskrcnn_model, [video], binary=False, seed=7, resume=resume)


def parent(backbone: str, **options: Any) -> Train:
    """Two epochs of a parent, selected by a score that depends on the weights alone."""

    def train(model: SlowFastMaskRCNN, video: Video, resume: Resume | None) -> TrainingState:
        def select(model: SlowFastMaskRCNN, _: TrainingState) -> Scores:
            return scores(model.slow_fast.slow_conv1.weight.detach().abs().mean().item())

        stage = Parent(epochs=2, lr="0.01", shuffle=True, backbone=backbone, schedule="cosine", **options)
        return train_parent(stage, model, [video], binary=False, seed=7, select=select, resume=resume)

    return train


def tuned(freeze: str) -> Train:
    """Five samples of fine-tuning."""

    def train(model: SlowFastMaskRCNN, video: Video, resume: Resume | None) -> TrainingState:
        point = Configuration(freeze=freeze, scale="0.25", lr="0.01")
        network, state = fine_tune(settings(), model.eval(), video, point, iterations=5, seed=3, resume=resume)
        model.load_state_dict(network.state_dict())
        return state

    return train


STAGES: dict[str, Train] = {
    "detector": detector,
    "parent, frozen backbone": parent("frozen"),
    "parent, trained backbone": parent("trained"),
    "parent, from identity": parent("frozen", start="identity", videos_per_step=2),
    "fine-tuning": tuned("none"),
    "fine-tuning of the heads": tuned("BB_SF"),
}


def make_cache(gib: float = 1, *, binary: bool = True, many_proposals: bool = False) -> FeatureCache:
    """An empty cache."""
    return FeatureCache(gib, binary=binary, many_proposals=many_proposals)
