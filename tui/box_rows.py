"""Which boxes are listed, in which order, in which columns? Pure: a snapshot and a view in, rows of text out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from rich.text import Text

from ..store.records import LabelBox, Purpose, State
from . import words
from .snapshot import Snapshot, waiting_first
from .theme import BUSY, GOOD

Order = Literal["due", "number", "priority", "state", "edits", "minutes"]
ORDERS: tuple[Order, ...] = ("due", "number", "priority", "state", "edits", "minutes")
PAGE = 50
"""Rows that are shown at once: a table of 10,000 rows takes seconds to fill, one of 500 a tenth of a second."""
STATES = (State.OPEN, State.PROPOSED, State.DONE, State.SKIPPED)
COLOURS = {State.OPEN: BUSY, State.DONE: GOOD, State.SKIPPED: "dim", State.PROPOSED: ""}


@dataclass(frozen=True, slots=True)
class View:
    """How the list is looked at."""

    round: int | None = None
    """None: the present round and what still waits of earlier ones."""
    everything: bool = False
    """All rounds."""
    filter: str = ""
    order: Order = "due"
    page: int = 0


class Column(NamedTuple):
    name: str
    width: int
    rank: int
    """Columns are taken by rank while there is room for them."""


COLUMNS = (
    Column("state", 10, 0),
    Column("box", 5, 0),
    Column("use", 7, 2),
    Column("volume", 12, 1),
    Column("place", 19, 1),
    Column("prio", 5, 3),
    Column("edits", 5, 2),
    Column("min", 5, 4),
    Column("who", 8, 5),
    Column("why it was proposed", 20, 6),
)
NUMBERS = ("box", "edits", "min")
"""Columns whose numbers end under each other."""


class Searched:
    """What filters look at in each box; written down once, as each letter of a filter looks at all boxes."""

    def __init__(self) -> None:
        self._texts: dict[int, tuple[LabelBox, str]] = {}

    def __call__(self, box: LabelBox) -> str:
        known = self._texts.get(box.id)
        if known is None or known[0] is not box:
            known = self._texts[box.id] = (box, _searched(box))
        return known[1]


def arrange(snapshot: Snapshot, view: View, searched: Searched) -> list[LabelBox]:
    """List the boxes that a view shows on all its pages."""
    if view.everything:
        found = list(snapshot.boxes)
    else:
        current = view.round or (snapshot.round.number if snapshot.round else 0)
        found = snapshot.boxes_of(current)
    wanted = view.filter.casefold().split()
    if wanted:
        found = [box for box in found if all(word in searched(box) for word in wanted)]
    if view.order == "due":
        return waiting_first(found)
    return sorted(found, key=lambda box: _key(box, snapshot, view.order))


def columns(snapshot: Snapshot, boxes: Sequence[LabelBox], width: int) -> list[Column]:
    """Choose the columns that fit, two cells apart; the last one takes what is left."""
    offered = [c for c in COLUMNS if c.name != "volume" or len(snapshot.volumes) > 1]
    heads = [len(heading(c, snapshot)) for c in offered if c.name == "place"]
    places = max([len(_place(box, snapshot)) for box in boxes] + heads)
    offered = [c._replace(width=min(places, c.width)) if c.name == "place" else c for c in offered]
    chosen: list[Column] = []
    for column in sorted(offered, key=lambda c: c.rank):
        if sum(c.width + 2 for c in chosen) + column.width + 2 <= width:
            chosen.append(column)
    chosen.sort(key=offered.index)
    left = width - sum(c.width + 2 for c in chosen)
    if left > 0 and chosen:
        chosen[-1] = chosen[-1]._replace(width=chosen[-1].width + left)
    return chosen


def heading(column: Column, snapshot: Snapshot) -> str:
    """Write a column's head; places say their unit."""
    if column.name != "place":
        return f"{column.name:>5}" if column.name in NUMBERS else column.name
    units = {words.unit(record) for record in snapshot.volumes}
    return f"z y x, {units.pop()}" if len(units) == 1 else "z y x"


def cells(box: LabelBox, snapshot: Snapshot, chosen: Sequence[Column]) -> list[Text]:
    """Write one box's row."""
    style = COLOURS.get(box.state, "")
    quiet = "dim" if box.state == State.SKIPPED else ""
    return [Text(_cell(box, snapshot, c), style if c.name == "state" else quiet, no_wrap=True) for c in chosen]


def _cell(box: LabelBox, snapshot: Snapshot, column: Column) -> str:
    saves = snapshot.saves.get(box.id)
    text = {
        "state": lambda: words.state(box),
        "box": lambda: f"{box.id:>5}",
        "use": lambda: words.purpose(box),
        "volume": lambda: box.volume,
        "place": lambda: _place(box, snapshot),
        "prio": lambda: f"{box.priority:.2f}",
        "edits": lambda: f"{saves.edits:>5}" if saves else "",
        "min": lambda: f"{box.seconds / 60:>5.1f}" if box.seconds else "",
        "who": lambda: box.person,
        "why it was proposed": lambda: f"skipped: {box.why}" if box.why else box.reason,
    }[column.name]()
    return words.plain(text, column.width)


def _place(box: LabelBox, snapshot: Snapshot) -> str:
    record = snapshot.volume(box.volume)
    numbers = " ".join(f"{number:>4}" for number in words.place(box.box, record).split())
    return f"{numbers} {words.unit(record)}" if _mixed(snapshot) else numbers


def _mixed(snapshot: Snapshot) -> bool:
    return len({record.unit for record in snapshot.volumes}) > 1


def _searched(box: LabelBox) -> str:
    use = "test" if box.purpose == Purpose.TEST else "reserve train" if box.reserve else "train"
    text = f"{box.id}\n{box.state}\n{use}\n{box.volume}\n{box.person}\n{box.reason}\n{box.why}\nround:{box.round}"
    return text.casefold()


def _key(box: LabelBox, snapshot: Snapshot, order: Order) -> tuple:
    saves = snapshot.saves.get(box.id)
    first: dict[Order, float] = {
        "number": 0,
        "priority": -box.priority,
        "state": STATES.index(box.state) if box.state in STATES else len(STATES),
        "edits": -saves.edits if saves else 0,
        "minutes": -box.seconds,
    }
    return first[order], box.id
