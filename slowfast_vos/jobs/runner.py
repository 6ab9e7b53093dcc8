"""Running a job: its lock, and its status file beside its log, which `slowfast-vos status` reads.

The kernel releases a lock when its process dies, however it dies: a killed job is never taken for a running one, and
no two processes run the same job. Needs no torch.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from filelock import FileLock, Timeout

from slowfast_vos.errors import LostError, UserError
from slowfast_vos.files import write_json

log = logging.getLogger(__name__)
SECONDS_BETWEEN_TRIES = 0.2
SECONDS_BETWEEN_LINES = 60.0
T = TypeVar("T")
State = Literal["running", "done", "failed", "stopped", "unknown"]


class NoLocksError(UserError):
    """The file system has no locks, or grants one to everybody (some network file systems)."""


@dataclass(frozen=True)
class JobStatus:
    """What is known of a job; `error` says in one line why it failed."""

    state: State  # `stopped` was killed or interrupted; `unknown` began on a file system without locks
    pid: int | None = None
    host: str | None = None
    started: float | None = None  # seconds since 1970
    seconds: float | None = None  # duration of a job that ended, from before torch is imported
    error: str | None = None

    @property
    def process(self) -> str:
        """The process that runs the job, in words."""
        return f"process {self.pid} on {self.host}" if self.pid else "a process that just began"


def try_lock(path: Path) -> FileLock | None:
    """Lock a file until `release` or the end of this process; None if another process holds it.

    Raises:
        NoLocksError: the file system has no locks, or none that keep anybody out.
        UserError: the file cannot be written.
    """
    lock = FileLock(path, fallback_to_soft=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
        if _also_free(path):
            lock.release()
            raise NoLocksError(f"{path}: cannot be locked (the file system grants the lock twice)")
    except Timeout:
        return None
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise NoLocksError(f"{path}: cannot be locked ({error.strerror})") from error
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error
    return lock


def _also_free(path: Path) -> bool:
    """Whether a file that this process has locked can be locked again through a second descriptor: it never should."""
    try:
        with FileLock(path, fallback_to_soft=False).acquire(blocking=False):
            return True
    except Timeout:
        return False


def wait_for(take: Callable[[], T | None], reason: Callable[[], str]) -> T:
    """Try to take something until that succeeds; log the reason after two seconds, then once a minute."""
    next_line = time.monotonic() + 2
    while (taken := take()) is None:
        if time.monotonic() >= next_line:
            log.info("waits: %s", reason())
            next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        time.sleep(SECONDS_BETWEEN_TRIES)
    return taken


def hold_run(path: Path) -> FileLock | None:
    """Lock a run, for one Snakemake, or raise UserError; None, and a warning, where the file system has no locks."""
    try:
        lock = try_lock(path)
    except NoLocksError as error:
        log.warning("%s; start no second Snakemake at this run", error)
        return None
    if lock is None:
        raise UserError(f"{path.parent}: another Snakemake works at this run; expected to be the only one")
    return lock


@contextmanager
def hold_lock(path: Path, reason: Callable[[], str]) -> Iterator[None]:
    """Hold a file's lock; waits while another process holds it. Without locks, warn and go on."""
    try:
        lock = wait_for(lambda: try_lock(path), reason)
    except NoLocksError as error:
        log.warning("%s; make sure that no second process does the same", error)
        yield
        return
    try:
        yield
    finally:
        lock.release()


@contextmanager
def run_job(path: Path) -> Iterator[None]:
    """Hold a job's lock and keep its status file at `path` up to date; waits while a duplicate of this job runs.

    Raises:
        UserError: the status file cannot be written.
    """
    with hold_lock(path.with_suffix(".lock"), lambda: f"{_read(path).process} runs this very job"):
        clock = time.monotonic()
        running = JobStatus("running", os.getpid(), platform.node(), time.time())
        write_json(path, asdict(running))
        state, problem = "stopped", None  # where it is interrupted, or asked to end
        try:
            yield
            state = "done"
        except Exception as error:
            state = "stopped" if isinstance(error, LostError) else "failed"
            name = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            problem = name + " ".join(str(error).split())
            raise
        finally:
            status = replace(running, state=state, seconds=round(time.monotonic() - clock, 3), error=problem)
            try:
                write_json(path, asdict(status))
            except UserError as error:  # the job itself has ended, and its results count
                log.warning("%s", error)


def read_status(path: Path) -> JobStatus | None:
    """Read a job's status file; None if the job never began."""
    if not path.is_file():
        return None
    status = _read(path)
    if status.state != "running":
        return status
    try:
        lock = try_lock(path.with_suffix(".lock"))
    except NoLocksError:
        return replace(status, state="unknown")
    if lock is None:
        return status
    lock.release()
    return replace(status, state="stopped")


def _read(path: Path) -> JobStatus:
    try:
        return JobStatus(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:  # its process has the lock, and writes next
        return JobStatus("running")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, RecursionError):
        raise UserError(f"{path}: found no job status; expected one as this version writes it, or no file") from None
