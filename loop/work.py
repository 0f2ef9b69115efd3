"""What runs inside a job's process? Its locks, its signals, its kind of work, and the row that says how it ended."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..store import job_rows, locks
from ..store.errors import Cancelled, RondelError, SpaceError
from ..store.project import Project, open_project
from ..store.records import Job, JobState
from .jobs import LIGHT, lock_path
from .report import Report, Reporter

LOCK_SECONDS = 5.0
NICENESS = 10
"""How far a job steps back for what a person does meanwhile: the screens, the page, the shell."""


def main(folder: Path, job_id: int) -> int:
    """Run a job that was queued; returns its exit code."""
    os.nice(NICENESS)
    with open_project(folder) as project:
        report = Reporter(folder, job_id)
        signal.signal(signal.SIGTERM, report.stop)
        signal.signal(signal.SIGINT, report.stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        # The lock is held until the row says how the job ended: whoever finds it free takes the job for lost.
        with locks.hold(lock_path(folder, job_id), f"job {job_id}", LOCK_SECONDS):
            job_rows.begin(project.database, job_id)
            return _run(project, job_rows.get(project.database, job_id), report)


def _run(project: Project, job: Job, report: Reporter) -> int:
    """Do the job's work and record how it ended."""
    try:
        result = _under_lock(project, job.kind, job.arguments, report)
        job_rows.end(project.database, job.id, JobState.DONE, result=result)
        return 0
    except Cancelled as error:
        state, code, message, hint = JobState.CANCELLED, error.exit_code, error.message, error.hint
    except RondelError as error:
        state, code, message, hint = JobState.FAILED, error.exit_code, error.message, error.hint
        traceback.print_exc()
    except OSError as error:
        place = error.filename or project.folder
        full = SpaceError(f"{error.strerror or error}: {place}", "free space or mend its rights")
        state, code, message, hint = JobState.FAILED, full.exit_code, full.message, full.hint
        traceback.print_exc()
    except Exception as error:  # the job's row is the only place where anybody would see it
        state, code, message = JobState.FAILED, 1, f"{type(error).__name__}: {error}"
        hint = f"the log has the traceback: rondel jobs log {job.id}"
        traceback.print_exc()
    job_rows.end(project.database, job.id, state, error=message, hint=hint, exit_code=code)
    return code


def _under_lock(project: Project, kind: str, arguments: dict[str, Any], report: Reporter) -> dict[str, Any]:
    if kind in LIGHT:
        return kinds()[kind](project, arguments, report)
    # The lock comes before the imports, which take seconds in which another job could start.
    with locks.hold(project.folder / locks.COMPUTE, f"job {report.job} ({kind})", LOCK_SECONDS):
        return kinds()[kind](project, arguments, report)


Work = Callable[[Project, dict[str, Any], Report], dict[str, Any]]


def kinds() -> dict[str, Work]:
    """Return what each kind of job does; none of this loads torch, which an import or an export can do without."""
    from . import rounds, transfer

    return {
        "round": rounds.work_round,
        "train": rounds.work_train,
        "score": rounds.work_score,
        "rank": rounds.work_rank,
        "predict": rounds.work_predict,
        "simulate": _simulate,
        "import": transfer.work_import,
        "export": transfer.work_export,
    }


def _simulate(project: Project, arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    from .simulate import work_simulate

    return work_simulate(project, arguments, report)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
