"""How does running work tell how far it is, and hear that it should stop?"""

import time
from pathlib import Path
from typing import Protocol

from ..store import job_rows
from ..store.database import Database
from ..store.errors import Cancelled
from ..store.records import Progress

REPORT_SECONDS = 0.25


class Report(Protocol):
    """What work is handed: call it with a stage's progress; it raises Cancelled when the work should stop."""

    @property
    def cancelled(self) -> bool: ...

    def __call__(self, stage: str, done: float, total: float, unit: str, text: str = "") -> None: ...


class Reporter:
    """Tells how far a job is, at most four times a second, on a connection that need not be durable."""

    def __init__(self, folder: Path, job: int) -> None:
        self.database = Database(folder / "project.db", durable=False)
        self.job = job
        self.stage = ""
        self.last = 0.0
        self._cancelled = False

    def __call__(self, stage: str, done: float, total: float, unit: str, text: str = "") -> None:
        """Report a stage's progress; raises Cancelled when the job was asked to stop."""
        if self._cancelled:
            raise Cancelled("the job was asked to stop", "run the verb again; it goes on from here")
        now = time.monotonic()
        if stage == self.stage and now - self.last < REPORT_SECONDS and done < total:
            return
        if stage != self.stage:
            print(f"{time.strftime('%H:%M:%S')} {stage}", flush=True)
        self.stage, self.last = stage, now
        job_rows.set_progress(self.database, self.job, Progress(stage, done, total, unit, text, time.time()))

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def stop(self, *_: object) -> None:
        self._cancelled = True
