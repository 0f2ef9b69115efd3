"""How does a verb reach its project, follow a job and print what it found?"""

import dataclasses
import json
import os
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from ..loop import jobs
from ..store import job_rows, label_boxes, ledger, models
from ..store.box import Box
from ..store.errors import RondelError
from ..store.project import Project, open_project
from ..store.records import ENDED, Job, JobState, Round, VolumeRecord

RESUMED = ("round", "predict", "train", "rank", "score")
"""Jobs that go on where they stopped when their verb is run again."""


@dataclass(frozen=True, slots=True)
class Door:
    """What was said before the verb."""

    folder: Path
    debug: bool = False
    named: bool = False
    """Whether the folder was named by -p or RONDEL_PROJECT."""


@contextmanager
def opened(context: typer.Context) -> Iterator[Project]:
    """Open the project that was named by -p, by RONDEL_PROJECT, or that one stands in."""
    with open_project(context.obj.folder) as project:
        yield project


def say(*lines: str) -> None:
    """Print lines of data; control characters of names and messages are shown, not obeyed."""
    for line in lines:
        print(plain(line))


def note(*lines: str) -> None:
    """Print lines that are no data, on stderr."""
    for line in lines:
        print(plain(line), file=sys.stderr)


def plain(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def emit(noun: str, things: Iterable[Any]) -> None:
    """Print one JSON object of a schema version and a list of things."""
    print(json.dumps({"schema": 1, noun: [jsonable(thing) for thing in things]}, indent=1))


def jsonable(thing: Any) -> Any:
    if isinstance(thing, Box):
        return {"start": list(thing.start), "stop": list(thing.stop)}
    if dataclasses.is_dataclass(thing):
        return {field.name: jsonable(getattr(thing, field.name)) for field in dataclasses.fields(thing)}
    if isinstance(thing, Enum):
        return thing.value
    if isinstance(thing, dict):
        return {str(key): jsonable(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [jsonable(value) for value in thing]
    return thing


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns under a head; numbers to the right, None as n/a."""
    cells = [[plain("n/a" if v is None else str(v)) for v in row] for row in rows]
    right = [
        all(row[i].replace(".", "").replace("-", "").isdigit() or row[i] == "n/a" for row in cells)
        for i in range(len(head))
    ]
    widths = [max(len(str(row[i])) for row in [list(head), *cells]) for i in range(len(head))]
    for row in [list(head), *cells]:
        print("  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right)).rstrip())


def run(project: Project, kind: str, arguments: dict[str, Any], *, detach: bool = False) -> dict[str, Any]:
    """Start a job and follow it; returns its result, and raises what the job failed with.

    With `detach` it is only started. Ctrl-C asks the job to stop, a second one only stops following.
    """
    job = jobs.start(project, kind, arguments)
    if detach:
        note(f"job {job.id} started: {_reach(project, job)}")
        return {}
    from .follow import show_progress

    try:
        with show_progress() as show:
            ended = jobs.follow(project, job, show)
    except KeyboardInterrupt:
        note(f"job {job.id} goes on: {_reach(project, job)}")
        raise
    return _result(project, ended)


def _reach(project: Project, job: Job) -> str:
    return f"'{here(project, 'rondel jobs')}' shows it, '{here(project, f'rondel jobs cancel {job.id}')}' stops it"


def _result(project: Project, job: Job) -> dict[str, Any]:
    if job.state == JobState.DONE:
        return job.result
    if job.state == JobState.CANCELLED:
        goes_on = f"; {here(project, f'rondel {job.kind}')} goes on with it" if job.kind in RESUMED else ""
        note(f"job {job.id}, {job.kind}, has stopped{goes_on}")
        raise typer.Exit(130)
    error = RondelError(job.error, job.hint or here(project, f"rondel jobs log {job.id}"))
    error.exit_code = job.exit_code or 1
    raise error


def status_facts(project: Project) -> dict[str, Any]:
    """Gather what `status` shows."""
    from ..loop import rounds
    from ..store import edits
    from . import browser

    current = ledger.last_round(project.database)
    champion = models.champion(project.database)
    running = [job for job in jobs.jobs(project) if job.state in (JobState.QUEUED, JobState.RUNNING)]
    return {
        "name": project.settings.project.name,
        "volumes": [v.name for v in project.volumes()],
        "round": current,
        "progress": dict(zip(("done", "total"), _progress(project, current))),
        "rounds_planned": project.settings.rounds.planned,
        "champion": champion,
        "scores": ledger.scores(project.database, champion.number) if champion else [],
        "boxes": ledger.backlog(project.database),
        "edits": edits.last_number(project.database),
        "jobs": running,
        "server": browser.facts(project),
        "next": rounds.due(project),
    }


def status_lines(project: Project) -> list[str]:
    """Write the state of a project in a few lines: round, champion, boxes, jobs, the server, and what is due."""
    from . import browser

    facts = status_facts(project)
    current, champion = facts["round"], facts["champion"]
    head = "no round yet"
    if current:
        count = "{done} of {total} boxes done".format_map(facts["progress"])
        head = f"round {current.number} of {facts['rounds_planned']} planned, {current.state}, {count}"
    lines = [f"{facts['name']}: {head}; volumes: {', '.join(facts['volumes']) or 'none'}"]
    if champion:
        lines.append(f"champion: model {champion.number}, {score_text(project, champion.number)}")
    if facts["boxes"]:
        lines.append("boxes: " + ", ".join(f"{count} {state}" for state, count in sorted(facts["boxes"].items())))
    lines += [f"job {job.id}: {job.kind} {job.state} {progress_text(project, job)}" for job in facts["jobs"]]
    if facts["server"]:
        lines.append(browser.status_line(facts["server"]))
    return [*lines, f"next: {facts['next'].words}: {here(project, facts['next'].verb)}"]


def _progress(project: Project, current: Round | None) -> tuple[int, int]:
    return label_boxes.progress(label_boxes.select(project.database), current.number) if current else (0, 0)


def here(project: Project, verb: str) -> str:
    """Write a verb so that it works where one stands: with -p, unless that is the project's folder."""
    if os.environ.get("RONDEL_PROJECT") or project.folder.resolve() == Path.cwd().resolve():
        return verb
    return verb.replace("rondel ", f"rondel -p {shlex.quote(str(project.folder))} ", 1)


def score_text(project: Project, model: int) -> str:
    found = ledger.scores(project.database, model)
    if ledger.mean_dice(found) is None:
        return "test score n/a (two or more labelled test boxes are needed)"
    names = {c.value: c.name for c in project.classes}
    parts = [f"{names[s.label]} {number(s.dice)} [{number(s.low)}, {number(s.high)}]" for s in found if s.label != 1]
    return f"test Dice {', '.join(parts)} on {found[0].boxes} boxes"


def score_lines(project: Project, model: int) -> list[str]:
    names = {c.value: c.name for c in project.classes}
    return [
        f"{names[s.label]}: Dice {number(s.dice)} [{number(s.low)}, {number(s.high)}], IoU {number(s.iou)}, "
        f"precision {number(s.precision)}, recall {number(s.recall)}"
        for s in ledger.scores(project.database, model)
    ]


def progress_text(project: Project, job: Job) -> str:
    if job.state in ENDED:
        return job.error
    progress = job_rows.progress(project.database, job.id)
    return f"{progress.stage} {100 * progress.done / max(progress.total, 1e-9):.0f} %" if progress else ""


def number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


def seconds(job: Job) -> str:
    return f"{(job.ended or time.time()) - job.started:.0f}" if job.started else "0"


def spacing_text(record: VolumeRecord) -> str:
    """Write a volume's voxel size in its own unit."""
    from ..store.ngff import from_nm

    return " x ".join(f"{from_nm(v, record.unit):g}" for v in record.spacing_nm) + f" {record.unit}"


def fact(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(fact(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k} {fact(v)}" for k, v in value.items())
    return "none" if value is None or value == "" else f"{value:g}" if isinstance(value, float) else str(value)
