"""Who writes the labels while the server runs? One thread, with its own connection, one job after the other.

Whoever starts it holds the labels lock. A job commits to the journal and applies before its answer goes out, and
answers go out in the order of the jobs: that order is the order of a box's revisions, for every page.

    pages, verbs ──► queue ──► the scribe: journal, zarr, canvas ──► answers, patches
"""

import logging
import sqlite3
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..store import edits, label_boxes, labels, settings_file
from ..store.box import Box
from ..store.errors import LockedError, RondelError, SpaceError, UsageError
from ..store.maps import Maps
from ..store.project import Project, open_project
from ..store.records import Edit, LabelBox, State, VolumeRecord
from ..store.units import from_nm
from . import board, brush, messages
from .canvas import Canvas
from .news import Answer, Change, Snapshot, Unsaved
from .plan import Plan, Sight, plan

log = logging.getLogger(__name__)
T = TypeVar("T")
KEPT_IMAGES = 8
KEPT_CLIENTS = 4096
LOG_HINT = "the server's log says what it met"


class Scribe:
    """The methods marked so run in its thread: hand them to `run`, or to the desk's `ask`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.canvases: dict[int, Canvas] = {}
        self.saved = 0
        """Edits made since the start."""
        self._executor = ThreadPoolExecutor(1, "scribe")
        self._acked: dict[str, int] = {}
        self._images: dict[int, np.ndarray] = {}
        self._board: board.Board | None = None
        self._settings_time = 0

    def start(self) -> None:
        """Open the project and apply what a killed server left unapplied; raises what opening raises."""
        self.run(self._open)

    def stop(self) -> None:
        """Finish what is under way, and close the project."""
        self._executor.submit(self._close)
        self._executor.shutdown()

    def run(self, job: Callable[..., T], *arguments: Any) -> T:
        """Do a job in the scribe's thread and wait for it: only before the server listens, and in tests."""
        return self._executor.submit(job, *arguments).result()

    def submit(self, then: Callable[[Any], object], job: Callable[..., Any], *arguments: Any) -> None:
        """Queue a job; `then` is called in the scribe's thread with its result, or with what it raised."""

        def work() -> None:
            try:
                result = job(*arguments)
            except Exception as error:  # whatever a job meets, its sender must hear of it and the thread goes on
                result = error
                if not isinstance(error, RondelError | Unsaved):
                    log.exception("a job of the scribe failed")
            then(result)

        self._executor.submit(work)

    # ---- in the scribe's thread

    def _open(self) -> None:
        self.project: Project = open_project(self.folder)
        self.journal = edits.Journal(self.project)
        self.journal.catch_up()

    def _close(self) -> None:
        if hasattr(self, "project"):
            self.project.close()

    def canvas(self, id: int) -> Canvas:
        """(thread) Return a box's canvas, read from the label array when nobody had it open."""
        if id not in self.canvases:
            box = label_boxes.get(self.project.database, id)
            self.canvases[id] = Canvas(id, box.box, box.volume, self._present(box.volume, box.box))
        return self.canvases[id]

    def forget(self, keep: set[int]) -> None:
        """(thread) Let go of canvases that no page shows."""
        for id in [id for id in self.canvases if id not in keep]:
            del self.canvases[id]

    def snapshot(self, id: int, client: str) -> Snapshot:
        """(thread) Take a box as it is now."""
        box = label_boxes.get(self.project.database, id)
        canvas, record = self.canvas(id), self.project.volume_record(box.volume)
        acked, now = self.acked(client), self.read_board()
        return Snapshot(box, record, spacing(record), canvas.revision, canvas.voxels.tobytes(), acked, now)

    def overview(self, client: str) -> tuple[board.Board, int]:
        """(thread) Return what a page needs that shows a whole volume: the board, and what is dealt with."""
        return self.read_board(), self.acked(client)

    def acked(self, client: str) -> int:
        """(thread) Return the highest number of a client's ops that is dealt with."""
        if client not in self._acked:
            row = self.project.database.row("SELECT MAX(client_number) AS n FROM edit WHERE client = ?", client)
            self._acked[client] = (row["n"] if row else None) or 0
            while len(self._acked) > KEPT_CLIENTS:
                del self._acked[next(iter(self._acked))]
        return self._acked[client]

    def read_board(self) -> board.Board:
        """(thread) Return what the database says of boxes, rounds and models; the same object while nothing moved."""
        self._follow_settings()
        self._board = board.read(self.project.database, self._board)
        return self._board

    def add_seconds(self, id: int, seconds: float) -> None:
        """(thread) Count active painting."""
        label_boxes.get(self.project.database, id)
        label_boxes.add_seconds(self.project.database, id, seconds)

    def perform(self, op: messages.Op, person: str, model: int | None) -> Answer:
        """(thread) Do an op of a page, once; raises Unsaved when it must be sent again."""
        late: tuple[Change, ...] = ()
        try:
            late = self._catch_up()
            if op.number <= self.acked(op.client):
                answer = self._done_before(op)
            else:
                answer = self._perform(op, person, model)
        except (SpaceError, LockedError, sqlite3.OperationalError) as error:
            raise Unsaved(str(error)) from error
        except RondelError as error:
            answer = Answer(op.number, op.box, 0, error=error)
        except Exception as error:  # an op that fails must neither end the thread nor be tried for ever
            if self._journalled(op):
                raise Unsaved(f"the edit is in the journal, but not applied: {error}") from error
            log.exception("%s could not be done", type(op).__name__)
            answer = Answer(op.number, op.box, 0, error=RondelError("the server could not do this", LOG_HINT))
        self._acked[op.client] = max(op.number, self._acked.get(op.client, 0))
        return replace(answer, changes=(*late, *answer.changes), board=self.read_board())

    def write(self, operation: str, arguments: dict[str, Any]) -> tuple[Any, tuple[Change, ...]]:
        """(thread) Do what a verb sent: returns what the journal returned, and what changed in open boxes."""
        self._check(operation, arguments)
        late = self._catch_up()
        result = getattr(self.journal, operation)(**arguments)
        if isinstance(result, Edit):
            self.saved += 1
            return result, (*late, *self._spread(result.volume, result.region))
        if isinstance(result, list):
            found = [change for region in result for change in self._spread(arguments["volume"], region)]
            return result, (*late, *found)
        return result, late

    def _check(self, operation: str, arguments: dict[str, Any]) -> None:
        """Refuse names and regions that nothing else looks at: they come from outside."""
        if operation == "repair":
            self.project.volume_record(arguments["volume"])
        if operation == "revert":
            box = label_boxes.get(self.project.database, arguments["box"])
            if (box.volume, box.box) != (arguments["volume"], arguments["region"]):
                raise UsageError(
                    f"box {box.id} does not lie at {arguments['region']}", "'rondel boxes' lists the boxes"
                )

    def _catch_up(self) -> tuple[Change, ...]:
        """Apply what was committed and could not be applied, for want of space; returns what that changed."""
        database = self.project.database
        if int(database.meta("applied", "0")) >= edits.last_number(database):
            return ()
        self.journal.catch_up()
        return tuple(change for canvas in self.canvases.values() for change in self._spread(canvas.volume, canvas.box))

    def _journalled(self, op: messages.Op) -> Edit | None:
        """Return the edit that an op became, if it did."""
        row = self.project.database.row(
            "SELECT number FROM edit WHERE client = ? AND client_number = ?", op.client, op.number
        )
        return edits.find(self.project.database, row["number"]) if row else None

    def _done_before(self, op: messages.Op) -> Answer:
        canvas = self.canvases.get(op.box or 0)
        return Answer(op.number, op.box, canvas.revision if canvas else 0, edit=self._journalled(op), again=True)

    def _perform(self, op: messages.Op, person: str, model: int | None) -> Answer:
        match op:
            case messages.Go() | messages.View() | messages.LabelThis():
                return Answer(op.number, op.box, 0)
            case messages.Done() | messages.Skip():
                return self._close_box(op, person)
        if not op.box:
            raise UsageError("no box is open in which this could be done", "open a box")
        box = label_boxes.get(self.project.database, op.box)
        if box.state == State.DROPPED:
            raise UsageError(f"box {box.id} was dropped when the next round was ranked", "go on to the next box")
        sender = (op.client, op.number)
        match op:
            case messages.Undo() | messages.Redo():
                turn = self.journal.undo if isinstance(op, messages.Undo) else self.journal.redo
                edit = turn(box.id, person, sender)
                self._reopen(box, person)
            case _:
                edit = self._change(op, box, person, model)
        changes = ()
        if edit:
            self.saved += 1
            changes = self._spread(edit.volume, edit.region)
        return self._answer(op, edit, changes)

    def _change(self, op: messages.Op, box: LabelBox, person: str, model: int | None) -> Edit | None:
        """Journal and apply what a tool changes; None where it changes nothing."""
        canvas = self.canvas(box.id)
        wanted = plan(op, self._sight(box, canvas, model))
        if not wanted.changes(canvas.voxels):
            return None
        self._reopen(box, person)
        return self._write(wanted, box, person, (op.client, op.number))

    def _write(self, wanted: Plan, box: LabelBox, person: str, sender: tuple[str, int]) -> Edit:
        region = wanted.region.shift(box.box.start)
        stroke = edits.Stroke(wanted.kind, box.volume, region, wanted.mask, wanted.values, person, *sender, box.id)
        return self.journal.write(stroke)

    def _close_box(self, op: messages.Done | messages.Skip, person: str) -> Answer:
        """Move a box to done or skipped; one that is there already was moved by the same op before a restart.

        A dropped box stays so: there is nothing to say of it, and its page must be able to go on.
        """
        if not op.box:
            raise UsageError("no box is open that could be closed", "open a box")
        state = State.DONE if isinstance(op, messages.Done) else State.SKIPPED
        if label_boxes.get(self.project.database, op.box).state not in (state, State.DROPPED):
            if isinstance(op, messages.Skip):
                self._skip(op.box, person, " ".join(op.why.split()))
            else:
                self.journal.finish(op.box, person)
        return Answer(op.number, op.box, 0)

    def _skip(self, id: int, person: str, why: str) -> None:
        if not why:
            raise UsageError(f"box {id} cannot be skipped without a reason", "say why in a word")
        label_boxes.move(self.project.database, id, State.SKIPPED, person, why=why)

    def _reopen(self, box: LabelBox, person: str) -> None:
        """Move a box to open: with its first edit it is being labelled, and one that was done is so no more."""
        if label_boxes.get(self.project.database, box.id).state not in (State.OPEN, State.DROPPED):
            label_boxes.move(self.project.database, box.id, State.OPEN, person)

    def _answer(self, op: messages.Op, edit: Edit | None, changes: tuple[Change, ...]) -> Answer:
        """Answer an op that was tried, with a repair where the page does not show what the box is now."""
        canvas = self.canvas(op.box or 0)
        shown = Box((0, 0, 0), (0, 0, 0))
        if op.region is not None and all(a <= b for a, b in zip(op.region, op.region[3:])):
            shown = Box(op.region[:3], op.region[3:]).intersect(Box.of_shape(canvas.shape))
        own = [change.region for change in changes if change.box == canvas.id]
        agreed = all(shown.contains(region) for region in own) and (
            op.crc is None or zlib.crc32(canvas.voxels[shown.slices].tobytes()) == op.crc
        )
        repair = None
        if not agreed:
            region = brush.union([shown, *own])
            repair = Change(canvas.id, canvas.revision, region, canvas.voxels[region.slices].tobytes())
        return Answer(op.number, canvas.id, canvas.revision, changes, edit, repair)

    def _spread(self, volume: str, region: Box) -> tuple[Change, ...]:
        """Bring the canvases that an edit touched up to date; (region in voxels of the volume)."""
        found = []
        for canvas in self.canvases.values():
            common = canvas.box.intersect(region)
            if canvas.volume == volume and not common.empty:
                values, inside = self._present(volume, common), common.relative_to(canvas.box)
                canvas.put(inside, values)
                found.append(Change(canvas.id, canvas.revision, inside, values.tobytes()))
        return tuple(found)

    def _present(self, volume: str, region: Box) -> np.ndarray:
        return labels.read(self.project, volume, region)

    def _sight(self, box: LabelBox, canvas: Canvas, model: int | None) -> Sight:
        record = self.project.volume_record(box.volume)

        def image() -> np.ndarray:
            if box.id not in self._images:
                self._images[box.id] = self.project.open_volume(box.volume).read(box.box)[0]
                while len(self._images) > KEPT_IMAGES:
                    del self._images[next(iter(self._images))]
            return self._images[box.id]

        def maps() -> Maps:
            if model is None:
                raise UsageError("there is no prediction of this box", "'rondel round' makes one")
            return Maps.open(self.folder, box.volume, model)

        return Sight(
            canvas.voxels,
            spacing(record),
            image,
            lambda: maps().read_classes(box.box),
            lambda: maps().read_probabilities(box.box),
        )

    def _follow_settings(self) -> None:
        """Take over classes that were added to project.toml; while it cannot be read, what it said last holds."""
        path = self.folder / "project.toml"
        try:
            time = path.stat().st_mtime_ns
            if time != self._settings_time:
                self.project = replace(self.project, settings=settings_file.load(path))
                self.journal = edits.Journal(self.project)
                self._settings_time = time
        except (OSError, RondelError) as error:
            log.warning("project.toml: %s", error)


def spacing(record: VolumeRecord) -> tuple[float, float, float]:
    """Return the voxel size that both sides rasterise by, and people see: in the volume's own unit."""
    z, y, x = (from_nm(s, record.unit) for s in record.spacing_nm)
    return z, y, x
