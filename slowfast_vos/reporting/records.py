"""A run read from its records."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from slowfast_vos.config import Settings, load_settings, parse_settings
from slowfast_vos.dag import BASELINES, NEEDS, planned_jobs, read_output
from slowfast_vos.errors import UserError
from slowfast_vos.measuring.record import UNCHECKED, CheckedData, Epoch, Record, read_checked
from slowfast_vos.paths import Results
from slowfast_vos.reporting.run import JOB, STATISTICS, Run

MISSING_SHOWN = 10
ARCHIVE = "records.zip"  # of a published run


def read_run(results: Results, kinds: Collection[str] = NEEDS) -> Run:
    """Read a run from the records of all its jobs, or of some kinds of them (see `read_records` for what it raises)."""
    data, records = read_records(results, kinds)
    return Run(results, data.sequences, data.attributes, data.roles, data.digest, **_frames(records))


def read_records(results: Results, kinds: Collection[str] = NEEDS) -> tuple[CheckedData, dict[str, Record]]:
    """Read a run's checked data, and its records by their paths below the run's folder.

    Raises:
        UserError: records are missing (the first ten are named), do not follow the schema, or are of another job.
    """
    jobs = [job for job in planned_jobs(results, val=()) if job.recorded and job.kind in kinds]
    paths = {path: job for job in jobs for path in job.outputs}
    missing = [path for path in (results.dataset, *paths) if not path.is_file()]
    if missing:
        shown = [f"{path}: missing; expected a record of run {results.settings.name}" for path in missing]
        more = [f"and {len(missing) - MISSING_SHOWN} more of {len(paths) + 1} files"] * (len(missing) > MISSING_SHOWN)
        raise UserError("\n".join(shown[:MISSING_SHOWN] + more))
    data, records = read_checked(results.dataset), {}
    for path, job in paths.items():
        record = records[path.relative_to(results.root).as_posix()] = read_output(results, job, path)
        if record.provenance.dataset not in (data.digest, UNCHECKED):
            found = f"the record of data {record.provenance.dataset[:12]}"
            raise UserError(f"{path}: found {found}; expected {data.digest[:12]}, as {results.dataset} says")
    return data, records


def read_folder(folder: Path) -> Run:
    """Read a run wherever its folder lies; a UserError as `open_folder` and `read_run`."""
    with open_folder(folder) as results:
        return read_run(results)


@contextmanager
def open_folder(folder: Path) -> Iterator[Results]:
    """A run wherever its folder lies: `results/NAME`, or a published one, whose records are an archive.

    Raises:
        UserError: the folder holds no run.
    """
    if (folder / ARCHIVE).is_file():
        with TemporaryDirectory() as unpacked:
            unpack(folder, Path(unpacked))
            with open_folder(Path(unpacked)) as results:
                yield results
        return
    path = folder / "settings.json"
    if not path.is_file():
        raise UserError(
            f"{folder}: found no run; expected a folder with settings.json, such as results/demo, or {ARCHIVE}"
        )
    yield Results(load_settings(path), folder=folder)


def unpack(published: Path, folder: Path) -> None:
    """Unpack the records of a published run into `folder`.

    Raises:
        UserError: their archive is missing or damaged.
    """
    path = published / ARCHIVE
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    except Exception as error:  # zipfile raises nearly anything, depending on the bytes
        raise UserError(f"{path}: cannot be unpacked ({error}); expected a run's records") from error


def _frames(records: dict[str, Record]) -> dict[str, pd.DataFrame]:
    """The frames of a `Run`, from its records by path."""
    scores, epochs, costs = [], [], {}
    for number, record in enumerate(records.values()):
        for name, one in record.scores.sequences.items() if record.scores else ():
            scores.append({"record": number, "sequence": name, "jf_mean": one.jf_mean} | one.model_dump())
        identity = {"kind": record.kind, "setup": record.setup, "seed": record.seed}
        epochs += [identity | epoch.model_dump() for epoch in record.curve]
        if record.kind == "cost":
            costs[record.setup] = _cost(record)
    frame = pd.DataFrame([_row(path, record) for path, record in records.items()])
    frame = frame.astype(dict.fromkeys([*STATISTICS, "last_loss"], float))
    frame["best_epoch"] = frame["best_epoch"].astype("Int64").astype(object)  # integers beside missing values
    sequences = pd.DataFrame(scores, columns=["record", "sequence", *STATISTICS]).set_index("record")
    return {
        "records": frame,
        "sequences": sequences.astype(dict.fromkeys(STATISTICS, float)),
        "curves": pd.DataFrame(epochs, columns=["kind", "setup", "seed", *Epoch.model_fields]),
        "costs": pd.DataFrame(list(costs.values()), pd.Index(costs, name="setup"), dtype=object),
    }


def _row(path: str, record: Record) -> dict[str, Any]:
    failed = record.status == "failed"
    packages = sorted(record.provenance.packages.items())
    return {
        "kind": "baseline" if record.task == "baseline" else record.kind,
        "task": record.task,
        "setup": record.setup,
        "seed": record.seed,
        **{key: record.job.get(key) for key in JOB},
        "status": record.status,
        "error": record.error,
        "best_epoch": record.best_epoch,
        **{name: getattr(record.scores, name, None) for name in STATISTICS},
        **{f"record_{key}": value for key, value in record.provenance if key != "packages"},
        "packages": " ".join(f"{name}={version}" for name, version in packages),
        "path": path,
        "name": record.setup or BASELINES.get(record.job.get("baseline", "")),
        "cell": _cell(record),
        "failed": failed,
        "reason": f"seed {record.seed}: {record.error}" if failed else None,
        "last_loss": record.curve[-1].loss if record.curve and not failed else None,
    }


def _cell(record: Record) -> str:
    """The record's name in claims, such as "unsupervised/3-7" or "grid/3-7/SF/0.25/0.001"."""
    if record.kind == "evaluation":
        return f"{record.task}/{record.setup or BASELINES[record.job['baseline']]}"
    return "/".join([record.kind, record.setup or "", *(record.job[key] for key in JOB if key in record.job)])


def _cost(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {"failed": record.status == "failed"}
    for name, value in record.cost.model_dump().items() if record.cost else ():
        if isinstance(value, dict):
            row |= {f"{name}_{part}": inner for part, inner in value.items()}
        else:
            row[name] = "x".join(map(str, value)) if isinstance(value, tuple) else value
    return row | ({"cost_error": record.error} if record.error else {})


def has_settings(record: Record, settings: Settings) -> bool:
    """Whether a record was made with what the settings say of its kind of job."""
    try:
        own = parse_settings(record.settings, record.name)
    except UserError:  # of a version with other keys
        return False
    return own.key(record.kind) == settings.key(record.kind)
