"""The page of a run: self-contained, and made of the verdicts' rows."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import SMALL, SYNTHETIC, fail, scores_of, settings_for, write_run
from PIL import Image
from slowfast_vos.claims.sentences import headline, sentence
from slowfast_vos.dag import TASKS
from slowfast_vos.errors import UserError
from slowfast_vos.measuring.record import Record
from slowfast_vos.paths import Results
from slowfast_vos.reporting.page import write_page
from slowfast_vos.reporting.plots import figure_titles, write_plots
from slowfast_vos.reporting.records import read_run

SETTINGS: dict[str, Any] = SMALL | {"seeds": [1, 2, 3], "tested": ["3-7@still"], "setups": ["1-1", "3-3", "3-7"]}


def with_gain(gain: float) -> Any:
    """An edit by which 3-3 is better than 1-1 by `gain` in the unsupervised task."""

    def edit(record: Record) -> Record:
        if record.task not in TASKS or record.setup is None:
            return record
        noise = np.random.default_rng([record.seed, len(record.setup)])
        level = 0.5 + gain * (record.setup == "3-3" and record.task == TASKS[0])
        scores = {name: level + noise.normal(0, 0.01) for name in SYNTHETIC}
        return record.model_copy(update={"scores": scores_of({name: (j, j) for name, j in scores.items()})})

    return edit


def page_of(base: Path, edit: Any, **changes: Any) -> tuple[Results, str, str]:
    """A fake run's page, as HTML and as Markdown."""
    results = write_run(settings_for(**(SETTINGS | changes)), base, edit=edit)
    write_plots(results, results.reports / "figures")
    for task in TASKS:
        for name in read_run(results).shown:
            for suffix in ("png", "webp"):
                path = results.reports / "strips" / f"{task}-{name}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8)).save(path)
    html, markdown = write_page(results, results.reports)
    return results, html.read_text(encoding="utf-8"), markdown.read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Collects links and texts; refuses tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.anchors: list[str] = []
        self.ids: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)
        self.sources += [values[key] or "" for key in ("src", "data-film") if key in values]
        self.anchors += [values["href"] or ""] if "href" in values else []
        self.ids += [values["id"] or ""] if "id" in values else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_is_one_file_with_every_section(tmp_path: Path) -> None:
    results, html, markdown = page_of(tmp_path, with_gain(0.1))
    reader = Reader()
    reader.feed(html)
    assert not reader.open
    assert reader.sources
    assert all(source.startswith("data:image/") for source in reader.sources)
    assert {anchor.removeprefix("#") for anchor in reader.anchors} == set(reader.ids)
    assert "http" not in re.sub(r"data:image/[^\"]+", "", html)
    sections = ("Answers", "Design", "Paired differences", "Accuracy against cost", "Capacity or motion", "Fine-tuning")
    for title in (*sections, "Predictions", "Against the authors", "Convergence", "Failures", "Provenance"):
        assert f"<h2>{title}</h2>" in html
        assert f"## {title}" in markdown
    links = re.findall(r"!\[.*?\]\((.*?)\)", markdown)
    assert len(links) > len(figure_titles(read_run(results))) // 2
    assert all((results.reports / link).is_file() for link in links)


def test_sentences_follow_the_records(tmp_path: Path) -> None:
    pages = {}
    for gain in (0.1, 0.0):
        results, html, markdown = page_of(tmp_path / str(gain), with_gain(gain))
        findings = {one.claim.id: one for one in read_run(results).findings}
        reader = Reader()
        reader.feed(html)
        for one in findings.values():
            assert sentence(one) in reader.words
            assert f"- **{one.claim.says}** {one.verdict.capitalize()}. {sentence(one)}" in markdown
        assert headline(list(findings.values())) in markdown
        pages[gain] = findings["three-frames"]
    assert pages[0.1].verdict == "supported"
    assert pages[0.0].verdict == "contradicted"


def test_a_run_in_which_everything_failed_has_a_page(tmp_path: Path) -> None:
    _, html, markdown = page_of(tmp_path, fail)
    assert re.search(r"\*\*Of (\d+) claims: \1 undecided\.", markdown)
    assert "out of memory" in html


def test_what_stands_in_names_is_escaped(tmp_path: Path) -> None:
    def edit(record: Record) -> Record:
        return fail(record).model_copy(update={"error": "<script>alert(1)</script>"})

    _, html, _ = page_of(tmp_path, edit)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_the_page_needs_the_pictures(tmp_path: Path) -> None:
    results = write_run(settings_for(**SETTINGS), tmp_path)
    with pytest.raises(UserError, match="figures: missing; expected the run's pictures"):
        write_page(results, results.reports)


def test_a_picture_that_is_missing_or_none_is_named(tmp_path: Path) -> None:
    results = write_run(settings_for(**SMALL), tmp_path)
    for name in ("figures", "strips"):
        (results.reports / name).mkdir(parents=True)
    with pytest.raises(
        UserError, match=r"differences\.svg: cannot be read .*; expected a picture of the run \(slowfast-"
    ):
        write_page(results, results.reports)
    write_plots(results, results.reports / "figures")
    for task in TASKS:
        for name in read_run(results).shown:
            (results.reports / "strips" / f"{task}-{name}.png").write_text("no picture")
            (results.reports / "strips" / f"{task}-{name}.webp").write_text("no picture")
    with pytest.raises(UserError, match=r"strips/.*: cannot be read"):
        write_page(results, results.reports)
    assert not (results.reports / "report.html").exists()
