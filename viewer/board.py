"""What stands around the box that is painted? All boxes in their order, the round, the newest model."""

from dataclasses import dataclass

from ..store import label_boxes, ledger
from ..store.database import Database
from ..store.errors import UsageError
from ..store.records import LabelBox, State

WAITING = (State.PROPOSED, State.OPEN)
TABLES = ("box", "round", "model", "champion", "volume")


@dataclass(frozen=True, slots=True)
class Board:
    """What the database said when it was read; `boxes` in the order in which they are labelled."""

    boxes: tuple[LabelBox, ...]
    round: int
    """The round that is going on; 0 before the first."""
    model: int
    """The newest model; 0 before the first."""
    counters: tuple[int, ...]
    """Change counters of TABLES: who finds them moved reads again."""

    def find(self, id: int) -> LabelBox:
        for box in self.boxes:
            if box.id == id:
                return box
        raise UsageError(f"there is no box {id}", "'rondel boxes' lists the boxes")

    def progress(self) -> dict[str, int]:
        """Count the boxes of the round that is going on."""
        done, total = label_boxes.progress(self.boxes, self.round)
        return {"number": self.round, "done": done, "total": total}

    def after(self, id: int | None) -> list[LabelBox]:
        """List the boxes that wait for a person: those behind box `id` first, then from the start."""
        behind = self._place(id) + 1
        order = (*self.boxes[behind:], *self.boxes[:behind])
        return [box for box in order if box.state in WAITING and box.id != id]

    def before(self, id: int | None) -> list[LabelBox]:
        """List the boxes ahead of box `id`, the nearest first, whatever was made of them."""
        ahead = self.boxes[: max(0, self._place(id))]
        return [box for box in reversed(ahead) if box.state != State.DROPPED]

    def _place(self, id: int | None) -> int:
        return next((k for k, box in enumerate(self.boxes) if box.id == id), -1)


def read(database: Database, last: Board | None = None) -> Board:
    """Read the board; returns `last` itself where nothing has moved since."""
    changes = database.changes()
    counters = tuple(changes.get(table, 0) for table in TABLES)
    if last and last.counters == counters:
        return last
    newest = database.row("SELECT COALESCE(MAX(number), 0) AS number FROM model")
    current = ledger.last_round(database)
    boxes = tuple(label_boxes.select(database))
    return Board(boxes, current.number if current else 0, newest["number"] if newest else 0, counters)
