"""Which jobs were started, and how far are they? Rows of jobs and of their progress."""

import json
import os
import socket
import time
from typing import Any

from .database import Database
from .errors import UsageError
from .records import ENDED, Job, JobState, Progress


def queue(database: Database, kind: str, arguments: dict[str, Any]) -> Job:
    """Record a job that is about to be started."""
    with database.transaction() as connection:
        cursor = connection.execute(
            "INSERT INTO job (kind, arguments, state, host, created) VALUES (?,?,?,?,?)",
            (kind, json.dumps(arguments), JobState.QUEUED, socket.gethostname(), time.time()),
        )
    return get(database, int(cursor.lastrowid or 0))


def set_pid(database: Database, id: int, pid: int) -> None:
    with database.transaction() as connection:
        connection.execute("UPDATE job SET pid = ? WHERE id = ?", (pid, id))


def begin(database: Database, id: int) -> None:
    """Mark a job as running in this process."""
    with database.transaction() as connection:
        connection.execute(
            "UPDATE job SET state = ?, pid = ?, host = ?, started = ? WHERE id = ?",
            (JobState.RUNNING, os.getpid(), socket.gethostname(), time.time(), id),
        )


def end(
    database: Database,
    id: int,
    state: JobState,
    *,
    error: str = "",
    hint: str = "",
    exit_code: int = 0,
    result: Any = None,
) -> None:
    """Record how a job ended; a job that has ended already stays as it is."""
    with database.transaction() as connection:
        connection.execute(
            "UPDATE job SET state = ?, error = ?, hint = ?, exit_code = ?, result = ?, ended = ? "
            f"WHERE id = ? AND state NOT IN ({', '.join('?' * len(ENDED))})",
            (state, error, hint, exit_code, json.dumps(result or {}), time.time(), id, *ENDED),
        )


def get(database: Database, id: int) -> Job:
    row = database.row("SELECT * FROM job WHERE id = ?", id)
    if row is None:
        raise UsageError(f"there is no job {id}", "'rondel jobs' lists the jobs")
    return _job(row)


def select(database: Database) -> list[Job]:
    """List all jobs, newest first."""
    return [_job(row) for row in database.rows("SELECT * FROM job ORDER BY id DESC")]


def set_progress(database: Database, id: int, progress: Progress) -> None:
    with database.transaction() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO progress VALUES (?,?,?,?,?,?,?)",
            (id, progress.stage, progress.done, progress.total, progress.unit, progress.text, progress.updated),
        )


def progress(database: Database, id: int) -> Progress | None:
    row = database.row("SELECT stage, done, total, unit, text, updated FROM progress WHERE job = ?", id)
    return Progress(*row) if row else None


def _job(row) -> Job:
    values = dict(row)
    values["arguments"], values["result"] = json.loads(values["arguments"]), json.loads(values["result"])
    values["state"] = JobState(values["state"])
    return Job(**values)
