"""The page of a run: what it answers, how, and what that rests on, as one HTML file and as Markdown."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from PIL import Image

from slowfast_vos.claims.intervals import LEVEL, estimate
from slowfast_vos.claims.sentences import counted, headline, interval, sentence, signed
from slowfast_vos.claims.verdicts import LEAST_SEEDS, LEAST_SEQUENCES, Finding
from slowfast_vos.dag import TASKS
from slowfast_vos.errors import UserError
from slowfast_vos.files import write_text
from slowfast_vos.paths import Results
from slowfast_vos.reporting import published
from slowfast_vos.reporting.plots import figure_titles
from slowfast_vos.reporting.records import read_run
from slowfast_vos.reporting.render import Panel, Table, to_markdown
from slowfast_vos.reporting.run import Run
from slowfast_vos.reporting.tables import make_tables

SOURCES = {"authors": "The authors' claims", "control": "What the gain is due to"}


@dataclass(frozen=True)
class Block:
    """A part of a section; a template shows it by its `kind`.

    Attributes:
        kind: "text", "answers", "facts", "picture", "film" or "table".
        text: of a text; of a picture its caption.
        rows: of answers: verdict, what is claimed, sentence; of facts: term and text.
        path: of a picture, relative to the page's folder; of a film, that of the animation, whose still has the same
            name as PNG where there is one.
        folded: whether a table is closed at first.
    """

    kind: str
    text: str = ""
    rows: Sequence[Sequence[str]] = ()
    path: str = ""
    panel: Panel | None = None
    folded: bool = False


@dataclass(frozen=True)
class Part:
    """A section of the page."""

    title: str
    blocks: list[Block] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """Its name in links."""
        return "-".join(self.title.lower().replace("'", "").replace(",", "").split())


def write_page(results: Results, out: Path, *, strips: bool = True) -> list[Path]:
    """Write `report.html`, one self-contained file, and `report.md`, which links to the run's figures and strips.

    Args:
        strips: show frames of the videos.

    Raises:
        UserError: a record is missing, or the figures or strips are.
    """
    run = read_run(results)
    for folder in (results.reports / "figures", results.reports / "strips"):
        if not folder.is_dir():
            raise UserError(f"{folder}: missing; expected the run's pictures (slowfast-vos plots, slowfast-vos strips)")
    environment = Environment(
        loader=PackageLoader("slowfast_vos.reporting"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "inline": _inline,
        "table": table_html,
        "markdown_table": lambda panel: to_markdown(panel, ""),
    }
    tables = {table.name: table for table in make_tables(run)}
    parts = [part for part in _parts(run, run.findings, tables, results.reports if strips else None) if part.blocks]
    pictures = Path(os.path.relpath(results.reports, out)).as_posix()
    about = {"run": run, "headline": headline(run.findings), "cautions": cautions(run), "parts": parts}
    about |= {"folder": results.reports, "pictures": "" if pictures == "." else f"{pictures}/"}
    paths = []
    for name, escaped in {"report.html": True, "report.md": False}.items():
        environment.autoescape = escaped
        write_text(out / name, environment.get_template(f"{name}.j2").render(about))
        paths.append(out / name)
    return paths


@pass_context
def _inline(context: Context, path: str) -> str:
    """A picture as a data URI; strips of photographs as WebP, at a tenth of their PNGs' size."""
    file, data = context["folder"] / path, io.BytesIO()
    try:
        if file.suffix == ".png":
            with Image.open(file) as picture:
                picture.save(data, "WEBP", quality=82, method=4)
        else:
            data.write(file.read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        expected = "expected a picture of the run (slowfast-vos plots, slowfast-vos strips)"
        raise UserError(f"{file}: cannot be read ({error}); {expected}") from error
    media = "image/svg+xml" if file.suffix == ".svg" else "image/webp"
    return f"data:{media};base64,{base64.b64encode(data.getvalue()).decode()}"


def _parts(run: Run, findings: Sequence[Finding], tables: dict[str, Table], out: Path | None) -> list[Part]:
    return [
        Part("Answers", [*_answers(findings)]),
        Part("Design", [Block("facts", rows=[*design(run, findings), *WORDS])]),
        Part(
            "Paired differences",
            [_figure("differences", run), *_tables(tables, "claims", "differences", folded=True)],
        ),
        Part("Accuracy against cost", [_figure("jf-vs-time", run), *_tables(tables, "table1", "cost")]),
        Part("Capacity or motion", [_figure("controls", run)] if run.controls else []),
        Part("Fine-tuning", [_figure("fine-tuning", run), *_tables(tables, "table2")]),
        Part("Predictions", [*_strips(run, out)]),
        Part("Against the authors", [Block("text", text) for text in _authors(run)]),
        Part("Convergence", [_figure("learning-curves", run)]),
        Part("Failures", [*_failures(run)]),
        Part("Provenance", [Block("facts", rows=provenance(run))]),
        Part("All other tables", [*_rest(tables)]),
    ]


def cautions(run: Run) -> list[str]:
    """What a reader must know before the answers."""
    seeds, chosen, failed = len(run.settings.seeds), len(run.roles["selection"]), int(run.records["failed"].sum())
    kept, epochs = run.of("parent")["best_epoch"].dropna(), run.settings.parent.epochs
    last = int((kept == epochs).sum())
    lines = []
    if seeds < LEAST_SEEDS:
        lines.append(f"{counted(seeds, 'seed')}: a verdict takes {LEAST_SEEDS}, so that none of accuracy is given.")
    if run.settings.parent.schedule == "constant" and 2 * last > len(kept):
        lines.append(
            f"{last} of {counted(len(kept), 'parent')} kept the last of {counted(epochs, 'epoch')}: "
            "they may not have converged."
        )
    if chosen < 2:
        lines.append("A single sequence chose epochs and configurations.")
    if failed:
        lines.append(f"{counted(failed, 'record')} failed.")
    return lines


WORDS = [
    ("3-7", "A setup: the slow pathway sees 3 frames, the fast one 7. 1-1 sees one frame."),
    ("J&F", "The mean of J, the overlap of mask and annotation, and F, that of their contours; 0 to 1."),
    (
        "Parent",
        "A setup's network, trained on other videos: the unsupervised task. In the semi-supervised task a copy is "
        "fine-tuned on the first frame of each video, whose annotation is given.",
    ),
    ("All detections", "Every object that the single-frame detector finds, as one mask. All foreground: every pixel."),
    ("7-7+still", "A control: 7-7 trained on the centre frame seven times. 7-7@still: the trained 7-7, tested so."),
    ("LA, IM, FM", "Attributes: look-alikes, interrupted or slow motion, fast motion. The README of the data has all."),
]


def _answers(findings: Sequence[Finding]) -> Iterable[Block]:
    for source, some in groupby(findings, key=lambda one: one.claim.source):
        yield Block("text", f"{SOURCES.get(source, source)}:")
        yield Block("answers", rows=[(one.verdict, one.claim.says, sentence(one)) for one in some])


def design(run: Run, findings: Sequence[Finding]) -> list[tuple[str, str]]:
    settings, roles = run.settings, run.roles
    margin = settings.claims.margin
    counts = [counted(len(roles[role]), f"{role} sequence") for role in ("train", "selection", "val")]
    return [
        ("Data", f"{'DAVIS' if run.is_davis else 'Generated videos'}: {', '.join(counts)}; digest {run.digest[:12]}."),
        ("Setups", f"{', '.join(settings.setups)}; slow-fast frames."),
        ("Seeds", f"{', '.join(map(str, settings.seeds))}; each is one whole training that all its sequences share."),
        ("Protocol", f"{settings.protocol_name}; {settings.option('frames')} frames are scored."),
        ("What chose", _choices(run)),
        ("Family", f"{counted(len(findings), 'claim')}, declared by the configuration; p values adjusted by Holm."),
        ("Margin", f"Differences of J&F below {margin:g} do not matter."),
        (
            "Statistics",
            f"Differences are paired by seed and sequence. Intervals: {LEVEL:.0%}, t, seeds and sequences crossed and "
            "random, not adjusted. A verdict is one-sided at an adjusted p below "
            f"{1 - LEVEL:.2f}, and takes {LEAST_SEEDS} seeds and {LEAST_SEQUENCES} sequences.",
        ),
    ]


def _choices(run: Run) -> str:
    """On what epochs and configurations were chosen, and how."""
    settings, configurations = run.settings, ", ".join(run.roles["selection"])
    if settings.option("selection") == "val":
        said = f"Epochs were chosen on all validation sequences and configurations on {configurations}, as in 2020."
    elif settings.parent.score_every >= settings.parent.epochs:
        said = f"Configurations were chosen on {configurations}, held out of training; parents kept their last epoch."
    elif settings.epoch_sequences == run.roles["selection"]:
        said = f"Epochs and configurations were chosen on {configurations}, held out of training."
    else:
        epochs = ", ".join(settings.epoch_sequences)
        said = f"Epochs were chosen on {epochs} and configurations on {configurations}, all held out of training."
    if settings.option("choice") == "one_error":
        reference = " / ".join(settings.grid.reference.model_dump().values())
        said += f" Configuration {reference} was kept unless another beat it by more than a standard error."
    if settings.search_seeds == "first" and len(settings.seeds) > 1:
        said += f" The parents of seed {settings.seeds[0]} alone were searched."
    return said


def _figure(name: str, run: Run) -> Block:
    return Block("picture", figure_titles(run)[name], path=f"figures/{name}.svg")


def _tables(tables: dict[str, Table], *names: str, folded: bool = False) -> list[Block]:
    return [Block("table", panel.title, panel=panel, folded=folded) for name in names for panel in tables[name].panels]


def _rest(tables: dict[str, Table]) -> list[Block]:
    shown = ("claims", "differences", "table1", "table2", "cost")
    return _tables(tables, *(name for name in tables if name not in shown), folded=True)


def _strips(run: Run, out: Path | None) -> Iterable[Block]:
    """Stills and animations of the chosen sequences, each with the rule that chose it; without `out` none."""
    if out is None:
        yield Block("text", "Frames of DAVIS are not passed on (slowfast-vos strips draws them from a copy of it).")
        return
    yield Block("text", "Sequences are chosen by rule, from the paired differences of the first claim, seeds averaged.")
    for sequence, why in run.shown.items():
        for task in TASKS:
            name = f"strips/{task}-{sequence}"
            yield Block("picture", f"{sequence}: {why}; {task}.", path=f"{name}.png")
            if (out / f"{name}.webp").is_file():
                yield Block(
                    "film", f"{sequence}, {task}, the first setup and the best of the others.", path=f"{name}.webp"
                )


def _authors(run: Run) -> list[str]:
    """What the authors' own figures say, beside ours where the data are theirs."""
    theirs = published.per_sequence()["jf_mean"]
    values = (theirs["3-7"] - theirs["1-1"]).to_numpy()
    one = estimate(values[None])
    lines = [
        f"The authors' own values of each sequence give 3-7 − 1-1 = {signed(one.mean)} {interval(one)} J&F, above 0 on "
        f"{(values > 0).sum()} of {counted(len(values), 'sequence')}, from one training of each: the interval knows "
        "nothing of the seeds."
    ]
    if not run.is_davis:
        lines.append("This run's videos are generated: its scores do not compare with theirs, its differences may.")
    elif len(run.val) != published.SEQUENCES:
        lines.append(f"This run has {len(run.val)} of their {published.SEQUENCES} sequences: the means do not compare.")
    return lines


def _failures(run: Run) -> Iterable[Block]:
    failed = run.records[run.records["failed"]]
    if failed.empty:
        yield Block("text", f"None of {counted(len(run.records), 'record')} failed.")
        return
    yield Block("text", f"{len(failed)} of {counted(len(run.records), 'record')} failed; each is a row of its table.")
    yield Block("facts", rows=list(zip(failed["path"], failed["error"], strict=True)))


def provenance(run: Run) -> list[tuple[str, str]]:
    records, rows = run.records, []
    names = {"commit": "Commit", "python": "Python", "packages": "Packages", "host": "Hosts", "device": "Devices"}
    for key, term in names.items():
        values = records[key if key == "packages" else f"record_{key}"].dropna().unique()
        rows.append((term, "; ".join(map(str, values)) or "unknown"))
    dirty = records["record_dirty"].fillna(False).astype(bool).any()
    rows[0] = ("Commit", rows[0][1] + (" with changes that are not committed" if dirty else ""))
    minutes = records["record_seconds"].sum() / 60
    rows.append(("Data", f"digest {run.digest}"))
    rows.append(("Time", f"{minutes:,.1f} minutes in {counted(len(records), 'record')}"))
    rows.append(("Again", f"snakemake --cores all --configfile {run.results.root / 'settings.json'}"))
    return rows


def table_html(panel: Panel) -> Markup:
    """A panel as an HTML table; the best values are bold."""
    strong, plain, cell = Markup("<strong>{}</strong>"), Markup("{}"), Markup('<td class="{}">{}</td>')
    rows = panel.rows(lambda text, best: (strong if best else plain).format(text))
    heads = Markup("").join(
        Markup('<th class="{}" scope="col">{}</th>').format(column.align, f"{column.group} {column.head}".strip())
        for column in panel.columns
    )
    lines = Markup("\n").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(cell.format(column.align, text) for column, text in zip(panel.columns, row, strict=True))
        )
        for row in rows
    )
    return Markup("<table><thead><tr>{}</tr></thead>\n<tbody>\n{}\n</tbody></table>").format(heads, lines)
