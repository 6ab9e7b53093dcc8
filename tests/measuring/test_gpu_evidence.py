"""The script that takes evidence on a GPU, tried on a CPU with a tiny network."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from slowfast_vos.sections import FREEZES

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu_evidence.py"
TINY = ["--size", "tiny", "--device", "cpu", "--frames", "3", "--warmup", "0", "--repeats", "1", "--setups", "1-3"]
# What a machine with a GPU may lack.
LACKING = ("pydantic", "pydantic_core", "zlib_ng", "timm", "safetensors", "snakemake", "scipy", "typer", "rich")


def evidence(*arguments: str, lacking: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the script in a process that cannot import some packages."""
    code = f"import runpy, sys; sys.modules.update(dict.fromkeys({lacking!r})); sys.argv[1:] = {arguments!r}; "
    code += f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
def test_each_part_leaves_a_record_and_the_tables_show_them(tmp_path: Path) -> None:
    forms = {
        "inference": ["streaming", "windowed"],
        "training": [f"parent, {kind}" for kind in ("kept", "moving", "not kept", "trained")]
        + [f"fine-tuning, {freeze}" for freeze in FREEZES],
        "reading": ["read when asked for", "read ahead"],
    }
    for part, expected in forms.items():
        done = evidence("--part", part, "--out", str(tmp_path), *TINY, lacking=LACKING)
        assert done.returncode == 0, done.stderr[-2000:]
        record = json.loads((tmp_path / f"{part}-1-3.json").read_text())
        assert [(run["precision"], run["form"]) for run in record["runs"]] == [
            (precision, form) for precision in ("fp32", "bf16") for form in expected
        ]
        assert all(run["milliseconds"]["median"] > 0 for run in record["runs"])
        assert record["network"]["weights"] == "random"
        assert {"commit", "device", "driver", "packages"} <= record["provenance"].keys()
    done = evidence("--tables", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    for part, expected in forms.items():
        with open(tmp_path / f"{part}.csv", newline="", encoding="utf-8") as file:
            assert len(list(csv.DictReader(file))) == 2 * len(expected)
        text = (tmp_path / f"{part}.md").read_text()
        assert "resnet18 with random weights, not trained" in text
        assert "no score" in text
