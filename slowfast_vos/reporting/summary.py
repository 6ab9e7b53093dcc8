"""One page with every table and figure of a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from slowfast_vos.files import write_text
from slowfast_vos.reporting.render import Table, to_markdown
from slowfast_vos.reporting.run import Run

FOLDED = ("grid-", "per-sequence", "attributes", "records")


def figure_titles(run: Run) -> dict[str, str]:
    """The figures of a run by file name (without suffix), each with its caption."""
    titles = {
        "jf-vs-time": "Accuracy against inference time: median and quartiles of the time per frame.",
        "look-alikes": "J&F on sequences with and without look-alikes.",
        "per-sequence": "J&F of each validation sequence.",
        "learning-curves": "Learning curves of the parents and of the detector.",
    }
    if not run.distractors:
        del titles["look-alikes"]
    grids = {f"grid-{one}": f"The grid of setup {one}: J&F on the selection sequences." for one in run.settings.setups}
    return titles | grids


def write_summary(run: Run, tables: Sequence[Table], out: Path, figures: Path) -> Path:
    """Write `summary.md`: tables in order (the long ones folded), then the figures by relative links."""
    lines = [f"# Results of run {run.settings.name}", "", run.context, ""]
    if failed := int(run.records["failed"].sum()):
        lines += [f"{failed} record{'s' * (failed > 1)} failed; each is a row or a note of its table.", ""]
    for table in tables:
        fold = table.name.startswith(FOLDED)
        lines += [f"<details><summary>{table.name}</summary>", ""] if fold else [f"## {table.name}", ""]
        lines += [to_markdown(panel, "") for panel in table.panels]
        lines += [f"Files: [{table.name}.csv]({table.name}.csv), [{table.name}.tex]({table.name}.tex)", ""]
        lines += ["</details>", ""] if fold else []
    lines += ["## Figures", ""]
    folder = Path(os.path.relpath(figures, out)).as_posix()
    for name, title in figure_titles(run).items():
        lines += [f"![{title}]({folder}/{name}.png)", "", f"*{title}* ([SVG]({folder}/{name}.svg))", ""]
    path = out / "summary.md"
    write_text(path, "\n".join(lines).rstrip() + "\n")
    return path
