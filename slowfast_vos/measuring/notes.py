"""A job's note beside its log: since when it runs and where, or how it ended.

The process of the job holds the note, and the kernel lets go of it when that process dies: what was killed is never
taken for running, and no two processes work at one job.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from slowfast_vos.errors import UserError
from slowfast_vos.locks import Lock, NoLocksError, is_locked, try_lock

log = logging.getLogger(__name__)
State = Literal["running", "done", "failed", "stopped", "unknown"]
# The environment variable by which a call of Snakemake makes itself known to its jobs.
RUN = "SLOWFAST_VOS_RUN"
SECONDS_BETWEEN_TRIES = 0.2
SECONDS_BETWEEN_LINES = 60.0


@dataclass(frozen=True)
class Note:
    """What is known of a job.

    Attributes:
        state: `stopped` was killed or interrupted; `unknown` has begun, and a file system without locks hides the rest.
        started: seconds since 1970; None if the note is not readable.
        seconds: how long it took, from before torch is imported; of a finished job.
        error, trace: why it failed, in one line, and the traceback if there was one.
        key: what decides the job's outcome, in short.
        run: which call of Snakemake started it, if one did.
    """

    state: State
    pid: int | None = None
    host: str | None = None
    started: float | None = None
    seconds: float | None = None
    error: str | None = None
    trace: str | None = None
    key: str = ""
    run: str = ""

    @property
    def process(self) -> str:
        """Who runs it, in words."""
        return f"process {self.pid} on {self.host}" if self.pid else "a process that just began"


class OpenNote:
    """The note of a job that this process runs.

    Attributes:
        done_by_twin: another process, which this one waited for, has finished the very same job.
    """

    def __init__(self, path: Path, lock: Lock | None, key: str, *, done_by_twin: bool = False) -> None:
        self.path, self._lock, self.done_by_twin = path, lock, done_by_twin
        self._clock = time.monotonic()
        self._note = Note("running", os.getpid(), platform.node(), time.time(), key=key, run=os.environ.get(RUN, ""))
        self._write()

    def end(
        self, state: Literal["done", "failed", "stopped"], error: str | None = None, trace: str | None = None
    ) -> None:
        """Say how the job ended, and let go."""
        seconds = round(time.monotonic() - self._clock, 3)
        self._note = replace(self._note, state=state, seconds=seconds, error=error, trace=trace)
        self._write()
        if self._lock:
            self._lock.release()

    def _write(self) -> None:
        text = json.dumps(asdict(self._note)) + "\n"
        if self._lock:
            self._lock.write(text)
        else:
            self.path.write_text(text, encoding="utf-8")


def begin_note(path: Path, key: str = "") -> OpenNote:
    """Hold a job's note from here on; waits while another process works at the same job.

    Args:
        key: see `Note`.

    Raises:
        UserError: the note cannot be written.
    """
    called, began, said, waited = time.time(), time.monotonic(), None, False
    while True:
        try:
            lock = try_lock(path)
        except NoLocksError as error:
            log.warning("%s; `slowfast-vos status` cannot tell whether this job runs", error)
            return OpenNote(path, None, key)
        if lock:
            twin = _parse(path.read_text(encoding="utf-8"))
            ended_meanwhile = waited and twin.state == "done" and twin.started + twin.seconds >= called
            return OpenNote(path, lock, key, done_by_twin=ended_meanwhile and twin.key == key)
        waited, now = True, time.monotonic()
        # `status` holds a note for an instant; only a job holds it for long.
        if now - began > 2 and (said is None or now - said > SECONDS_BETWEEN_LINES):
            said = now
            log.info("waits: %s works at this very job", read_note(path).process)
        time.sleep(SECONDS_BETWEEN_TRIES)


def read_note(path: Path) -> Note | None:
    """A job's note; None if it never began.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        alive = is_locked(path)
    except NoLocksError:
        alive = None
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    note = _parse(text)
    if alive:
        return replace(note, state="running")
    if note.state == "running":
        return replace(note, state="unknown" if alive is None else "stopped")
    return note


def _parse(text: str) -> Note:
    try:
        return Note(**json.loads(text))
    except (ValueError, TypeError):  # killed, or seen, while it was being written
        return Note("running")


def hold_run(path: Path, name: str) -> None:
    """Be the only Snakemake at a run, while this process lives; the file says which call it is (see `RUN`).

    Raises:
        UserError: another one works at it.
    """
    try:
        lock = try_lock(path)
    except NoLocksError as error:
        log.warning("%s; start no second Snakemake at this run", error)
        path.write_text(name, encoding="utf-8")
        return
    if lock is None:
        raise UserError(f"{path.parent}: another Snakemake works at this run; expected to be the only one")
    lock.write(name)


def check_submitter(path: Path) -> None:
    """Check that a cluster's job is of the run's last call: of an earlier one, it would remove what was made since.

    Raises:
        UserError: it is not.
    """
    ours = os.environ.get(RUN)
    last = path.read_text(encoding="utf-8") if path.is_file() else ""
    if ours and last and ours != last:
        raise UserError(f"{path.parent}: this job's Snakemake was killed, and another has submitted its own")
