"""What may a person do? Functions over a project that verbs and screens share; each returns one line about it.

They may take seconds, so screens call them in a thread. Each raises RondelError when it cannot be done.
"""

import uuid
from pathlib import Path

from ..loop import jobs, rounds
from ..store import job_rows, label_boxes, ledger, models, settings_file
from ..store.box import ZYX, Box
from ..store.errors import UsageError
from ..store.finish import finish
from ..store.project import Project, person
from ..store.records import LabelBox, Purpose, State
from ..store.writer import open_writer

LOG_BYTES = 200_000
SHOWN = (State.PROPOSED, State.OPEN, State.DONE, State.SKIPPED)
MORE = 4
"""Boxes that are proposed when more are asked for."""


def do_due(project: Project) -> str:
    """Do what is due: start the job that computes it, or bring the page to what waits for a person."""
    due = rounds.due(project)
    if due.computes:
        return start_round(project)
    if due.step == "propose":
        return propose(project)
    if due.step == "label":
        return open_box(project)
    raise UsageError(f"{due.words} first", due.verb)


def start_round(project: Project) -> str:
    """Start all that is due up to the next human step."""
    return _started(project, "round", {}, rounds.due(project).words)


def propose(project: Project, count: int = MORE) -> str:
    return _started(project, "rank", {"count": count}, f"propose {count} more boxes")


def train(project: Project, scratch: bool = False) -> str:
    return _started(project, "train", {"scratch": scratch}, "train a further version")


def score(project: Project, model: int | None = None) -> str:
    number = models.one(project.database, model).number
    return _started(project, "score", {"model": number}, f"score model {number}")


def predict(project: Project, volume: str, model: int | None = None, probabilities: bool = False) -> str:
    name, number = project.volume_record(volume).name, models.one(project.database, model).number
    request = {"volume": name, "model": number, "probabilities": probabilities}
    return _started(project, "predict", request, f"predict {name} by model {number}")


def export(project: Project, volume: str, target: Path, what: str = "classes", model: int | None = None) -> str:
    """Start writing labels or a model's output to a new file."""
    return _started(project, "export", export_request(project, volume, target, what, model), f"write {target.name}")


def export_request(project: Project, volume: str, target: Path, what: str, model: int | None) -> dict:
    """Return the arguments of an export job; raises UsageError when it cannot be."""
    from ..loop.transfer import WHAT, check_target

    if what not in WHAT:
        raise UsageError(f"'{what}' is not known", f"use one of {', '.join(WHAT)}")
    if what == "labels" and model is not None:
        raise UsageError("labels are not a model's", "leave the model out, or export classes")
    check_target(target)
    number = None if what == "labels" else models.one(project.database, model).number
    name = project.volume_record(volume).name
    return {"volume": name, "target": str(target.resolve()), "what": what, "model": number}


def open_box(project: Project, id: int | None = None) -> str:
    """Bring the person's page to a box, or to the next one that waits; the server is started if need be."""
    from . import browser

    wanted = browser.box_to_show(project, id) if id is not None else browser.waiting_boxes(project)[0]
    found = browser.ensure(project)
    box = wanted if id is not None else browser.next_box(project, found)
    return browser.bring(project, found, f"box {box.id}", box=box.id)


def view(project: Project, volume: str, model: int | None = None) -> str:
    """Bring the person's page to a whole volume and a model's output on it."""
    from . import browser

    name = project.volume_record(volume).name
    number = models.one(project.database, model).number if model is not None else None
    return browser.bring(project, browser.ensure(project), f"'{name}'", volume=name, model=number)


def start_server(project: Project) -> str:
    """Start the server of the page in a process of its own, unless it runs."""
    from . import browser

    return f"the page is served on port {browser.ensure(project).port}"


def stop_server(project: Project) -> str:
    from ..viewer import launch

    found = launch.stop(project.folder)
    return f"the server on port {found.port} has ended" if found else "no server runs"


def done(project: Project, id: int) -> str:
    """Declare a box labelled, as it is now."""
    finish(project, id, person())
    return f"box {id} is done"


def skip(project: Project, id: int, why: str) -> str:
    label_boxes.move(project.database, id, State.SKIPPED, person(), why=why)
    return f"box {id} is skipped: {why}"


def reopen(project: Project, id: int) -> str:
    """Open a done or skipped box again."""
    label_boxes.move(project.database, id, State.OPEN, person())
    return f"box {id} is open"


def protect(project: Project, id: int) -> str:
    """Make a box a test box, never trained on from then on."""
    label_boxes.protect(project.database, id)
    return f"box {id} is a test box"


def add_box(project: Project, volume: str | None, region: str, test: bool = False) -> str:
    """Add a label box by hand; `region` is z0:z1,y0:y1,x0:x1 in voxels of the working level."""
    record = project.only_volume(volume)
    wanted = Box.parse(region, record.shape)
    there = label_boxes.select(project.database, volume=record.name, state=SHOWN)
    meets = [box.id for box in there if box.box.overlaps(wanted)]
    if meets:
        raise UsageError(f"region {wanted} overlaps box {meets[0]}", "boxes do not overlap; choose another region")
    last = ledger.last_round(project.database)
    purpose = Purpose.TEST if test else Purpose.TRAIN
    number, reason = last.number if last else 0, f"added by {person()}"
    box = LabelBox(0, record.name, wanted, number, purpose, State.PROPOSED, 1.0, reason, "hand", person=person())
    return f"box {label_boxes.add(project.database, [box])[0]} added"


def region_around(centre: ZYX, box: ZYX, volume: ZYX) -> Box:
    """Return the region of a box's shape around a voxel, moved to lie inside a volume of this shape."""
    shape = [min(n, limit) for n, limit in zip(box, volume)]
    start = [max(0, min(c - n // 2, limit - n)) for c, n, limit in zip(centre, shape, volume)]
    return Box.at(start, shape)


def undo(project: Project, box: int, whose: str | None = None) -> str:
    """Undo somebody's last edit in a box, by default the person's own."""
    with open_writer(project) as writer:
        edit = writer.undo(box, whose or person(), sender())
    return f"edit {edit.number} undoes edit {edit.target}: {edit.voxels} voxels of box {edit.box}"


def redo(project: Project, box: int, whose: str | None = None) -> str:
    with open_writer(project) as writer:
        edit = writer.redo(box, whose or person(), sender())
    return f"edit {edit.number} brings back edit {edit.target}: {edit.voxels} voxels of box {edit.box}"


def use_model(project: Project, number: int) -> str:
    """Make a version the champion, once its weights are found to be those that were saved."""
    models.load(project, number)
    models.use(project.database, number, f"chosen by {person()}")
    return f"model {number} is the champion"


def note_model(project: Project, number: int, text: str) -> str:
    models.set_note(project.database, number, text)
    return f"model {number}: {text}"


def cancel_job(project: Project, id: int) -> str:
    """Ask a job to stop between tiles or steps."""
    job = jobs.cancel(project, id)
    return f"job {id} is {job.state}" if job.ended else f"job {id} was asked to stop"


def read_log(project: Project, id: int) -> str:
    """Return the end of what a job wrote."""
    job_rows.get(project.database, id)
    try:
        with jobs.log_path(project, id).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LOG_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        raise UsageError(f"the log of job {id} is gone", "'rondel jobs' shows how the job ended") from None


def change_setting(project: Project, key: str, value: str) -> str:
    """Set `table.key` in project.toml; comments stay, and an invalid value changes nothing."""
    settings_file.change(project.folder / "project.toml", key, value)
    return f"{key} = {value}"


def sender() -> tuple[str, int]:
    """Return who sends an edit, so that sending it twice makes one edit."""
    return f"verb-{uuid.uuid4().hex}", 1


def _started(project: Project, kind: str, arguments: dict, words: str) -> str:
    return f"job {jobs.start(project, kind, arguments).id} started: {words}"
