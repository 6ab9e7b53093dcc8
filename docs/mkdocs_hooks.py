"""Which files make the site: the repository's own, each in its place, so that a link leads where it does on GitHub."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PLACES = ("*.md", "CITATION.cff", "config/*", "docs/*.md", "docs/*.png", "results/published/**/*")
LINKED = ("slowfast_vos/claims/claims.yaml",)
PYTHON = """# Python

::: slowfast_vos.model.slowfast_maskrcnn.SlowFastMaskRCNN

::: slowfast_vos.setups.Setup

::: slowfast_vos.scoring.measures
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of docs/ by those of the repository, and add the pages that are made from the code."""
    for file in [*files]:
        if Path(file.abs_src_path or "").is_relative_to(config.docs_dir):
            files.remove(file)
    for path in sorted(path for place in (*PLACES, *LINKED) for path in ROOT.glob(place) if path.is_file()):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    files.append(File.generated(config, "docs/commands.md", content=_commands()))
    files.append(File.generated(config, "docs/python.md", content=PYTHON))
    return files


def _commands() -> str:
    command = [sys.executable, "-m", "typer", "slowfast_vos.cli", "utils", "docs", "--name", "slowfast-vos"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
