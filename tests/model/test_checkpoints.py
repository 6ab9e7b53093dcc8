"""Weights on disk: what fits is loaded, what does not is named."""

from __future__ import annotations

import json
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
from safetensors import safe_open
from slowfast_vos import SlowFastMaskRCNN
from slowfast_vos.errors import UserError
from slowfast_vos.model.checkpoints import load_state, read_checkpoint, read_torch_checkpoint, save_checkpoint
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

ABOUT = {"setup": "1-3", "seed": 63, "settings": {"protocol": "strict", "seeds": [63]}, "task": None}


def same(state: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


def test_a_checkpoint_holds_the_weights_and_what_it_is_about(network: Build, tmp_path: Path) -> None:
    model, path = network(1, 3, seed=1), tmp_path / "deep" / "model.safetensors"
    save_checkpoint(path, model, ABOUT)
    state, about = read_checkpoint(path)
    assert same(state, model.state_dict())
    assert about == ABOUT
    other = network(1, 3, seed=2)
    load_state(other, state, source=str(path))
    assert same(dict(other.state_dict()), dict(model.state_dict()))
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]
    written = path.read_bytes()
    save_checkpoint(path, network(1, 3, seed=1), ABOUT)
    assert path.read_bytes() == written
    # Any reader of safetensors finds the header's JSON.
    with safe_open(path, framework="np") as file:
        assert json.loads(file.metadata()["about"]) == ABOUT


READERS = pytest.mark.parametrize("read", [read_checkpoint, read_torch_checkpoint])


@READERS
@given(st.one_of(st.binary(max_size=80), st.sampled_from([b"text, no weights\n", b"PK\x03\x04" + b"\x01" * 60])))
def test_any_bytes_are_refused_in_one_line(read: Callable[[Path], object], content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bin"
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"model\.bin: (cannot be read|found no state dict); expected") as error:
            read(path)
        one_line(error)


@READERS
def test_a_missing_file_is_named(read: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone: missing; expected a checkpoint"):
        read(tmp_path / "gone")


@READERS
def test_a_truncated_checkpoint_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "model"
    if read is read_checkpoint:
        save_checkpoint(path, linear(), ABOUT)
    else:
        torch.save(linear().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match="cannot be read") as error:
        read(path)
    one_line(error)


def linear() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def test_every_tensor_that_does_not_fit_is_named_and_nothing_is_loaded() -> None:
    model = linear()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = {name: value + 1 for name, value in before.items()}
    del state["0.bias"], state["1.running_mean"]
    state["0.weight"] = torch.zeros(3, 5)
    state["2.weight"] = torch.zeros(1)
    with pytest.raises(UserError) as error:
        load_state(model, state, source="here.pth")
    assert one_line(error) == (
        "here.pth: does not fit this model; 2 missing: 0.bias, 1.running_mean; 1 unexpected: 2.weight; "
        "1 of another shape: 0.weight [3, 5] (expected [3, 2])"
    )
    assert same(before, model.state_dict())


def authors_state(model: SlowFastMaskRCNN) -> dict[str, Tensor]:
    """Fresh values under the names of the authors' checkpoints."""
    names = {
        name: value
        for name, value in model.state_dict().items()
        if name.startswith(("maskrcnn_model.", "slow_fast.")) and not name.endswith("num_batches_tracked")
    }
    generator = torch.Generator().manual_seed(3)
    return {name: torch.rand(value.shape, generator=generator) for name, value in names.items()}


@pytest.mark.parametrize("wrap", ["model_state_dict", "state_dict", "model"])
def test_a_state_dict_inside_a_training_checkpoint_is_found(wrap: str, tmp_path: Path) -> None:
    state = linear().state_dict()
    del state["1.num_batches_tracked"]  # a counter that older versions did not save
    torch.save({wrap: state, "epoch": 3, "optimizer_state_dict": {}}, tmp_path / "training.pth")
    found = read_torch_checkpoint(tmp_path / "training.pth")
    assert same(found, state)
    load_state(linear(), found, source="here")


@pytest.mark.parametrize("of_2020", [False, True])
def test_the_authors_checkpoints_load(
    network: Build, network_options: dict[str, Any], tmp_path: Path, of_2020: bool
) -> None:
    state, path = authors_state(network(3, 7)), tmp_path / "authors.pth"
    if of_2020:  # names and file format of that time
        torch.save(names_of_2020(state), path, _use_new_zipfile_serialization=False)
    else:
        torch.save({"model_state_dict": state, "epoch": 3}, path)
    model = SlowFastMaskRCNN.from_authors_checkpoint(path, slow=3, fast=7, border="replicate", **network_options)
    assert (model.setup.slow, model.border) == (3, "replicate")
    loaded = model.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    model.eval()([torch.rand(3, 64, 96)] * 2)
    with pytest.raises(UserError, match=r"authors\.pth: does not fit this model; .* of another shape: slow_fast\."):
        SlowFastMaskRCNN.from_authors_checkpoint(path, slow=1, fast=7, **network_options)


def test_names_of_2020_and_a_frozen_batch_norms_counter_load_as_torchvision_loads_them() -> None:
    # Frozen batch norm, as torchvision's own function has it only with trained weights.
    model, theirs = (MaskRCNN(resnet_fpn_backbone(backbone_name="resnet50", weights=None), 91) for _ in range(2))
    state = {name: torch.full_like(value, 0.5) for name, value in model.state_dict().items()}
    old = names_of_2020(state)
    # 8 convolutions of the FPN, 1 of the RPN, 4 of the mask head.
    assert len(set(old) - set(state)) == 2 * (8 + 1 + 4)
    theirs.load_state_dict(old, strict=True)
    load_state(model, old | {"backbone.body.bn1.num_batches_tracked": torch.tensor(7)}, source="here")
    loaded = model.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in theirs.state_dict().items())
    del old["rpn.head.conv.weight"]
    with pytest.raises(UserError, match=r"1 missing: rpn\.head\.conv\.0\.0\.weight$"):  # by today's name
        load_state(model, old, source="here")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"state_dict": {"weight": "text"}}, torch.zeros(3)])
def test_a_file_without_a_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth: found no state dict; expected tensors by name"):
        read_torch_checkpoint(tmp_path / "other.pth")


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return exec, ("raise SystemExit('code of the file has run')",)


@pytest.mark.parametrize("save", [torch.save, lambda value, path: Path(path).write_bytes(pickle.dumps(value))])
def test_code_in_a_file_is_never_run(save: Callable[[object, Path], object], tmp_path: Path) -> None:
    save({"state_dict": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(UserError, match=r"trap\.pth: cannot be read") as error:
        read_torch_checkpoint(tmp_path / "trap.pth")
    one_line(error)
