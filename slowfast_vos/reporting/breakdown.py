"""Tables of where the scores come from: each sequence, each attribute."""

from __future__ import annotations

from typing import Any

from slowfast_vos.measuring.record import SequenceScores
from slowfast_vos.reporting import published
from slowfast_vos.reporting.collect import LOOK_ALIKE, TASKS, Run, Value, mean_over, over_seeds, sequence_score
from slowfast_vos.reporting.render import NOTHING, Cell, Column, Panel, Table, columns_of, number

MEASURES = {"J&F": "jf_mean", "J": "j_mean", "F": "f_mean"}
STATISTICS = ["jf_mean", *SequenceScores.model_fields]


def per_sequence_table(run: Run) -> Table:
    """Every validation sequence: J&F, J and F of each setup and baseline for both tasks; on DAVIS the authors' too."""
    panels = [_sequence_panel(run, task, heading, name) for task in TASKS for heading, name in MEASURES.items()]
    return Table("per-sequence", _sequence_rows(run), panels)


def _sequence_rows(run: Run) -> list[dict[str, Any]]:
    rows = []
    for task in TASKS:
        for name, records in run.columns(task).items():
            if task != TASKS[0] and name not in run.settings.setups:
                continue
            for sequence in run.val:
                row: dict[str, Any] = {"task": task, "setup": name, "sequence": sequence}
                row |= {"frames": run.frames[sequence], "attributes": " ".join(run.attributes.get(sequence, []))}
                values = {key: over_seeds(records, sequence_score(sequence, key)) for key in STATISTICS}
                for key, value in values.items():
                    row |= columns_of(key, value)
                row |= {"n": values["jf_mean"].n, "failed": values["jf_mean"].failed}
                if run.is_davis:
                    row |= {f"authors_{key}": _authors(task, name, sequence, key) for key in MEASURES.values()}
                rows.append(row)
    return rows


def _sequence_panel(run: Run, task: str, heading: str, statistic: str) -> Panel:
    found = run.columns(task)
    beside = [setup for setup in found if run.is_davis and task == TASKS[0] and setup in published.PER_SEQUENCE]
    columns = [
        Column("sequence", align="l"),
        Column("frames"),
        *[Column(name, best="high") for name in found],
        *[Column(setup, "authors") for setup in beside],
    ]
    block = []
    for sequence in run.val:
        cells = [Cell(_mark(run, sequence)), number(run.frames[sequence], 0)]
        cells += [number(over_seeds(records, sequence_score(sequence, statistic))) for records in found.values()]
        block.append([*cells, *(number(_authors(task, setup, sequence, statistic)) for setup in beside)])
    mean = [Cell("mean"), number(sum(run.frames[name] for name in run.val), 0)]
    mean += [number(over_seeds(records, mean_over(run.val, statistic))) for records in found.values()]
    for setup in beside:
        values = [_authors(task, setup, sequence, statistic) for sequence in run.val]
        known = [value for value in values if value is not None]
        mean.append(number(sum(known) / len(known)) if len(known) == len(values) else Cell(NOTHING))
    notes = [f"{LOOK_ALIKE}: a look-alike stands beside the object."] if run.look_alikes else []
    if beside:
        notes.append("Authors: their final report, rounded to three digits, all frames scored.")
    title = f"{heading} of each sequence, {task}."
    return Panel(title, columns, [block, [mean]], best_in="row", notes=notes)


def _mark(run: Run, sequence: str) -> str:
    return f"{sequence} ({LOOK_ALIKE})" if sequence in run.look_alikes else sequence


def _authors(task: str, setup: str, sequence: str, statistic: str) -> float | None:
    if task != TASKS[0]:
        return None
    pair = published.PER_SEQUENCE.get(setup, {}).get(sequence)
    if pair is None:
        return None
    return {"jf_mean": sum(pair) / 2, "j_mean": pair[0], "f_mean": pair[1]}[statistic]


def attribute_groups(run: Run) -> dict[str, list[str]]:
    """Validation sequences by attribute, and those with and without look-alikes where there are any."""
    groups = {"all": list(run.val)}
    if run.look_alikes:
        groups[f"with look-alikes ({LOOK_ALIKE})"] = run.look_alikes
        groups["without look-alikes"] = [name for name in run.val if name not in run.look_alikes]
    for attribute in sorted({one for name in run.val for one in run.attributes.get(name, [])}):
        groups[attribute] = [name for name in run.val if attribute in run.attributes.get(name, [])]
    return {name: members for name, members in groups.items() if members}


def attribute_table(run: Run) -> Table:
    """Mean J&F over the sequences of each attribute, for both tasks."""
    groups = attribute_groups(run)
    rows: list[dict[str, Any]] = []
    panels = []
    for task in TASKS:
        found = run.columns(task)
        columns = [Column("attribute", align="l"), Column("sequences"), *[Column(name, best="high") for name in found]]
        blocks: list[list[list[Cell]]] = [[], []]
        for group, members in groups.items():
            values: dict[str, Value] = {}
            for name, records in found.items():
                values[name] = over_seeds(records, mean_over(members))
                if task == TASKS[0] or name in run.settings.setups:
                    row = {"task": task, "attribute": group, "sequences": len(members), "setup": name}
                    row |= columns_of("jf_mean", values[name])
                    rows.append(row | {"n": values[name].n, "failed": values[name].failed})
            is_attribute = group not in ("all", f"with look-alikes ({LOOK_ALIKE})", "without look-alikes")
            blocks[is_attribute].append([Cell(group), number(len(members), 0), *map(number, values.values())])
        panel = Panel(f"Mean J&F by attribute, {task}.", columns, [block for block in blocks if block], best_in="row")
        panel.notes += [] if blocks[1] else ["The dataset names no attributes."]
        panels.append(panel)
    return Table("attributes", rows, panels)
