"""The configuration: the paper's values by default, and one clear line for whatever is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from slowfast_vos.config import Settings, load_settings, parse_settings
from slowfast_vos.errors import UserError
from slowfast_vos.sections import PROTOCOLS

HELD_OUT = {"data": {"held_out": ["bear"]}}


def settings(**values: Any) -> Settings:
    return parse_settings({**HELD_OUT, **values}, "run.yaml")


def refusal(**values: Any) -> str:
    with pytest.raises(UserError) as error:
        settings(**values)
    return str(error.value)


def test_defaults_are_the_papers_values() -> None:
    default = settings()
    assert default.setups == ["1-1", "3-3", "7-7", "1-7", "3-7"]
    assert default.seeds == [63]
    model = default.model
    assert (model.backbone, model.weights, model.fpn_channels) == ("resnet50", "coco", 256)
    assert (model.box_hidden, model.mask_channels, model.mask_hidden) == (1024, [256] * 4, 256)
    assert model.anchor_sizes == [32, 64, 128, 256, 512]
    assert (model.min_size, model.max_size) == (800, 1333)
    assert (model.image_mean, model.image_std) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert (model.box_score_thresh, model.box_nms_thresh, model.box_detections_per_img) == (0.05, 0.5, 10)
    assert (model.rpn_post_nms_top_n_test, model.rpn_post_nms_top_n_train) == (1000, 2000)
    detector = default.detector
    assert (detector.lr, detector.momentum, detector.weight_decay) == ("0.001", 0.9, 5e-4)
    assert (detector.batch_size, detector.decay_every, detector.decay_factor) == (2, 3, 0.1)
    assert (detector.warmup_steps, detector.flip, detector.train_frames) == (1000, 0.5, None)
    parent = default.parent
    assert (parent.lr, parent.momentum, parent.weight_decay, parent.epochs) == ("0.001", 0.9, 1e-4, 20)
    assert (parent.backbone, parent.frames_per_step, parent.step, parent.shuffle) == ("frozen", 2, "a", False)
    finetune = default.finetune
    assert (finetune.lr, finetune.momentum, finetune.weight_decay) == ("0.001", 0.9, 1e-4)
    assert (finetune.accumulate, finetune.flip, finetune.rotation) == (2, 0.5, 30)
    assert len(default.tuning.lr) * len(default.tuning.backbone) == 6
    grid = default.grid
    assert (grid.freeze, grid.scale) == (["none", "SF", "BB_SF"], ["0", "0.25", "0.4"])
    assert grid.lr == ["0.0001", "0.0005", "0.001", "0.005"]
    assert len(grid.freeze) * len(grid.scale) * len(grid.lr) == 36
    assert (grid.sequences, grid.iterations, default.final.iterations) == (["breakdance", "bmx-trees"], 1000, 2000)
    assert (default.data.train_year, default.data.resolution) == (2017, "480p")


def test_defaults_of_the_network_are_the_configurations() -> None:
    """The class and the configuration say the paper's values twice; here they agree."""
    import inspect

    from slowfast_vos.model.detector import build_detector
    from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN
    from torchvision.models.detection.mask_rcnn import MaskRCNN

    parameters = {**inspect.signature(MaskRCNN).parameters, **inspect.signature(build_detector).parameters}
    for key, value in settings().model.options().items():
        default = parameters[key].default
        if key in ("image_mean", "image_std"):
            assert default is None  # torchvision's are ImageNet's
        else:
            assert (list(default) if isinstance(default, tuple) else default) == value, key
    assert inspect.signature(SlowFastMaskRCNN).parameters["chunk_length"].default == settings().model.chunk_length


@pytest.mark.parametrize(
    ("values", "key", "words"),
    [
        ({"modle": {}}, "modle", "unknown key"),
        ({"model": {"bakcbone": "resnet50"}}, "model.bakcbone", "unknown key"),
        ({"model": {"box_nms_thresh": 1.5}}, "model.box_nms_thresh", "found 1.5; it should be less than or equal to 1"),
        ({"parent": {"backbone": "half"}}, "parent.backbone", "found 'half'; it should be 'frozen' or 'trained'"),
        ({"grid": {"freeze": ["BB"]}}, "grid.freeze.0", "found 'BB'; it should be 'none', 'SF' or 'BB_SF'"),
        ({"grid": {"lr": [0.001]}}, "grid.lr.0", 'found 0.001; expected a number in quotes, such as "0.001"'),
        *[
            ({"grid": {"lr": [rate]}}, "grid.lr.0", f"found {rate!r}; expected a number ≥ 0")
            for rate in ("fast", "-0.1", "nan", "inf", " 0.1", "1_0", "1e400", "٣")
        ],
        ({"grid": {"lr": ["0.001", "1e-3"]}}, "grid.lr", "found ['0.001', '1e-3']; expected each value once"),
        ({"grid": {"scale": ["0", "0.0"]}}, "grid.scale", "found ['0', '0.0']; expected each value once"),
        ({"tuning": {"lr": ["1", "1.0"]}}, "tuning.lr", "found ['1', '1.0']; expected each value once"),
        ({"parent": {"epochs": True}}, "parent.epochs", "found True; expected no boolean"),
        ({"finetune": {"rotation": True}}, "finetune.rotation", "found True; expected no boolean"),
        ({"seeds": [0, True]}, "seeds", "found [0, True]; expected no boolean"),
        *[
            ({section: {key: value}}, f"{section}.{key}", "it should be a finite number")
            for section, key in (("detector", "weight_decay"), ("model", "norm_eps"), ("parent", "feature_cache_gib"))
            for value in (float("inf"), float("nan"))
        ],
        ({"model": {"image_mean": [0, 0, float("nan")]}}, "model.image_mean.2", "it should be a finite number"),
        ({"model": {"image_std": [float("inf"), 1, 1]}}, "model.image_std.0", "it should be a finite number"),
        ({"model": {"image_std": [1, 0, 1]}}, "model.image_std.1", "found 0; it should be greater than 0"),
        *[
            ({"data": {"held_out": ["a"], "resolution": name}}, "data.resolution", f"found {name!r}; expected the name")
            for name in ("../..", "..", ".", "", "a/b", "/tmp")
        ],
        *[({"name": name}, "name", f"found {name!r}; expected another name") for name in ("published", "compare")],
        (
            {"data": {"held_out": ["a"], "synthetic": {"width": 95}}},
            "data.synthetic.width",
            "greater than or equal to 96",
        ),
        ({"grid": {"lr": ["0.1", "0.1"]}}, "grid.lr", "found ['0.1', '0.1']; expected each value once"),
        ({"grid": {"scale": ["1"]}}, "grid.scale.0", "found '1'; expected a number below 1"),
        ({"seeds": [-1]}, "seeds.0", "found -1"),
        ({"seeds": []}, "seeds", "found []"),
        ({"setups": ["2-7"]}, "setups.0", "found '2-7'; setup 2-7: fast − slow is 5; expected an even number"),
        ({"setups": ["1-1"]}, "tuning.setups", "found ['3-7']; expected some of setups ['1-1']"),
        ({"name": "../up"}, "name", "found '../up'"),
        ({"switches": {"border": "wrap"}}, "switches.border", "found 'wrap'; it should be 'zeros' or 'replicate'"),
        ({"data": 5}, "data", "found 5"),
        ({"data": {"root": ""}}, "data.root", "found ''"),
        ({"davis_root": "", "data": {"held_out": ["a"]}}, "davis_root", "found ''"),
        *[
            (values, key, "found 'a/{b}'; expected a path without braces, which name wildcards in Snakemake")
            for key, values in {
                "data.root": {"data": {"kind": "synthetic", "held_out": ["a"], "root": "a/{b}"}},
                "claims.file": {"claims": {"file": "a/{b}"}, "data": {"held_out": ["a"]}},
            }.items()
        ],
        ({"setups": ["1-999999"]}, "setups.0", "found 999999 fast frames; expected at most 255"),
        ({"setups": ["1-" + "9" * 5000]}, "setups.0", 'expected "slow-fast" in frames'),
        ({"setups": ["3-7+wide3-7+still"]}, "setups.0", "found control 'wide3-7+still'"),
        ({"data": {"held_out": ["a"], "synthetic": {"width": 10}}}, "data.synthetic.width", "found 10"),
        *[
            (
                {"data": {"held_out": ["a"], "synthetic": {key: 10**9}}},
                f"data.synthetic.{key}",
                "less than or equal to 10",
            )
            for key in ("train", "val", "frames", "height", "width")
        ],
    ],
)
def test_what_is_wrong_is_said_in_one_line(values: dict[str, Any], key: str, words: str) -> None:
    text = refusal(**values)
    assert text.startswith(f"run.yaml: {key}: ")
    assert words in text
    assert len(text.splitlines()) == 1


def test_every_wrong_key_has_a_line() -> None:
    text = refusal(grid={"lr": [0.1], "shards": 0}, seeds=["x"], extra=1)
    keys = [line.split(": ")[1] for line in text.splitlines()]
    assert sorted(keys) == ["extra", "grid.lr.0", "grid.shards", "seeds.0"]


@pytest.mark.parametrize(("epochs", "start"), [(0, "random"), (2, "identity")])
def test_published_records_may_have_the_former_key_of_the_start(epochs: int, start: str) -> None:
    held_out = {"data": {"held_out": ["bear"]}}
    former = parse_settings({"parent": {"identity_epochs": epochs, "epochs": 3}, **held_out}, "here")
    assert former == parse_settings({"parent": {"start": start, "epochs": 3}, **held_out}, "here")


def test_strict_selects_on_sequences_that_are_held_out_and_paper_on_those_of_the_grid() -> None:
    with pytest.raises(UserError, match=r"^run\.yaml: data\.held_out: missing; .* name them$"):
        parse_settings({}, "run.yaml")
    assert settings().selection_sequences == ["bear"]
    assert parse_settings({"protocol": "paper"}, "run.yaml").selection_sequences == ["breakdance", "bmx-trees"]
    assert settings(protocol="paper", grid={"sequences": ["goat"]}).selection_sequences == ["goat"]
    assert parse_settings({"switches": {"selection": "val"}}, "run.yaml").option("selection") == "val"


def test_a_davis_root_needs_davis_data() -> None:
    assert settings().data_root == settings().val_root == Path("data/davis")
    assert settings(davis_root="/davis").data_root == settings(davis_root="/davis").val_root == Path("/davis")
    both = settings(davis_root="/davis", davis_val_root="/2016")
    assert (both.data_root, both.val_root) == (Path("/davis"), Path("/2016"))
    data = {"kind": "synthetic", "held_out": ["bear"]}
    for key in ("davis_root", "davis_val_root"):
        text = refusal(data=data, **{key: "/davis"})
        assert text == f"run.yaml: {key}: found '/davis' with data.kind 'synthetic'; expected davis"


def test_what_decides_a_kind_of_job_is_in_its_key_and_nothing_else() -> None:
    base, changed = settings(), settings(parent={"epochs": 3}, tuning={"lr": ["0.5"]}, grid={"iterations": 7})
    kinds = ("detector", "parent", "tuning", "grid", "final", "cost", "evaluation")
    differing = [kind for kind in kinds if base.key(kind) != changed.key(kind)]
    assert differing == ["parent", "tuning", "grid"]
    assert all(base.key(kind) != settings(precision="bf16").key(kind) for kind in kinds[:-1])


def test_what_decides_a_choice_is_in_its_key() -> None:
    point = {"freeze": "none", "scale": "0", "lr": "0.005"}
    others = [settings(grid={"reference": point}), settings(switches={"choice": "best"}), settings(protocol="paper")]
    assert settings().key("selected") not in [other.key("selected") for other in others]
    assert settings().key("selected") == settings(final={"iterations": 7}).key("selected")
    assert "grid.reference: found {'freeze': 'none'" in refusal(grid={"reference": point | {"lr": "0.7"}})
    assert settings(grid={"freeze": ["none"]}).grid.reference.freeze == "SF"  # the paper's, which is not there to keep


@pytest.mark.parametrize("protocol", ["paper", "strict"])
def test_a_switch_overrides_its_protocol_alone(protocol: str) -> None:
    switched = settings(protocol=protocol, switches={"border": "zeros"})
    assert switched.option("border") == "zeros"
    for switch in ("selection", "frames", "frozen_statistics", "seeding"):
        assert switched.option(switch) == getattr(PROTOCOLS[protocol], switch)


def test_the_protocols_name_tells_what_differs() -> None:
    assert settings().protocol_name == "strict"
    assert settings(protocol="paper").protocol_name == "paper"
    switches = {"border": "zeros", "frames": "inner"}
    assert settings(switches=switches).protocol_name == "strict, border=zeros"
    assert settings(protocol="paper", switches=switches).protocol_name == "paper, frames=inner"
    both = {"border": "zeros", "frames": "all"}
    assert settings(switches=both).protocol_name == "strict, frames=all, border=zeros"


def test_a_digest_changes_with_its_sections_alone_and_not_with_bounds_on_memory() -> None:
    first, other = settings(), settings(grid={"iterations": 5})
    assert len(first.digest()) == 12
    assert first.digest({"grid"}) != other.digest({"grid"})
    assert first.digest({"model", "parent"}) == other.digest({"model", "parent"}) != first.digest({"parent"})
    assert settings(parent={"epochs": 20}).digest() == first.digest()  # the default, spelt out
    assert settings(model={"chunk_length": 2}, parent={"feature_cache_gib": 0}).digest() == first.digest()
    assert settings(model={"max_size": 900}).digest() != first.digest()


@given(st.floats(0, 1e6).map(str))
@example("1e-3")
@example("0.0010")
def test_any_finite_rate_in_quotes_keeps_its_spelling(rate: str) -> None:
    assert settings(parent={"lr": rate}).parent.lr == rate


def test_saving_is_idempotent_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "settings.json"
    settings().save(path)
    kept = path.stat().st_mtime_ns
    settings().save(path)
    assert path.stat().st_mtime_ns == kept
    assert load_settings(path) == settings()
    settings(seeds=[1]).save(path)
    assert load_settings(path).seeds == [1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: [1", "cannot be read as YAML"),
        (b"\xff\xfe\x00", "cannot be read as YAML"),
        (b"- 1\n- 2\n", "found list; expected keys and values"),
        (b"", "found NoneType; expected keys and values"),
        (b"1: 2\n", "keys should be strings"),
        (b"seeds: [1]\nname: a\nseeds: [2]\n", "found key 'seeds' twice, again in line 3; expected it once"),
        (b"parent: {epochs: 1, lr: '1', epochs: 2}\n", "found key 'epochs' twice, again in line 1; expected it once"),
        (b"name: 2020-13-45\n", "cannot be read as YAML"),
        (b"[" * 100_000, "cannot be read as YAML"),
    ],
)
def test_files_that_are_no_configuration_are_refused_in_one_line(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    with pytest.raises(UserError, match=r"run\.yaml: missing; expected a configuration file"):
        load_settings(path)
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        load_settings(path)
    assert str(error.value).startswith(f"{path}: ")
    assert words in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_key_may_override_what_is_merged_in(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("data: {held_out: [bear]}\ndetector: &all {lr: '1', epochs: 2}\nparent: {<<: *all, epochs: 3}\n")
    assert (load_settings(path).parent.lr, load_settings(path).parent.epochs) == ("1", 3)


def test_json_may_be_indented_by_tabs_and_names_a_key_once_too(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text('{\n\t"name": "a",\n\t"data": {\n\t\t"held_out": ["bear"]\n\t}\n}\n')
    assert load_settings(path).name == "a"
    path.write_text('{"name": "a", "name": "b"}')
    with pytest.raises(UserError, match=r"run\.json: found key 'name' twice, again in line 1; expected it once"):
        load_settings(path)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "config").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_configurations_that_come_along_are_valid(path: Path) -> None:
    values = yaml.safe_load(path.read_text())
    assert load_settings(path).name == values.get("name", "davis")
