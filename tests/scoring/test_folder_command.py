"""The verb `score --annotations`: what it writes, and how it refuses bad input."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from folders import save, write_bars

if TYPE_CHECKING:
    from click.testing import Result

SIZE = (12, 40)
A, B = (0, 10), (20, 30)
# Frames 0, 5, … are annotated. Object 7 appears in the third of them, and is gone in the fourth.
LATER = {0: {2: A}, 5: {2: A}, 10: {2: A, 7: B}, 15: {2: A}, 20: {2: A, 7: B}}
Score = Callable[..., "Result"]


@pytest.fixture
def run(tmp_path: Path, invoke: Callable[..., Result]) -> Score:
    """The verb on two sequences, `bars` and `more`, whose results are right until a test spoils them."""
    for sequence in ("bars", "more"):
        write_bars(tmp_path / "annotations", LATER, sequence)
        write_bars(tmp_path / "results", LATER | {1: {}, 2: {9: A}}, sequence)
    folders = {"--annotations": "annotations", "--predictions": "results", "--out": "out"}
    options = [part for option, name in folders.items() for part in (option, str(tmp_path / name))]
    return lambda *more: invoke("score", *options, *more)


def test_writes_csv_and_json_that_say_the_same(run: Score, tmp_path: Path) -> None:
    done = run("--json", "--per-frame", "--sequence", "bars", "--processes", "2")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert found["rules"] == {"frames": "inner", "single_object": False, "void": None, "sequences": ["bars"]}
    assert found["global"]["J&F-Mean"] == 1
    tables = {}
    for name in ("global", "per-sequence", "per-frame"):
        with (tmp_path / "out" / f"{name}.csv").open() as file:
            tables[name] = list(csv.DictReader(file))
    assert [found["global"]] == [{key: float(value) for key, value in row.items()} for row in tables["global"]]
    for row in tables["per-sequence"]:
        of_object = found["objects"][row.pop("Sequence")]
        assert of_object.pop("Frames") == (2 if row is tables["per-sequence"][1] else 3)
        assert of_object == {key: float(value) for key, value in row.items()}
    for row in tables["per-frame"]:
        assert found["frames"][row["Sequence"]][row["Frame"]] == {"J": float(row["J"]), "F": float(row["F"])}
    assert set(found["sequences"]) == {"bars"}


def test_says_which_objects_have_no_scores(run: Score, tmp_path: Path) -> None:
    write_bars(tmp_path / "annotations", {20: {2: A, 9: B}}, "more")
    done = run()
    assert done.exit_code == 0, done.output
    assert "Without scores, since no scored frame shows them: more_9" in done.stdout


def spoil(action: Callable[[Path], object], *found: str, options: tuple[str, ...] = ()) -> object:
    return pytest.param(action, found, options, id=found[0].replace(" ", "-"))


BAD = [
    spoil(lambda d: shutil.rmtree(d / "results"), "results: cannot be read (No such", "SEQUENCE/FRAME.png"),
    spoil(lambda d: shutil.rmtree(d / "annotations"), "annotations: cannot be read (No such", "SEQUENCE/FRAME.png"),
    spoil(
        lambda d: (shutil.rmtree(d / "annotations"), save(d / "annotations/0.png", np.zeros(SIZE))),
        "annotations: found no folder of PNGs; expected masks as SEQUENCE/FRAME.png",
    ),
    spoil(
        lambda d: [(d / "results" / name).rename(d / "results" / f"x-{name}") for name in ("bars", "more")],
        "results: found none of the annotated sequences (bars, more) but x-bars, x-more;",
    ),
    spoil(
        lambda d: shutil.rmtree(d / "results/more"),
        "results: found no folder for 1 of 2 annotated sequences (more); expected each, or --sequence NAME",
    ),
    spoil(lambda d: None, "sequence: found cat; expected some of", options=("--sequence", "cat")),
    spoil(
        lambda d: [path.rename(path.with_suffix(".jpg")) for path in (d / "results/more").iterdir()],
        "results/more: found 00000.jpg, 00001.jpg, 00002.jpg, 00005.jpg, 00010.jpg, …; expected the 3 scored frames "
        "00005.png to 00015.png",
    ),
    spoil(
        lambda d: [(d / f"results/bars/{n:05d}.png").unlink() for n in (5, 10)],
        "results/bars: found no 00005.png, 00010.png; expected all 3 scored frames (missing: 2)",
    ),
    spoil(
        lambda d: save(d / "results/bars/00010.png", np.zeros((9, 40))),
        "bars/00010.png: found 40×9 pixels; expected 40×12 as the annotation",
    ),
    spoil(
        lambda d: [save(d / f"results/bars/{n:05d}.png", np.zeros((9, 40))) for n in (5, 10, 15)],
        "bars/00005.png and 2 more: found 40×9 pixels; expected 40×12 as the annotation",
    ),
    spoil(
        lambda d: write_bars(d / "results", {5: {2: A, 9: B}}),
        "bars/00005.png: found id 9; expected the ids of its annotations (2, 7)",
    ),
    spoil(
        lambda d: write_bars(d / "results", {5: {2: A, 9: B}, 10: {9: A}}),
        "bars/00005.png and 1 more: found id 9; expected the ids of its annotations (2, 7)",
    ),
    spoil(lambda d: (d / "results/bars/00010.png").write_bytes(b""), "bars/00010.png: empty file; expected a mask"),
    spoil(  # the other annotations do not tell that id 9 is unknown
        lambda d: (write_bars(d / "results", {5: {9: A}}), (d / "annotations/bars/00020.png").write_bytes(b"")),
        "annotations/bars/00020.png: empty file; expected a mask",
    ),
    spoil(
        lambda d: save(d / "results/bars/00010.png", np.arange(480).reshape(SIZE) % 256),
        "bars/00010.png: found 255 different values up to 255 (a soft mask?); expected the ids",
    ),
    spoil(
        lambda d: save(d / "results/bars/00010.png", np.arange(480).reshape(SIZE) % 256),
        "bars/00010.png: found 255 different values up to 255 (a soft mask?); expected 0 and one",
        options=("--single-object",),
    ),
    spoil(
        lambda d: [
            (
                write_bars(d / "annotations", {n: {255: A}}),
                write_bars(d / "results", {n: {1: A} if n == 5 else {255: A}}),
            )
            for n in LATER
        ],
        "bars/00005.png: found id 1; expected the ids of its annotations (255), or --single-object",
    ),
    spoil(
        lambda d: write_bars(d / "annotations", {20: {2: A, 255: B}}),
        "annotations/bars: found 255 beside ids 2, 7; expected ids alone, or --void 255",
    ),
    spoil(
        lambda d: [(d / f"annotations/bars/{n:05d}.png").unlink() for n in (5, 10, 15)],
        "annotations/bars: found 2 annotated frames; expected 3 or more, since the first and the last are not scored",
    ),
    spoil(
        lambda d: [
            write_bars(d / folder, {number: {} for number in LATER}, name)
            for folder in ("annotations", "results")
            for name in ("bars", "more")
        ],
        "annotations: found no object in any scored frame (inner)",
    ),
    spoil(lambda d: None, "score: found --year with --annotations; expected it with", options=("--year", "2016")),
    spoil(lambda d: None, "score: found both of --davis-root and --annotations", options=("--davis-root", ".")),
]


@pytest.mark.parametrize(("action", "found", "options"), BAD)
def test_bad_input_is_refused_in_one_line(
    run: Score, tmp_path: Path, action: Callable[[Path], object], found: tuple[str, ...], options: tuple[str, ...]
) -> None:
    action(tmp_path)
    done = run(*options)
    assert done.exit_code == 1, done.output
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert all(part in line for part in found), line
    assert not (tmp_path / "out").exists(), "no table is written"


def test_options_of_the_other_form_and_neither_are_refused(invoke: Callable[..., Result], tmp_path: Path) -> None:
    folders = ("--predictions", str(tmp_path), "--out", str(tmp_path / "out"))
    done = invoke("score", *folders)
    assert "score: found neither of --davis-root and --annotations; expected one" in done.stderr
    done = invoke("score", *folders, "--davis-root", str(tmp_path), "--single-object")
    assert "score: found --single-object with --davis-root; expected it with --annotations" in done.stderr
    done = invoke("score", *folders, "--davis-root", str(tmp_path), "--frames", "after-first")
    assert "frames: found 'after-first'; expected one of all, inner" in done.stderr
    assert done.exit_code == 1
