"""What do the screens know? One frozen value, re-read only where the database says that something moved."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..store import job_rows, label_boxes, ledger, models
from ..store.box import ZYX
from ..store.project import Project
from ..store.records import ENDED, Job, JobState, LabelBox, Model, Progress, Purpose, Round, Score, State, VolumeRecord

if TYPE_CHECKING:
    from ..loop.rounds import Due
    from ..store.settings import LabelClass, Settings

WAITING = (State.PROPOSED, State.OPEN)
Curve = tuple[tuple[int, float, float, float | None], ...]
"""Training curve of a model: step, loss, learning rate, loss on held-out boxes."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has a page open."""

    name: str
    box: int | None
    volume: str
    position: ZYX | None = None
    """Voxel of the working level at the page's centre, where the server says it."""


@dataclass(frozen=True, slots=True)
class Server:
    """The server that runs, as a person sees it."""

    port: int
    host: str
    bind: str
    link: str
    tunnel: str
    people: tuple[Person, ...] | None
    """None when it does not answer, or runs on another machine."""
    pending: int = 0
    """Strokes that it was sent and has not committed yet."""
    missing: tuple[str, ...] = ()
    """Names that painting needs and that the installed Neuroglancer lacks."""


@dataclass(frozen=True, slots=True)
class Saves:
    """What was saved in a box."""

    edits: int
    last: int
    """Number of the last edit."""
    person: str
    at: float


@dataclass(frozen=True, slots=True)
class Running:
    """A job that has not ended, and how far it is."""

    job: Job
    progress: Progress | None = None
    since: float = 0.0
    """When its present stage was first seen, in the clock of `progress.updated`."""
    first: float = 0.0
    """How much of the stage was done then."""
    losses: tuple[float, ...] = ()
    """Losses that training reported, oldest first."""

    @property
    def share(self) -> float:
        """How much of the stage is done, 0 to 1."""
        return min(1.0, self.progress.done / self.progress.total) if self.progress and self.progress.total else 0.0

    @property
    def rate(self) -> float | None:
        """Units a second in this stage; None while it cannot be told."""
        if self.progress is None or self.progress.updated - self.since < 0.5 or self.progress.done <= self.first:
            return None
        return (self.progress.done - self.first) / (self.progress.updated - self.since)

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the stage ends; None while it cannot be told."""
        return (self.progress.total - self.progress.done) / self.rate if self.progress and self.rate else None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A project as the screens show it."""

    name: str
    folder: str
    settings: "Settings"
    due: "Due"
    person: str
    volumes: tuple[VolumeRecord, ...] = ()
    rounds: tuple[Round, ...] = ()
    boxes: tuple[LabelBox, ...] = ()
    """All but dropped ones: test boxes first within a round, then by falling priority."""
    rows: Mapping[int, label_boxes.Read] = field(default_factory=dict, repr=False, compare=False)
    """By box id, with the row that the box was made of."""
    progress: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """By round: how many boxes are done, and how many are asked for."""
    next_box: LabelBox | None = None
    """The box that is to be labelled next."""
    saves: Mapping[int, Saves] = field(default_factory=dict)
    """By box id; boxes without edits are not in it."""
    models: tuple[Model, ...] = ()
    scores: Mapping[int, tuple[Score, ...]] = field(default_factory=dict)
    """By model number, then by label value."""
    curves: Mapping[int, Curve] = field(default_factory=dict)
    """By model number."""
    jobs: tuple[Job, ...] = ()
    """All of them, newest first."""
    running: tuple[Running, ...] = ()
    edits: int = 0
    """Number of the last committed edit: so many strokes are saved."""
    pending: int = 0
    """Strokes that are on their way: not committed yet, or not yet in the label image."""
    server: Server | None = None
    changes: Mapping[str, int] = field(default_factory=dict)
    """The change counters of what was read."""

    @property
    def classes(self) -> "tuple[LabelClass, ...]":
        return self.settings.classes

    @property
    def round(self) -> Round | None:
        """The present round."""
        return self.rounds[-1] if self.rounds else None

    @property
    def champion(self) -> Model | None:
        return next((model for model in self.models if model.champion), None)

    @property
    def computing(self) -> bool:
        """Whether a job runs that another compute job would have to wait for."""
        return any(running.job.kind not in ("import", "export") for running in self.running)

    def volume(self, name: str) -> VolumeRecord | None:
        return next((record for record in self.volumes if record.name == name), None)

    def box(self, id: int | None) -> LabelBox | None:
        return next((box for box in self.boxes if box.id == id), None)

    def mean_dice(self, model: int | None) -> float | None:
        """Mean test Dice of a model over the classes but the first; None is n/a."""
        return ledger.mean_dice(list(self.scores.get(model or 0, ())))

    def boxes_of(self, round: int) -> list[LabelBox]:
        """List what a person looks at in a round: its boxes, and those of earlier rounds that still wait."""
        return [box for box in self.boxes if box.round == round or (box.round < round and box.state in WAITING)]

    def seconds_left(self, boxes: Sequence[LabelBox]) -> float | None:
        """Estimate the painting that these boxes still need, by what finished boxes took; None without any."""
        took = [box.seconds for box in self.boxes if box.state == State.DONE and box.seconds > 0]
        if not took:
            return None
        mean = sum(took) / len(took)
        waiting = [box for box in boxes if box.state in WAITING and label_boxes.asked_for(box)]
        return sum(max(0.0, mean - box.seconds) for box in waiting)


def read(project: Project, old: Snapshot | None, server: Server | None = None) -> Snapshot:
    """Return the project as it is now; what did not move since `old` is taken over from it.

    `server` is what the watcher found of the server. Calls nothing that waits for a lock.
    """
    from ..store import edits
    from ..store.project import person

    database, settings = project.database, project.settings
    changes = database.changes()
    if old is not None and old.settings != settings:
        old = None

    def moved(*tables: str) -> bool:
        return old is None or any(changes[table] != old.changes.get(table) for table in tables)

    blank = Snapshot(settings.project.name, str(project.folder), settings, _nothing_due(), person())
    kept = old or blank
    listed = tuple(models.models(database)) if moved("model", "champion") else kept.models
    last = edits.last_number(database) if moved("edit") else kept.edits
    jobs = _jobs(project, kept) if moved("job") or kept.running else kept.jobs
    rows = label_boxes.select_again(database, kept.rows) if moved("box") else kept.rows
    boxes = kept.boxes if rows is kept.rows else tuple(box for _, box in rows.values())
    due_moved = moved("volume", "round", "box", "edit", "model")
    return replace(
        kept,
        due=_due(project, boxes) if due_moved else kept.due,
        volumes=tuple(project.volumes()) if moved("volume") else kept.volumes,
        rounds=tuple(ledger.rounds(database)) if moved("round") else kept.rounds,
        boxes=boxes,
        rows=rows,
        progress=kept.progress if boxes is kept.boxes else _progress(boxes),
        next_box=kept.next_box if boxes is kept.boxes else next_waiting(boxes),
        saves=_saves(project, kept.saves) if moved("edit") else kept.saves,
        models=listed,
        scores=_scores(project, listed) if moved("score", "model") else kept.scores,
        curves=_curves(project, listed, kept.curves) if moved("curve", "model") else kept.curves,
        jobs=jobs,
        running=_running(project, jobs, kept.running),
        edits=last,
        pending=max(0, last - int(database.meta("applied", "0"))) + (server.pending if server else 0),
        server=server,
        changes=changes,
    )


def _nothing_due() -> "Due":
    from ..loop.rounds import Due

    return Due("", "", "", False)


def _due(project: Project, boxes: Sequence[LabelBox]) -> "Due":
    from ..loop import rounds

    return rounds.due(project, boxes)


def _progress(boxes: Sequence[LabelBox]) -> dict[int, tuple[int, int]]:
    asked = Counter(box.round for box in boxes if label_boxes.asked_for(box))
    done = Counter(box.round for box in boxes if box.state == State.DONE)
    return {round: (done[round], count) for round, count in asked.items()}


def _saves(project: Project, old: Mapping[int, Saves]) -> dict[int, Saves]:
    """Sum up the edits of each box; who made the last one is looked up only where it is a new one."""
    database, found = project.database, {}
    counted = "SELECT box, COUNT(*) AS n, MAX(number) AS last FROM edit WHERE box NOT NULL GROUP BY box"
    for box, count, last in database.rows(counted):
        known = old.get(box)
        if known and known.last == last:
            found[box] = known
            continue
        row = database.row("SELECT person, created FROM edit WHERE number = ?", last)
        found[box] = Saves(count, last, row["person"] if row else "", row["created"] if row else time.time())
    return found


def _scores(project: Project, listed: Sequence[Model]) -> dict[int, tuple[Score, ...]]:
    return {model.number: tuple(ledger.scores(project.database, model.number)) for model in listed}


def _curves(project: Project, listed: Sequence[Model], old: Mapping[int, Curve]) -> dict[int, Curve]:
    numbers = [model.number for model in listed]
    return {n: old[n] if n in old else tuple(models.curve(project.database, n)) for n in numbers}


def _jobs(project: Project, old: Snapshot) -> tuple[Job, ...]:
    """List the jobs, newest first, with those whose process is gone shown as lost."""
    from ..loop import jobs

    found = job_rows.select(project.database)
    return tuple(job if job.state in ENDED else jobs.refresh(project, job.id) for job in found)


def _running(project: Project, jobs: Sequence[Job], old: Sequence[Running]) -> tuple[Running, ...]:
    """Say how far each job is; where a stage began is kept, so that a rate can be told."""
    before = {running.job.id: running for running in old}
    found = []
    for job in jobs:
        if job.state not in (JobState.QUEUED, JobState.RUNNING):
            continue
        progress = job_rows.progress(project.database, job.id)
        found.append(_follow(job, progress, before.get(job.id, Running(job))))
    return tuple(found)


def _follow(job: Job, progress: Progress | None, before: Running) -> Running:
    if progress is None or progress == before.progress:
        return replace(before, job=job)
    losses = (*before.losses, *_loss(progress))[-500:]
    if before.progress is None or before.progress.stage != progress.stage:
        return Running(job, progress, progress.updated, progress.done, losses)
    return replace(before, job=job, progress=progress, losses=losses)


def _loss(progress: Progress) -> list[float]:
    """Return the loss that a stage of training reports in words, "loss 0.214"."""
    word, _, value = progress.text.partition(" ")
    try:
        return [float(value)] if word == "loss" else []
    except ValueError:
        return []


def waiting_first(boxes: Sequence[LabelBox]) -> list[LabelBox]:
    """Order boxes as a person labels them: those that wait first, test boxes before others, reserve ones last."""
    return sorted(boxes, key=_turn)


def next_waiting(boxes: Sequence[LabelBox]) -> LabelBox | None:
    """Return the box that is to be labelled next, and that `waiting_first` lists first."""
    return min((box for box in boxes if box.state in WAITING), key=_turn, default=None)


def _turn(box: LabelBox) -> tuple[bool, ...]:
    """Sort by what `rounds.waiting_boxes` sorts by; the rest is the order in which boxes are read."""
    return box.state not in WAITING, box.purpose != Purpose.TEST, box.reserve
