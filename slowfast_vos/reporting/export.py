"""A run's records for the viewers of others: event files of TensorBoard, or a store of MLflow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from slowfast_vos.checksums import expect_unchanged, write_checksums
from slowfast_vos.config import parse_settings
from slowfast_vos.errors import UserError
from slowfast_vos.files import atomic_folder, expect_writable
from slowfast_vos.measuring.record import Record
from slowfast_vos.paths import Results
from slowfast_vos.progress import progress_lines
from slowfast_vos.reporting.plots import write_plots
from slowfast_vos.reporting.records import read_records, read_run
from slowfast_vos.reporting.render import to_markdown
from slowfast_vos.reporting.run import STATISTICS
from slowfast_vos.reporting.tables import make_tables, write_tables

RECORD, DIGEST = "slowfast-vos.record", "slowfast-vos.digest"  # tags in MLflow
KIND = {"mlflow.experimentKind": "custom_model_development"}  # whose page shows curves first
SUMMARY = "summary"  # tables and figures of the whole run
BATCH = 100  # parameters that MLflow takes at once


@dataclass(frozen=True)
class Entry:
    """One record, as a viewer shows it."""

    name: str  # its path below the run's folder
    record: Record

    @property
    def started(self) -> float:
        """Seconds since 1970."""
        return datetime.fromisoformat(self.record.provenance.started).timestamp()

    @property
    def identity(self) -> dict[str, str]:
        """What tells the record from others, such as {"kind": "parent", "setup": "3-7", "seed": "63"}."""
        known = {"kind": self.record.kind, "task": self.record.task, "setup": self.record.setup}
        values = known | {"seed": self.record.seed, "protocol": self.record.protocol} | self.record.job
        return {key: str(value) for key, value in values.items() if value is not None}

    @property
    def settings(self) -> dict[str, str]:
        """The keys of the configuration that decide this kind of job, such as "parent.epochs"."""
        return dict(_flat(parse_settings(self.record.settings, self.name).decisive(self.record.kind)))

    @property
    def outcome(self) -> dict[str, float]:
        """Scores, cost and duration."""
        scores = self.record.scores
        found = {f"scores/{name}": getattr(scores, name) for name in STATISTICS} if scores else {}
        cost = self.record.cost.model_dump(mode="json") if self.record.cost else {}
        return found | dict(_numbers(cost, "cost/")) | {"seconds": self.record.provenance.seconds}

    @property
    def curve(self) -> Iterator[tuple[str, float, int, float]]:
        """Name, value, epoch and time of each point of the learning curves."""
        time = self.started
        for epoch in self.record.curve:
            time += epoch.seconds
            for name, value in {"loss": epoch.loss, "jf_selection": epoch.jf_selection, **epoch.losses}.items():
                if value is not None:
                    yield f"curve/{name}", value, epoch.epoch, time


def export_tensorboard(results: Results, out: Path) -> Path:
    """Write event files below `out/RUN`, a folder for each record, in place of what this wrote there before.

    Raises:
        UserError: tensorboard is not installed, a record is missing, or `out/RUN` holds what this did not write.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams
    except ModuleNotFoundError as error:
        raise _not_installed("tensorboard") from error
    entries, folder = _entries(results), out / results.settings.name
    expect_unchanged(folder)
    with atomic_folder(folder) as temporary, TemporaryDirectory() as drawn:
        for entry in progress_lines(entries, "exported", lambda entry: entry.name):
            with SummaryWriter(str(temporary / entry.name)) as writer:
                for name, value, epoch, time in entry.curve:
                    writer.add_scalar(name, value, epoch, time)
                for name, value in entry.outcome.items():
                    writer.add_scalar(name, value, 0, entry.started)
                # The values themselves are the scalars above.
                for part in hparams(entry.identity, entry.outcome):
                    writer.file_writer.add_summary(part, walltime=entry.started)
                if entry.record.error:
                    writer.add_text("error", entry.record.error, walltime=entry.started)
        with SummaryWriter(str(temporary / SUMMARY)) as writer:
            run, time = read_run(results), max(entry.started for entry in entries)
            for table in make_tables(run):
                text = "\n\n".join(to_markdown(panel, run.context) for panel in table.panels)
                writer.add_text(f"tables/{table.name}", text, walltime=time)
            for path in _pictures(results, Path(drawn)):
                with Image.open(path) as picture:
                    pixels = np.array(picture.convert("RGB"))
                writer.add_image(f"figures/{path.stem}", pixels, dataformats="HWC", walltime=time)
        write_checksums(temporary)
    return folder


def export_mlflow(results: Results, uri: str) -> str:
    """Add the experiment RUN to an MLflow store, a run for each record; what is there of it already stays.

    Args:
        uri: MLflow's tracking URI: a database such as sqlite:///exports/mlflow.db, or a server.

    Returns:
        How many runs were added, in words.

    Raises:
        UserError: mlflow is not installed, a record is missing, the store cannot be used, or its experiment of that
            name comes from other records.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError as error:
        raise _not_installed("mlflow") from error
    entries = {_digest(entry.record): entry for entry in _entries(results)}
    whole = hashlib.sha256(" ".join(sorted(entries)).encode()).hexdigest()
    name, place = results.settings.name, None
    if uri.startswith("sqlite:///"):
        database = Path(uri.removeprefix("sqlite:///"))
        expect_writable(database.parent)
        place = (database.resolve().parent / "mlartifacts" / name).as_uri()
    try:
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(name)
        if found is not None and found.tags.get(DIGEST) != whole:
            expected = "expected none of this name, or one that this command made of the same records"
            raise UserError(f"{uri}: found experiment {name!r}; {expected}")
        experiment = found.experiment_id if found else client.create_experiment(name, place, {DIGEST: whole, **KIND})
        finished = _finished(client, experiment)
        missing = [digest for digest in entries if digest not in finished]
        for digest in progress_lines(missing, "exported", lambda digest: entries[digest].name):
            _add_run(client, experiment, entries[digest], digest)
        if whole not in finished:
            with TemporaryDirectory() as drawn:
                _pictures(results, Path(drawn) / "figures")
                write_tables(results, Path(drawn) / "tables")
                tags = {"mlflow.runName": SUMMARY, DIGEST: whole}
                run = client.create_run(experiment, tags=tags).info.run_id
                client.log_artifacts(run, drawn)
                client.set_terminated(run)
    except MlflowException as error:
        raise UserError(f"{uri}: {' '.join(str(error).split())[:300]}") from error
    added = len(missing) + (whole not in finished)
    return f"{added} runs added to experiment {name!r} of {uri}, {len(finished)} were there"


def _finished(client: Any, experiment: str) -> set[str]:
    """Digests of what an experiment has; what a killed export left half is removed."""
    found, token = set(), None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        for run in page:
            if run.info.status == "RUNNING":
                client.delete_run(run.info.run_id)
            else:
                found.add(run.data.tags.get(DIGEST, ""))
        token = page.token
        if not token:
            return found


def _add_run(client: Any, experiment: str, entry: Entry, digest: str) -> None:
    from mlflow.entities import Metric, Param

    start, tags = round(1000 * entry.started), {"mlflow.runName": entry.name, RECORD: entry.name, DIGEST: digest}
    run = client.create_run(experiment, start, {**tags, "commit": str(entry.record.provenance.commit)}).info.run_id
    values = entry.identity | entry.settings
    params = [Param(key, value) for key, value in values.items()]
    metrics = [Metric(name, value, round(1000 * time), epoch) for name, value, epoch, time in entry.curve]
    metrics += [Metric(name, value, start, 0) for name, value in entry.outcome.items()]
    for first in range(0, max(len(params), len(metrics)), BATCH):
        client.log_batch(run, metrics[first : first + BATCH], params[first : first + BATCH])
    if entry.record.error:
        client.log_text(run, entry.record.error, "error.txt")
    end = start + round(1000 * entry.record.provenance.seconds)
    client.set_terminated(run, "FAILED" if entry.record.status == "failed" else "FINISHED", end)


def _entries(results: Results) -> list[Entry]:
    records = read_records(results)[1]
    return [Entry(path.removesuffix(".json").removesuffix("/record"), record) for path, record in records.items()]


def _pictures(results: Results, folder: Path) -> list[Path]:
    return [path for path in write_plots(results, folder) if path.suffix == ".png"]


def _digest(record: Record) -> str:
    return hashlib.sha256(record.model_dump_json().encode()).hexdigest()


def _numbers(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}_")
        elif isinstance(value, int | float):
            yield f"{prefix}{key}", float(value)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def _not_installed(name: str) -> UserError:
    remedy = f"in the checkout: pip install -e '.[{name}]'"
    return UserError(f"--to {name}: found no {name} installed; expected it ({remedy})")
