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
from slowfast_vos.measuring.record import Record, read_checked, read_record

STATISTICS = dict.fromkeys(("j_mean", "j_recall", "j_decay", "f_mean", "f_recall", "f_decay"), 0.5)
SCORES = STATISTICS | {"jf_mean": 0.5, "sequences": {"bear": STATISTICS}}


def record(**values: Any) -> Record:
    provenance = Stopwatch().provenance(device="a processor", driver=None, threads=1, dataset="digest")
    identity = {"name": "demo", "protocol": "strict", "seed": 63, "settings": {"name": "demo"}}
    return Record(**{"kind": "final", "status": "done", **identity, "provenance": provenance, **values})


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"extra": 1}, "extra"),
        ({"job": {"lr": 0.001}}, "job.lr"),
        (None, "Input should be"),
        ({"kind": "grid"}, "found done without scores; expected both"),
        ({"kind": "cost"}, "found done without cost; expected both"),
        ({"status": "failed"}, "found failed without error; expected both"),
        ({"settings": {}}, "found settings of None; expected those of 'demo'"),
        ({"settings": {"name": "other"}}, "found settings of 'other'; expected those of 'demo'"),
        *[({"scores": SCORES | {"jf_mean": share}}, "scores.jf_mean: Input should be ") for share in (7.5, -0.1)],
        ({"scores": SCORES | {"j_decay": -1.5}}, "scores.j_decay: Input should be "),
        ({"scores": SCORES | {"j_mean": 0.6}}, "scores: found j_mean 0.6; expected 0.5, as its sequences say"),
        ({"scores": SCORES | {"jf_mean": 0.6}}, "scores: found jf_mean 0.6; expected 0.5, as its sequences say"),
        (
            {"scores": SCORES | {"sequences": {"bear": STATISTICS, "cow": STATISTICS | {"f_decay": 0.25}}}},
            "scores: found f_decay 0.5; expected 0.375, as its sequences say",
        ),
        ({"scores": SCORES | {"sequences": {}}}, "found scores of no sequence; expected one at least"),
        ({"scores": SCORES | {"sequences": {"bear": STATISTICS | {"f_mean": 2}}}}, "scores.sequences.bear.f_mean: "),
    ],
)
def test_what_is_no_record_is_named_in_one_line(tmp_path: Path, change: dict[str, Any] | None, where: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps([] if change is None else {**record().model_dump(mode="json"), **change}))
    with pytest.raises(UserError) as error:
        read_record(path)
    assert str(error.value).startswith(f"{path}: is no record; {where}")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, number: str) -> None:
    path = tmp_path / "record.json"
    record(scores=SCORES).save(path)
    path.write_text(path.read_text().replace("0.5", number, 1))
    with pytest.raises(UserError, match=f"{path}: (cannot be read as JSON .found {number}|is no record; scores)"):
        read_record(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ([], "is no checked data set; Input should be"),
        ({"roles": 3}, "is no checked data set; roles: Input should be"),
        ({"roles": {"train": [], "val": ["bear"]}}, "found roles ['train', 'val']; expected train, selection and val"),
        ({"roles": {"train": [], "selection": [], "val": ["cow"]}}, "found 'cow' without its frames; expected each"),
        ({"sequences": {"bear": 0}}, "sequences.bear: "),
    ],
)
def test_what_is_no_checked_data_set_is_named_in_one_line(tmp_path: Path, change: Any, words: str) -> None:
    path = tmp_path / "dataset.json"
    roles = {"train": [], "selection": [], "val": ["bear"]}
    values = {"sequences": {"bear": 3}, "digest": "d", "roles": roles, "attributes": {"bear": []}, "skipped": []}
    path.write_text(json.dumps(values))
    assert read_checked(path).roles == roles
    path.write_text(json.dumps(values | change if change else change))
    with pytest.raises(UserError) as error:
        read_checked(path)
    assert str(error.value).startswith(f"{path}: ")
    assert words in str(error.value)
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
