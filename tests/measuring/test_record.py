"""Records: what is written reads back, and what is no record is named."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import pytest
import torch
from slowfast_vos.errors import UserError
from slowfast_vos.measuring.devices import find_device
from slowfast_vos.measuring.provenance import PACKAGES, Stopwatch, commit, processor
from slowfast_vos.measuring.record import Record, SequenceScores, read_record


def record(**values: Any) -> Record:
    provenance = Stopwatch().provenance(device="a processor", driver=None, threads=1, dataset="digest")
    return Record(
        **{
            "kind": "grid",
            "status": "done",
            "name": "demo",
            "protocol": "strict",
            "seed": 63,
            "settings": {"name": "demo"},
            "provenance": provenance,
            **values,
        }
    )


def test_a_record_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "record.json"
    one = record(job={"lr": "0.001"}, status="failed", error="too fast")
    one.save(path)
    assert read_record(path) == one
    one.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"kind": "guess"}, "kind"),
        ({"status": "half"}, "status"),
        ({"seed": "many"}, "seed"),
        ({"scores": {"jf_mean": 0.5}}, "scores"),
        ({"extra": 1}, "extra"),
        ({"provenance": {}}, "provenance"),
        ({"job": {"lr": 0.001}}, "job.lr"),
    ],
)
def test_what_is_no_record_is_named_in_one_line(tmp_path: Path, change: dict[str, Any], where: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps({**record().model_dump(mode="json"), **change}))
    with pytest.raises(UserError) as error:
        read_record(path)
    assert str(error.value).startswith(f"{path}: is no record; {where}")
    assert len(str(error.value).splitlines()) == 1


def test_a_list_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("[]")
    with pytest.raises(UserError, match="is no record"):
        read_record(tmp_path / "record.json")


def test_a_sequences_j_and_f_is_their_mean() -> None:
    scores = SequenceScores(j_mean=0.2, j_recall=0, j_decay=0, f_mean=0.4, f_recall=0, f_decay=0)
    assert scores.jf_mean == pytest.approx(0.3)


def test_provenance_names_versions_machine_and_time() -> None:
    found = record().provenance
    assert set(found.packages) == set(PACKAGES)
    assert found.packages["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found.python == platform.python_version()
    assert found.started.endswith("+00:00")
    assert 0 <= found.seconds < 60
    assert processor()


def test_the_commit_is_that_of_the_checkout_or_none() -> None:
    head, dirty = commit()
    assert (head is None) == (dirty is None)
    assert head is None or len(head) == 40


def test_a_processor_is_found_by_default_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for wanted in ("auto", "cpu"):
        device = find_device(wanted)
        assert (device.torch.type, device.driver) == ("cpu", None)
        assert device.name == processor()
    with pytest.raises(UserError, match="device: found no CUDA device; expected one"):
        find_device("cuda")
