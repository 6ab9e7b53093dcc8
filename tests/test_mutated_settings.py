"""Configurations with anything in any place: refused in lines, or taken together with the jobs that follow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import strategies as st
from slowfast_vos.claims.claims import asked_claims, cell_names
from slowfast_vos.config import load_settings, parse_settings
from slowfast_vos.dag import planned_jobs, table_names
from slowfast_vos.errors import UserError
from slowfast_vos.paths import Results

from mutations import (
    EDITS,
    Edit,
    Spoiling,
    answered,
    as_json,
    cases,
    edited,
    hold,
    places,
    spoiled,
    spoilings,
    unharmed,
)

if TYPE_CHECKING:
    from click.testing import Result

ROOT = Path(__file__).parents[1]
TINY = ROOT / "tests" / "tiny.yaml"
CLAIMS = ROOT / "slowfast_vos" / "claims" / "claims.yaml"
EVERY_KEY = parse_settings(yaml.safe_load(TINY.read_text()), "tiny").model_dump(mode="json")
ODDITIES = [
    *(
        b"&a [*a]",
        b"&a {b: *a}",
        b"*nothing",
        b"!!python/object:os.system {}",
        b"!!binary aGk=",
        b"!!set {a, b}",
        b"\t",
    ),
    *(b"<<: 3", b"<<: {seeds: [1]}", b"? [a]\n: b", b"2020-13-45", b"2020-01-01", b"0x1F", b"1:30", b".inf", b".nan"),
    *(
        b"---\n",
        b"...\n",
        b"%YAML 9\n",
        b"|\n",
        b"'",
        b'"\\x',
        b"[" * 2000,
        b"{a: " * 2000,
        b"\xef\xbb\xbf",
        b"\xff",
        b"\0",
    ),
    *(b"1" * 5000, b"seeds: [1]\n", b"!!int a", b"!!float x", b"!!timestamp x", b"~: 1", b"? \n", b"!!omap [a: 1]"),
]
TEXTS = spoilings(st.sampled_from(ODDITIES) | st.binary(max_size=8))


def as_yaml(value: Any) -> bytes:
    return yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass")


def load(path: Path) -> str:
    """What is said of a configuration, from which all is made that the Snakefile makes of one."""
    try:
        settings = load_settings(path)
        jobs = planned_jobs(Results(settings))
        asked_claims(settings)
    except UserError as error:
        return str(error)
    assert len({job.log for job in jobs}) == len(jobs)
    assert len({path for job in jobs for path in job.outputs}) == sum(len(job.outputs) for job in jobs)
    assert {*cell_names(settings), *table_names(settings)}
    assert parse_settings(settings.model_dump(mode="json"), "again") == settings
    return ""


@cases(20, 60)
def test_any_value_in_any_place(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run.yaml"

    def check(edits: list[Edit]) -> None:
        path.write_bytes(as_yaml(edited(EVERY_KEY, edits)))
        with unharmed(tmp_path):
            said = load(path)
        assert all(": " in line for line in said.splitlines())

    hold(count, check, EDITS)


@pytest.mark.slow
@pytest.mark.parametrize("value", [10**12, "", None, {}], ids=repr)
def test_every_key(value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place, _ in enumerate(places(EVERY_KEY), 1):
        path = tmp_path / "run.json"
        path.write_bytes(as_json(edited(EVERY_KEY, [Edit("replace", place, 0, value)])))
        with unharmed(tmp_path, seconds=10):
            load(path)


@cases(10, 30)
def test_any_text(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Result]) -> None:
    monkeypatch.chdir(tmp_path)

    def check(text: Spoiling, suffix: str, verb: str) -> None:
        path = tmp_path / f"run{suffix}"
        path.write_bytes(spoiled(TINY.read_bytes(), text))
        with unharmed(tmp_path):
            load(path)
            answered(invoke(verb, "--config", str(path)))
        path.unlink()

    hold(count, check, TEXTS, st.sampled_from([".yaml", ".json"]), st.sampled_from(["status", "summary"]))


@cases(10, 30)
def test_any_claims(count: int, tmp_path: Path) -> None:
    path, text = tmp_path / "claims.yaml", CLAIMS.read_bytes()
    settings = parse_settings({**yaml.safe_load(TINY.read_text()), "claims": {"file": str(path)}}, "tiny")

    def check(change: list[Edit] | Spoiling) -> None:
        spoils = isinstance(change, Spoiling)
        path.write_bytes(spoiled(text, change) if spoils else as_yaml(edited(yaml.safe_load(text), change)))
        with unharmed(tmp_path):
            try:
                asked_claims(settings)
            except UserError as error:
                said = str(error)
                assert said.startswith((f"{path}: ", f"claims.file: {path}", "claims.family: ")), said

    hold(count, check, EDITS | TEXTS)
