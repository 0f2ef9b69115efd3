"""How does an edit become durable, applied, undone, replayed?

An edit is committed to the journal (the edit table) before anybody is told that it is saved; then it is applied to the
label array, which is a materialised view: applying is idempotent, and whatever a killed process left unapplied is
applied by the next one that takes the labels lock.

    stroke ──► edit row (fsync) ──► answer "saved"
                    └─────────────► label chunks ──► `applied` advances
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from . import labels, locks
from .box import Box
from .database import Database
from .errors import LabelError, UsageError
from .project import Project
from .records import Edit, EditKind, LabelBox
from .voxels import pack, pack_mask, unpack, unpack_mask

LOCK_SECONDS = 10.0
NO_UNDO = (EditKind.UNDO, EditKind.REDO)
COLUMNS = "number, kind, volume, box, person, z0, y0, x0, z1, y1, x1, voxels, target, live, created"


@dataclass(frozen=True, slots=True)
class Stroke:
    """What somebody wants changed: `values` where `mask` is true, both of the region's shape (Z, Y, X)."""

    kind: EditKind
    volume: str
    region: Box
    mask: np.ndarray
    values: np.ndarray
    person: str
    client: str
    """Who sends it: with `client_number` it makes a retry recognisable, so that it is not a second edit."""
    client_number: int
    box: int | None = None


def submit(project: Project, stroke: Stroke) -> Edit:
    """Make an edit durable and applied, whoever writes labels: the server that runs, or else this process.

    Raises LabelError when the stroke will not do, LockedError when the lock is not had.
    """
    from .writer import open_writer

    with open_writer(project) as writer:
        return writer.write(stroke)


@contextmanager
def open_journal(project: Project, timeout: float = LOCK_SECONDS) -> Iterator["Journal"]:
    """Hold the labels lock; on entry everything that was committed but not applied is applied."""
    with locks.hold(project.folder / locks.LABELS, "an edit of labels", timeout):
        journal = Journal(project)
        journal.catch_up()
        yield journal


class Journal:
    """The one writer of labels, while it holds the labels lock."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.database = project.database

    def write(self, stroke: Stroke) -> Edit:
        """Commit a stroke, apply it, and return its row; a stroke that was sent before returns the first one's row."""
        known = self._sent_before(stroke.client, stroke.client_number)
        if known:
            return known
        region, mask, values = self._checked(stroke)
        before = labels.read(self.project, stroke.volume, region)[mask]
        number = self._commit(
            stroke.kind,
            stroke.volume,
            stroke.box,
            stroke.person,
            (stroke.client, stroke.client_number),
            region,
            mask,
            before,
            values[mask],
        )
        self.catch_up()
        return find(self.database, number)

    def undo(self, box: int, person: str, sender: tuple[str, int]) -> Edit:
        """Undo a person's own last live edit in a box; raises UsageError when there is none."""
        known = self._sent_before(*sender)
        if known:
            return known
        row = self.database.row(
            f"SELECT {COLUMNS} FROM edit WHERE box = ? AND person = ? AND live = 1 ORDER BY number DESC LIMIT 1",
            box,
            person,
        )
        if row is None:
            raise UsageError(
                f"{person} has no edit in box {box} to undo",
                f"'rondel history --box {box}' lists its edits and whose they are",
            )
        return self._turn(_edit(row), EditKind.UNDO, person, sender)

    def redo(self, box: int, person: str, sender: tuple[str, int]) -> Edit:
        """Bring back what a person undid last in a box, unless they have edited it since."""
        known = self._sent_before(*sender)
        if known:
            return known
        undone: list[int] = []
        for row in self.database.rows(
            "SELECT kind, target FROM edit WHERE box = ? AND person = ? ORDER BY number", box, person
        ):
            if row["kind"] == EditKind.UNDO:
                undone.append(row["target"])
            elif row["kind"] == EditKind.REDO:
                undone.remove(row["target"])
            else:
                undone.clear()
        if not undone:
            raise UsageError(f"{person} has nothing to redo in box {box}", "only what was undone last can be redone")
        return self._turn(find(self.database, undone[-1]), EditKind.REDO, person, sender)

    def revert(
        self, box: int, volume: str, region: Box, person: str, sender: tuple[str, int], to: int | None = None
    ) -> Edit:
        """Put a box back to what it was after edit `to`; by default to before its own first edit.

        A revert is an edit like any other and can be undone.
        """
        known = self._sent_before(*sender)
        if known:
            return known
        first = self.database.row("SELECT MIN(number) AS number FROM edit WHERE box = ?", box)
        if first is None or first["number"] is None:
            raise UsageError(f"box {box} has no edits to revert", "nothing was changed in it yet")
        then = replay(self.database, volume, region, first["number"] - 1 if to is None else to)
        now = labels.read(self.project, volume, region)
        if (then == now).all():
            raise UsageError(f"box {box} is already as it was then", f"'rondel history --box {box}' lists its edits")
        stroke = Stroke(EditKind.REVERT, volume, region, then != now, then, person, *sender, box)
        return self.write(stroke)

    def finish(self, box: int, person: str) -> LabelBox:
        """Move a box to done from whatever state allows it; raises UsageError from any other."""
        from .finish import settle

        self.catch_up()
        return settle(self.project, box, person)

    def repair(self, volume: str) -> list[Box]:
        """Rewrite every label chunk that differs from the journal or cannot be read; returns their boxes."""
        from .repair import mend

        self.catch_up()
        return mend(self.project, volume)

    def catch_up(self) -> None:
        """Apply every committed edit that is not applied yet, in order."""
        applied = int(self.database.meta("applied", "0"))
        rows = self.database.rows("SELECT * FROM edit WHERE number > ? ORDER BY number", applied)
        for row in rows:
            self._apply(row)
            with self.database.transaction() as connection:
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('applied', ?)", (str(row["number"]),))

    def _apply(self, row) -> None:
        region, mask, after = _voxels(row)
        array = labels.open_labels(self.project, row["volume"], write=True)
        block = np.array(array[region.slices].read().result())
        block[mask] = after
        array[region.slices].write(block).result()

    def _turn(self, target: Edit, kind: EditKind, person: str, sender: tuple[str, int]) -> Edit:
        """Undo or redo: give each voxel of the target the value of the last live edit that then covers it."""
        row = self.database.row("SELECT * FROM edit WHERE number = ?", target.number)
        region, mask, own = _voxels(row)
        values, covers = last_cover(self.database, target.volume, region, mask, without=target.number)
        if kind == EditKind.REDO:
            later = covers[mask] > target.number
            after = np.where(later, values[mask], own)
        else:
            after = values[mask]
        before = labels.read(self.project, target.volume, region)[mask]
        number = self._commit(
            kind, target.volume, target.box, person, sender, region, mask, before, after, target.number
        )
        self.catch_up()
        return find(self.database, number)

    def _commit(self, kind, volume, box, person, sender, region, mask, before, after, target=None) -> int:
        live = kind not in NO_UNDO
        with self.database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO edit (kind, volume, box, person, client, client_number, z0, y0, x0, z1, y1, x1, mask, "
                "before, after, voxels, target, live, created) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    kind,
                    volume,
                    box,
                    person,
                    *sender,
                    *region.start,
                    *region.stop,
                    pack_mask(mask),
                    pack(before),
                    pack(after),
                    int(mask.sum()),
                    target,
                    int(live),
                    time.time(),
                ),
            )
            if target is not None:
                connection.execute("UPDATE edit SET live = ? WHERE number = ?", (int(kind == EditKind.REDO), target))
        return int(cursor.lastrowid or 0)

    def _sent_before(self, client: str, client_number: int) -> Edit | None:
        row = self.database.row(
            f"SELECT {COLUMNS} FROM edit WHERE client = ? AND client_number = ?", client, client_number
        )
        return _edit(row) if row else None

    def _checked(self, stroke: Stroke) -> tuple[Box, np.ndarray, np.ndarray]:
        """Refuse what may not be written; crop the rest to the voxels it covers."""
        record = self.project.volume_record(stroke.volume)
        bounds = record.box
        if stroke.box is not None:
            row = self.database.row("SELECT volume, z0, y0, x0, z1, y1, x1 FROM box WHERE id = ?", stroke.box)
            if row is None or row["volume"] != stroke.volume:
                raise UsageError(
                    f"there is no box {stroke.box} in volume '{stroke.volume}'", "'rondel boxes' lists them"
                )
            bounds = _region(row)
        if not bounds.contains(stroke.region):
            raise LabelError(f"an edit of {stroke.region} reaches outside {bounds}", "edit inside the box only")
        check_stroke(stroke, self.project.label_values)
        where = [np.flatnonzero(stroke.mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        inner = Box((where[0][0], where[1][0], where[2][0]), (where[0][-1] + 1, where[1][-1] + 1, where[2][-1] + 1))
        return inner.shift(stroke.region.start), stroke.mask[inner.slices], stroke.values[inner.slices].astype(np.uint8)


def check_stroke(stroke: Stroke, declared: Sequence[int]) -> None:
    """Refuse a stroke whose arrays do not fit its region, that changes nothing, or writes undeclared values."""
    if stroke.mask.shape != stroke.region.shape or stroke.values.shape != stroke.region.shape:
        raise LabelError(
            f"an edit of shape {stroke.mask.shape} was sent for a region of shape {stroke.region.shape}",
            "send mask and values of the region's shape",
        )
    check_values(stroke.values[stroke.mask], declared)
    if not stroke.mask.any():
        raise LabelError("the edit changes no voxel", "send at least one voxel")


def check_values(values: np.ndarray, declared: Sequence[int]) -> None:
    """Refuse label values that are no whole numbers or not declared; arrays would wrap them silently."""
    if values.dtype.kind not in "ui":
        raise LabelError(f"labels are {values.dtype}, not whole numbers", "save them as uint8")
    present = np.unique(values)
    wrong = present[~np.isin(present, [0, *declared])]
    if wrong.size:
        raise LabelError(
            f"label value {wrong[0]} is not declared", f"use 0 (unlabelled) and {', '.join(map(str, declared))}"
        )


def find(database: Database, number: int) -> Edit:
    row = database.row(f"SELECT {COLUMNS} FROM edit WHERE number = ?", number)
    if row is None:
        raise UsageError(f"there is no edit {number}", "'rondel history' lists the edits")
    return _edit(row)


def history(database: Database, box: int | None = None, volume: str | None = None) -> list[Edit]:
    """List the journal's rows, oldest first, of one box or one volume or all."""
    rows = database.rows(
        f"SELECT {COLUMNS} FROM edit WHERE (?1 IS NULL OR box = ?1) AND (?2 IS NULL OR volume = ?2) ORDER BY number",
        box,
        volume,
    )
    return [_edit(row) for row in rows]


def last_number(database: Database, box: int | None = None) -> int:
    """Return the number of the last committed edit, of a box or of all; 0 when there is none."""
    row = database.row("SELECT MAX(number) AS number FROM edit WHERE (?1 IS NULL OR box = ?1)", box)
    return (row["number"] if row else None) or 0


def last_cover(
    database: Database, volume: str, region: Box, mask: np.ndarray | None = None, without: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Find, for each voxel, the last live edit that covers it.

    Returns (values uint8, edit numbers int64), both (Z, Y, X); 0 where no live edit does. Only voxels of `mask` are
    looked up, and edit `without` is passed over.
    """
    values, covers = np.zeros(region.shape, np.uint8), np.zeros(region.shape, np.int64)
    open_voxels = np.ones(region.shape, bool) if mask is None else mask.copy()
    for row in database.connection.execute(
        f"{_OVERLAPPING} AND live = 1 ORDER BY number DESC", _bounds(volume, region)
    ):
        if row["number"] == without:
            continue
        edited, edit_mask, after = _voxels(row)
        common = edited.intersect(region)
        block = np.zeros(edited.shape, np.uint8)
        block[edit_mask] = after
        inside, outside = common.relative_to(region).slices, common.relative_to(edited).slices
        take = edit_mask[outside] & open_voxels[inside]
        values[inside][take] = block[outside][take]
        covers[inside][take] = row["number"]
        open_voxels[inside][take] = False
        if not open_voxels.any():
            break
    return values, covers


def replay(database: Database, volume: str, region: Box, to: int | None = None) -> np.ndarray:
    """Recompute the labels of a region from the journal alone, as they were after edit `to`: uint8 (Z, Y, X)."""
    result = np.zeros(region.shape, np.uint8)
    last = to if to is not None else last_number(database)
    for row in database.connection.execute(
        f"{_OVERLAPPING} AND number <= ? ORDER BY number", (*_bounds(volume, region), last)
    ):
        edited, mask, after = _voxels(row)
        block = np.zeros(edited.shape, np.uint8)
        block[mask] = after
        common = edited.intersect(region)
        inside, outside = common.relative_to(region).slices, common.relative_to(edited).slices
        result[inside] = np.where(mask[outside], block[outside], result[inside])
    return result


_OVERLAPPING = "SELECT * FROM edit WHERE volume = ? AND z0 < ? AND y0 < ? AND x0 < ? AND z1 > ? AND y1 > ? AND x1 > ?"


def _bounds(volume: str, region: Box) -> tuple:
    return (volume, *region.stop, *region.start)


def _voxels(row) -> tuple[Box, np.ndarray, np.ndarray]:
    """Unpack a row: its region, its mask (Z, Y, X) and the values it leaves (1-D, in the mask's order)."""
    region = _region(row)
    return region, unpack_mask(row["mask"], region.shape), unpack(row["after"])


def _region(row) -> Box:
    return Box((row["z0"], row["y0"], row["x0"]), (row["z1"], row["y1"], row["x1"]))


def _edit(row) -> Edit:
    return Edit(
        row["number"],
        EditKind(row["kind"]),
        row["volume"],
        row["box"],
        row["person"],
        _region(row),
        row["voxels"],
        row["target"],
        bool(row["live"]),
        row["created"],
    )
