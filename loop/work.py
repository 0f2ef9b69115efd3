"""What runs inside a job's process? Its locks, its signals, its kind of work, and the row that says how it ended."""

import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..store import job_rows, locks
from ..store.errors import Cancelled, RondelError, SpaceError
from ..store.project import Project, open_project
from ..store.records import JobState
from .jobs import LIGHT, lock_path
from .report import Report, Reporter

LOCK_SECONDS = 5.0


def main(folder: Path, job_id: int) -> int:
    """Run a job that was queued; returns its exit code."""
    with open_project(folder) as project:
        job = job_rows.get(project.database, job_id)
        report = Reporter(folder, job_id)
        signal.signal(signal.SIGTERM, report.stop)
        signal.signal(signal.SIGINT, report.stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with locks.hold(lock_path(folder, job_id), f"job {job_id}", LOCK_SECONDS):
                job_rows.begin(project.database, job_id)
                result = _under_lock(project, job.kind, job.arguments, report)
                job_rows.end(project.database, job_id, JobState.DONE, result=result)
            return 0
        except Cancelled as error:
            state, code, message, hint = JobState.CANCELLED, error.exit_code, error.message, error.hint
        except RondelError as error:
            state, code, message, hint = JobState.FAILED, error.exit_code, error.message, error.hint
            traceback.print_exc()
        except OSError as error:
            full = SpaceError(f"{error.strerror or error}: {error.filename or folder}", "free space or mend its rights")
            state, code, message, hint = JobState.FAILED, full.exit_code, full.message, full.hint
            traceback.print_exc()
        except Exception as error:  # the job's row is the only place where anybody would see it
            state, code, message = JobState.FAILED, 1, f"{type(error).__name__}: {error}"
            hint = f"the log has the traceback: rondel jobs log {job_id}"
            traceback.print_exc()
        job_rows.end(project.database, job_id, state, error=message, hint=hint, exit_code=code)
        return code


def _under_lock(project: Project, kind: str, arguments: dict[str, Any], report: Reporter) -> dict[str, Any]:
    work = kinds()[kind]
    if kind in LIGHT:
        return work(project, arguments, report)
    with locks.hold(project.folder / locks.COMPUTE, f"job {report.job} ({kind})", LOCK_SECONDS):
        return work(project, arguments, report)


Work = Callable[[Project, dict[str, Any], Report], dict[str, Any]]


def kinds() -> dict[str, Work]:
    """Return what each kind of job does; the modules that compute are imported here, in the job's process."""
    from . import rounds, simulate, transfer

    return {
        "round": rounds.work_round,
        "train": rounds.work_train,
        "score": rounds.work_score,
        "rank": rounds.work_rank,
        "predict": rounds.work_predict,
        "simulate": simulate.work_simulate,
        "import": transfer.work_import,
        "export": transfer.work_export,
    }


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
