"""A project in its third round that is the same each time it is made, in a world whose clock stands still."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from rondel.store import job_rows, label_boxes, ledger, locks, models, settings_file
from rondel.store import project as projects
from rondel.store.box import Box
from rondel.store.edits import open_journal
from rondel.store.maps import MapPlan, Maps
from rondel.store.models import Draft
from rondel.store.project import Project
from rondel.store.records import JobState, LabelBox, Progress, Purpose, RoundState, Score, State

from .conftest import stroke
from .images import make_volume
from .small_server import small_server

NOON = 1_750_000_000.0
CLASSES = ("background", "membrane", "organelle")
SHAPE, SIDE = (16, 48, 64), 16
PORT = "23456"
RUNNING = 4
"""The job that runs."""
PLACES = [(0, y, x) for y in range(0, 48, SIDE) for x in range(0, 64, SIDE)]
CURVES = ((0.9, 0.6, 0.45, 0.4), (0.42, 0.38, 0.3, 0.29), (0.4, 0.31, 0.27, 0.25))
DICE = ((0.97, 0.61, 0.52), (0.98, 0.74, 0.6), (0.98, 0.73, 0.66))


@dataclass
class Clock:
    """The time of day; it stands still until it is put forward."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now

    def forward(self, minutes: float) -> None:
        self.now += 60 * minutes


@contextmanager
def still(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Stop the clock, and take away what a terminal or a machine says of itself."""
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    known = {"RONDEL_PERSON": "ann", "TEXTUAL_ANIMATIONS": "none", "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "TMUX", "TEXTUAL_THEME", "TEXTUAL_COLOR_SYSTEM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", None)  # no graphics cards
    try:
        yield clock
    finally:
        monkeypatch.undo()
        time.tzset()


@contextmanager
def open_steady(folder: Path, clock: Clock) -> Iterator[str]:
    """Make the project with a page that bob has open, and a job that runs; gives the port, which differs each time."""
    with projects.create(folder, list(CLASSES), seed=7) as project:
        settings_file.change(folder / "project.toml", "serve.ssh", "ann@lab")
        settings_file.change(folder / "project.toml", "boxes.per_round", "4")
        make(project, clock)
        with locks.hold(folder / "jobs" / f"{RUNNING:04d}.lock", "a job", 1), small_server(folder) as server:
            server.people = [{"person": "bob", "box": 10}]
            yield str(server.port)


def make(project: Project, clock: Clock) -> None:
    classes = truth()
    image = (40 + 70 * classes).astype(np.uint8)
    record = make_volume(project.folder, image, spacing_nm=(40.0, 10.0, 10.0)).record
    projects.add_volume(project, replace(record, intensities=((0.0, 255.0),)))
    run_job(project, clock, "import", {"name": "scan", "image": "/data/scan.ome.tif"}, 0.5)
    for number, dice in enumerate(DICE, 1):
        add_round(project, clock, number, dice)
    predict(project, classes)
    label_some(project, clock)
    job = job_rows.queue(project.database, "predict", {"volume": "scan", "model": 3})
    assert job.id == RUNNING
    job_rows.begin(project.database, job.id)
    clock.forward(0.7)
    job_rows.set_progress(project.database, job.id, Progress("predict scan", 12, 32, "tiles", "", clock.now))
    (project.folder / "jobs" / f"{job.id:04d}.log").write_text("model 3\n32 tiles of 64 x 128 x 128\n12 of 32 done\n")


def truth() -> np.ndarray:
    """Return flat bars of the three classes, uint8 (Z, Y, X)."""
    found = np.ones(SHAPE, np.uint8)
    found[:, :, ::8] = found[:, :, 1::8] = 2
    found[:, 38:42, 4:40] = 3
    return found


def add_round(project: Project, clock: Clock, number: int, dice: tuple[float, ...]) -> None:
    """Add a round with its boxes, and but for the last one with a model that was trained in it."""
    database, parent = project.database, number - 1 or None
    ledger.open_round(database, parent, "foreground" if parent else "typical", number)
    reasons = ("part of 2 of the volume", "half membrane", "half organelle", "a place like none before")
    boxes = [
        LabelBox(
            0, "scan", Box.at(place, (SIDE,) * 3), number, Purpose.TEST if number == 1 and k < 2 else Purpose.TRAIN,
            State.PROPOSED, 0.95 - k / 8, reasons[k], "typical" if number == 1 else "foreground", reserve=k == 3,
        )
        for k, place in enumerate(PLACES[4 * number - 4 : 4 * number])
    ]  # fmt: skip
    ids = label_boxes.add(database, boxes)
    ledger.set_round(database, number, RoundState.LABELLING)
    if number == len(DICE):
        return
    for id in ids:
        label_boxes.move(database, id, State.OPEN, "ann")
        label_boxes.move(database, id, State.DONE, "ann")
        label_boxes.add_seconds(database, id, 90.0 + 10 * id)
    clock.forward(60)
    trained = tuple(range(3, ids[-1] + 1))
    curve = tuple((10 * k + 10, loss, 2e-3 / (k + 1), None) for k, loss in enumerate(CURVES[number - 1]))
    draft = Draft(parent, number, CLASSES, 40, 41.5, 2 * number, trained, curve[-1][1], {}, curve)
    run_job(project, clock, "round", {}, 1.2, notes=[f"model {number} trained on {len(trained)} boxes"])
    models.save(project, draft, {"weight": np.zeros(25_000, np.float32)})
    scores = [Score(number, k, 2, d, d - 0.06, d + 0.05, d - 0.1, d, d) for k, d in enumerate(dice, 1)]
    ledger.set_scores(database, number, scores)
    models.judge(database, number, "better than the champion" if parent else "the first model", True)
    ledger.set_round(database, number, RoundState.CLOSED, number)


def run_job(project: Project, clock: Clock, kind: str, arguments: dict, minutes: float, notes: list[str] | None = None):
    job = job_rows.queue(project.database, kind, arguments)
    job_rows.begin(project.database, job.id)
    clock.forward(minutes)
    job_rows.end(project.database, job.id, JobState.DONE, result={"notes": notes or []})


def predict(project: Project, classes: np.ndarray) -> None:
    """Let the champion have predicted all of the volume, unsure of all but the background."""
    record = project.volume_record("scan")
    plan = MapPlan.of(record, 2, (SIDE,) * 3, [(c.value, c.name, c.colour) for c in project.classes])
    maps, whole = Maps.create(project.folder, plan), Box.of_shape(SHAPE)
    bins = np.zeros((len(plan.statistics), *(-(-n // b) for n, b in zip(SHAPE, plan.bin))))
    maps.write_tile(whole, classes, np.where(classes > 1, 200, 30).astype(np.uint8), bins, None)
    ledger.record_tile(project.database, "scan", 2, whole, False)


def label_some(project: Project, clock: Clock) -> None:
    """Paint in the boxes of the round: one is done, one open, one skipped."""
    database = project.database
    done, opened, skipped, _ = label_boxes.select(database, round=len(DICE))
    with open_journal(project) as journal:
        for number, box in enumerate((done, opened, opened), 1):
            rows = Box.at(box.box.start, (SIDE, 4 * number, SIDE))
            journal.write(stroke(rows, number % 3 + 1, number, box=box.id))
    for box, person in ((done, "ann"), (opened, "bob")):
        label_boxes.move(database, box.id, State.OPEN, person)
    label_boxes.move(database, done.id, State.DONE, "ann")
    label_boxes.add_seconds(database, done.id, 130)
    label_boxes.add_seconds(database, opened.id, 45)
    label_boxes.move(database, skipped.id, State.SKIPPED, "ann", why="out of focus")
    clock.forward(2)
