"""What is installed without an extra: its verbs work, and each other verb names its extra in one line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest

from scoring.folders import write_dataset, write_masks

ROOT = Path(__file__).parents[1]
# A process that finds some modules missing.
WITHOUT = """
import json, sys
from importlib.machinery import PathFinder
class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        missing = name.partition(".")[0] in json.loads(sys.argv[1])
        return None if missing else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""
# Runs commands; prints the exit code and the output of each as JSON.
COMMANDS = """
from slowfast_vos.cli import app
from typer.testing import CliRunner
for command in json.loads(sys.argv[2]):
    done = CliRunner().invoke(app, command)
    print(json.dumps([done.exit_code, done.stdout, done.stderr]))
"""


def named(requirements: list[str]) -> set[str]:
    """The names of some requirements, as the index spells them."""
    return {re.split(r"[<>=\[ ;]", one)[0].lower().replace("_", "-") for one in requirements}


def modules_of(*extras: str) -> set[str]:
    """The modules that some extras bring and the base does not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    brought = set().union(*(named(project["optional-dependencies"][extra]) for extra in extras))
    return {module for module, owners in packages_distributions().items() if named(owners) & brought}


def python(code: str, missing: set[str], *arguments: str, folder: Path = ROOT) -> str:
    """What some code writes to stdout where modules are missing."""
    command = [sys.executable, "-c", WITHOUT + code, json.dumps(sorted(missing)), *arguments]
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_without(modules: set[str], folder: Path, *commands: tuple[str, ...]) -> list[tuple[int, str, str]]:
    """The exit code, stdout and stderr of each command."""
    lines = python(COMMANDS, modules, json.dumps(commands), folder=folder).splitlines()
    return [tuple(json.loads(line)) for line in lines]


EXTRAS = ("train", "workflow", "report")
CONFIG = ("--config", "run.yaml")
SETUP = ("--setup", "3-7")
PREDICT = ("predict", "--checkpoint", "a.safetensors", "--video", "frames", "--out", "masks")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration."""
    shutil.copy(ROOT / "config" / "config.yaml", tmp_path / "run.yaml")
    return tmp_path


def test_the_extras_modules_are_known() -> None:
    assert {"torch", "torchvision", "timm", "cv2", "snakemake", "pandas", "matplotlib"} <= modules_of(*EXTRAS)
    assert not {"numpy", "scipy", "PIL", "rich"} & modules_of(*EXTRAS)


def test_the_scorer_and_the_checker_need_no_extra(folder: Path, dataset_root: Path) -> None:
    stack = np.ones((4, 20, 30), dtype=np.uint8)
    root, results = write_dataset(folder / "davis", {"one": stack}), write_masks(folder / "results", {"one": stack})
    predictions = ("score", "--predictions", str(results), "--out", str(folder / "scores"))
    done = run_without(
        modules_of(*EXTRAS),
        folder,
        (*predictions, "--annotations", str(root / "Annotations" / "480p"), "--json"),
        (*predictions, "--davis-root", str(root), "--year", "2017"),
        ("check-data", "--davis-root", str(dataset_root)),
        ("fetch-davis", "--out", "davis", "--sha256", "odd"),
        *((verb, "--help") for verb in ("predict", "tables", "grid")),
    )
    assert [code for code, *_ in done] == [0, 0, 0, 1, 0, 0, 0], done
    assert json.loads((folder / "scores" / "scores.json").read_text())["global"]["J&F-Mean"] == 1
    assert "no problem in" in done[2][1]
    assert "--sha256: found 'odd'; expected 64" in done[3][2]


@pytest.mark.parametrize(
    ("extra", "package", "commands"),
    [
        (
            "train",
            "torch",
            [
                PREDICT,
                ("train-detector", *CONFIG),
                *((verb, *CONFIG, *SETUP) for verb in ("train-parent", "grid", "finetune", "cost")),
                ("predict-val", *CONFIG, "--subject", "baseline/foreground"),
            ],
        ),
        ("train", "cv2", [("synthesize", "--root", "videos"), ("synthesize", *CONFIG)]),
        (
            "report",
            "(pandas|matplotlib|jinja2|cv2)",
            [(verb, *CONFIG) for verb in ("tables", "plots", "strips", "report", "publish", "status", "summary")]
            + [("compare", "one", "other"), ("check-records", *CONFIG, "--out", "checked.json")],
        ),
    ],
)
def test_a_verb_without_its_extra_names_it_in_one_line(
    folder: Path, extra: str, package: str, commands: list[tuple[str, ...]]
) -> None:
    for command, (code, stdout, stderr) in zip(
        commands, run_without(modules_of(*EXTRAS), folder, *commands), strict=True
    ):
        assert code == 1, command
        assert stdout == ""
        line = rf"error: {command[0]}: needs {package}; in the checkout: pip install -e '\.\[{extra}\]'\n"
        assert re.fullmatch(line, stderr), stderr
    assert not any((folder / name).exists() for name in ("masks", "videos", "checked.json", "data"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "rooms"), [("train", ("jobs", "measuring", "model", "training")), ("report", ("claims", "reporting"))]
)
def test_an_extra_is_enough_for_its_rooms(extra: str, rooms: tuple[str, ...]) -> None:
    paths = [path for room in rooms for path in (ROOT / "slowfast_vos" / room).glob("*.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    others = modules_of(*EXTRAS) - modules_of(extra) - {"jinja2"}  # which torch requires
    python(f"import {', '.join(names)}", others)
