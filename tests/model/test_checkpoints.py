"""Weights on disk: what fits is loaded, what does not is named."""

from __future__ import annotations

import io
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_inputs import Build, names_of_2020, one_line
from safetensors.torch import save
from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.errors import UserError
from slowfast_vos.model.checkpoints import load_state, read_checkpoint, read_torch_checkpoint, save_checkpoint
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

ABOUT = {"setup": "1-3", "seed": 63, "settings": {"protocol": "strict", "seeds": [63]}, "task": None}
READERS = pytest.mark.parametrize("read", [read_checkpoint, read_torch_checkpoint])


def same(state: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


def linear() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def saved_by_torch(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return exec, ("raise SystemExit('code of the file has run')",)


def test_a_checkpoint_holds_the_weights_and_what_it_is_about(network: Build, tmp_path: Path) -> None:
    model, path = network(1, 3, seed=1), tmp_path / "deep" / "model.safetensors"
    save_checkpoint(path, model, ABOUT)
    state, about = read_checkpoint(path)
    assert same(state, model.state_dict())
    assert about == ABOUT
    other = network(1, 3, seed=2)
    load_state(other, state, source=str(path))
    assert same(dict(other.state_dict()), dict(model.state_dict()))
    written = path.read_bytes()
    save_checkpoint(path, network(1, 3, seed=1), ABOUT)
    assert path.read_bytes() == written


NO_CHECKPOINT = [
    b"text, no weights\n",
    b"PK\x03\x04" + b"\x01" * 60,
    save(linear().state_dict())[:-30],
    saved_by_torch(linear().state_dict())[:-30],
    saved_by_torch({"state_dict": Trap()}),
    pickle.dumps({"state_dict": Trap()}, protocol=2),
    *map(saved_by_torch, ([1, 2], {"epoch": 3}, {"state_dict": {"weight": "text"}}, torch.zeros(3))),
]


def assert_refused(read: Callable[[Path], object], content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bin"
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"model\.bin: (cannot be read|found no state dict); expected") as error:
            read(path)
        assert "weights_only" not in one_line(error)


@READERS
@pytest.mark.parametrize("content", NO_CHECKPOINT)
def test_what_is_no_checkpoint_is_refused_and_code_in_it_never_run(
    read: Callable[[Path], object], content: bytes
) -> None:
    assert_refused(read, content)


@READERS
@given(st.binary(max_size=80))
def test_any_bytes_are_refused(read: Callable[[Path], object], content: bytes) -> None:
    assert_refused(read, content)


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ("[1]", "found list in its header; expected keys and values"),
        ("null", "found NoneType in its header; expected keys and values"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_a_header_that_was_edited_is_refused(tmp_path: Path, about: str, words: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(linear().state_dict(), metadata={"about": about}))
    with pytest.raises(UserError) as error:
        read_checkpoint(path)
    assert str(error.value).startswith(f"{path}: cannot be read; expected a safetensors checkpoint")
    assert words in one_line(error)


def test_every_tensor_that_does_not_fit_is_named() -> None:
    state = linear().state_dict()
    del state["0.bias"], state["1.running_mean"]
    state |= {"0.weight": torch.zeros(3, 5), "2.weight": torch.zeros(1)}
    with pytest.raises(UserError, match=r"^here\.pth: does not fit this model; ") as error:
        load_state(linear(), state, source="here.pth")
    text = one_line(error)
    assert (
        'Missing key(s) in state_dict: "0.bias", "1.running_mean". Unexpected key(s) in state_dict: "2.weight"' in text
    )
    assert "size mismatch for 0.weight: copying a param with shape torch.Size([3, 5])" in text


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (torch.full((3,), torch.nan), "found values that are not finite; expected finite weights"),
        (torch.tensor([0, 0, torch.inf]), "found values that are not finite; expected finite weights"),
        (torch.zeros(3, dtype=torch.int64), "found torch.int64; expected weights of floating point"),
        (torch.zeros(3, dtype=torch.complex64), "found torch.complex64; expected weights of floating point"),
    ],
)
def test_weights_are_finite_numbers(value: Tensor, found: str) -> None:
    model = linear()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError) as error:
        load_state(model, {**before, "0.bias": value}, source="here.pth")
    assert str(error.value) == f"here.pth: 0.bias: {found}"
    assert same(dict(model.state_dict()), before)


def authors_state(model: SlowFastMaskRCNN) -> dict[str, Tensor]:
    """Fresh values under the names of the authors' checkpoints, which hold no counters."""
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.rand(value.shape, generator=generator)
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize("wrap", ["model_state_dict", "state_dict", "model", None])
def test_the_authors_checkpoints_load(
    network: Build, network_options: dict[str, Any], tmp_path: Path, wrap: str | None
) -> None:
    state, path = authors_state(network(3, 7)), tmp_path / "authors.pth"
    if wrap is None:  # names and file format of 2020
        torch.save(names_of_2020(state), path, _use_new_zipfile_serialization=False)
    else:
        torch.save({wrap: state, "epoch": 3, "optimizer_state_dict": {}}, path)
    model = SlowFastMaskRCNN.from_authors_checkpoint(path, slow=3, fast=7, border="replicate", **network_options)
    assert (model.setup.slow, model.border) == (3, "replicate")
    loaded = model.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    model.eval()([torch.rand(3, 64, 96)] * 2)
    with pytest.raises(UserError, match=r"authors\.pth: does not fit this model; .* size mismatch for slow_fast\."):
        SlowFastMaskRCNN.from_authors_checkpoint(path, slow=1, fast=7, **network_options)


def test_names_of_2020_and_a_frozen_batch_norms_counter_load_as_torchvision_loads_them() -> None:
    # Frozen batch norm, as torchvision's own function has it only with trained weights.
    model = MaskRCNN(resnet_fpn_backbone(backbone_name="resnet50", weights=None), 91)
    state = {name: torch.full_like(value, 0.5) for name, value in model.state_dict().items()}
    old = names_of_2020(state)
    # 8 convolutions of the FPN, 1 of the RPN, 4 of the mask head.
    assert len(set(old) - set(state)) == 2 * (8 + 1 + 4)
    load_state(model, old | {"backbone.body.bn1.num_batches_tracked": torch.tensor(7)}, source="here")
    assert same(dict(model.state_dict()), state)
    del old["rpn.head.conv.weight"]
    with pytest.raises(UserError, match=r'Missing key\(s\) in state_dict: "rpn\.head\.conv\.0\.0\.weight"'):
        load_state(model, old, source="here")
