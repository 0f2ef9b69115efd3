"""How is a job started, followed and cancelled? A job is a detached process that survives whoever started it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..store import job_rows, locks
from ..store.errors import LockedError, RondelError
from ..store.project import Project
from ..store.records import ENDED, Job, JobState, Progress

LIGHT = ("import", "export")
"""Kinds that do not compute, and so run beside a compute job."""
POLL_SECONDS = 0.1
"""How often a job of another process is looked at: SQLite tells nobody of its commits."""
START_SECONDS = 30.0


def start(project: Project, kind: str, arguments: dict[str, Any]) -> Job:
    """Start a job in a process and session of its own; raises LockedError while another one computes."""
    if kind not in LIGHT:
        busy = locks.holder(project.folder / locks.COMPUTE)
        if busy:
            raise LockedError(
                f"{locks.COMPUTE} is held by {busy}",
                "follow it with 'rondel jobs', or stop it with 'rondel jobs cancel'",
            )
    job = job_rows.queue(project.database, kind, arguments)
    with log_path(project, job.id).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rondel.loop.work", str(project.folder.resolve()), str(job.id)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    job_rows.set_pid(project.database, job.id, process.pid)
    return job_rows.get(project.database, job.id)


def follow(project: Project, job: Job, show: Callable[[Progress], None]) -> Job:
    """Wait until a job has ended, handing on its progress; the job does not notice.

    The first KeyboardInterrupt asks the job to stop and goes on waiting, the second one is raised.
    """
    asked = False
    while True:
        try:
            job = refresh(project, job.id)
            progress = job_rows.progress(project.database, job.id)
            if progress:
                show(progress)
            if job.state in ENDED:
                return job
            time.sleep(POLL_SECONDS)  # another process writes the row, and SQLite tells nobody
        except KeyboardInterrupt:
            if asked:
                raise
            asked = True
            cancel(project, job.id)


def refresh(project: Project, id: int) -> Job:
    """Return a job as it is now; one whose process is gone without a word becomes lost."""
    job = job_rows.get(project.database, id)
    if job.state in ENDED or _alive(project, job):
        return job
    job = job_rows.get(project.database, id)  # it may have ended between the two looks
    if job.state not in ENDED:
        job_rows.end(
            project.database,
            id,
            JobState.LOST,
            error="its process was killed",
            hint="run the verb again; it goes on",
            exit_code=1,
        )
    return job_rows.get(project.database, id)


def cancel(project: Project, id: int) -> Job:
    """Ask a job to stop between tiles or steps; what it has done is kept."""
    job = refresh(project, id)
    if job.state in ENDED or job.pid is None:
        return job
    if job.host != socket.gethostname():
        raise RondelError(f"job {id} runs on {job.host}", f"cancel it there: kill {job.pid}")
    with suppress(ProcessLookupError):
        os.kill(job.pid, signal.SIGTERM)
    return refresh(project, id)


def jobs(project: Project) -> list[Job]:
    """List all jobs, newest first, lost ones shown as lost."""
    return [refresh(project, job.id) for job in job_rows.select(project.database)]


def log_path(project: Project, id: int) -> Path:
    return project.folder / "jobs" / f"{id:04d}.log"


def lock_path(folder: Path, id: int) -> Path:
    """Return the lock that a job holds as long as its process lives."""
    return folder / "jobs" / f"{id:04d}.lock"


def _alive(project: Project, job: Job) -> bool:
    if job.state == JobState.RUNNING:
        return locks.holder(lock_path(project.folder, job.id)) is not None
    if job.pid is None or job.host != socket.gethostname():
        return time.time() - job.created < START_SECONDS
    with suppress(ChildProcessError):
        os.waitpid(job.pid, os.WNOHANG)  # an ended child of ours would stay a zombie, and look alive
    try:
        os.kill(job.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
