"""How tables look: cells, and whole tables as CSV (every digit), Markdown and LaTeX (booktabs)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, repeat
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from slowfast_vos.files import write_text

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
    bold: Collection[int] = ()  # the rows whose cells are bold
    align: Literal["l", "r"] = "r"


@dataclass(frozen=True)
class Panel:
    """One table to read: columns under a title."""

    title: str
    columns: Sequence[Column]
    blocks: Sequence[str | bool]  # a label for each row; a line parts rows with different labels
    notes: Sequence[str] = ()  # sentences below the table

    def rows(self, write: Callable[[str, bool], str]) -> list[list[str]]:
        """The cells by row, each as `write(text, is_bold)` gives it."""
        return [
            [write(column.cells[row], row in column.bold) for column in self.columns] for row in range(len(self.blocks))
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


def text(head: str, cells: Iterable[str], group: str = "") -> Column:
    """A column of words."""
    return Column(head, list(cells), group, align="l")


def number(
    head: str,
    frame: pd.DataFrame,
    name: str,
    form: str = ",.3f",
    group: str = "",
    factor: float = 1,
    bold: Collection[Any] = (),
) -> Column:
    """A column of a frame's quantity `name`, with the intervals (`NAME_half`) and failures that the frame has.

    Args:
        bold: labels of the rows that are bold.
    """
    places = [place for place, label in enumerate(frame.index) if label in bold]
    frame = frame.reindex(columns=[name, f"{name}_half", "failed"])
    values = frame.iloc[:, :2].astype(float).mul(factor).assign(failed=frame["failed"])
    return Column(head, [show(form, *row) for row in values.itertuples(index=False)], group, places)


def lowest(frame: pd.DataFrame, name: str) -> set[Any]:
    """The rows of the least value, to be bold: of an exact count; none where all are equal."""
    values = frame[name].dropna() if name in frame else pd.Series(dtype=float)
    return set(values.index[values == values.min()]) if values.nunique() > 1 else set()


def show(form: str, mean: float | None, half: float | None = None, failed: float | None = 0) -> str:
    """A quantity as a cell: `0.676`, `0.676 ± 0.004`, `failed` if seeds did, or `–` where there is none."""
    if pd.isna(mean):
        return NOTHING if pd.isna(failed) or not failed else "failed"
    shown = format(mean, form).replace("-", "−")
    return shown if pd.isna(half) else f"{shown} ± {format(half, form.lstrip('+'))}"


def shorten(text: str, length: int = 72) -> str:
    """One line of at most `length` characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def to_markdown(panel: Panel, caption: str) -> str:
    """A panel as a Markdown pipe table below its caption."""
    heads = [_markdown(f"{column.group} {column.head}") for column in panel.columns]
    rules = [":---" if column.align == "l" else "---:" for column in panel.columns]
    rows = panel.rows(lambda cell, bold: f"**{_markdown(cell)}**" if bold else _markdown(cell))
    lines = [f"**{panel.title}** {caption}".rstrip(), "", f"| {' | '.join(heads)} |", f"|{'|'.join(rules)}|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", *(f"{_markdown(note)}\n" for note in panel.notes)])


def _markdown(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def to_latex(panel: Panel, caption: str, label: str) -> str:
    """A panel as a LaTeX table; needs the package booktabs."""
    rows = panel.rows(lambda cell, bold: rf"\textbf{{{escape(cell)}}}" if bold else escape(cell))
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
