"""What runs inside a job's process? Its locks, its signals, its kind of work, and the row that says how it ended."""

import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..store import job_rows, locks
from ..store.database import Database
from ..store.errors import Cancelled, RondelError, SpaceError
from ..store.project import Project, open_project
from ..store.records import JobState, Progress
from .jobs import LIGHT, lock_path

REPORT_SECONDS = 0.25
LOCK_SECONDS = 5.0


class Reporter:
    """Tells how far a job is, at most four times a second, on a connection that need not be durable."""

    def __init__(self, folder: Path, job: int) -> None:
        self.database = Database(folder / "project.db", durable=False)
        self.job = job
        self.stage = ""
        self.last = 0.0
        self.cancelled = False

    def __call__(self, stage: str, done: float, total: float, unit: str, text: str = "") -> None:
        """Report a stage's progress; raises Cancelled when the job was asked to stop."""
        self.check()
        now = time.monotonic()
        if stage == self.stage and now - self.last < REPORT_SECONDS and done < total:
            return
        if stage != self.stage:
            print(f"{time.strftime('%H:%M:%S')} {stage}", flush=True)
        self.stage, self.last = stage, now
        job_rows.set_progress(self.database, self.job, Progress(stage, done, total, unit, text, time.time()))

    def check(self) -> None:
        if self.cancelled:
            raise Cancelled("the job was asked to stop", "run the verb again; it goes on from here")

    def stop(self, *_: object) -> None:
        self.cancelled = True


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


Work = Callable[[Project, dict[str, Any], Reporter], dict[str, Any]]


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
