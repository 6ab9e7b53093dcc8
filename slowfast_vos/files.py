"""Files that are either whole or absent: written under a temporary name, synced, renamed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from slowfast_vos.errors import UserError


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on a clean exit it is synced and renamed to `path`.

    Raises:
        UserError: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
        for name in os.listdir(path.parent):
            if name.startswith(f".{path.name}."):  # a killed writer's
                (path.parent / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(NotADirectoryError):  # a file stands where the folder would
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; on a clean exit it replaces `path`.

    Raises:
        UserError: the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # a killed writer's
        temporary.mkdir(parents=True)
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        temporary.rename(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def expect_writable(folder: Path) -> None:
    """Make a folder, and write an empty file into it; a UserError where that fails, before hours of work do."""
    probe = folder / f".{uuid4().hex[:8]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from None


def refuse_pipe(path: str | Path, expected: str) -> None:
    """A UserError where a named pipe lies, which would be waited for, or anything else that is no file."""
    if (path := Path(path)).exists() and not path.is_file():
        why = "Is a directory" if path.is_dir() else "no regular file"
        raise UserError(f"{path}: cannot be read ({why}); {expected}")


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` as a whole file (UTF-8)."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON; non-finite numbers are refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or is not JSON, which has no NaN and no infinity.
    """
    refuse_pipe(path, "expected a JSON file")
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; expected a JSON file") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error})") from error


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key of a mapping comes once."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if (name := (key.tag, str(key.value))) in seen:
                line = key.start_mark.line + 1
                raise UserError(f"{self.name}: found key {key.value!r} twice, again in line {line}; expected it once")
            seen.add(name)
        return node


def parse_yaml(text: str, source: str) -> Any:
    """Parse YAML strictly.

    Raises:
        UserError: the text is not YAML, or names a key twice in one mapping.
    """
    try:
        loader = _StrictLoader(text)
        loader.name = source
        return loader.get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date of month 13
        raise UserError(f"{source}: cannot be read as YAML ({' '.join(str(error).split())})") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"found {name}; expected a finite number")
