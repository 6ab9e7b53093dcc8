"""The configuration, described: as JSON Schema, and as the tables of config/README.md.

`python -m slowfast_vos.schema config/README.md` writes the page's tables again.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slowfast_vos.config import Settings
from slowfast_vos.files import write_text
from slowfast_vos.sections import PROTOCOLS, Switches
from slowfast_vos.values import Section

# Between these lines of config/README.md lie the tables.
BEGIN, END = "<!-- written by `python -m slowfast_vos.schema config/README.md` -->\n", "<!-- end -->\n"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a configuration file; it knows each key's type, range, default and description."""
    schema = _in_one_line(Settings.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "slowfast-vos"}


def _in_one_line(schema: Any) -> Any:
    """The schema with descriptions of one line each, as editors show them best."""
    if isinstance(schema, dict):
        return {
            key: " ".join(value.split()) if key == "description" and isinstance(value, str) else _in_one_line(value)
            for key, value in schema.items()
        }
    return [_in_one_line(one) for one in schema] if isinstance(schema, list) else schema


def key_tables() -> str:
    """Markdown: a table of the keys outside of sections, then one for each section."""
    parts = [_table(Settings, nested=False)]
    for name, section in _sections(Settings):
        parts.append(f"## {name}\n\n{section.__doc__}\n\n{_table(section)}")
    return re.sub(r"docs/\w+\.md", r"[\g<0>](../\g<0>)", "\n".join(parts))


def _sections(section: type[Section]) -> Iterator[tuple[str, type[Section]]]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield name, field.annotation


def _table(section: type[Section], nested: bool = True) -> str:
    return "".join(["| key | default | meaning |\n|---|---|---|\n", *_rows(section, nested)])


def _rows(section: type[Section], nested: bool, prefix: str = "") -> Iterator[str]:
    inner = dict(_sections(section))
    for name, field in section.model_fields.items():
        if name not in inner:
            meaning = " ".join((field.description or "").split()).replace("|", r"\|")
            yield f"| `{prefix}{name}` | {_default(section, name, field.default)} | {meaning} |\n"
        elif nested:
            yield from _rows(inner[name], nested, f"{prefix}{name}.")


def _default(section: type[Section], name: str, value: Any) -> str:
    if section is Switches:
        return ", ".join(f"`{getattr(switches, name)}` ({protocol})" for protocol, switches in PROTOCOLS.items())
    return "–" if value is None else f"`{json.dumps(value)}`"


def with_tables(page: str) -> str:
    """The text of config/README.md with the tables as they are now."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"expected the lines {BEGIN!r} and {END!r}")
    return f"{before}{begin}\n{key_tables()}\n{end}{after}"


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        write_text(path, with_tables(path.read_text(encoding="utf-8")))
