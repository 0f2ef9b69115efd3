"""Which label boxes are there, and how do they move from proposed to done? Rows that anybody may move."""

import json
import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from .box import Box
from .database import Database
from .errors import UsageError
from .records import LabelBox, Purpose, State

FIELDS = (
    "volume, z0, y0, x0, z1, y1, x1, round, purpose, state, priority, reason, strategy, reserve, person, created, "
    "done_at"
)
ORDER = "round, purpose = 'train', reserve, priority DESC, id"
Read = tuple[sqlite3.Row, LabelBox]
"""A box, and the row that it was made of."""


def add(database: Database, boxes: Iterable[LabelBox]) -> list[int]:
    """Insert label boxes (their ids are ignored) in one transaction; returns the ids they got."""
    now, ids = time.time(), []
    with database.transaction() as connection:
        for box in boxes:
            cursor = connection.execute(
                f"INSERT INTO box ({FIELDS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    box.volume,
                    *box.box.start,
                    *box.box.stop,
                    box.round,
                    box.purpose,
                    box.state,
                    box.priority,
                    box.reason,
                    box.strategy,
                    int(box.reserve),
                    box.person,
                    now,
                    now if box.state == State.DONE else None,
                ),
            )
            ids.append(int(cursor.lastrowid or 0))
    return ids


def select(
    database: Database,
    *,
    round: int | None = None,
    state: Sequence[State] = (),
    purpose: Purpose | None = None,
    volume: str | None = None,
) -> list[LabelBox]:
    """List label boxes: test boxes first, then reserve boxes last, by falling priority."""
    rows = database.rows(
        "SELECT * FROM box WHERE (?1 IS NULL OR round = ?1) AND (?2 IS NULL OR purpose = ?2) "
        "AND (?3 IS NULL OR volume = ?3) AND (?4 = '[]' OR state IN (SELECT value FROM json_each(?4))) "
        f"ORDER BY {ORDER}",
        round,
        purpose,
        volume,
        json.dumps(state),
    )
    return [_label_box(row) for row in rows]


def select_again(database: Database, known: Mapping[int, Read]) -> dict[int, Read]:
    """List all boxes but dropped ones by id, in the order of `select`; where the row is the same, so is the box."""
    found = {}
    for row in database.rows(f"SELECT * FROM box WHERE state != ? ORDER BY {ORDER}", State.DROPPED):
        before = known.get(row["id"])
        found[row["id"]] = before if before and before[0] == row else (row, _label_box(row))
    return found


def get(database: Database, id: int) -> LabelBox:
    row = database.row("SELECT * FROM box WHERE id = ?", id)
    if row is None:
        raise UsageError(f"there is no box {id}", "'rondel boxes' lists the boxes")
    return _label_box(row)


def move(database: Database, id: int, state: State, person: str, *, why: str = "", opening: bool = False) -> LabelBox:
    """Move a box to another state; raises UsageError when the table of legal moves has no such move.

    With `opening` one that is proposed or skipped is opened on the way, and nobody sees it in between.
    """
    with database.transaction() as connection:
        row = connection.execute("SELECT * FROM box WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise UsageError(f"there is no box {id}", "'rondel boxes' lists the boxes")
        box = _label_box(row)
        if opening and box.state in (State.PROPOSED, State.SKIPPED):
            box = replace(box, state=State.OPEN)
        box.check_move(state)
        done_at = time.time() if state == State.DONE else None
        why = why if state == State.SKIPPED else ""
        connection.execute(
            "UPDATE box SET state = ?, person = ?, why = ?, done_at = ? WHERE id = ?", (state, person, why, done_at, id)
        )
    return get(database, id)


def add_seconds(database: Database, id: int, seconds: float) -> None:
    """Count active painting in a box."""
    with database.transaction() as connection:
        connection.execute("UPDATE box SET seconds = seconds + ? WHERE id = ?", (seconds, id))


def protect(database: Database, id: int) -> LabelBox:
    """Make a box a test box; only while no model was trained on it."""
    box = get(database, id)
    trained = database.row("SELECT number FROM model, json_each(model.boxes) WHERE json_each.value = ? LIMIT 1", id)
    if trained:
        raise UsageError(
            f"box {id} taught model {trained['number']}", "a test box must never have been trained on; add a new one"
        )
    with database.transaction() as connection:
        connection.execute("UPDATE box SET purpose = ? WHERE id = ?", (Purpose.TEST, box.id))
    return get(database, id)


def drop_proposed(database: Database, before_round: int, keep: Collection[int] = ()) -> int:
    """Drop proposed train boxes of earlier rounds that hold no edit, but for those to keep; returns how many."""
    with database.transaction() as connection:
        cursor = connection.execute(
            "UPDATE box SET state = ? WHERE state = ? AND purpose = ? AND round < ? "
            "AND NOT EXISTS (SELECT 1 FROM edit WHERE edit.box = box.id) "
            "AND id NOT IN (SELECT value FROM json_each(?))",
            (State.DROPPED, State.PROPOSED, Purpose.TRAIN, before_round, json.dumps(sorted(keep))),
        )
    return cursor.rowcount


def asked_for(box: LabelBox) -> bool:
    """Tell whether a box counts as work of its round: a reserve box only does once somebody labels it."""
    unwanted = (State.SKIPPED, State.DROPPED, State.PROPOSED) if box.reserve else (State.SKIPPED, State.DROPPED)
    return box.state not in unwanted


def progress(boxes: Iterable[LabelBox], round: int) -> tuple[int, int]:
    """Return how many boxes of a round are done, and how many are asked for."""
    counted = [box for box in boxes if box.round == round and asked_for(box)]
    return sum(box.state == State.DONE for box in counted), len(counted)


def taken(database: Database, volume: str) -> list[Box]:
    """List the regions of a volume where no box may be proposed: all boxes but dropped ones."""
    return [box.box for box in select(database, volume=volume) if box.state != State.DROPPED]


def _label_box(row) -> LabelBox:
    return LabelBox(
        id=row["id"],
        volume=row["volume"],
        box=Box((row["z0"], row["y0"], row["x0"]), (row["z1"], row["y1"], row["x1"])),
        round=row["round"],
        purpose=Purpose(row["purpose"]),
        state=State(row["state"]),
        priority=row["priority"],
        reason=row["reason"],
        strategy=row["strategy"],
        reserve=bool(row["reserve"]),
        seconds=row["seconds"],
        why=row["why"],
        person=row["person"],
        created=row["created"],
        done_at=row["done_at"],
    )
