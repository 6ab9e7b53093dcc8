"""Every table of a run, from its records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from rich.console import RenderableType

from slowfast_vos.config import Settings
from slowfast_vos.measuring.record import Record
from slowfast_vos.measuring.record import Scores as ScoresRecord
from slowfast_vos.reporting import published
from slowfast_vos.reporting.breakdown import attribute_table, per_sequence_table
from slowfast_vos.reporting.collect import TASKS, Run, Value, over_seeds, read_run, score
from slowfast_vos.reporting.render import NOTHING, Cell, Column, Panel, Table, columns_of, number, shorten
from slowfast_vos.reporting.search import grid_table, tuning_table
from slowfast_vos.reporting.summary import terminal_summary, write_summary

STATISTICS = [name for name in ScoresRecord.model_fields if name != "sequences"]
MIB = 2.0**-20


def write_tables(settings: Settings, results: Path, out: Path, figures: Path | None = None) -> list[Path]:
    """Write every table as CSV, Markdown and LaTeX, and `summary.md` with all of them.

    Args:
        results: the run's folder of records.
        figures: the folder of the figures that the summary shows; without it, `figures` beside `out`.

    Raises:
        UserError: records are missing or do not follow the schema.
    """
    run = read_run(settings, results)
    context = {
        "run": settings.name,
        "protocol": settings.protocol_name,
        "dataset": f"{settings.data.kind}:{run.digest[:12]}",
        "seeds": " ".join(map(str, settings.seeds)),
        "device": run.device,
    }
    tables = all_tables(run)
    paths = [path for table in tables for path in table.write(out, context, run.context)]
    return [*paths, write_summary(run, tables, out, figures or out.parent / "figures")]


def table_names(settings: Settings) -> list[str]:
    """The tables of a run, in their order; each is NAME.csv, NAME.md and NAME.tex."""
    grids = [f"grid-{setup}" for setup in settings.setups]
    return ["table1", "table2", "cost", "tuning", *grids, "per-sequence", "attributes", "records"]


def all_tables(run: Run) -> list[Table]:
    """Every table, in the order of `table_names`."""
    grids = [grid_table(run, setup) for setup in run.settings.setups]
    return [
        table1(run),
        table2(run),
        cost_table(run),
        tuning_table(run),
        *grids,
        per_sequence_table(run),
        attribute_table(run),
        records_table(run),
    ]


def table1(run: Run) -> Table:
    """The paper's Table 1: J&F of both tasks, parameters, GPU memory and evaluation time of each setup."""
    beside = run.is_davis
    columns = [
        Column("setup", align="l"),
        *_ours(run, "J&F unsup.", "high"),
        *_ours(run, "J&F semi-sup.", "high"),
        Column("parameters", best="low"),
        Column("GPU memory [MiB]"),
        Column("host memory [MiB]", best="low"),
        *_ours(run, "evaluation time [s]", "low"),
    ]
    rows: list[dict[str, Any]] = []
    blocks: list[list[list[Cell]]] = [[], []]
    for name in run.columns(TASKS[0]):
        is_setup = name in run.settings.setups
        row: dict[str, Any] = {"setup": name}
        cells = [Cell(name)]
        theirs = published.SETUPS.get(name) if beside else None
        for task in TASKS:
            records = run.columns(task)[name] if is_setup or task == TASKS[0] else []
            row |= _score_columns(task.replace("-", "_"), records)
            cells.append(number(over_seeds(records, score("jf_mean"))))
            if beside:
                row[f"authors_{task.replace('-', '_')}_jf_mean"] = theirs.jf(task) if theirs else None
                cells.append(number(theirs.jf(task)) if theirs else Cell(NOTHING))
        cost = run.seeds("cost", name)
        row |= _cost_columns(cost)
        cells += [_cost(cost, "parameters_total", 0), _gpu(cost), _cost(cost, "host_peak_bytes", 0, MIB)]
        cells.append(_cost(cost, "end_to_end_seconds", 1))
        if beside:
            row |= {"authors_parameters": theirs and theirs.parameters, "authors_seconds": theirs and theirs.seconds}
            cells.append(number(theirs.seconds, 0) if theirs else Cell(NOTHING))
        rows.append(row)
        blocks[is_setup].append(cells)
    notes = [
        "GPU memory: peak allocated / reserved by torch / of the process as the driver reports it. Evaluation time: "
        "loading, inference, pasting masks, writing PNGs and computing J&F over all validation sequences.",
        *_authors_note(run),
        *failure_notes(run, "evaluation", "baseline", "cost"),
    ]
    return Table(
        "table1", rows, [Panel("Accuracy and cost of each setup (the paper's Table 1).", columns, blocks, notes=notes)]
    )


def _ours(run: Run, name: str, best: Literal["high", "low"]) -> list[Column]:
    return [Column("ours", name, best), Column("authors", name)] if run.is_davis else [Column(name, best=best)]


def _score_columns(prefix: str, records: list[Record]) -> dict[str, Any]:
    values = {name: over_seeds(records, score(name)) for name in STATISTICS}
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= columns_of(f"{prefix}_{name}", value)
    errors = [f"seed {record.seed}: {record.error}" for record in records if record.status == "failed"]
    done = values["jf_mean"]
    return found | {f"{prefix}_n": done.n, f"{prefix}_failed": done.failed, f"{prefix}_error": "; ".join(errors)}


def _cost_columns(records: list[Record]) -> dict[str, Any]:
    cost = records[0].cost if records else None
    found: dict[str, Any] = {}
    for name, value in (cost.model_dump(mode="json") if cost else {}).items():
        if isinstance(value, dict):
            found |= {f"{name}_{part}": inner for part, inner in value.items()}
        else:
            found[name] = "x".join(map(str, value)) if isinstance(value, list) else value
    return found | ({"cost_error": records[0].error} if records and records[0].error else {})


def _cost(records: list[Record], name: str, digits: int, factor: float = 1.0) -> Cell:
    value = over_seeds(records, lambda record: getattr(record.cost, name) if record.cost else None)
    return number(value._replace(std=None), digits, factor)


def _gpu(records: list[Record]) -> Cell:
    parts = [_cost(records, f"gpu_{kind}_bytes", 0, MIB).text for kind in ("allocated", "reserved", "process")]
    return Cell(parts[0] if len(set(parts)) == 1 else " / ".join(parts))


def cost_table(run: Run) -> Table:
    """What each setup costs, in full."""
    columns = [
        Column("setup", align="l"),
        Column("total", "parameters", best="low"),
        Column("trained", "parameters", best="low"),
        Column("SlowFast", "parameters", best="low"),
        Column("GFLOPs/frame", best="low"),
        Column("ms/frame [quartiles]", "inference alone", best="low"),
        Column("frames/s", "inference alone", best="high"),
        Column("end to end [s]", best="low"),
        Column("allocated", "GPU memory [MiB]", best="low"),
        Column("reserved", "GPU memory [MiB]", best="low"),
        Column("process", "GPU memory [MiB]", best="low"),
        Column("host [MiB]", best="low"),
    ]
    rows, block = [], []
    for setup in run.settings.setups:
        records = run.seeds("cost", setup)
        cells = [Cell(setup)]
        cells += [_cost(records, f"parameters_{kind}", 0) for kind in ("total", "trained", "slow_fast")]
        cells.append(_cost(records, "gflops_per_frame", 1))
        cells += [_spread(records, "milliseconds_per_frame", True), _spread(records, "frames_per_second", False)]
        cells.append(_cost(records, "end_to_end_seconds", 1))
        names = ("gpu_allocated_bytes", "gpu_reserved_bytes", "gpu_process_bytes", "host_peak_bytes")
        cells += [_cost(records, name, 0, MIB) for name in names]
        block.append(cells)
        rows.append({"setup": setup} | _cost_columns(records))
    costs = [record.cost for setup in run.settings.setups for record in run.seeds("cost", setup) if record.cost]
    timed = dict.fromkeys(
        f"{cost.timed_frames} frames of {cost.frame_size[1]}×{cost.frame_size[0]} pixels, "
        f"{cost.milliseconds_per_frame.repeats} repeats"
        for cost in costs
    )
    notes = [
        "Inference alone: synchronised, after warm-up, median and quartiles"
        + (f" ({'; '.join(timed)})" if timed else "")
        + ". GFLOPs by torch's counter, a multiply-add is two. Trained: in the unsupervised stage. "
        f"Memory: peaks. Measured with seed {run.settings.seeds[0]}.",
        *failure_notes(run, "cost"),
    ]
    return Table("cost", rows, [Panel("Cost of each setup.", columns, [block], notes=notes)])


def _spread(records: list[Record], name: str, quartiles: bool) -> Cell:
    cost = records[0].cost if records else None
    if cost is None:
        return _cost(records, name, 1)
    spread = getattr(cost, name)
    cell = number(spread.median, 1)
    return cell._replace(text=f"{cell.text} [{spread.low:.1f}, {spread.high:.1f}]") if quartiles else cell


def table2(run: Run) -> Table:
    """The paper's Table 2: the semi-supervised results, each setup fine-tuned with its best configuration."""
    columns = [
        Column("setup", align="l"),
        *[Column(name, "best configuration", align="l") for name in ("freeze", "scale", "rate")],
        Column("J&F", "selection"),
        Column("J&F", "validation", best="high"),
        *([Column("authors", "validation")] if run.is_davis else []),
        *[Column(name, "J", best="low" if name == "decay" else "high") for name in ("mean", "recall", "decay")],
        *[Column(name, "F", best="low" if name == "decay" else "high") for name in ("mean", "recall", "decay")],
        Column("Δ unsup.", best="high"),
    ]
    rows, block = [], []
    for setup in run.settings.setups:
        semi, selected = run.seeds("evaluation", TASKS[1], setup), run.seeds("selected", setup)
        plain = {record.seed: record.scores for record in run.seeds("evaluation", TASKS[0], setup)}
        gain = over_seeds(semi, lambda record, plain=plain: _gain(record, plain[record.seed]))
        chosen = {
            key: " / ".join(dict.fromkeys(record.job.get(key, NOTHING) for record in selected))
            for key in ("freeze", "scale", "lr")
        }
        at_selection = over_seeds(selected, score("jf_mean"))
        theirs = published.SETUPS.get(setup) if run.is_davis else None
        cells = [Cell(setup), *(Cell(text) for text in chosen.values()), number(at_selection)]
        for index, name in enumerate(STATISTICS):
            cells.append(number(over_seeds(semi, score(name))))
            if index == 0 and run.is_davis:
                cells.append(number(theirs.semi_supervised) if theirs else Cell(NOTHING))
        block.append([*cells, number(gain, sign=True)])
        row = {"setup": setup} | chosen | columns_of("selection_jf_mean", at_selection)
        row |= _score_columns("val", semi) | columns_of("gain_over_unsupervised", gain)
        if run.is_davis:
            row["authors_jf_mean"] = theirs.semi_supervised if theirs else None
        rows.append(row)
    notes = [
        "Selection: the sequences that chose the configuration. Δ unsup.: J&F minus that of the same setup's parent, "
        "not fine-tuned.",
        *_authors_note(run),
        *failure_notes(run, "selected", "evaluation"),
    ]
    title = "Semi-supervised results, fine-tuned on each first frame (the paper's Table 2)."
    return Table("table2", rows, [Panel(title, columns, [block], notes=notes)])


def _gain(record: Record, plain: ScoresRecord | None) -> float | None:
    return record.scores.jf_mean - plain.jf_mean if record.scores and plain else None


def _authors_note(run: Run) -> list[str]:
    if not run.is_davis:
        return []
    note = f"Authors: their final report, {published.SEQUENCES} sequences, {published.FRAMES:,} frames, one seed, "
    note += "all frames scored, checkpoints chosen on the validation set, GPU unknown."
    if len(run.val) != published.SEQUENCES:
        note += f" Ours are over {len(run.val)} of these sequences: the two do not compare."
    return [note]


def failure_notes(run: Run, *kinds: str) -> list[str]:
    """One sentence for each failed record of some kinds."""
    known = {id(record) for kind in kinds for record in run.records.get(kind, {}).values()}
    return [
        f"Failed: {path}: {shorten(one.error or 'no reason given')}" for path, one in run.failures if id(one) in known
    ]


def records_table(run: Run) -> Table:
    """Every record in one CSV, each row with its hardware and versions; its panel only counts them."""
    rows, cells = [], []
    for kind, records in run.records.items():
        for record in records.values():
            row: dict[str, Any] = {"kind": kind, "task": record.task, "setup": record.setup, "seed": record.seed}
            row |= {f"job_{key}": record.job.get(key) for key in ("baseline", "backbone", "freeze", "scale", "lr")}
            row |= {"status": record.status, "error": record.error, "best_epoch": record.best_epoch}
            row |= {name: getattr(record.scores, name) if record.scores else None for name in STATISTICS}
            where = record.provenance.model_dump(mode="json")
            packages = where.pop("packages")
            row |= {f"record_{key}": value for key, value in where.items()}
            row["packages"] = " ".join(f"{name}={version}" for name, version in sorted(packages.items()))
            rows.append(row)
        failed = sum(record.status == "failed" for record in records.values())
        hours = over_seeds(records.values(), lambda record: record.provenance.seconds)
        total = Value((hours.mean or 0) * hours.n / 60)
        cells.append([Cell(kind), number(len(records), 0), number(failed, 0), number(total, 1)])
    columns = [Column("stage", align="l"), Column("records"), Column("failed"), Column("minutes, done")]
    note = "Each of them is a row of records.csv; the final models stand in their evaluations."
    panel = Panel("Records of each stage.", columns, [cells], notes=[note])
    return Table("records", rows, [panel])


def summary(settings: Settings, results: Path, places: dict[str, Path]) -> RenderableType:
    """Table 1 and where things lie, for `rich.print`; `places` are folders by what they hold."""
    run = read_run(settings, results)
    return terminal_summary(run, places)
