"""The recipes of the containers: both copy the same files, which exist, onto the same base."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_both_recipes_copy_the_same_files_which_exist_onto_the_same_base() -> None:
    docker = (ROOT / "container" / "Dockerfile").read_text(encoding="utf-8")
    apptainer = (ROOT / "container" / "slowfast-vos.def").read_text(encoding="utf-8")
    copied = {name for line in re.findall(r"^COPY (.+) \S+$", docker, re.MULTILINE) for name in line.split()}
    assert copied == set(re.findall(r"^    (\S+) /opt/slowfast-vos/\1$", apptainer, re.MULTILINE))
    assert {"requirements.lock", "Snakefile", "slowfast_vos"} <= copied
    assert all((ROOT / name).exists() for name in copied)
    assert re.findall(r"^FROM (.+)$", docker, re.MULTILINE) == re.findall(r"^From: (.+)$", apptainer, re.MULTILINE)
    installs = re.findall(r"pip install .+", docker)
    assert installs == re.findall(r"pip install .+", apptainer)
    assert len(installs) == 2
