"""DAVIS trees, predictions and PNGs with anything in any place: every problem has its line, or there is none."""

from __future__ import annotations

import io
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from hypothesis import strategies as st
from PIL import Image
from slowfast_vos.errors import UserError
from slowfast_vos.videos.pngs import read_mask, write_mask

from davis_trees import HEIGHT, WIDTH, ids, write_tree
from mutations import (
    ANYWHERE,
    DISPLACED,
    WORDS,
    Spoiling,
    answered,
    cases,
    displace,
    hold,
    spoiled,
    spoilings,
    unharmed,
)

if TYPE_CHECKING:
    from click.testing import Result

LINES = [
    *(
        "\ufeffbear",
        "bear\r",
        "bear bear",
        "/bear/",
        "../bear",
        "/JPEGImages/480p/bear/00000.jpg",
        "{bear}",
        "bear\0",
        "\t",
    ),
    *(
        "cows",
        "BEAR",
        "# bear",
        "bear/",
        "a/b/c/d",
        "//",
        ". .",
        "ünï",
        "bear.txt",
        "\udcff",
        "x" * 5000,
        "-",
        "b" * 255,
    ),
]
SPOILINGS = spoilings(st.sampled_from([line.encode("utf-8", "surrogateescape") + b"\n" for line in LINES]))
MODES = [("L", "PNG"), ("P", "PNG"), ("1", "PNG"), ("LA", "PNG"), ("RGB", "PNG"), ("RGBA", "PNG"), ("I;16", "PNG")]
MODES += [
    ("RGB", "JPEG"),
    ("CMYK", "JPEG"),
    ("L", "GIF"),
    ("P", "BMP"),
    ("RGB", "TIFF"),
    ("RGB", "WEBP"),
    ("F", "TIFF"),
]
SIZES = [(WIDTH, HEIGHT), (HEIGHT, WIDTH), (1, 1), (1, 500), (WIDTH, 1), (WIDTH + 1, HEIGHT)]
PICTURES = st.tuples(st.sampled_from(MODES), st.sampled_from(SIZES), st.integers(0, 3))
CHANGES = SPOILINGS | PICTURES | st.sampled_from(DISPLACED) | st.sampled_from(WORDS)


def picture(how: tuple[tuple[str, str], tuple[int, int], int]) -> bytes:
    """A picture of some mode, format and size: of nothing, of one object, of grey values, or of noise."""
    (mode, kind), (width, height), content = how
    values = np.random.default_rng(content).integers(0, 256, (height, width), np.uint8)
    values = (values * 0, values % 2, values % 200, values)[content]
    image = Image.fromarray(values) if mode != "P" else Image.fromarray(values).convert("P")
    image = Image.fromarray(values.astype(np.uint16) * 77) if mode == "I;16" else image.convert(mode)
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


def change(path: Path, how: Spoiling | tuple[Any, ...] | str) -> None:
    """Spoil or replace a file, or displace or rename whatever is there."""
    if isinstance(how, str) and how in DISPLACED:
        displace(path, how)
    elif isinstance(how, str):
        name = how.encode("utf-8", "surrogatepass").replace(b"\0", b"")[:200].strip(b"/") or b"unnamed"
        if b"/" not in name and name not in (b".", b".."):
            path.rename(path.with_name(name.decode("utf-8", "surrogateescape")))
    elif path.is_file():
        path.write_bytes(spoiled(path.read_bytes(), how) if isinstance(how, Spoiling) else picture(how))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of both editions, with attributes, and a configuration that uses it; predictions beside it."""
    root = write_tree(tmp_path_factory.mktemp("trees") / "davis")
    shutil.copytree(root / "ImageSets" / "2017", root / "ImageSets" / "2016")
    entries = [{"name": name, "attributes": ["AC"], "num_frames": 3} for name in ("bear", "bus", "cows", "dog")]
    (root / "Annotations" / "db_info.yml").write_text(yaml.safe_dump({"sequences": entries}))
    for name in ("cows", "dog"):
        for index in range(3):
            write_mask(root.with_name("predictions") / name / f"{index:05d}.png", ids(1))
    values = {"name": "any", "device": "cpu", "davis_root": "davis", "data": {"kind": "davis", "held_out": ["bus"]}}
    root.with_name("run.yaml").write_text(yaml.safe_dump(values))
    return root.parent


VERBS = {
    "config": ("check-data", "--config", "run.yaml"),
    "tree": ("check-data", "--davis-root", "davis"),
    "2016": ("score", "--davis-root", "davis", "--predictions", "predictions", "--out", "../out"),
    "2017": ("score", "--davis-root", "davis", "--predictions", "predictions", "--out", "../out", "--year", "2017"),
}


@cases(6, 45)
def test_any_tree(
    count: int, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Result]
) -> None:
    everything = [path.relative_to(root) for path in sorted(root.rglob("*"))]
    lists = [path for path in everything if path.suffix in (".txt", ".yml")]

    def check(place: int, among: str, how: Spoiling | tuple[Any, ...] | str, verb: str) -> None:
        with TemporaryDirectory(dir=tmp_path) as folder:
            copy = Path(folder) / "copy"
            shutil.copytree(root, copy)
            monkeypatch.chdir(copy)
            paths = lists if among == "lists" else everything
            change(copy / paths[place % len(paths)], how)
            with unharmed(*(path for path in copy.iterdir() if path.name not in ("results", "logs"))):
                answered(invoke(*VERBS[verb]))

    hold(count, check, ANYWHERE, st.sampled_from(["lists", "all", "all"]), CHANGES, st.sampled_from([*VERBS]))


def with_header(content: bytes, place: int, value: int) -> bytes:
    """A PNG with one byte of its header changed, the checksum with it."""
    header = bytearray(content[12:29])
    header[4 + place] = value
    return content[:12] + header + zlib.crc32(header).to_bytes(4) + content[33:]


@cases(20, 60)
def test_any_mask(count: int, tmp_path: Path) -> None:
    path = tmp_path / "00000.png"

    def check(base: tuple[Any, ...], how: Spoiling | tuple[int, int]) -> None:
        content = picture(base)
        spoils = isinstance(how, Spoiling)
        path.write_bytes(spoiled(content, how) if spoils else with_header(content, *how))
        with unharmed(tmp_path):
            try:
                mask = read_mask(path)
            except UserError as error:
                said = str(error)
                assert said.startswith(f"{path}: ")
                assert len(said.splitlines()) == 1
            else:
                assert mask.ndim == 2
                assert mask.dtype in (np.uint8, np.uint16)

    headers = st.tuples(st.integers(0, 12), st.integers(0, 8) | st.integers(0, 255))
    hold(count, check, PICTURES, spoilings(st.binary(max_size=8)) | headers)
