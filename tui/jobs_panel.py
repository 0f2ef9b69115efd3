"""What is running, for how long, and how long still?"""

import time
from typing import ClassVar

from textual.content import Content

from ..store.records import ENDED, Job, JobState
from . import words
from .follow import amount
from .lines_panel import LinesPanel
from .snapshot import Running, Snapshot
from .theme import FAINT, QUIET

GLYPHS = {JobState.DONE: ("✔", "$success"), JobState.CANCELLED: ("–", QUIET)}


class JobsPanel(LinesPanel):
    """The jobs that run, with bar, rate, time left and losses; else how the last one ended."""

    HELP: ClassVar[str] = """
### Jobs
A job is a process of its own: it goes on when these screens are closed or the connection is lost. `J` opens all of
them with their logs, and there a job can be cancelled: what it has done is kept.
"""

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._snapshot: Snapshot | None = None

    def on_mount(self) -> None:
        self.border_title = Content("Jobs")  # type: ignore[assignment]
        self.set_interval(1.0, self._draw)

    def show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        if self._snapshot is None or self.size.width < 10:
            return
        running = self._snapshot.running
        self.border_subtitle = Content(f"{len(running)} running" if running else "")  # type: ignore[assignment]
        self.write(jobs(self._snapshot, self.size.width, time.time()))


def jobs(snapshot: Snapshot, width: int, now: float) -> Content:
    """Write the jobs that run, two or three lines each, then how the last ones ended."""
    lines: list[Content] = []
    for running in snapshot.running:
        lines += _running(running, width, now)
    ended = [job for job in snapshot.jobs if job.state in ENDED][:4]
    lines += [_ended(job, width, now) for job in ended]
    if not lines:
        return Content("Nothing has run yet.\n\nspace: what is due").stylize(QUIET)
    return Content("\n").join(lines)


def _running(running: Running, width: int, now: float) -> list[Content]:
    job, progress = running.job, running.progress
    spent = words.duration(now - (job.started or job.created))
    if progress is None:
        said = f"job {job.id}, {job.kind}: starts"
        return [Content.assemble((words.plain(said, width - 8), "bold"), (f"  {spent}", QUIET))]
    left = f"{words.duration(running.seconds_left)} left" if running.seconds_left is not None else ""
    end = f" {100 * running.share:3.0f} %  {left:<11}"
    stage = words.plain(progress.stage, max(12, width // 2 - 4))
    bar, rest = words.bar(running.share, max(4, width - len(stage) - len(end) - 2))
    head = Content.assemble((stage, "bold"), "  ", (bar, "$primary"), (rest, FAINT), end)
    rate = f"{amount(running.rate).strip()}/s" if running.rate else ""
    amounts = f"{progress.done:,.0f} of {progress.total:,.0f} {progress.unit}"
    losses = len(running.losses) > 1
    facts = [f"job {job.id}", spent, amounts, rate, "" if losses else words.plain(progress.text, 24)]
    detail = words.plain("  " + " · ".join(fact for fact in facts if fact), width)
    lines = [head, Content(detail).stylize(QUIET)]
    if losses:
        first, last = (f"{running.losses[k]:.3f}" for k in (0, -1))
        drawn = words.sparkline(running.losses, max(4, width - 26))
        lines.append(Content.assemble(("  loss ", QUIET), (drawn, "$accent"), (f"  {first} → {last}", QUIET)))
    return lines


def _ended(job: Job, width: int, now: float) -> Content:
    glyph, style = GLYPHS.get(job.state, ("!", "$error"))
    took = words.duration(job.ended - job.started) if job.started and job.ended else "–"
    when = f"after {took}, {words.ago(job.ended or job.created, now)}"
    if job.error and job.state in (JobState.FAILED, JobState.LOST):
        said = f"job {job.id}, {job.kind}, {job.state}: {job.error}; {when}"
    else:
        said = f"job {job.id}, {job.kind}: {job.state} {when}"
    quiet = QUIET if job.state in GLYPHS else "$error"
    return Content.assemble((f"{glyph} ", style), (words.plain(said, width - 2), quiet))
