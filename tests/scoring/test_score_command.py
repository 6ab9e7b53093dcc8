"""The verb `score`: what it writes, and how it refuses bad input."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import slowfast_vos
from folders import save, write_dataset, write_masks
from PIL import Image

if TYPE_CHECKING:
    from click.testing import Result

SEMI = ("--year", "2017", "--task", "semi-supervised")
UNSUPERVISED = ("--year", "2017", "--task", "unsupervised")
SIZE = (24, 40)


def masks(objects: int = 2, frames: int = 4) -> np.ndarray:
    ids = np.zeros((frames, *SIZE), dtype=np.uint8)
    for index in range(objects):
        ids[:, 4:20, 10 * index + 2 : 10 * index + 9] = index + 1
    return ids


@dataclass
class Case:
    """A dataset of two sequences for both years, and results that are right until a test spoils them."""

    root: Path
    results: Path
    out: Path
    invoke: Callable[..., Result]

    def frame(self, index: int = 1, sequence: str = "cat") -> Path:
        return self.results / sequence / f"{index:05d}.png"

    def annotation(self, index: int = 1, sequence: str = "cat") -> Path:
        return self.root / "Annotations" / "480p" / sequence / f"{index:05d}.png"

    def run(self, *options: str) -> Result:
        folders = ("--davis-root", str(self.root), "--predictions", str(self.results), "--out", str(self.out))
        return self.invoke("score", *folders, *options)


@pytest.fixture
def case(tmp_path: Path, invoke: Callable[..., Result]) -> Case:
    stacks = {"cat": masks(), "dog": masks(1)}
    root = write_dataset(tmp_path / "davis", stacks, year=2016)
    write_dataset(root, stacks, year=2017)
    return Case(root, write_masks(tmp_path / "results", stacks), tmp_path / "out", invoke)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_writes_tables_and_says_where_and_ignores_other_files(case: Case) -> None:
    case.out.mkdir()
    (case.out / "global.csv").write_text("stale")
    write_masks(case.results, {"horse": masks()})
    for name in ("cat/notes.txt", "cat/.DS_Store", "cat/._00001.png", "global.csv"):
        (case.results / name).write_text("a note")
    result = case.run("--year", "2016", "--frames", "all", "--per-frame")
    assert result.exit_code == 0, result.output
    assert "cat" in result.stdout
    assert "J&F" in result.stdout
    for name in ("global.csv", "per-sequence.csv", "per-frame.csv"):
        assert str(case.out / name) in result.stdout.replace("\n", "")
    assert [float(row["J&F-Mean"]) for row in rows(case.out / "global.csv")] == [1.0]
    assert [row["Sequence"] for row in rows(case.out / "per-sequence.csv")] == ["cat_1", "dog_1"]
    assert len(rows(case.out / "per-frame.csv")) == 8


@pytest.mark.parametrize(
    ("options", "scored"),
    [
        (("--year", "2016"), 2),
        (("--year", "2016", "--task", "semi-supervised"), 2),
        (("--year", "2016", "--frames", "all"), 4),
        (SEMI, 2),
        ((*SEMI, "--frames", "all"), 4),
        (UNSUPERVISED, 4),
        ((*UNSUPERVISED, "--frames", "inner"), 2),
    ],
)
def test_frames_follow_the_protocol_unless_given(case: Case, options: tuple[str, ...], scored: int) -> None:
    assert case.run(*options, "--per-frame", "--sequence", "dog").exit_code == 0
    assert len(rows(case.out / "per-frame.csv")) == scored


def soft(path: Path) -> None:
    Image.fromarray(np.linspace(0, 255, SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint8)).save(path)


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def as_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("not a folder")


def corrupted(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 0xFF
    path.write_bytes(bytes(content))


def shorten(case: Case) -> None:
    for index in (2, 3):
        case.annotation(index).unlink()
        case.frame(index).unlink()


def binary(case: Case) -> None:
    for index, mask in enumerate(masks()):
        save(case.annotation(index), (mask > 0) * 255)


def spoil(action: Callable[[Case], object], *found: str, options: tuple[str, ...] = ()) -> object:
    return pytest.param(action, found, options, id=found[0].replace(" ", "-"))


BAD = [
    # Folders and lists.
    spoil(lambda c: shutil.rmtree(c.results), "results: cannot be read (No such", "expected a folder with one"),
    spoil(lambda c: emptied(c.results), "results: empty folder", "expected a folder"),
    spoil(lambda c: [(c.results / n).rename(c.results / f"x-{n}") for n in ("cat", "dog")], "found none of", "x-cat"),
    spoil(lambda c: shutil.rmtree(c.root / "Annotations"), "Annotations/480p: no such folder", "expected"),
    spoil(lambda c: None, "480p/test.txt: missing", "expected the sequences of 2016", options=("--split", "test")),
    spoil(lambda c: (c.root / "ImageSets/2016/val.txt").write_text("\n"), "val.txt: found no sequence", "expected"),
    spoil(
        lambda c: None, "sequence: found bird; expected", "480p", options=("--sequence", "bird", "--sequence", "cat")
    ),
    spoil(lambda c: None, "sequence: found nobody; expected", "480p", options=("--sequence", "nobody")),
    spoil(lambda c: emptied(c.annotation().parent), "480p/cat: empty folder", "expected the annotations"),
    spoil(lambda c: c.out.write_text("a file"), "cannot be written"),
    # Sequences and frames.
    spoil(lambda c: shutil.rmtree(c.results / "cat"), "results/cat: cannot be read (No such", "expected", "00003.png"),
    spoil(lambda c: as_file(c.results / "cat"), "results/cat: cannot be read (Not a dir", "expected a folder"),
    spoil(lambda c: emptied(c.results / "cat"), "cat: empty folder", "expected a folder with the 4 frames"),
    spoil(lambda c: c.frame(2).unlink(), "results/cat: found no 00002.png", "expected all"),
    spoil(lambda c: c.frame(0).rename(c.frame(4)), "cat/00004.png: frame without annotation", "expected only"),
    spoil(shorten, "found 2 frames; expected at least 3"),
    # Files.
    spoil(lambda c: save(c.frame(), masks()[0][:12]), "00001.png: found 40×12 pixels", "expected 40×24 as the anno"),
    spoil(lambda c: c.frame().write_bytes(c.frame().read_bytes()[:60]), "cat/00001.png: truncated PNG", "expected"),
    spoil(lambda c: corrupted(c.frame()), "cat/00001.png: corrupt PNG", "expected a mask"),
    spoil(lambda c: c.frame().write_bytes(b""), "cat/00001.png: empty file", "expected a mask"),
    spoil(lambda c: Image.new("RGB", SIZE[::-1]).save(c.frame(), "JPEG"), "cat/00001.png: not a PNG", "expected"),
    spoil(lambda c: Image.new("RGB", SIZE[::-1]).save(c.frame()), "cat/00001.png: colour image (RGB,", "expected"),
    spoil(lambda c: (c.frame().unlink(), c.frame().mkdir()), "cat/00001.png: cannot be read (Is", "expected a mask"),
    spoil(lambda c: corrupted(c.annotation()), "480p/cat/00001.png: corrupt PNG", "expected a mask"),
    spoil(lambda c: corrupted(c.annotation(0)), "480p/cat/00000.png: corrupt PNG", "expected a", options=SEMI),
    spoil(lambda c: save(c.annotation(2), masks()[0][:9]), "480p/cat/00002.png: found 40×9", "as the first frame"),
    # Ids.
    spoil(lambda c: soft(c.frame()), "00001.png: found 255 different values up to 255 (a soft mask?); expected 0 and"),
    spoil(lambda c: save(c.frame(), masks(1)[0] * 255), "01.png: found id 255", "expected ids up to 2", options=SEMI),
    spoil(lambda c: save(c.frame(), masks(3)[0]), "cat/00001.png: found id 3", "expected ids up to 2", options=SEMI),
    spoil(lambda c: save(c.frame(), masks()[0] + 20), "found id 22", "expected ids up to 20", options=UNSUPERVISED),
    spoil(binary, "cat/00000.png: found only 0 and 255 (void)", "expected object ids from", options=SEMI),
]


@pytest.mark.parametrize(("action", "found", "options"), BAD)
def test_bad_input_is_refused_in_one_line(
    case: Case, action: Callable[[Case], object], found: tuple[str, ...], options: tuple[str, ...]
) -> None:
    action(case)
    result = case.run(*options)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert all(line.startswith("error: ") for line in lines)
    assert len(lines) == 1, result.stderr
    assert all(part in lines[0] for part in found), result.stderr
    assert not case.out.is_dir(), "no table is written"


@pytest.mark.parametrize("processes", ["1", "2"])
def test_all_problems_are_reported_together(case: Case, processes: str) -> None:
    write_dataset(case.root, {"cat": masks(), "dog": masks(1), "owl": masks()}, year=2016)
    case.frame(1).unlink()
    save(case.frame(2), masks()[0][:5])
    corrupted(case.frame(1, "dog"))
    soft(case.frame(2, "dog"))
    save(case.frame(7, "dog"), masks()[0])
    result = case.run("--processes", processes)
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    expected = {
        "results/cat: found no 00001.png; expected all 2 scored frames (missing: 1)",
        "cat/00002.png: found 40×5 pixels",
        "dog/00001.png: corrupt PNG",
        "dog/00002.png: found 255 different values",
        "dog/00007.png: frame without annotation",
        "results/owl: cannot be read",
    }
    assert len(lines) == len(expected)
    assert all(any(part in line for line in lines) for part in expected), result.stderr
    assert not case.out.exists()


@pytest.mark.parametrize(
    "options", [("--year", "2018"), ("--task", "interactive"), ("--frames", "some"), ("--processes", "0")]
)
def test_unknown_choices_are_refused(case: Case, options: tuple[str, ...]) -> None:
    result = case.run(*options)
    assert result.exit_code == 2
    assert not case.out.exists()


def test_heavy_libraries_are_imported_only_where_used(case: Case) -> None:
    code = (
        "import sys; from slowfast_vos.scoring import score; score(sys.argv[1], sys.argv[2]).write(sys.argv[3]); "
        "print({'torch', 'scipy', 'pandas', 'cv2', 'rich'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(case.root), str(case.results), str(case.out)]
    package = Path(slowfast_vos.__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=package)
    assert done.stdout.strip() == "set()"
