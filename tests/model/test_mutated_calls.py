"""The Python API with anything for any argument: the error names the argument, or there is none."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from model_inputs import Build, clip, target
from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.errors import UserError
from slowfast_vos.model.detector import build_detector
from torch import Tensor

from mutations import VALUES, cases, hold, unharmed

NAN, INF = torch.nan, torch.inf
REFUSED = (UserError, ValueError, TypeError)
CHANGES: dict[str, Callable[[Tensor], Any]] = {
    "none": lambda _: None,
    "list": Tensor.tolist,
    "numpy": Tensor.numpy,
    "float64": Tensor.double,
    "float16": Tensor.half,
    "int64": Tensor.long,
    "bool": Tensor.bool,
    "complex": lambda one: one.to(torch.complex64),
    "meta": lambda one: one.to("meta"),
    "sparse": lambda one: one.to_sparse(),
    "empty": lambda one: one[:0],
    "narrow": lambda one: one[..., :0],
    "cut": lambda one: one[..., :-1],
    "first": lambda one: one[0],
    "batch": lambda one: one[None],
    "twice": lambda one: torch.cat([one, one]),
    "turned": lambda one: one.transpose(0, -1),
    "negative": lambda one: one * -1,
    "times 255": lambda one: one * 255,
    "nan": lambda one: one * NAN,
    "infinite": lambda one: one * INF,
    "zero": torch.zeros_like,
    "one": torch.ones_like,
    "far": lambda one: one + 1000,
    "grad": lambda one: one.float().requires_grad_(),
    "strided": lambda one: torch.stack([one, one], -1)[..., 0],
}
CHANGE = st.sampled_from(sorted(CHANGES))
OTHERS = st.sampled_from(
    [None, 5, "frames", [], {}, [None], [[]], (), np.zeros((3, 3, 48, 72), np.float32), torch.zeros(3)]
)


def said(call: Callable[[], object]) -> str:
    """What a call refuses; empty where it succeeds."""
    with unharmed(seconds=60):
        try:
            call()
        except REFUSED as error:
            return str(error)
    return ""


@cases(8, 40)
def test_any_frames_and_targets(count: int, network: Build) -> None:
    models = {training: network().train(training) for training in (False, True)}

    def check(training: bool, part: str, index: int, change: str, other: Any, whole: bool) -> None:
        frames, targets = clip(3), [target(), None, target(20)]
        if whole:
            frames, targets = (other, targets) if part == "frames" else (frames, other)
        elif part == "frames":
            frames[index] = CHANGES[change](frames[index])
        else:
            chosen = targets[2 * (index % 2)]
            chosen[part] = CHANGES[change](chosen[part])
        text = said(lambda: models[training](frames, targets) if training else models[training](frames))
        assert not text or text.startswith(("frames", "targets")), text
        assert len(text.splitlines()) <= 1

    parts = st.sampled_from(["frames", "boxes", "labels", "masks"])
    hold(count, check, st.booleans(), parts, st.integers(0, 2), CHANGE, OTHERS, st.sampled_from([True, *[False] * 4]))


@cases(6, 30)
def test_any_option(count: int, network_options: dict[str, Any]) -> None:
    named = [*inspect.signature(SlowFastMaskRCNN).parameters, *inspect.signature(build_detector).parameters]
    options = sorted({*named, "min_size", "box_nms_thresh"} - {"self", "detector_options", "torchvision_options"})

    def check(option: str, value: Any) -> None:
        text = said(lambda: SlowFastMaskRCNN(**network_options | {option: value}))
        assert not text or option in text or text.startswith("setup "), text

    hold(count, check, st.sampled_from(options), VALUES)
