"""Tables as CSV (every digit), Markdown and LaTeX (booktabs)."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

from slowfast_vos.files import write_text
from slowfast_vos.reporting.collect import Value

NOTHING = "–"
LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
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
    "⁹": r"$^9$",
}


class Cell(NamedTuple):
    """What a cell shows, and the number (if any) that it competes with for its column's best."""

    text: str
    number: float | None = None


@dataclass(frozen=True)
class Column:
    """A column: its heading, the heading it shares with its neighbours, and which value is best."""

    head: str
    group: str = ""
    best: Literal["high", "low"] | None = None
    align: Literal["l", "r"] = "r"


@dataclass
class Panel:
    """One table to read: blocks of rows under one heading.

    Attributes:
        best_in: where a best value is sought: a whole column, its part in one block, or a row.
        notes: sentences below the table.
    """

    title: str
    columns: list[Column]
    blocks: list[list[list[Cell]]]
    best_in: Literal["column", "block", "row"] = "column"
    notes: list[str] = field(default_factory=list)

    def best(self) -> set[tuple[int, int, int]]:
        """Block, row and column of the cells to print in bold: none where all are equal."""
        rivals: dict[tuple[Any, ...], dict[tuple[int, int, int], float]] = {}
        for block, rows in enumerate(self.blocks):
            for row, cells in enumerate(rows):
                for index, (cell, column) in enumerate(zip(cells, self.columns, strict=True)):
                    if column.best and cell.number is not None:
                        field_of = {"column": (index,), "block": (index, block), "row": (block, row)}[self.best_in]
                        signed = cell.number if column.best == "high" else -cell.number
                        rivals.setdefault(field_of, {})[block, row, index] = signed
        return {
            place
            for numbers in rivals.values()
            if len(set(numbers.values())) > 1
            for place, number in numbers.items()
            if number == max(numbers.values())
        }


@dataclass
class Table:
    """A table's files: rows of raw values for the CSV, panels for reading."""

    name: str
    rows: list[dict[str, Any]]
    panels: list[Panel]

    def write(self, out: Path, context: Mapping[str, Any], caption: str) -> list[Path]:
        """Write NAME.csv, NAME.md and NAME.tex.

        Args:
            context: columns that every CSV row starts with.
            caption: what every caption ends with.
        """
        texts = {
            ".csv": to_csv([dict(context) | row for row in self.rows]),
            ".md": "\n".join(to_markdown(panel, caption) for panel in self.panels),
            ".tex": "\n".join(
                to_latex(panel, caption, self.name + (f"-{index}" if index else ""))
                for index, panel in enumerate(self.panels)
            ),
        }
        paths = [out / f"{self.name}{suffix}" for suffix in texts]
        for path, text in zip(paths, texts.values(), strict=True):
            write_text(path, text)
        return paths


def number(value: Value | float | None, digits: int = 3, factor: float = 1.0, sign: bool = False) -> Cell:
    """A cell of a quantity: `0.676`, `0.676 ± 0.004`, `failed`, or `–` where there is none."""
    if not isinstance(value, Value):
        value = Value(value)
    if value.mean is None:
        return Cell("failed" if value.failed else NOTHING)
    text = f"{value.mean * factor:{'+' if sign else ''},.{digits}f}".replace("-", "−")
    if value.std is not None:
        text += f" ± {value.std * factor:,.{digits}f}"
    return Cell(text, round(value.mean * factor, digits))


def columns_of(key: str, value: Value) -> dict[str, float | None]:
    """CSV columns of a quantity: its mean over the seeds and its sample standard deviation."""
    return {key: value.mean, f"{key}_std": value.std}


def shorten(text: str, length: int = 72) -> str:
    """One line of at most `length` characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV; floats keep every digit, None is empty, columns stand in the order of their first appearance."""
    head = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, head, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_markdown(panel: Panel, caption: str) -> str:
    """A panel as a Markdown pipe table below its caption."""
    best = panel.best()
    heads = [" ".join(filter(None, (column.group, column.head))) for column in panel.columns]
    lines = [f"**{panel.title}** {caption}".rstrip(), ""]
    lines.append("| " + " | ".join(map(_markdown, heads)) + " |")
    lines.append("|" + "|".join(":---" if column.align == "l" else "---:" for column in panel.columns) + "|")
    for block, rows in enumerate(panel.blocks):
        for row, cells in enumerate(rows):
            shown = (
                f"**{_markdown(cell.text)}**" if (block, row, index) in best else _markdown(cell.text)
                for index, cell in enumerate(cells)
            )
            lines.append("| " + " | ".join(shown) + " |")
    lines.append("")
    for note in panel.notes:
        lines += [_markdown(note), ""]
    return "\n".join(lines)


def _markdown(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def to_latex(panel: Panel, caption: str, label: str) -> str:
    """A panel as a LaTeX table; needs the package booktabs."""
    best = panel.best()
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
    for block, rows in enumerate(panel.blocks):
        lines.append(r"\midrule")
        for row, cells in enumerate(rows):
            shown = (
                rf"\textbf{{{escape(cell.text)}}}" if (block, row, index) in best else escape(cell.text)
                for index, cell in enumerate(cells)
            )
            lines.append(" & ".join(shown) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip {escape(note)}" for note in panel.notes]
    return "\n".join([*lines, r"\end{table}", ""])


def _latex_heads(columns: list[Column]) -> list[str]:
    lines = []
    if any(column.group for column in columns):
        cells, rules, start = [], [], 1
        for group, members in groupby(columns, key=lambda column: column.group):
            width = len(list(members))
            cells.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(group)}}}" if group else " & ".join([""] * width))
            if group:
                rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
            start += width
        lines += [" & ".join(cells) + r" \\", " ".join(rules)]
    return [*lines, " & ".join(escape(column.head) for column in columns) + r" \\"]


def escape(text: str) -> str:
    """Plain text as LaTeX; what neither LaTeX nor Latin letters can say becomes a question mark."""
    return "".join(LATEX.get(letter) or _letter(letter) for letter in " ".join(text.split()))


def _letter(letter: str) -> str:
    if ord(letter) < 256:
        return letter
    return unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode() or "?"
