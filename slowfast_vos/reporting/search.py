"""Tables of what was searched: each setup's grid, and the unsupervised stage's tuning."""

from __future__ import annotations

from itertools import product
from typing import Any

from slowfast_vos.measuring.record import Record
from slowfast_vos.reporting.collect import Run, Value, mean_over, over_seeds, score
from slowfast_vos.reporting.render import NOTHING, Cell, Column, Panel, Table, columns_of, number, shorten


def grid_table(run: Run, setup: str) -> Table:
    """All configurations of a setup's grid, those that failed included; the one that was chosen is marked."""
    grid = run.settings.grid
    selected = run.seeds("selected", setup)
    columns = [
        *[Column(name, align="l") for name in ("freeze", "scale", "rate")],
        *[Column(name, best="high") for name in ("J&F", "J", "F")],
        Column("remark", align="l"),
    ]
    rows: list[dict[str, Any]] = []
    blocks: list[list[list[Cell]]] = []
    for freeze in grid.freeze:
        block = []
        for scale, lr in product(grid.scale, grid.lr):
            job = {"freeze": freeze, "scale": scale, "lr": lr}
            records = run.seeds("grid", setup, freeze, scale, lr)
            values = {name: over_seeds(records, score(name)) for name in ("jf_mean", "j_mean", "f_mean")}
            chosen = [record.seed for record in selected if record.job.items() >= job.items()]
            errors = [_error(record) for record in records if record.status == "failed"]
            block.append([*map(Cell, job.values()), *map(number, values.values()), _remark(run, chosen, errors)])
            row = {"setup": setup} | job
            for name, value in values.items():
                row |= columns_of(name, value)
            done = values["jf_mean"]
            row |= {"n": done.n, "failed": done.failed, "error": "; ".join(errors)}
            rows.append(row | {"chosen_by_seeds": " ".join(map(str, chosen))})
        blocks.append(block)
    before = over_seeds(run.seeds("parent", setup), mean_over(run.roles["selection"]))
    notes = [f"The parent before fine-tuning: J&F {number(before).text} on the same sequences."]
    sequences = ", ".join(run.roles["selection"])
    title = f"Grid of setup {setup}: {len(rows)} configurations, scored on the selection sequences ({sequences})."
    return Table(f"grid-{setup}", rows, [Panel(title, columns, blocks, notes=notes)])


def _error(record: Record) -> str:
    return f"seed {record.seed}: {record.error or 'no reason given'}"


def _remark(run: Run, chosen: list[int], errors: list[str]) -> Cell:
    parts = []
    if chosen:
        parts.append("chosen" if len(run.settings.seeds) == 1 else f"chosen by seed {', '.join(map(str, chosen))}")
    if errors:
        parts.append("failed: " + shorten("; ".join(errors)))
    return Cell("; ".join(parts))


def tuning_table(run: Run) -> Table:
    """The unsupervised stage: each parent's J&F on the sequences that chose its epoch, that epoch and its last loss."""
    main = (run.settings.parent.backbone, run.settings.parent.lr)
    columns = [
        *[Column(name, align="l") for name in ("setup", "backbone", "rate")],
        Column("J&F", best="high"),
        Column("kept epoch"),
        Column("last loss"),
        Column("remark", align="l"),
    ]
    groups: dict[str, dict[tuple[str, str], list[Record]]] = {}
    for setup, backbone, lr, _ in run.records.get("tuning", {}):
        groups.setdefault(setup, {})[backbone, lr] = run.seeds("tuning", setup, backbone, lr)
    order = {"backbone": run.settings.tuning.backbone, "lr": run.settings.tuning.lr}
    rows: list[dict[str, Any]] = []
    blocks: list[list[list[Cell]]] = []
    for setup in run.settings.tuning.setups:
        block = []
        for (backbone, lr), records in sorted(
            groups[setup].items(),
            key=lambda item: (_index(order["backbone"], item[0][0]), _index(order["lr"], item[0][1])),
        ):
            jf = over_seeds(records, score("jf_mean"))
            loss = over_seeds(records, lambda record: record.curve[-1].loss if record.curve else None)
            epochs = [str(record.best_epoch) for record in records if record.best_epoch is not None]
            errors = [_error(record) for record in records if record.status == "failed"]
            remark = ["as the parents are trained"] if (backbone, lr) == main else []
            remark += ["failed: " + shorten("; ".join(errors))] if errors else []
            block.append(
                [
                    *map(Cell, (setup, backbone, lr)),
                    number(jf),
                    Cell(", ".join(epochs) or NOTHING),
                    number(Value(loss.mean, loss.std, loss.n, jf.failed)),
                    Cell("; ".join(remark)),
                ]
            )
            row = {"setup": setup, "backbone": backbone, "lr": lr} | columns_of("jf_mean", jf)
            row |= columns_of("last_loss", loss) | {"best_epochs": " ".join(epochs), "n": jf.n, "failed": jf.failed}
            rows.append(row | {"error": "; ".join(errors), "main": (backbone, lr) == main})
        blocks.append(block)
    epochs = run.settings.tuning.epochs
    budget = f"{epochs} epoch{'s' * (epochs > 1)}"
    title = f"Tuning of the unsupervised stage, {budget}, scored on {run.epoch_selection}."
    return Table("tuning", rows, [Panel(title, columns, blocks, best_in="block")])


def _index(values: list[str], value: str) -> tuple[int, str]:
    return (values.index(value) if value in values else len(values), value)
