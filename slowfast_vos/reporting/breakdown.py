"""Tables of what was searched (each setup's grid, the tuning) and of where the scores come from."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from slowfast_vos.dag import TASKS
from slowfast_vos.reporting import published
from slowfast_vos.reporting.render import NOTHING, Column, Panel, Table, number, shorten, show, text
from slowfast_vos.reporting.run import LOOK_ALIKE, STATISTICS, Run, of_task, over_seeds

MEASURES = {"J&F": "jf_mean", "J": "j_mean", "F": "f_mean"}


def grid_table(run: Run, setup: str) -> Table:
    """All configurations of a setup's grid, those that failed included; the one that was chosen is marked."""
    frame = run.grid(setup)
    chosen = run.of("selected", setup).groupby(frame.index.names)["seed"].agg(_words)
    frame["chosen_by_seeds"] = chosen.reindex(frame.index).fillna("")
    frame = frame.reset_index()
    mark = "chosen" if len(run.settings.seeds) == 1 else "chosen by seed {}"
    marks = [mark.format(seeds.replace(" ", ", ")) if seeds else "" for seeds in frame["chosen_by_seeds"]]
    columns = [
        *(text(head, frame[name]) for head, name in {"freeze": "freeze", "scale": "scale", "rate": "lr"}.items()),
        *(number(head, frame, name, best="high") for head, name in MEASURES.items()),
        text("remark", _remarks(marks, frame["error"])),
    ]
    before = number("", run.before_tuning().loc[[setup]], "jf_mean").cells[0]
    sequences = ", ".join(run.roles["selection"])
    title = f"Grid of setup {setup}: {len(frame)} configurations, scored on the selection sequences ({sequences})."
    notes = [f"The parent before fine-tuning: J&F {before} on the same sequences."]
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
    frame = over_seeds(run.of("tuning"), ["jf_mean", "last_loss"], index)
    frame.insert(4, "best_epochs", run.of("tuning").groupby(index.names)["best_epoch"].agg(_words))
    frame["main"] = [(backbone, lr) == (parent.backbone, parent.lr) for _, backbone, lr in index]
    frame = frame.reset_index()
    columns = [
        *(text(head, frame[name]) for head, name in {"setup": "setup", "backbone": "backbone", "rate": "lr"}.items()),
        number("J&F", frame, "jf_mean", best="high"),
        Column("kept epoch", [epochs.replace(" ", ", ") or NOTHING for epochs in frame["best_epochs"]]),
        number("last loss", frame, "last_loss"),
        text("remark", _remarks(frame["main"].map({True: "as the parents are trained", False: ""}), frame["error"])),
    ]
    budget = f"{tuning.epochs} epoch{'s' * (tuning.epochs > 1)}"
    title = f"Tuning of the unsupervised stage, {budget}, scored on {run.epoch_selection}."
    return Table("tuning", frame, [Panel(title, columns, [*frame["setup"]], best_in="block")])


def per_sequence_table(run: Run) -> Table:
    """Every validation sequence: J&F, J and F of each setup and baseline for both tasks; on DAVIS the authors' too."""
    index = pd.MultiIndex.from_product([run.names, run.val], names=["name", "sequence"])
    authors = _authors(run, index)
    frames, panels = [], []
    for task in TASKS:
        scores = over_seeds(of_task(run.sequences, task), STATISTICS, index).drop(columns="error")
        theirs = authors if task == TASKS[0] else authors.iloc[:0].reindex(index)
        frames.append(scores.join(theirs.add_prefix("authors_")))
        shown = theirs.dropna(axis=1, how="all")
        panels += [_sequence_panel(run, task, measure, scores, shown) for measure in MEASURES]
    frame = pd.concat(dict(zip(TASKS, frames, strict=True))).reset_index(names=["task", "setup", "sequence"])
    frame.insert(3, "frames", frame["sequence"].map(run.lengths))
    frame.insert(4, "attributes", [" ".join(run.attributes.get(name, [])) for name in frame["sequence"]])
    return Table("per-sequence", _without_repeats(run, frame), panels)


def _authors(run: Run, index: pd.MultiIndex) -> pd.DataFrame:
    """On DAVIS the authors' J&F, J and F by setup and sequence; they published those of two setups alone."""
    if not run.is_davis:
        return pd.DataFrame(index=index)
    found = {(setup, name): scores for setup, each in published.PER_SEQUENCE.items() for name, scores in each.items()}
    pairs = pd.DataFrame(found.values(), pd.MultiIndex.from_tuples(found), ["j_mean", "f_mean"])
    pairs.insert(0, "jf_mean", (pairs["j_mean"] + pairs["f_mean"]) / 2)
    return pairs.reindex(index)


def _without_repeats(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of a CSV without the baselines of the second task, which are those of the first."""
    return frame[(frame["task"] == TASKS[0]) | frame["setup"].isin(run.settings.setups)]


def _sequence_panel(run: Run, task: str, measure: str, scores: pd.DataFrame, authors: pd.DataFrame) -> Panel:
    """One measure of a task: a row for each sequence and one for their mean, a column for each baseline and setup."""
    name = MEASURES[measure]
    means = over_seeds(of_task(run.mean_over(run.val, name), task), [name], run.names)
    frames = [run.lengths[sequence] for sequence in run.val]
    marks = [f"{sequence} ({LOOK_ALIKE})" if sequence in run.look_alikes else sequence for sequence in run.val]
    columns = [
        text("sequence", [*marks, "mean"]),
        Column("frames", [f"{count:,}" for count in [*frames, sum(frames)]]),
        *(number(one, pd.concat([scores.loc[one], means.loc[[one]]]), name, best="high") for one in run.names),
    ]
    notes = [f"{LOOK_ALIKE}: a look-alike stands beside the object."] if run.look_alikes else []
    if beside := [setup for setup in run.settings.setups if name in authors and setup in published.PER_SEQUENCE]:
        notes.append("Authors: their final report, rounded to three digits, all frames scored.")
    for setup in beside:
        theirs = list(authors.loc[setup, name])
        cells = [show(",.3f", value) for value in [*theirs, sum(theirs) / len(theirs)]]
        columns.append(Column(setup, cells, "authors"))
    blocks = ["sequences"] * len(run.val) + ["mean"]
    return Panel(f"{measure} of each sequence, {task}.", columns, blocks, "row", notes)


def attribute_groups(run: Run) -> dict[str, list[str]]:
    """Validation sequences by group: all, with and without look-alikes where there are any, and by attribute."""
    groups = {"all": run.val}
    if run.look_alikes:
        groups[f"with look-alikes ({LOOK_ALIKE})"] = run.look_alikes
        groups["without look-alikes"] = [name for name in run.val if name not in run.look_alikes]
    for attribute in sorted({one for name in run.val for one in run.attributes.get(name, [])}):
        groups[attribute] = [name for name in run.val if attribute in run.attributes.get(name, [])]
    return {name: members for name, members in groups.items() if members}


def attribute_table(run: Run) -> Table:
    """Mean J&F over the sequences of each attribute, for both tasks."""
    groups = attribute_groups(run)
    sizes = {group: len(members) for group, members in groups.items()}
    general = ("all", f"with look-alikes ({LOOK_ALIKE})", "without look-alikes")
    blocks = [group not in general for group in groups]
    notes = [] if any(blocks) else ["The dataset names no attributes."]
    frames, panels = [], []
    for task in TASKS:
        means = {
            group: over_seeds(of_task(run.mean_over(members), task), ["jf_mean"], run.names).drop(columns="error")
            for group, members in groups.items()
        }
        frames.append(pd.concat(means))
        columns = [
            text("attribute", groups),
            Column("sequences", [f"{size:,}" for size in sizes.values()]),
            *(number(name, frames[-1].xs(name, level=1), "jf_mean", best="high") for name in run.names),
        ]
        panels.append(Panel(f"Mean J&F by attribute, {task}.", columns, blocks, "row", notes))
    frame = pd.concat(dict(zip(TASKS, frames, strict=True))).reset_index(names=["task", "attribute", "setup"])
    frame.insert(2, "sequences", frame["attribute"].map(sizes))
    return Table("attributes", _without_repeats(run, frame), panels)
