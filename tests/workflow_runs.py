"""Runs of the workflow itself, through Snakemake."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TINY = ROOT / "tests" / "tiny.yaml"
# The tests' own interpreter comes first, so that rules find its `slowfast-vos`. No GPU: there, last bits differ.
PATHS = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
ENVIRONMENT = os.environ | {"PATH": PATHS, "CUDA_VISIBLE_DEVICES": ""}
LocalRun = tuple[Path, subprocess.CompletedProcess[str]]  # the folder of a finished run, and what Snakemake said


def snakemake(folder: Path, *arguments: str, configfile: Path = TINY) -> subprocess.CompletedProcess[str]:
    """Run the workflow in `folder`."""
    command = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(configfile), *arguments]
    return subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=False)


def jobs(folder: Path, *words: str) -> list[int]:
    """Processes that work at a job of the run in `folder`: those whose arguments hold all of `words`."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            arguments = (process / "cmdline").read_text().split("\0") if process.name.isdecimal() else []
            ours = any(argument.endswith("/slowfast-vos") for argument in arguments)
            if ours and {*words} <= {*arguments} and (process / "cwd").readlink() == folder:
                found.append(int(process.name))
        except OSError:  # it ended meanwhile
            continue
    return found


def saved_states(work: Path) -> list[Path]:
    """What trainings have saved below a folder; not what they are about to rename."""
    return [path for path in work.rglob("*.pt") if not path.name.startswith(".")]


# Columns of time, memory and provenance, and the tables that show them.
MEASURED = ("milliseconds_per_frame", "frames_per_second", "end_to_end_seconds", "host_peak", "record_started")
MEASURED += ("record_seconds", "record_commit", "record_dirty")
WITH_TIMES = ("cost", "records", "summary", "table1")


def assert_same_results(ours: Path, theirs: Path) -> None:
    """Compare two finished tiny runs: tables and masks, byte for byte apart from times, memory and provenance."""
    tables = [folder / "reports" / "tiny" / "tables" for folder in (ours, theirs)]
    names = sorted(path.name for path in tables[1].iterdir())
    assert sorted(path.name for path in tables[0].iterdir()) == names
    for name in names:
        one, other = (folder / name for folder in tables)
        if name.endswith(".csv"):
            assert _computed(one) == _computed(other), name
        if name.split(".")[0] not in WITH_TIMES:
            assert one.read_bytes() == other.read_bytes(), name
    predictions = [folder / "results" / "tiny" / "predictions" for folder in (ours, theirs)]
    masks = sorted(path.relative_to(predictions[1]) for path in predictions[1].rglob("*.png"))
    assert sorted(path.relative_to(predictions[0]) for path in predictions[0].rglob("*.png")) == masks
    assert len(masks) == 6 * 2 * 5
    assert all((predictions[0] / mask).read_bytes() == (predictions[1] / mask).read_bytes() for mask in masks)


def _computed(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert rows
    return [{key: value for key, value in row.items() if not key.startswith(MEASURED)} for row in rows]
