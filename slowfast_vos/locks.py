"""Files that one process holds; the kernel lets go of them when it dies, however it dies."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from slowfast_vos.errors import UserError

# What a file system without locks answers.
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_held: set[Lock] = set()


class NoLocksError(UserError):
    """The file system has no locks (some network file systems)."""


class Lock:
    """A file that this process alone holds, until `release` or its death.

    Its children never hold it: it closes when they execute another program, and after a fork.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor
        _held.add(self)

    def write(self, text: str) -> None:
        """Replace what the file says; in place, since the lock is on this very file; synced, for other hosts to see.

        Raises:
            UserError: the disk is full.
        """
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text.encode(), 0)
            os.fsync(self._descriptor)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from error

    def release(self) -> None:
        """Let go; the file stays."""
        if self in _held:
            _held.remove(self)
            os.close(self._descriptor)


def try_lock(path: Path) -> Lock | None:
    """Lock a file, made if it is missing; None if another process holds it.

    Raises:
        NoLocksError: the file system has none.
        UserError: the file cannot be written.
    """
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror})") from error
        kept = False
        try:
            free = _flock(descriptor, fcntl.LOCK_EX, path)
            kept = free and _is_at(descriptor, path)
        finally:
            if not kept:
                os.close(descriptor)
        if kept:
            return Lock(path, descriptor)
        if not free:
            return None


def is_locked(path: Path) -> bool:
    """Whether a living process holds a file.

    Raises:
        NoLocksError: the file system has no locks, so that nobody can tell.
        UserError: the file cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return not _flock(descriptor, fcntl.LOCK_SH, path)
    finally:
        os.close(descriptor)


def _flock(descriptor: int, kind: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in UNSUPPORTED:
            raise NoLocksError(f"{path}: cannot be locked ({error.strerror})") from error
        raise UserError(f"{path}: cannot be locked ({error.strerror})") from error
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the path still names the file that was opened: someone may have removed it in between."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _close_in_child() -> None:
    for lock in _held:
        os.close(lock._descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)
