"""All figures of a run, from its records alone."""

from __future__ import annotations

from pathlib import Path

import matplotlib.style

from slowfast_vos.paths import Results
from slowfast_vos.reporting import answers, figures
from slowfast_vos.reporting.records import read_run
from slowfast_vos.reporting.run import Run


def figure_titles(run: Run) -> dict[str, str]:
    """The run's figures by file name (without suffix), each with its caption."""
    titles = {
        "differences": "The paired difference that decides each claim.",
        "jf-vs-time": "Accuracy against inference time: median of the time per frame, 95 % intervals.",
        "controls": "The setups beside their controls: J&F of the unsupervised task.",
        "fine-tuning": "What fine-tuning on the first frame gains on each validation sequence.",
        "look-alikes": "J&F on sequences with and without look-alikes, 95 % intervals.",
        "per-sequence": "J&F of each validation sequence; intervals over the seeds.",
        "learning-curves": "Learning curves of the parents and of the detector.",
    }
    if not run.distractors:
        del titles["look-alikes"]
    if not run.controls:
        del titles["controls"]
    grid = "The grid of setup {}: J&F on the selection sequences."
    return titles | {f"grid-{setup}": grid.format(setup) for setup in run.settings.setups}


def write_plots(results: Results, out: Path) -> list[Path]:
    """Write every figure as SVG and PNG (see `read_run` for what it raises)."""
    run, paths = read_run(results), []
    makers = {
        "differences": lambda: answers.forest(answers.of_claims(run.findings), run.settings.claims.margin),
        "jf-vs-time": lambda: figures.jf_vs_time(run),
        "controls": lambda: answers.controls(run),
        "fine-tuning": lambda: answers.fine_tuning(run),
        "look-alikes": lambda: figures.look_alikes(run),
        "per-sequence": lambda: figures.per_sequence(run),
        "learning-curves": lambda: figures.learning_curves(run),
    }
    makers |= {f"grid-{setup}": lambda setup=setup: figures.grid_map(run, setup) for setup in run.settings.setups}
    with matplotlib.style.context(figures.STYLE):
        for name in figure_titles(run):
            paths += figures.save(makers[name](), out / name)
    return paths
