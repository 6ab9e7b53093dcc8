"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from click.testing import Result

SETUP = ("--setup", "1-3")
BASELINES = ("--subject", "baseline/detector", "--subject", "baseline/foreground")
# A run's verbs that compute, in an order that runs.
STAGES = [
    ("check-data",),
    ("train-detector",),
    ("train-parent", *SETUP),
    ("tune", "--point", "1-3/frozen/0.001", "--point", "1-3/trained/1e30"),
    ("grid", *SETUP, "--part", "1/2"),
    ("grid", *SETUP, "--part", "2/2"),
    ("select", *SETUP),
    ("finetune", *SETUP),
    ("predict-val", "--subject", "unsupervised/1-3", *BASELINES),
    ("evaluate", "--subject", "unsupervised/1-3", "--subject", "semi-supervised/1-3"),
    ("evaluate", *BASELINES),
    ("cost", *SETUP),
]


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
