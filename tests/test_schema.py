"""The description of the configuration: what editors check by it, and the page's tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from slowfast_vos.config import Settings
from slowfast_vos.schema import BEGIN, END, json_schema, key_tables, with_tables

if TYPE_CHECKING:
    from click.testing import Result

ROOT = Path(__file__).parents[1]
CONFIGURATIONS = [*sorted(ROOT.glob("config/*.yaml")), ROOT / "tests" / "tiny.yaml"]


def problems(values: dict[str, Any]) -> list[str]:
    """The keys that an editor marks, such as "grid.lr.0"."""
    return [".".join(map(str, error.path)) for error in Draft202012Validator(json_schema()).iter_errors(values)]


def keys(schema: dict[str, Any], section: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The keys of a section of the schema that are no sections, and what it says of them."""
    for name, key in section["properties"].items():
        if "$ref" in key:
            yield from keys(schema, schema["$defs"][key["$ref"].rpartition("/")[2]])
        else:
            yield name, key


def test_the_verb_prints_the_schema(invoke: Callable[..., Result]) -> None:
    done = invoke("schema")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == json_schema()
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_the_configurations_that_come_along_fit_the_schema(path: Path) -> None:
    assert problems(yaml.safe_load(path.read_text(encoding="utf-8"))) == []


def test_the_defaults_fit_the_schema() -> None:
    assert problems(Settings(data={"held_out": ["bear"]}).model_dump(mode="json")) == []


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"modle": {}}, ""),
        ({"model": {"bakcbone": "resnet50"}}, "model"),
        ({"grid": {"lr": [0.001]}}, "grid.lr.0"),
        ({"grid": {"lr": ["fast"]}}, "grid.lr.0"),
        ({"grid": {"lr": ["0.1", "0.1"]}}, "grid.lr"),
        ({"parent": {"backbone": "half"}}, "parent.backbone"),
        ({"parent": {"epochs": 0}}, "parent.epochs"),
        ({"model": {"box_nms_thresh": 1.5}}, "model.box_nms_thresh"),
        ({"seeds": []}, "seeds"),
        ({"data": {"synthetic": {"width": 95}}}, "data.synthetic.width"),
    ],
)
def test_an_editor_marks_what_a_run_would_refuse(values: dict[str, Any], key: str) -> None:
    assert problems(values) == [key]


def test_every_key_has_a_description() -> None:
    schema = json_schema()
    described = dict(keys(schema, schema))
    assert {"seeds", "margin", "width", "weight_decay"} <= {*described}
    assert [name for name, key in described.items() if not key.get("description")] == []


def test_the_page_has_the_tables_as_they_are_now() -> None:
    page = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
    assert page == with_tables(page), "python -m slowfast_vos.schema config/README.md"


def test_the_tables_tell_keys_defaults_and_sections() -> None:
    tables = key_tables()
    assert '\n| `protocol` | `"strict"` | `paper` repeats' in tables
    assert "\n## detector\n\nStage 2: Mask R-CNN on single frames.\n\n| key | default | meaning |\n" in tables
    assert "\n| `weight_decay` | `0.0005` | Weight decay of SGD. |\n" in tables
    assert "\n| `synthetic.width` | `400` | Width of a frame in pixels. |\n" in tables
    assert "\n| `border` | `zeros` (paper), `replicate` (strict) | " in tables


def test_only_what_lies_between_the_marks_is_written() -> None:
    assert with_tables(f"a\n{BEGIN}old\n{END}b\n") == f"a\n{BEGIN}\n{key_tables()}\n{END}b\n"
    with pytest.raises(ValueError, match="expected the lines"):
        with_tables(f"a\n{BEGIN}b\n")
