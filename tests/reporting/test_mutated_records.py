"""Records, published runs and status files with anything in any place: named, or shown as they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from fake_runs import SMALL, settings_for, write_run
from hypothesis import strategies as st

from mutations import (
    ANYWHERE,
    DISPLACED,
    EDITS,
    Edit,
    Spoiling,
    answered,
    as_json,
    cases,
    displace,
    edited,
    hold,
    spoiled,
    spoilings,
    unharmed,
)

if TYPE_CHECKING:
    from click.testing import Result

STATUS = {"state": "failed", "pid": 1, "host": "here", "started": 1e9, "seconds": 3.5, "error": "too\nlong"}
SPOILINGS = spoilings(st.binary(max_size=8))
CHANGES = EDITS | EDITS | EDITS | SPOILINGS | st.sampled_from(DISPLACED) | ANYWHERE


def change(path: Path, how: list[Edit] | Spoiling | str | int, files: list[Path]) -> None:
    """Edit, spoil or displace a file, or put another one in its place."""
    content = path.read_bytes()
    if isinstance(how, str):
        displace(path, how)
    elif isinstance(how, int):
        path.write_bytes(files[how % len(files)].read_bytes())
    elif isinstance(how, Spoiling):
        path.write_bytes(spoiled(content, how))
    else:
        path.write_bytes(as_json(edited(json.loads(content), how)))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work from, with a run of fake records and two status files."""
    results = write_run(settings_for(**SMALL), tmp_path / "sound")
    results.settings.save(results.root / "settings.json")
    for name in ("detector/seed=63", "grid/1-1/seed=63.part=1-of-8"):
        path = results.logs / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(STATUS))
    for name in ("figures", "strips"):
        (results.reports / name).mkdir(parents=True)
    (results.reports / "report.html").write_text("the page")
    monkeypatch.chdir(tmp_path / "sound")
    return tmp_path / "sound"


@cases(5, 40)
def test_any_record(
    count: int, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Result]
) -> None:
    root = Path("results") / "fake-synthetic"
    config, out = ("--config", str(root / "settings.json")), ("--out", "../out")
    verbs = {
        "status": config,
        "summary": config,
        "tables": (*config, *out),
        "check-records": (*config, *out),
        "report": (*config, *out),
        "publish": (*config, *out),
        "compare": (str(root), str(run / root), *out),
    }
    files = [path.relative_to(run) for kind in ("results", "logs") for path in sorted((run / kind).rglob("*.json"))]

    def check(file: Path, how: list[Edit] | Spoiling | str | int, verb: str) -> None:
        if how == "pipe" and file.name == "settings.json":
            return  # taken, as `--config <(command)` is one
        # The working folder is left before it goes.
        with TemporaryDirectory(dir=tmp_path) as folder, monkeypatch.context() as there:
            copy = Path(folder) / "copy"
            shutil.copytree(run, copy)
            there.chdir(copy)
            change(copy / file, how, [run / one for one in files])
            with unharmed(copy / "results", run):
                answered(invoke(verb, *verbs[verb]))

    hold(count, check, st.sampled_from(files), CHANGES, st.sampled_from(["status", "status", *verbs]))


@pytest.mark.slow
def test_any_published_run(run: Path, invoke: Callable[..., Result]) -> None:
    published, again = run.parent / "published", run.parent / "again"
    config = "results/fake-synthetic/settings.json"
    assert invoke("publish", "--config", config, "--out", str(published)).exit_code == 0
    archive = (published / "records.zip").read_bytes()

    def check(how: Spoiling) -> None:
        (published / "records.zip").write_bytes(spoiled(archive, how))
        with unharmed(run, published):
            answered(invoke("publish", "--tables-of", str(published), "--out", str(again)))
        shutil.rmtree(again, ignore_errors=True)

    hold(4, check, SPOILINGS)
