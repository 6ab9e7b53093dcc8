"""Tables of what was searched (each setup's grid, the tuning) and of where the scores come from."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import pandas as pd

from slowfast_vos.dag import TASKS
from slowfast_vos.reporting import published
from slowfast_vos.reporting.render import NOTHING, Column, Panel, Table, number, shorten, show, text
from slowfast_vos.reporting.run import AXES, LOOK_ALIKE, MEASURES, STATISTICS, Run


def grid_table(run: Run, setup: str) -> Table:
    """All configurations of a setup's grid, those that failed included; the one that was chosen is marked."""
    frame = run.grid(setup)
    chosen = run.of("selected", setup).groupby(frame.index.names)["seed"].agg(_words)
    frame["chosen_by_seeds"] = chosen.reindex(frame.index).fillna("")
    frame = frame.reset_index()
    searched = {run.settings.search_seed(seed) for seed in run.settings.seeds}
    mark = "chosen" if len(searched) == 1 else "chosen by seed {}"
    marks = [mark.format(seeds.replace(" ", ", ")) if seeds else "" for seeds in frame["chosen_by_seeds"]]
    columns = [
        *(text(head, frame[axis]) for axis, head in AXES.items()),
        *(number(head, frame, name) for head, name in MEASURES.items()),
        text("remark", _remarks(marks, frame["error"])),
    ]
    before = show(",.3f", *run.before_tuning().loc[setup, ["jf_mean", "jf_mean_half", "failed"]])
    sequences = ", ".join(run.roles["selection"])
    title = f"Grid of setup {setup}: {len(frame)} configurations, scored on the selection sequences ({sequences})."
    notes = [_near_the_best(run, f"grid/{setup}/")]
    if before != NOTHING:  # the parents' epochs were chosen on these sequences too
        notes.insert(0, f"The parent before fine-tuning: J&F {before} on the same sequences.")
    frame.insert(0, "setup", setup)
    return Table(f"grid-{setup}", frame, [Panel(title, columns, [*frame["freeze"]], notes=notes)])


def _words(values: pd.Series) -> str:
    return " ".join(map(str, values.dropna()))


def _remarks(marks: Iterable[str], errors: Iterable[str]) -> list[str]:
    failures = (f"failed: {shorten(error)}" if error else "" for error in errors)
    return ["; ".join(filter(None, pair)) for pair in zip(marks, failures, strict=True)]


def tuning_table(run: Run) -> Table:
    """The unsupervised stage: each parent's J&F on the sequences that chose its epoch, that epoch and its last loss."""
    tuning, parent = run.settings.tuning, run.settings.parent
    index = pd.MultiIndex.from_product([tuning.setups, tuning.backbone, tuning.lr], names=["setup", "backbone", "lr"])
    frame = run.over_seeds(run.of("tuning"), ["jf_mean", "last_loss"], index)
    frame.insert(4, "best_epochs", run.of("tuning").groupby(index.names)["best_epoch"].agg(_words))
    frame["main"] = [(backbone, lr) == (parent.backbone, parent.lr) for _, backbone, lr in index]
    frame = frame.reset_index()
    columns = [
        *(text(head, frame[name]) for head, name in {"setup": "setup", "backbone": "backbone", "rate": "lr"}.items()),
        number("J&F", frame, "jf_mean"),
        Column("kept epoch", [epochs.replace(" ", ", ") or NOTHING for epochs in frame["best_epochs"]]),
        number("last loss", frame, "last_loss"),
        text("remark", _remarks(frame["main"].map({True: "as the parents are trained", False: ""}), frame["error"])),
    ]
    scored_on = f"all {len(run.val)} validation sequences"
    if run.settings.option("selection") == "held_out":
        scored_on = f"the selection sequences ({', '.join(run.settings.epoch_sequences)})"
    budget = f"{tuning.epochs} epoch{'s' * (tuning.epochs > 1)}"
    title = f"Tuning of the unsupervised stage, {budget}, scored on {scored_on}."
    notes = [f"Setup {setup}: {_near_the_best(run, f'tuning/{setup}/')}" for setup in tuning.setups]
    return Table("tuning", frame, [Panel(title, columns, [*frame["setup"]], notes=notes)])


def _near_the_best(run: Run, start: str) -> str:
    """How many configurations are near the best: their paired difference to it is within its standard error."""
    cells = {name: table for name, table in run.evidence.cells.items() if name.startswith(start)}
    if len(cells) < 2:
        return "No two configurations to compare."
    best = max(cells, key=lambda name: cells[name].to_numpy().mean())
    pairs = [run.evidence.contrast([best], [name]) for name in cells if name != best]
    known = [pair.estimate for pair in pairs if pair is not None]
    if all(one.error != one.error for one in known):
        return "One seed and one sequence have no standard error: how many configurations equal the best is unknown."
    near = sum(one.mean <= one.error for one in known)
    return f"{near} of the {len(known)} other configurations lie within one standard error of the best."


def per_sequence_table(run: Run) -> Table:
    """Every validation sequence: J&F, J and F of each setup and baseline for both tasks; on DAVIS the authors' too."""
    groups = {name: [name] for name in run.val} | {"mean": run.val}
    scores = run.scores_over(groups, STATISTICS)
    authors = published.per_sequence() if run.is_davis else pd.DataFrame()
    marked = [f"{name} ({LOOK_ALIKE})" if name in run.distractors else name for name in run.val]
    frames = [sum(run.lengths[name] for name in members) for members in groups.values()]
    heads = [text("sequence", [*marked, "mean"]), Column("frames", [f"{count:,}" for count in frames])]
    blocks = ["sequences"] * len(run.val) + ["mean"]
    notes = [f"{LOOK_ALIKE}: a look-alike stands beside the object."] if run.distractors else []
    panels = []
    for task, measure in product(TASKS, MEASURES):
        columns = [number(name, scores.loc[task].loc[name], MEASURES[measure]) for name in run.names]
        beside = [setup for setup in run.settings.setups if setup in authors.index and task == TASKS[0]]
        for setup in beside:
            theirs = authors.loc[setup].reindex(run.val)[MEASURES[measure]]
            columns.append(Column(setup, [show(",.3f", value) for value in [*theirs, theirs.mean()]], "authors"))
        told = ["Authors: their final report, rounded to three digits, all frames scored."] if beside else []
        title = f"{measure} of each sequence, {task}."
        panels.append(Panel(title, [*heads, *columns], blocks, [*notes, *told]))
    frame = _raw(run, scores.drop("mean", level="group"), "sequence")
    frame.insert(3, "frames", frame["sequence"].map(run.lengths))
    frame.insert(4, "attributes", [" ".join(run.attributes.get(name, [])) for name in frame["sequence"]])
    if run.is_davis:
        authors = pd.concat({TASKS[0]: authors.add_prefix("authors_")}, names=["task"])
        frame = frame.join(authors, on=authors.index.names)
    return Table("per-sequence", frame, panels)


def _raw(run: Run, scores: pd.DataFrame, group: str) -> pd.DataFrame:
    """Rows of a CSV by task, setup and `group`; the baselines, which are the same for both tasks, once."""
    frame = scores.drop(columns="error").reset_index(names=["task", "setup", group])
    return frame[(frame["task"] == TASKS[0]) | frame["setup"].isin(run.settings.setups)]


def attribute_table(run: Run) -> Table:
    """Mean J&F for both tasks over all sequences, with and without distractors where there are any, by attribute."""
    general = {"all": run.val}
    if run.distractors:
        others = [name for name in run.val if name not in run.distractors]
        general |= {f"with look-alikes ({LOOK_ALIKE})": run.distractors, "without look-alikes": others}
    attributes = sorted({one for name in run.val for one in run.attributes.get(name, [])})
    members = {one: [name for name in run.val if one in run.attributes.get(name, [])] for one in attributes}
    groups = {name: members for name, members in (general | members).items() if members}
    sizes = {name: len(members) for name, members in groups.items()}
    scores, notes = run.scores_over(groups), [] if attributes else ["The dataset names no attributes."]
    heads = [text("attribute", groups), Column("sequences", [f"{size:,}" for size in sizes.values()])]
    panels = []
    for task in TASKS:
        best = {group: run.leaders(task, only=members) for group, members in groups.items()}
        columns = []
        for name in run.names:
            bold = [group for group, names in best.items() if name in names]
            columns.append(number(name, scores.loc[task].loc[name], "jf_mean", bold=bold))
        blocks = [name not in general for name in groups]
        panels.append(Panel(f"Mean J&F by attribute, {task}.", [*heads, *columns], blocks, notes))
    frame = _raw(run, scores, "attribute")
    frame.insert(1, "attribute", frame.pop("attribute"))
    frame.insert(2, "sequences", frame["attribute"].map(sizes))
    frame = pd.concat(rows for _, rows in frame.groupby(["task", "attribute"], sort=False))
    return Table("attributes", frame, panels)
