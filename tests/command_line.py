"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from click.testing import Result


def refused(done: Result, *words: str, lines: int = 1) -> list[str]:
    """Check that a command ended in lines that say why, without a traceback; returns them."""
    assert done.exit_code == 1, (done.exit_code, done.output, done.exception)
    assert "Traceback" not in done.output
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == lines, done.stderr
    for word in words:
        assert word in done.stderr, (word, done.stderr)
    return errors


def validation(root: Path, kind: str) -> list[Path]:
    name = (root / "ImageSets" / "2016" / "val.txt").read_text().split()[0]
    return sorted((root / kind / "480p" / name).iterdir())
