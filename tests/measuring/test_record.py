"""Records: what is no record is named, and where one comes from."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import pytest
import torch
from slowfast_vos.errors import UserError
from slowfast_vos.measuring.provenance import PACKAGES, Stopwatch, processor
from slowfast_vos.measuring.record import Record, read_record


def record(**values: Any) -> Record:
    provenance = Stopwatch().provenance(device="a processor", driver=None, threads=1, dataset="digest")
    identity = {"name": "demo", "protocol": "strict", "seed": 63, "settings": {"name": "demo"}}
    return Record(**{"kind": "grid", "status": "done", **identity, "provenance": provenance, **values})


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"extra": 1}, "extra"),
        ({"job": {"lr": 0.001}}, "job.lr"),
        (None, ": Input should be"),
    ],
)
def test_what_is_no_record_is_named_in_one_line(tmp_path: Path, change: dict[str, Any] | None, where: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps([] if change is None else {**record().model_dump(mode="json"), **change}))
    with pytest.raises(UserError) as error:
        read_record(path)
    assert str(error.value).startswith(f"{path}: is no record; {where}")
    assert len(str(error.value).splitlines()) == 1


def test_provenance_names_versions_machine_time_and_the_commit_where_there_is_one() -> None:
    found = record().provenance
    assert set(found.packages) == set(PACKAGES)
    assert found.packages["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found.python == platform.python_version()
    assert found.started.endswith("+00:00")
    assert 0 <= found.seconds < 60
    assert processor()
    assert (found.commit is None) == (found.dirty is None)
    assert found.commit is None or len(found.commit) == 40
