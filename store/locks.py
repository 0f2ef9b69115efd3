"""Who may write? Locks between processes, as flock files that say who holds them."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import LockedError

LABELS = "labels.lock"
COMPUTE = "compute.lock"


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lock."""

    pid: int
    host: str
    since: float
    what: str

    def __str__(self) -> str:
        since = time.strftime("%H:%M:%S", time.localtime(self.since))
        return f"{self.what} (pid {self.pid} on {self.host}, since {since})"


@contextmanager
def hold(path: Path, what: str, timeout: float) -> Iterator[None]:
    """Hold a lock; raises LockedError naming the holder's pid and host when it is not had within `timeout` seconds.

    The kernel frees the lock when the process ends, however it ends.
    """
    import filelock

    lock = filelock.FileLock(path, timeout=timeout, poll_interval=0.02)
    try:
        lock.acquire()
    except filelock.Timeout:
        found = read_holder(path)
        raise LockedError(
            f"{path.name} is held by {found or 'another process'}", "wait until it ends, or stop that process"
        ) from None
    try:
        path.write_text(json.dumps(asdict(Holder(os.getpid(), socket.gethostname(), time.time(), what))))
        yield
    finally:
        lock.release()


def holder(path: Path) -> Holder | None:
    """Return who holds a lock now, or None when it is free.

    It is tried with a shared lock: two who look at once must not take each other for the holder that was last.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # where there is no flock, the file is there only while it is held
        return read_holder(path) or Holder(0, "unknown host", time.time(), "another process")
    finally:
        os.close(descriptor)
    return None


def read_holder(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
