"""The command line itself, and what its verbs share: errors in one line, the log, and the frame of a job."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from slowfast_vos.config import load_settings
from slowfast_vos.errors import LostError, UserError
from slowfast_vos.files import expect_writable
from slowfast_vos.jobs.gpus import gpu_lock
from slowfast_vos.jobs.job import Job
from slowfast_vos.jobs.runner import run_job
from slowfast_vos.paths import Results
from slowfast_vos.reporting.status import read_status
from slowfast_vos.setups import Setup

log = logging.getLogger(__name__)


class Lines(logging.Formatter):
    """Lines with their time and their job; errors without, each line of them marked."""

    def format(self, record: logging.LogRecord) -> str:
        if record.levelno < logging.ERROR or record.exc_info:
            return super().format(record)
        return "\n".join(f"error: {line}" for line in record.getMessage().splitlines())


class LogFile(logging.FileHandler):
    """A log file; one that cannot be written is named once, and stops no job."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        logging.getLogger().removeHandler(self)
        log.warning("%s: cannot be written (%s)", self.baseFilename, sys.exc_info()[1])


def start_log(label: str = "", path: Path | None = None) -> None:
    """Log to stderr, and to a file."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    problem = None
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handlers.append(LogFile(path, encoding="utf-8"))
        except OSError as error:
            problem = error
    for handler in handlers:
        handler.setFormatter(Lines(f"%(asctime)s {label + ': ' if label else ''}%(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    logging.captureWarnings(True)
    if problem:
        log.warning("%s: cannot be written (%s)", path, problem.strerror)


# The verbs that the extra `report` is enough for; the others that need more than the base need `train`.
REPORT_VERBS = (
    "release",
    "tables",
    "plots",
    "strips",
    "report",
    "check-records",
    "compare",
    "publish",
    "status",
    "summary",
)


class OneLineErrors(TyperGroup):
    """Logs a user's mistake or a missing extra in one line, and a bug with its traceback; the exit code is 1."""

    def invoke(self, ctx: typer.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            log.error("%s", error)
            raise typer.Exit(1) from None
        except ModuleNotFoundError as error:
            package, verb = (error.name or "").partition(".")[0], ctx.invoked_subcommand
            if package in ("", "slowfast_vos"):
                log.exception("%s: %s", type(error).__name__, error)
            else:
                extra = "report" if verb in REPORT_VERBS else "train"
                log.error("%s: needs %s; in the checkout: pip install -e '.[%s]'", verb, package, extra)
            raise typer.Exit(1) from error
        except Exception as error:
            # Typer's own, and the end of a pipe such as `… | head`, which it ends quietly.
            if isinstance(error, typer.Abort | BrokenPipeError) or hasattr(error, "exit_code"):
                raise
            log.exception("%s: %s", type(error).__name__, error)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="SlowFast networks for video object segmentation: train, fine-tune, predict, score, measure, report.",
)

Config = Annotated[Path, typer.Option("--config", help="Configuration, such as config/config.yaml.")]
Seed = Annotated[int | None, typer.Option(help="One of the run's seeds; the first without it.")]
SetupOption = Annotated[
    list[str],
    typer.Option(
        "--setup",
        help='Slow-fast frames, such as "3-7"; may be repeated.',
        callback=lambda names: [str(Setup.parse(name)) for name in names],
    ),
]
Part = Annotated[str, typer.Option(help='Which part of how many, such as "1/4".')]
Out = Annotated[Path | None, typer.Option(help="Folder to write to; the run's own without it.")]


@app.callback()
def main() -> None:
    """Log to stderr, times included."""
    start_log()


def expect_torch() -> None:
    """Miss torch at once, before anything is written; its import would take seconds."""
    if find_spec("torch") is None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")


@contextmanager
def report_job(
    config: Path, *parts: str, seed: int | None = None, part: tuple[int, int] | None = None
) -> Iterator[Results]:
    """The job whose log is `Results.log(*parts, …)`: its lock and its status; then a line on where the run stands."""
    results = Results(load_settings(config))
    path = results.log(*parts, seed=seed, part=part)
    start_log(" ".join(parts), path)
    with run_job(path.with_suffix(".json")):
        yield results
    try:
        log.info("run %s: %s", results.settings.name, read_status(results.settings).headline)
    except (UserError, OSError) as problem:  # the job has ended, and its results count
        log.warning("where the run stands is not known: %s", problem)


def run_jobs(
    config: Path,
    seed: int | None,
    work: Callable[..., None],
    jobs: Iterable[tuple[str, ...]],
    *,
    part: tuple[int, int] | None = None,
    network: bool = True,
) -> None:
    """Run jobs of one seed, one after another; each has its lock, status and log, and one that fails stops no other.

    Args:
        work: called with what the jobs of this process share, and all of a job's words but the first.
        jobs: the words that name a job's log (see `Results.log`).
        part: the part of every job.
        network: hold the lock of a GPU where there is one.
    """
    settings = load_settings(config)
    if network:
        expect_torch()
    if seed is not None and seed not in settings.seeds:
        raise UserError(f"--seed: found {seed}; expected one of seeds {settings.seeds} in {config}")
    seed = settings.seeds[0] if seed is None else seed
    expect_writable(Results(settings).root)
    shared, failed = Job(settings, seed), False
    for words in jobs:
        shared.clock.restart()
        try:
            with (
                report_job(config, *words, seed=seed, part=part),
                on_device(settings.device) if network else nullcontext(),
            ):
                work(shared, *words[1:])
        except LostError:
            raise
        except UserError as error:
            log.error("%s", error)
            failed = True
    if failed:
        raise typer.Exit(1)


@contextmanager
def on_device(device: str) -> Iterator[None]:
    """Hold the lock of a GPU; what a full or lost one raises is one line."""
    with gpu_lock(device):  # before the import of torch, which takes seconds
        from slowfast_vos.jobs.failures import explained

        with explained():
            yield


def parse_part(part: str) -> tuple[int, int]:
    """Index from 0 and count of a part such as "1/4"."""
    index, slash, count = part.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise UserError(f'--part: found {part!r}; expected one such as "1/4", from 1/N to N/N')
    return int(index) - 1, int(count)


def expect_one(verb: str, options: str, one: Path | None, other: Path | None) -> None:
    """Refuse neither and both of two options."""
    if (one is None) == (other is None):
        raise UserError(f"{verb}: found {'neither' if one is None else 'both'} of {options}; expected one")
