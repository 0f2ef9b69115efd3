"""What ran, how did it end, and what did it write? All jobs, the log of one, and the graphics cards."""

import time
from functools import partial
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import DataTable, Log, Static

from ..store.errors import RondelError
from ..store.project import Project
from ..store.records import ENDED, Job, JobState
from . import actions, words
from .dialogs import Confirm
from .follow import amount
from .gpu import Gpu, read_gpus
from .key_line import KeyLine
from .messages import Act, Ask
from .snapshot import Running, Snapshot

MOST = 300
"""Jobs that are listed, the newest ones."""
GPU_SECONDS = 2.0
LOG_SECONDS = 1.0
COLUMNS = {"job": 4, "kind": 8, "state": 11, "began": 16, "took": 7, "what": 80}
"""How wide each is: states change while they are looked at."""
STATES = {
    JobState.QUEUED: ("…", "dim"),
    JobState.RUNNING: ("▶", "bold"),
    JobState.DONE: ("✔", "green"),
    JobState.FAILED: ("!", "red"),
    JobState.LOST: ("!", "red"),
    JobState.CANCELLED: ("–", "dim"),
}
NO_JOB = "Nothing has run yet: space on the main screen starts what is due."


class JobsScreen(Screen[None]):
    """All jobs in a table, newest first, and the log of the one under the cursor."""

    HELP: ClassVar[str] = """
### Jobs
Each is a process of its own: it goes on when these screens are closed or the connection is lost.

- `up` `down` choose a job and see its log, which is followed while the job runs; `tab` goes into the log
- `c` cancel the job: it stops between tiles or steps, and what it has done is kept
- `escape` back to the rounds

Memory and use of NVIDIA cards stand above the jobs, where the extra `rondel[gpu]` is installed.
"""
    DEFAULT_CSS = """
    JobsScreen {
        #title { height: 1; padding: 0 1; color: $accent; text-style: bold; }
        #gpus { height: auto; padding: 0 1; }
        DataTable { height: auto; max-height: 45%; margin: 0 1; background: $background; overflow-x: hidden; }
        #facts { height: auto; max-height: 9; border-top: solid $border-blurred; padding: 0 2 1 2; }
        Log { height: 1fr; padding: 0 2; background: $background; scrollbar-size-vertical: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "cancel", "cancel the job"),
        Binding("escape,J", "app.pop_screen", "back", key_display="esc"),
    ]

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot
        self._chosen = 0
        """The job that the cursor stays on when others begin; 0 is the newest, whichever that is."""
        self._shown: tuple[int, str] = (0, "")
        """Whose log is shown, and its text."""

    def compose(self) -> ComposeResult:
        yield Static(id="title", markup=False)
        yield Static(id="gpus", markup=False)
        yield DataTable(cursor_type="row")
        yield Static(id="facts", markup=False)
        yield Log(highlight=False, max_lines=5000)
        yield KeyLine()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        for head, width in COLUMNS.items():
            table.add_column(Text(head), key=head, width=width)
        self._list()
        table.focus()
        self._ask_gpus()
        self.set_interval(GPU_SECONDS, self._ask_gpus)
        self.set_interval(LOG_SECONDS, self._follow)

    def show(self, snapshot: Snapshot) -> None:
        """Show another state; the cursor stays on its job."""
        old, self.snapshot = self.snapshot, snapshot
        if [job.id for job in old.jobs] != [job.id for job in snapshot.jobs]:
            self._list()
        elif old.jobs != snapshot.jobs:
            self._update()
        self._describe()
        if old.jobs != snapshot.jobs:
            self._ask_log()

    @property
    def job(self) -> Job | None:
        """The job under the cursor."""
        row = self.query_one(DataTable).cursor_row
        return self.snapshot.jobs[row] if 0 <= row < min(MOST, len(self.snapshot.jobs)) else None

    def action_cancel(self) -> None:
        job = self.job
        if job is None or job.state in ENDED:
            return

        def answered(sure: bool | None) -> None:
            if sure:
                self.post_message(Act(partial(actions.cancel_job, id=job.id)))

        question = f"Cancel job {job.id} ({job.kind})? It stops between tiles or steps; what it has done is kept."
        self.app.push_screen(Confirm(question, "cancel it"), answered)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Dim the key that has nothing to act on."""
        if action == "cancel" and self.is_mounted:
            return True if self.job is not None and self.job.state not in ENDED else None
        return True

    @on(DataTable.RowHighlighted)
    def _choose(self) -> None:
        self._chosen = self.job.id if self.job and self.query_one(DataTable).cursor_row else 0
        self._describe()
        self._ask_log()
        self.refresh_bindings()

    def _list(self) -> None:
        table, chosen = self.query_one(DataTable), self._chosen
        table.clear()
        for job in self.snapshot.jobs[:MOST]:
            table.add_row(*cells(job), key=str(job.id))
        ids = [job.id for job in self.snapshot.jobs[:MOST]]
        table.move_cursor(row=ids.index(chosen) if chosen in ids else 0)
        self._describe()

    def _update(self) -> None:
        table = self.query_one(DataTable)
        for job in self.snapshot.jobs[:MOST]:
            for head, cell in zip(COLUMNS, cells(job)):
                if table.get_cell(str(job.id), head) != cell:
                    table.update_cell(str(job.id), head, cell)
        self.refresh_bindings()

    def _describe(self) -> None:
        job = self.job
        running = next((r for r in self.snapshot.running if job and r.job.id == job.id), None)
        facts = describe(job, running, self.size.width - 4, time.time()) if job else Content(NO_JOB)
        self.query_one("#facts", Static).update(facts)
        count = words.counted(len(self.snapshot.jobs), "job")
        hidden = f", the newest {MOST} of them" if len(self.snapshot.jobs) > MOST else ""
        title = f"Jobs · {words.plain(self.snapshot.name, 40)} · {count}{hidden}"
        self.query_one("#title", Static).update(Content(title))

    def _follow(self) -> None:
        """Look at the log of a running job again."""
        self._describe()
        if self.job is not None and self.job.state not in ENDED:
            self._ask_log()

    def _ask_log(self) -> None:
        if self.job is not None:
            id = self.job.id
            self.post_message(Act(partial(read_log, id=id), partial(self._show_log, id)))

    def _show_log(self, id: int, text: str) -> None:
        """Write a job's log; of one that is shown already only what is new."""
        if not self.is_attached or self.job is None or self.job.id != id:
            return
        log = self.query_one(Log)
        shown, before = self._shown
        if shown == id and text.startswith(before):
            new = text[len(before) :]
        else:
            log.clear()
            new = text
        self._shown = (id, text)
        if new:
            log.write("\n".join(words.plain(line.rsplit("\r", 1)[-1]) for line in new.split("\n")))

    def _ask_gpus(self) -> None:
        self.post_message(Ask(read_gpus, self._show_gpus))

    def _show_gpus(self, gpus: tuple[Gpu, ...]) -> None:
        if self.is_attached:
            lines = [gpu_line(gpu) for gpu in gpus]
            self.query_one("#gpus", Static).update(Content("\n").join(lines))
            self.query_one("#gpus", Static).display = bool(lines)


def read_log(project: Project, id: int) -> str:
    """Return what a job wrote, or why that cannot be shown."""
    try:
        return actions.read_log(project, id)
    except RondelError as error:
        return str(error)


def cells(job: Job) -> tuple[Text, ...]:
    """Write a job's line of the table."""
    glyph, style = STATES[job.state]
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.started or job.created))
    took = words.duration(job.ended - job.started) if job.started and job.ended else ""
    what = job.error if job.error and job.state != JobState.CANCELLED else arguments_text(job.arguments)
    state = Text(f"{glyph} {job.state}", style)
    return (Text(str(job.id)), Text(job.kind), state, Text(began), Text(took), Text(words.plain(what, 80)))


def describe(job: Job, running: Running | None, width: int, now: float) -> Content:
    """Say how far a job is, or how it ended and what to do about it."""
    spent = words.duration((job.ended or now) - (job.started or job.created))
    head = Content.assemble((f"Job {job.id}, {job.kind}: {job.state}", "bold"), (f"  {spent}", "$text-muted"))
    lines = [head]
    progress = running.progress if running else None
    if running and progress:
        done, rest = words.bar(running.share, max(8, min(40, width - 50)))
        left = f"  {words.duration(running.seconds_left)} left" if running.seconds_left is not None else ""
        stage = words.plain(progress.stage, 40)
        share = f" {100 * running.share:.0f} %{left}"
        lines.append(Content.assemble(f"{stage}  ", (done, "$primary"), (rest, "$text-disabled"), share))
        rate = f"  {amount(running.rate)}{progress.unit}/s" if running.rate else ""
        lines.append(Content(f"{progress.done:,.0f} of {progress.total:,.0f} {progress.unit}{rate}"))
    if running and len(running.losses) > 1:
        line = words.sparkline(running.losses, max(8, min(60, width - 30)))
        ends = f"  {running.losses[0]:.3f} → {running.losses[-1]:.3f}"
        lines.append(Content.assemble("loss  ", (line, "$accent"), ends))
    if job.error:
        lines.append(Content.assemble((words.plain(job.error), "$text-error"), f"; {words.plain(job.hint)}"))
    lines += [Content(words.plain(note)) for note in job.result.get("notes", ())]
    return Content("\n").join(lines)


def arguments_text(arguments: dict[str, Any]) -> str:
    """Write what a job was asked, leaving out what is empty."""
    return ", ".join(f"{key} {value}" for key, value in arguments.items() if value not in (None, "", False, [], {}))


def gpu_line(gpu: Gpu) -> Content:
    """Write a card's memory and use."""
    share = gpu.used / gpu.total if gpu.total else 0.0
    done, rest = words.bar(share, 20)
    use = f", {gpu.use} % busy" if gpu.use is not None else ""
    memory = f" {gpu.used / 2**30:.1f} of {gpu.total / 2**30:.1f} GiB{use}"
    return Content.assemble(f"{words.plain(gpu.name, 32)}  ", (done, "$primary"), (rest, "$text-disabled"), memory)
