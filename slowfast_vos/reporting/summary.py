"""One page with every table and figure of a run, and its short form for the terminal."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from slowfast_vos.config import Settings
from slowfast_vos.dag import BASELINES, TASKS
from slowfast_vos.files import write_text
from slowfast_vos.reporting.render import NOTHING, Table, number, to_markdown
from slowfast_vos.reporting.run import Run, of_task, over_seeds, read_run

FOLDED = ("grid-", "per-sequence", "attributes", "records")


def figure_titles(setups: Sequence[str], look_alikes: bool) -> dict[str, str]:
    """The figures of a run by file name (without suffix), each with its caption."""
    titles = {
        "jf-vs-time": "Accuracy against inference time: median and quartiles of the time per frame.",
        **({"look-alikes": "J&F on sequences with and without look-alikes."} if look_alikes else {}),
        "per-sequence": "J&F of each validation sequence.",
        "learning-curves": "Learning curves of the parents and of the detector.",
    }
    grids = {f"grid-{setup}": f"The grid of setup {setup}: J&F on the selection sequences." for setup in setups}
    return titles | grids


def write_summary(run: Run, tables: Sequence[Table], out: Path, figures: Path) -> Path:
    """Write `summary.md`: tables in order (the long ones folded), then the figures by relative links."""
    lines = [f"# Results of run {run.settings.name}", "", run.context, ""]
    failed = run.records["failed"].sum()
    if failed:
        count = f"{failed} record{'' if failed == 1 else 's'} failed"
        lines += [f"{count}; each is a row or a note of its table.", ""]
    for table in tables:
        fold = table.name.startswith(FOLDED)
        lines += [f"<details><summary>{table.name}</summary>", ""] if fold else [f"## {table.name}", ""]
        lines += [to_markdown(panel, "") for panel in table.panels]
        lines += [f"Files: [{table.name}.csv]({table.name}.csv), [{table.name}.tex]({table.name}.tex)", ""]
        lines += ["</details>", ""] if fold else []
    lines += ["## Figures", ""]
    folder = Path(os.path.relpath(figures, out)).as_posix()
    for name, title in figure_titles(run.settings.setups, bool(run.look_alikes)).items():
        lines += [f"![{title}]({folder}/{name}.png)", "", f"*{title}* ([SVG]({folder}/{name}.svg))", ""]
    path = out / "summary.md"
    write_text(path, "\n".join(lines).rstrip() + "\n")
    return path


def summary(settings: Settings, root: Path, places: dict[str, Path]) -> RenderableType:
    """Each setup's scores and times, and where things lie, for `rich.print`.

    Args:
        root: the run's folder of records.
        places: folders by what they hold, such as {"tables": Path("reports/demo/tables")}.

    Raises:
        UserError: records are missing or do not follow the schema.
    """
    run = read_run(settings, root)
    shown = RichTable(title=f"J&F of run {run.settings.name}", title_justify="left", header_style="bold")
    shown.add_column("setup")
    for head in ("unsupervised", "semi-supervised", "ms per frame", "evaluation, s"):
        shown.add_column(head, justify="right")
    scores = [over_seeds(of_task(run.records, task), ["jf_mean"], run.names) for task in TASKS]
    costs = run.costs.reindex(run.names)
    columns = [number("", one, "jf_mean").cells for one in scores]
    columns += [
        number("", costs, name, ",.1f").cells for name in ("milliseconds_per_frame_median", "end_to_end_seconds")
    ]
    for name, *cells in zip(run.names, *columns, strict=True):
        texts = cells if name in run.settings.setups else [cells[0], NOTHING, NOTHING, NOTHING]
        shown.add_row(name, *texts, end_section=name == list(BASELINES.values())[-1])
    failed = run.records["failed"].sum()
    lines = [run.context, *([f"{failed} record(s) failed; the tables say which and why."] if failed else [])]
    width = max(map(len, places), default=0) + 1
    lines += [f"{name + ':':{width}} {path}" for name, path in places.items()]
    return Group(shown, Text("\n".join(lines)))
