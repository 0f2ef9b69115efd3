"""Which boxes are there, and which one is meant? A list that can be filtered, sorted and jumped in."""

from dataclasses import replace
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import DataTable, Input, Static

from ..store.records import LabelBox
from . import words
from .box_rows import ORDERS, PAGE, Column, Searched, View, arrange, cells, columns, heading
from .messages import BoxChosen, Said
from .snapshot import WAITING, Snapshot

SCROLLBAR = 1


class BoxesPanel(Vertical):
    """The boxes of a round, at most PAGE of them at once."""

    class Opened(Message):
        """Enter was pressed on a box."""

    HELP: ClassVar[str] = """
### Boxes
Each row is a region that is to be labelled. **Test** boxes come first: models are scored on them and never taught
by them. **Reserve** boxes let you go on labelling while a model trains.

- `enter` or `o` opens the box in the page; `d` done, `s` skip with a reason, `e` open again
- `/` filters by words of state, use, volume, person, number, reason; `round:2` too
- `,` the next order: due, number, priority, state, edits, minutes
- `.` all rounds, or the present one with what still waits; `g` goes to a box by its number
- `<` and `>` turn pages, where there are more than 50 boxes
"""

    DEFAULT_CSS = """
    BoxesPanel {
        & > Input { height: 1; border: none; padding: 0 1; background: $panel; display: none; }
        &.-filtering > Input { display: block; }
        & > DataTable { height: 1fr; background: transparent; scrollbar-size-vertical: 1; }
        & > Static { height: 1fr; padding: 1 2; color: $text-muted; display: none; }
        &.-empty > Static { display: block; }
        &.-empty > DataTable { display: none; }
        DataTable > .datatable--header { background: transparent; color: $text-muted; text-style: none; }
    }
    """

    BINDINGS = [
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("comma", "order", "order", key_display=",", show=False),
        Binding("full_stop", "rounds", "all rounds", key_display=".", show=False),
        Binding("less_than_sign", "page(-1)", "page back", show=False),
        Binding("greater_than_sign", "page(1)", "page on", show=False),
        Binding("escape", "clear", "clear filter", show=False),
    ]

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.view = View()
        self.snapshot: Snapshot | None = None
        self.chosen: int | None = None
        """Id of the box under the cursor."""
        self._boxes: list[LabelBox] = []
        self._arranged: tuple = ((), {}, None, None)
        """What the order of the boxes comes from."""
        self._searched = Searched()
        self._columns: list[Column] = []
        self._rows: list[tuple[str, ...]] = []
        self._ids: list[int] = []
        self._waited = False
        """Whether the chosen box waited for a person when it was last looked at."""

    def compose(self) -> ComposeResult:
        yield Input(placeholder="filter: open, test, a volume, a person, round:2 …  escape clears it", compact=True)
        yield DataTable(cursor_type="row", cell_padding=1)
        yield Static(markup=False)

    @property
    def table(self) -> DataTable:
        return self.query_one(DataTable)

    def show(self, snapshot: Snapshot) -> None:
        old = self.snapshot
        self.snapshot = snapshot
        same = old is not None and all(
            getattr(old, name) is getattr(snapshot, name) for name in ("boxes", "saves", "volumes", "rounds")
        )
        if not same or old is None or old.settings is not snapshot.settings:
            self._refill()

    def on_resize(self) -> None:
        if self.snapshot is not None:
            self._refill()

    def choose(self, id: int) -> bool:
        """Bring the cursor to a box, on whatever page it is; False when no such box is listed."""
        if id not in [box.id for box in self._boxes]:
            self.view = replace(self.view, everything=True, filter="", page=0)
            self.query_one(Input).value = ""
            self._refill()
        places = {box.id: n for n, box in enumerate(self._boxes)}
        if id not in places:
            return False
        self.chosen = id
        self.view = replace(self.view, page=places[id] // PAGE)
        self._refill()
        self.table.move_cursor(row=places[id] % PAGE)
        return True

    def show_round(self, number: int | None) -> None:
        self.view = replace(self.view, round=number, everything=False, page=0)
        self._refill()

    def action_filter(self) -> None:
        self.add_class("-filtering")
        self.query_one(Input).focus()

    def action_clear(self) -> None:
        self.query_one(Input).value = ""
        self.remove_class("-filtering")
        self.table.focus()

    def action_order(self) -> None:
        order = ORDERS[(ORDERS.index(self.view.order) + 1) % len(ORDERS)]
        self.view = replace(self.view, order=order, page=0)
        self._refill()

    def action_rounds(self) -> None:
        self.view = replace(self.view, everything=not self.view.everything, round=None, page=0)
        self._refill()

    def action_page(self, by: int) -> None:
        pages = max(1, -(-len(self._boxes) // PAGE))
        if pages == 1:
            self.post_message(Said("all boxes are on this page"))
            return
        self.view = replace(self.view, page=(self.view.page + by) % pages)
        self.chosen = None
        self._refill()

    @on(Input.Changed)
    def _filtered(self, event: Input.Changed) -> None:
        event.stop()
        self.view = replace(self.view, filter=event.value, page=0)
        self._refill()

    @on(Input.Submitted)
    def _kept(self, event: Input.Submitted) -> None:
        event.stop()
        if not event.value:
            self.remove_class("-filtering")
        self.table.focus()

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        row = self.table.cursor_row  # not the event's: the table may have been filled anew since
        shown = self._ids[row] if 0 <= row < len(self._ids) else None
        if shown is not None and shown != self.chosen:
            self.chosen, self._waited = shown, self._waits(shown)
            self._tell()

    @on(DataTable.RowSelected)
    def _selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.post_message(self.Opened())

    def _tell(self) -> None:
        box = self.snapshot.box(self.chosen) if self.snapshot else None
        self.post_message(BoxChosen(box))

    def _refill(self) -> None:
        """Bring the table to what the view shows of the snapshot; only cells that differ are touched if they can be."""
        if self.snapshot is None or self.size.width < 10:
            return
        arranged = (self.snapshot.boxes, self.snapshot.saves, self.snapshot.round, replace(self.view, page=0))
        same = all(now is was for now, was in zip(arranged[:2], self._arranged[:2]))  # they are long to compare
        if not same or arranged[2:] != self._arranged[2:]:
            self._boxes, self._arranged = arrange(self.snapshot, self.view, self._searched), arranged
        self.view = replace(self.view, page=min(self.view.page, max(0, len(self._boxes) - 1) // PAGE))
        shown = self._boxes[self.view.page * PAGE : (self.view.page + 1) * PAGE]
        wanted = columns(self.snapshot, shown, self.size.width - SCROLLBAR)
        heads = [heading(column, self.snapshot) for column in wanted]
        rows = [cells(box, self.snapshot, wanted) for box in shown]
        if wanted != self._columns or heads != [str(c.label) for c in self.table.ordered_columns]:
            self._set_columns(wanted, heads)
        plain = [tuple(cell.plain for cell in row) for row in rows]
        ids = [box.id for box in shown]
        if ids == self._ids:
            for n, (row, old) in enumerate(zip(plain, self._rows)):
                for k, (now, was) in enumerate(zip(row, old)):
                    if now != was:
                        self.table.update_cell(str(ids[n]), wanted[k].name, rows[n][k])
        else:
            self._replace_rows(ids, rows)
        self._ids, self._rows = ids, plain
        self._caption(shown)
        if shown and self.has_focus:
            self.table.focus()
        if self.chosen not in ids:
            self.chosen = ids[0] if ids else None
        self._waited = self._waits(self.chosen)
        self._tell()

    def _waits(self, id: int | None) -> bool:
        box = self.snapshot.box(id) if self.snapshot else None
        return box is not None and box.state in WAITING

    def _set_columns(self, wanted: list[Column], heads: list[str]) -> None:
        self.table.clear(columns=True)
        self._columns, self._ids, self._rows = wanted, [], []
        for column, head in zip(wanted, heads):
            self.table.add_column(head, width=column.width, key=column.name)

    def _replace_rows(self, ids: list[int], rows: list) -> None:
        """Fill the table anew with the cursor on the box that it was on; once that is finished, on the next one."""
        row, scroll = self.table.cursor_row, self.table.scroll_y
        if self._waited and self.chosen in ids and not self._waits(self.chosen) and self.view.order == "due":
            self.chosen = None
        self.table.clear()
        for id, row_cells in zip(ids, rows):
            self.table.add_row(*row_cells, key=str(id))
        self._ids = ids
        if self.chosen in ids:
            row = ids.index(self.chosen)
        elif ids:
            row = min(row, len(ids) - 1)
            self.chosen = ids[row]
        self.table.move_cursor(row=row, scroll=False)
        self.table.scroll_to(y=scroll, animate=False)

    def _caption(self, shown: list[LabelBox]) -> None:
        snapshot, view = self.snapshot, self.view
        assert snapshot is not None
        self.set_class(not shown, "-empty")
        self.can_focus = not shown  # so that its words can be jumped to, and have their help
        if not shown:
            self.query_one(Static).update(Content(_nothing(snapshot, view)))
        number = view.round or (snapshot.round.number if snapshot.round else None)
        what = "Boxes of all rounds" if view.everything else f"Boxes of round {number}" if number else "Boxes"
        one = f" · {words.plain(snapshot.volumes[0].name, 24)}" if len(snapshot.volumes) == 1 else ""
        order = f" · by {view.order}" if view.order != "due" else ""
        self.border_title = Content(f"{what}{one}{order}")  # type: ignore[assignment]
        self.border_subtitle = Content(self._summary())  # type: ignore[assignment]

    def _summary(self) -> str:
        snapshot, view = self.snapshot, self.view
        assert snapshot is not None
        pages = -(-len(self._boxes) // PAGE)
        if view.filter or view.everything:
            page = f", page {self.view.page + 1} of {pages}" if pages > 1 else ""
            return f"{words.counted(len(self._boxes), 'box', 'boxes')}{page}"
        number = view.round or (snapshot.round.number if snapshot.round else 0)
        done, count = snapshot.progress.get(number, (0, 0))
        painted = sum(box.seconds for box in self._boxes)
        left = snapshot.seconds_left(self._boxes)
        parts = [f"{done} of {count} done"]
        if painted:
            parts.append(f"{words.minutes(painted)} painted")
        if left:
            parts.append(f"about {words.minutes(left)} left")
        if pages > 1:
            parts.append(f"page {self.view.page + 1} of {pages}")
        return " · ".join(parts)


def _nothing(snapshot: Snapshot, view: View) -> str:
    """Say why the list is empty, and what to do next."""
    if view.filter:
        return f"No box matches “{words.plain(view.filter, 60)}”.\n\nescape clears the filter"
    if not snapshot.volumes:
        return f"No volume yet.\n\nNext: {snapshot.due.verb}, at the command line"
    if not snapshot.rounds:
        return "No boxes yet.\n\nspace: propose the first ones"
    if snapshot.computing:
        return "No boxes in this round yet: they are being proposed."
    return "No boxes here.\n\nm: propose more · a: add one by hand · .: boxes of all rounds"
