"""The workflow as a module of another one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from slowfast_vos.config import load_settings

from workflow_runs import ENVIRONMENT, ROOT, TINY

IMPORTING = """
configfile: "config/config.yaml"

module vos:
    snakefile:
        {snakefile!r}
    config:
        config["benchmark"]
    {line}

{before}

use rule * from vos as vos_*

use rule tables from vos as vos_tables with:
    priority: 5

{after}

rule lines:
    default_target: True
    input:
        rules.vos_check_data.output
    output:
        "lines.txt"
    shell:
        "echo counted; wc -l {{input}} > {{output}}"
"""


MINE = 'onstart:\n    print("mine starts")\n'


def importing(
    folder: Path, *arguments: str, line: str = "", before: str = "", after: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a workflow in `folder` that has ours as a module, its configuration under a key of its own."""
    snakefile, config = folder / "workflow" / "Snakefile", folder / "config" / "config.yaml"
    for path in (snakefile, config):
        path.parent.mkdir(parents=True, exist_ok=True)
    ours = str(ROOT / "workflow" / "Snakefile")
    snakefile.write_text(IMPORTING.format(snakefile=ours, line=line, before=before, after=after))
    config.write_text(yaml.safe_dump({"benchmark": yaml.safe_load(TINY.read_text()), "other": 1}))
    command = ["snakemake", "--cores", "2", *arguments]
    return subprocess.run(command, env=ENVIRONMENT, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("handler", [{"before": MINE}, {"after": MINE + "    vos.start()\n"}], ids=["before", "after"])
def test_a_workflow_that_imports_it_runs_its_jobs_beside_its_own(tmp_path: Path, handler: dict[str, str]) -> None:
    done = importing(tmp_path, **handler)
    assert done.returncode == 0, done.stderr[-3000:]
    assert load_settings(tmp_path / "results/tiny/settings.json") == load_settings(TINY)
    assert (tmp_path / "lines.txt").read_text().split()[1:] == ["results/tiny/dataset.json"]
    assert "mine starts\n" in done.stdout
    plan = importing(tmp_path, "-n", "vos_all")
    counts = dict(line.split() for line in plan.stdout.splitlines() if len(line.split()) == 2)
    assert (counts["vos_grid_1_of_2"], counts["vos_parent"], counts["total"]) == ("2", "2", "31")
    assert "vos_synthesize" not in counts  # it ran


@pytest.mark.slow
def test_a_prefix_is_refused_in_one_line(tmp_path: Path) -> None:
    done = importing(tmp_path, "-n", line='prefix: "there"')
    assert done.returncode == 1
    assert (
        "prefix: found one in a module; expected none, since `name` in its config tells runs apart"
        in done.stdout + done.stderr
    )
