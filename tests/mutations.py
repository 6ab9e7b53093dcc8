"""What tests of mutated input share: how values, bytes and files are spoiled, and what must hold whatever comes."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from click.testing import Result

MORE = int(os.environ.get("SLOWFAST_VOS_MUTATIONS", 0))
NUMBERS: list[Any] = [0, 1, -1, 3, 255, 256, 2**31, 2**63, 10**30, 0.0, -0.0, 0.5, 1e-300, 1e308]
NUMBERS += [float("nan"), float("inf"), -float("inf")]
WORDS = [
    *("", " ", ".", "..", "../..", "/", "a/b", "a\\b", "~", "-", "--out", "{x}", "$(true)", "; true", "%s", "\n", "\0"),
    *(
        "0",
        "1",
        "1e-3",
        "1e400",
        "nan",
        "-1",
        "1_0",
        "٣",
        "true",
        "null",
        "none",
        "auto",
        "3-7",
        "7-7@still",
        "1-1+none",
    ),
    *("ünïcode", "\ud800", "\u202e", "\ufeff", "x" * 300, "x" * 5000, "con", ".hidden", "with spaces", "a.jpg"),
]
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.sampled_from(NUMBERS), st.sampled_from(WORDS), st.text(max_size=5)
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ANYWHERE = st.integers(0, 2**20 - 1)


class Edit(NamedTuple):
    """A change of a value within lists and mappings."""

    how: str
    place: int  # counted round and round
    other: int
    value: Any


class Spoiling(NamedTuple):
    """A change of a file's bytes."""

    how: str
    start: int
    end: int
    content: bytes


HOW = ("replace", "replace", "replace", "nudge", "nudge", "remove", "rename", "wrap", "copy", "swap", "repeat")
EDITS = st.lists(st.builds(Edit, st.sampled_from(HOW), ANYWHERE, ANYWHERE, VALUES), min_size=1, max_size=3)


def spoilings(contents: st.SearchStrategy[bytes]) -> st.SearchStrategy[Spoiling]:
    """Changes of bytes, some of which put one of these in."""
    how = st.sampled_from(["cut", "flip", "flip", "remove", "repeat", "insert", "insert", "empty"])
    return st.builds(Spoiling, how, ANYWHERE, ANYWHERE, contents)


def cases(few: int, many: int) -> pytest.MarkDecorator:
    """A test of `few` cases by default and of `many` where slow tests run."""
    return pytest.mark.parametrize("count", [few, pytest.param(many, marks=pytest.mark.slow)])


def hold(count: int, check: Callable[..., None], *strategies: st.SearchStrategy[Any]) -> None:
    """Check `count` cases, always the same; with SLOWFAST_VOS_MUTATIONS set, as many as that, new ones each time."""
    chosen = settings(
        max_examples=MORE or count,
        derandomize=not MORE,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    chosen(given(*strategies)(check))()


def edited(value: Any, edits: list[Edit]) -> Any:
    """A JSON-like value after some edits."""
    value = copy.deepcopy(value)
    for edit in edits:
        found = list(places(value))
        if not found or edit.place == 0:
            return edit.value
        (holder, key), (other, there) = (found[index % len(found)] for index in (edit.place, edit.other))
        number = holder[key]
        match edit.how:
            case "remove":
                del holder[key]
            case "rename" if isinstance(holder, dict):
                holder[WORDS[edit.other % len(WORDS)]] = holder.pop(key)
            case "wrap":
                holder[key] = ([number], {"a": number}, [number] * 2)[edit.other % 3]
            case "copy":
                holder[key] = copy.deepcopy(other[there])
            case "swap":
                holder[key], other[there] = copy.deepcopy(other[there]), copy.deepcopy(number)
            case "repeat" if isinstance(holder, list):
                holder.append(copy.deepcopy(number))
            case "nudge" if isinstance(number, int | float):
                holder[key] = (-number, number * 10, number + 1, number / 3, number + 1e-3, str(number))[edit.other % 6]
            case _:
                holder[key] = edit.value
    return value


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """The holder and the key of every value within nested lists and mappings."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from places(inner)


def spoiled(content: bytes, how: Spoiling) -> bytes:
    """A file's bytes after a change."""
    start, end = sorted((how.start % (len(content) + 1), how.end % (len(content) + 1)))
    match how.how:
        case "cut":
            return content[:start]
        case "flip" if start < len(content):
            return content[:start] + bytes([content[start] ^ (1 + how.end % 255)]) + content[start + 1 :]
        case "remove":
            return content[:start] + content[end:]
        case "repeat":
            return content[:end] + content[start:]
        case "empty":
            return b""
    return content[:start] + how.content + content[start:]


def as_json(value: Any) -> bytes:
    """A value as JSON, also NaN and lone surrogates, which no strict reader takes."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


DISPLACED = ("gone", "folder", "file", "pipe", "dangling", "loop", "link")


def displace(path: Path, how: str) -> None:
    """Put something else in a file's or a folder's place: one of `DISPLACED`."""
    away = path.parents[1] / "away"
    path.rename(away)
    match how:
        case "folder":
            path.mkdir()
        case "file":
            path.write_bytes(b"what")
        case "pipe":
            os.mkfifo(path)
        case "dangling":
            path.symlink_to("nowhere")
        case "loop":
            path.symlink_to(path.name)
        case "link":
            path.symlink_to(away)
            return
    shutil.rmtree(away) if away.is_dir() else away.unlink()


def _snapshot(*roots: Path) -> dict[Path, object]:
    """What lies below some folders: bytes of files, targets of links, kinds of all else."""
    found: dict[Path, object] = {}
    for path in (path for root in roots for path in [root, *root.rglob("*")]):
        if path.is_symlink():
            found[path] = os.readlink(path)
        else:
            found[path] = path.read_bytes() if path.is_file() else path.stat().st_mode
    return found


@contextmanager
def unharmed(*roots: Path, seconds: float = 60) -> Iterator[None]:
    """Check that what a user has stays as it is, and that an answer comes in time."""

    def ring(*_: object) -> None:
        raise AssertionError(f"no answer in {seconds} s")

    before, handler = _snapshot(*roots), signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    after = _snapshot(*roots)
    assert {path for path in before if before[path] != after.get(path)} == set()


def answered(done: Result) -> None:
    """Check that a command ended well, or with lines that say why not."""
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert "Traceback" not in done.output, done.output
    assert done.exit_code in (0, 1, 2, 3)
    if done.exit_code == 1:
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert errors, done.output
        assert all(": " in line.removeprefix("error: ") for line in errors), errors
