"""Every table of a run, and one page with all of them and the figures, from its records alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from slowfast_vos.dag import TASKS
from slowfast_vos.files import write_text
from slowfast_vos.paths import Results
from slowfast_vos.reporting import published
from slowfast_vos.reporting.breakdown import attribute_table, grid_table, per_sequence_table, tuning_table
from slowfast_vos.reporting.differences import claims_table, differences_table
from slowfast_vos.reporting.plots import figure_titles
from slowfast_vos.reporting.records import read_run
from slowfast_vos.reporting.render import NOTHING, Column, Panel, Table, lowest, number, shorten, text, to_markdown
from slowfast_vos.reporting.run import AXES, JOB, STATISTICS, Run, of_task

MIB = 2.0**-20
GPU_MEMORY = ("allocated", "reserved", "process")
BOLD = "Bold: J&F whose paired difference to the runner-up has a 95 % interval above 0; the least of what is counted."
FOLDED = ("grid-", "per-sequence", "attributes", "records")


def write_tables(results: Results, out: Path) -> list[Path]:
    """Write every table as CSV, Markdown and LaTeX, and `summary.md` (see `read_run` for what it raises)."""
    run, settings = read_run(results), results.settings
    context = {
        "run": settings.name,
        "protocol": settings.protocol_name,
        "dataset": f"{settings.data.kind}:{run.digest[:12]}",
        "seeds": " ".join(map(str, settings.seeds)),
        "device": run.device,
    }
    tables = make_tables(run)
    paths = [path for table in tables for path in table.write(out, context, run.context)]
    return [*paths, _write_summary(run, tables, out)]


def make_tables(run: Run) -> list[Table]:
    """Every table of a run, in the order of `table_names`."""
    tables = [claims_table(run), differences_table(run), table1(run), table2(run), cost_table(run)]
    tables += [tuning_table(run)] if run.settings.tuning.setups else []
    tables += [grid_table(run, setup) for setup in run.settings.setups]
    return [*tables, per_sequence_table(run), attribute_table(run), records_table(run)]


def _write_summary(run: Run, tables: Sequence[Table], out: Path) -> Path:
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
    folder = Path(os.path.relpath(run.results.reports / "figures", out)).as_posix()
    for name, title in figure_titles(run).items():
        lines += [f"![{title}]({folder}/{name}.png)", "", f"*{title}* ([SVG]({folder}/{name}.svg))", ""]
    path = out / "summary.md"
    write_text(path, "\n".join(lines).rstrip() + "\n")
    return path


def table1(run: Run) -> Table:
    """The paper's Table 1: J&F of both tasks, parameters, GPU memory and evaluation time of each setup."""
    names = run.names
    authors, costs = _authors(run, names), run.costs.reindex(names)
    columns, parts = [text("setup", names)], []
    for task, head in zip(TASKS, ("J&F unsup.", "J&F semi-sup."), strict=True):
        records = run.records[run.records["task"] == task] if parts else of_task(run.records, task)
        scores, key = run.over_seeds(records, STATISTICS, names), task.replace("-", "_")
        columns += _beside(number(head, scores, "jf_mean", bold=run.leaders(task)), authors, key, ",.3f")
        parts += [scores.add_prefix(f"{key}_"), authors.filter([key]).add_prefix("authors_").add_suffix("_jf_mean")]
    peaks = (number("", costs, f"gpu_{kind}_bytes", ",.0f", factor=MIB).cells for kind in GPU_MEMORY)
    memory = zip(*peaks, strict=True)
    time = number("evaluation time [s]", costs, "end_to_end_seconds", ",.1f")
    columns += [
        number("parameters", costs, "parameters_total", ",.0f", bold=lowest(costs, "parameters_total")),
        Column("GPU memory [MiB]", [one[0] if len(set(one)) == 1 else " / ".join(one) for one in memory]),
        number("host memory [MiB]", costs, "host_peak_bytes", ",.0f", factor=MIB),
        *_beside(time, authors, "seconds", ",.0f"),
    ]
    parts += [authors.filter(["parameters", "seconds"]).add_prefix("authors_"), costs.drop(columns="failed")]
    notes = [
        "GPU memory: peak allocated / reserved by torch / of the process as the driver reports it. Evaluation time: "
        "loading, inference, pasting masks, writing PNGs and computing J&F over all validation sequences.",
        *_bold_note(columns),
        *_authors_note(run),
        *_failure_notes(run, "evaluation", "baseline", "cost"),
    ]
    title = "Accuracy and cost of each setup (the paper's Table 1)."
    panel = Panel(title, columns, [*names.isin(run.settings.setups)], notes=notes)
    return Table("table1", pd.concat(parts, axis=1).rename_axis("setup").reset_index(), [panel])


def _authors(run: Run, names: pd.Index) -> pd.DataFrame:
    """On DAVIS the authors' results, as `published.Published` names them; they have none of the baselines."""
    found = pd.DataFrame.from_dict(published.SETUPS, "index", dtype=object, columns=published.Published._fields)
    return found.reindex(names) if run.is_davis else pd.DataFrame(index=names)


def _beside(ours: Column, authors: pd.DataFrame, name: str, form: str) -> list[Column]:
    """Our column, and the authors' beside it, where there is one, under its heading."""
    if name not in authors:
        return [ours]
    return [replace(ours, head="ours", group=ours.head), number("authors", authors, name, form, ours.head)]


def _authors_note(run: Run) -> list[str]:
    if not run.is_davis:
        return []
    note = f"Authors: their final report, {published.SEQUENCES} sequences, {published.FRAMES:,} frames, one seed, "
    note += "all frames scored, checkpoints chosen on the validation set, GPU unknown."
    if len(run.val) != published.SEQUENCES:
        note += f" Ours are over {len(run.val)} of these sequences: the two do not compare."
    return [note]


def _bold_note(columns: Sequence[Column]) -> list[str]:
    return [BOLD] if any(column.bold for column in columns) else []


def _failure_notes(run: Run, *kinds: str) -> list[str]:
    """One sentence for each failed record of some kinds."""
    failed = run.records[run.records["failed"] & run.records["kind"].isin(kinds)]
    return [f"Failed: {path}: {shorten(error)}" for path, error in zip(failed["path"], failed["error"], strict=True)]


def table2(run: Run) -> Table:
    """The paper's Table 2: the semi-supervised results, each setup fine-tuned with its best configuration."""
    setups = pd.Index(run.settings.setups, name="setup")
    plain, semi = (run.records[run.records["task"] == task].set_index(["setup", "seed"]) for task in TASKS)
    semi = semi.assign(gain=semi["jf_mean"] - plain["jf_mean"]).reset_index()
    numbers = run.of("evaluation").query("task == @TASKS[1]").index
    scores, authors = run.over_seeds(semi.set_axis(numbers), [*STATISTICS, "gain"], setups), _authors(run, setups)
    for setup in setups:
        gain = run.evidence.contrast([f"{TASKS[1]}/{setup}"], [f"{TASKS[0]}/{setup}"])
        scores.loc[setup, "gain_half"] = gain.estimate.half_width() if gain else float("nan")
    selected = run.of("selected")
    selection = run.over_seeds(selected, ["jf_mean"], setups)
    found = selected.fillna(dict.fromkeys(AXES, NOTHING)).groupby("setup")[[*AXES]]
    chosen = found.agg(lambda values: " / ".join(values.unique())).reindex(setups)
    columns = [
        text("setup", setups),
        *(text(head, chosen[name], "best configuration") for name, head in AXES.items()),
        number("J&F", selection, "jf_mean", group="selection"),
        number("J&F", scores, "jf_mean", group="validation", bold=run.leaders(TASKS[1])),
        *([number("authors", authors, "semi_supervised", group="validation")] if run.is_davis else []),
        *(
            number(part, scores, name, group=measure, bold=run.leaders(TASKS[1], name, low=part == "decay"))
            for measure in "JF"
            for part in ("mean", "recall", "decay")
            for name in [f"{measure.lower()}_{part}"]
        ),
        number("Δ unsup.", scores, "gain", "+,.3f"),
    ]
    gains = {f"gain{end}": f"gain_over_unsupervised{end}" for end in ("", "_std", "_half")}
    parts = [
        chosen,
        selection[["jf_mean", "jf_mean_std", "jf_mean_half"]].add_prefix("selection_"),
        scores.drop(columns=[*gains]).add_prefix("val_"),
        scores[[*gains]].rename(columns=gains),
        authors.filter(["semi_supervised"]).set_axis(["authors_jf_mean"] * run.is_davis, axis=1),
    ]
    notes = [
        "Selection: the sequences that chose the configuration. Δ unsup.: J&F minus that of the same setup's parent, "
        "not fine-tuned.",
        *_bold_note(columns),
        *_authors_note(run),
        *_failure_notes(run, "selected", "evaluation"),
    ]
    title = "Semi-supervised results, fine-tuned on each first frame (the paper's Table 2)."
    panel = Panel(title, columns, [""] * len(setups), notes=notes)
    return Table("table2", pd.concat(parts, axis=1).reset_index(), [panel])


def cost_table(run: Run) -> Table:
    """What each setup costs, in full."""
    costs = run.costs.reindex(run.settings.setups)
    parameters = {"total": "total", "trained": "trained", "SlowFast": "slow_fast"}
    exact = {f"parameters_{one}": (head, ",.0f", "parameters") for head, one in parameters.items()}
    exact["gflops_per_frame"] = ("GFLOPs/frame", ",.2f", "")
    columns = [
        text("setup", costs.index),
        *(number(head, costs, one, form, group, bold=lowest(costs, one)) for one, (head, form, group) in exact.items()),
        _milliseconds(costs),
        number("frames/s", costs, "frames_per_second_median", ",.1f", "inference alone"),
        number("end to end [s]", costs, "end_to_end_seconds", ",.1f"),
        *(number(one, costs, f"gpu_{one}_bytes", ",.0f", "GPU memory [MiB]", MIB) for one in GPU_MEMORY),
        number("host [MiB]", costs, "host_peak_bytes", ",.0f", factor=MIB),
    ]
    notes = [
        f"Inference alone: synchronised, after warm-up, median and its interval{_timed(costs)}. GFLOPs by torch's "
        "counter, a multiply-add is two. Trained: in the unsupervised stage. Memory: peaks. Measured with seed "
        f"{run.settings.seeds[0]}. Bold: the least of what is counted, and the least time whose interval lies apart.",
        *_failure_notes(run, "cost"),
    ]
    panel = Panel("Cost of each setup.", columns, [""] * len(costs), notes=notes)
    return Table("cost", costs.drop(columns="failed").reset_index(), [panel])


def _milliseconds(costs: pd.DataFrame) -> Column:
    """The time of a frame, inference alone: median and its interval; bold where that lies below all others."""
    names = [f"milliseconds_per_frame_{end}" for end in ("median", "low", "high")]
    times = costs.reindex(columns=names).astype(float).set_axis(["median", "low", "high"], axis=1)
    known = times.dropna().sort_values("median")
    apart = len(known) > 1 and known["high"].iloc[0] < known["low"].iloc[1:].min()
    bold = set(known.index[:1]) if apart else set()
    column = number("ms/frame [interval]", costs, names[0], ",.1f", "inference alone", bold=bold)
    ends = zip(column.cells, times["low"], times["high"], strict=True)
    return replace(column, cells=[one if low != low else f"{one} [{low:,.1f}, {high:,.1f}]" for one, low, high in ends])


def _timed(costs: pd.DataFrame) -> str:
    """How times were taken, in brackets; all setups are measured alike."""
    known = costs.reindex(columns=["timed_frames", "frame_size", "milliseconds_per_frame_repeats"]).dropna()
    if known.empty:
        return ""
    frames, size, repeats = known.iloc[0]
    return f" ({frames} frames of {'×'.join(reversed(size.split('x')))} pixels, {repeats} repeats)"


def records_table(run: Run) -> Table:
    """Every record in one CSV, each row with its hardware and versions; its panel only counts them."""
    stages = run.records.groupby("kind", sort=False)
    frame = pd.concat(group for _, group in stages)
    frame = frame.drop(columns=["path", "name", "cell", "failed", "reason", "last_loss"])
    frame = frame.rename(columns={key: f"job_{key}" for key in JOB})
    counts = pd.DataFrame({"records": stages.size(), "failures": stages["failed"].sum()})
    counts["minutes"] = run.records[~run.records["failed"]].groupby("kind")["record_seconds"].sum() / 60
    columns = [
        text("stage", counts.index),
        number("records", counts, "records", ",.0f"),
        number("failed", counts, "failures", ",.0f"),
        number("minutes, done", counts.fillna(0), "minutes", ",.1f"),
    ]
    note = "Each of them is a row of records.csv; the final models stand in their evaluations."
    return Table("records", frame, [Panel("Records of each stage.", columns, [""] * len(counts), notes=[note])])
