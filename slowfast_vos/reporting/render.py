"""How tables look: cells, and whole tables as CSV (every digit), Markdown and LaTeX (booktabs)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, repeat
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Literal

import pandas as pd

from slowfast_vos.files import write_text

Best = Literal["high", "low", None]
NOTHING = "–"  # a cell without a value
LATEX: dict[str, str] = {letter: "\\" + letter for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "–": "--",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "Δ": r"$\Delta$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "…": r"\ldots{}",
}


@dataclass(frozen=True)
class Column:
    """A column to read."""

    head: str
    cells: Sequence[str]
    group: str = ""  # the heading that it shares with its neighbours
    best: Best = None  # which of the numbers that its cells begin with is best
    align: Literal["l", "r"] = "r"


@dataclass(frozen=True)
class Panel:
    """One table to read: columns under a title."""

    title: str
    columns: Sequence[Column]
    blocks: Sequence[str | bool]  # a label for each row; a line parts rows with different labels
    best_in: Literal["column", "block", "row"] = "column"  # where a best value is sought; a block is a part of a column
    notes: Sequence[str] = ()  # sentences below the table

    def best(self) -> pd.DataFrame:
        """Whether each cell is among the best, to be printed in bold: none is where all are equal."""
        rows = range(len(self.blocks))
        numbers = pd.DataFrame({place: _numbers(column) for place, column in enumerate(self.columns)}, rows)
        if self.best_in == "row":
            return numbers.eq(numbers.max(axis=1), axis=0) & numbers.ne(numbers.min(axis=1), axis=0)
        rivals = numbers.groupby(pd.Series(self.blocks if self.best_in == "block" else 0, rows))
        return numbers.eq(rivals.transform("max")) & numbers.ne(rivals.transform("min"))

    def rows(self, write: Callable[[str, bool], str]) -> list[list[str]]:
        """The cells by row, each as `write(text, is_best)` gives it."""
        best = self.best().to_numpy()
        return [
            [write(column.cells[row], best[row, place]) for place, column in enumerate(self.columns)]
            for row in range(len(self.blocks))
        ]


@dataclass(frozen=True)
class Table:
    """A table's files: a frame of raw values for the CSV, panels for reading."""

    name: str
    frame: pd.DataFrame
    panels: Sequence[Panel]

    def write(self, out: Path, context: Mapping[str, str], caption: str) -> list[Path]:
        """Write NAME.csv, whose rows start with `context`, NAME.md and NAME.tex, whose captions end with `caption`."""
        frame = self.frame.assign(**context)[[*context, *self.frame.columns]].astype(object)  # floats keep every digit
        labels = [self.name, *(f"{self.name}-{index}" for index in range(1, len(self.panels)))]
        texts = {
            ".csv": frame.to_csv(index=False, lineterminator="\n"),
            ".md": "\n".join(to_markdown(panel, caption) for panel in self.panels),
            ".tex": "\n".join(map(to_latex, self.panels, repeat(caption), labels)),
        }
        for suffix, text in texts.items():
            write_text(out / f"{self.name}{suffix}", text)
        return [out / f"{self.name}{suffix}" for suffix in texts]


def _numbers(column: Column) -> pd.Series:
    """The numbers that a column's cells begin with, the higher the better; missing where nothing competes."""
    words = pd.Series([cell.split(" ")[0].replace(",", "").replace("−", "-") for cell in column.cells], dtype=object)
    numbers = pd.to_numeric(words if column.best else words.map({}), errors="coerce")
    return -numbers if column.best == "low" else numbers


def text(head: str, cells: Iterable[str], group: str = "") -> Column:
    """A column of words."""
    return Column(head, list(cells), group, align="l")


def number(
    head: str, frame: pd.DataFrame, name: str, form: str = ",.3f", group: str = "", factor: float = 1, best: Best = None
) -> Column:
    """A column of a frame's quantity `name`, with the deviations (`NAME_std`) and failures that the frame has."""
    frame = frame.reindex(columns=[name, f"{name}_std", "failed"])
    values = frame.iloc[:, :2].astype(float).mul(factor).assign(failed=frame["failed"])
    return Column(head, [show(form, *row) for row in values.itertuples(index=False)], group, best)


def show(form: str, mean: float | None, deviation: float | None = None, failed: float | None = 0) -> str:
    """A quantity as a cell: `0.676`, `0.676 ± 0.004`, `failed` if seeds did, or `–` where there is none."""
    if pd.isna(mean):
        return NOTHING if pd.isna(failed) or not failed else "failed"
    shown = format(mean, form).replace("-", "−")
    return shown if pd.isna(deviation) else f"{shown} ± {format(deviation, form.lstrip('+'))}"


def shorten(text: str, length: int = 72) -> str:
    """One line of at most `length` characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def to_markdown(panel: Panel, caption: str) -> str:
    """A panel as a Markdown pipe table below its caption."""
    heads = [_markdown(f"{column.group} {column.head}") for column in panel.columns]
    rules = [":---" if column.align == "l" else "---:" for column in panel.columns]
    rows = panel.rows(lambda cell, best: f"**{_markdown(cell)}**" if best else _markdown(cell))
    lines = [f"**{panel.title}** {caption}".rstrip(), "", f"| {' | '.join(heads)} |", f"|{'|'.join(rules)}|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", *(f"{_markdown(note)}\n" for note in panel.notes)])


def _markdown(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def to_latex(panel: Panel, caption: str, label: str) -> str:
    """A panel as a LaTeX table; needs the package booktabs."""
    rows = panel.rows(lambda cell, best: rf"\textbf{{{escape(cell)}}}" if best else escape(cell))
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escape(panel.title)} {escape(caption)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{''.join(column.align for column in panel.columns)}}}",
        r"\toprule",
        *_latex_heads(panel.columns),
    ]
    for _, block in groupby(zip(panel.blocks, rows, strict=True), key=itemgetter(0)):
        lines += [r"\midrule", *(" & ".join(row) + r" \\" for _, row in block)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip {escape(note)}" for note in panel.notes]
    return "\n".join([*lines, r"\end{table}", ""])


def _latex_heads(columns: Sequence[Column]) -> list[str]:
    cells, rules, start = [], [], 1
    for group, members in groupby(columns, key=attrgetter("group")):
        width = len(list(members))
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(group)}}}" if group else " & " * (width - 1))
        rules += [rf"\cmidrule(lr){{{start}-{start + width - 1}}}"] if group else []
        start += width
    groups = [" & ".join(cells) + r" \\", " ".join(rules)] if rules else []
    return [*groups, " & ".join(escape(column.head) for column in columns) + r" \\"]


def escape(text: str) -> str:
    """Plain text as LaTeX; what neither LaTeX nor Latin letters can say becomes a question mark."""
    words = " ".join(text.split()).translate(str.maketrans(LATEX))
    return words.encode("latin-1", "replace").decode("latin-1")
