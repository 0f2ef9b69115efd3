"""Which rounds were there, and what did each bring?"""

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import DataTable, Static
from textual.widgets.data_table import ColumnKey

from ..store.records import Round, RoundState
from . import words
from .snapshot import Snapshot

COLUMNS = (("rd", 3), ("model", 5), ("boxes", 6), ("Dice", 5), ("±", 6), ("train", 6), ("state", 9))


class RoundsPanel(Vertical):
    """One row a round, the present one last."""

    class Chosen(Message):
        """A round's boxes are to be listed."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    HELP: ClassVar[str] = """
### Rounds
A round proposes boxes, you label them, a model is trained on all that was labelled and scored on the test boxes.
**Dice** is the mean over the classes but the first; **±** is half the width of its bootstrap interval over test boxes,
n/a with fewer than two of them. `enter` lists the boxes of a round.
"""

    DEFAULT_CSS = """
    RoundsPanel {
        & > DataTable { height: 1fr; background: transparent; scrollbar-size-vertical: 1; }
        & > Static { height: 1fr; padding: 1 2; color: $text-muted; display: none; }
        &.-empty > Static { display: block; }
        &.-empty > DataTable { display: none; }
        DataTable > .datatable--header { background: transparent; color: $text-muted; text-style: none; }
    }
    """

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._rows: list[list[str]] = []
        self._numbers: list[int] = []

    def compose(self) -> ComposeResult:
        table = DataTable(cursor_type="row", cell_padding=1)
        for name, width in COLUMNS:
            table.add_column(name, width=width, key=name)
        yield table
        yield Static("No round yet.\n\nspace: what is due", markup=False)

    def show(self, snapshot: Snapshot) -> None:
        self.border_title = Content("Rounds")  # type: ignore[assignment]
        planned = snapshot.settings.rounds.planned
        self.border_subtitle = Content(f"{len(snapshot.rounds)} of {planned} planned") if snapshot.rounds else None  # type: ignore[assignment]
        self.set_class(not snapshot.rounds, "-empty")
        self.can_focus = not snapshot.rounds
        if snapshot.rounds and self.has_focus:
            self.query_one(DataTable).focus()
        rows = [row(snapshot, entry) for entry in snapshot.rounds]
        if rows == self._rows:
            return
        table = self.query_one(DataTable)
        table.columns[ColumnKey("±")].label = Text(f"±{100 * snapshot.settings.test.interval:.0f} %")
        at_end = table.cursor_row >= len(self._rows) - 1
        cursor = table.cursor_row
        table.clear()
        for cells, entry in zip(rows, snapshot.rounds):
            style = "dim" if entry.state == RoundState.CLOSED else ""
            table.add_row(*(Text(cell, style if name == "state" else "") for cell, (name, _) in zip(cells, COLUMNS)))
        self._rows, self._numbers = rows, [entry.number for entry in snapshot.rounds]
        table.move_cursor(row=len(rows) - 1 if at_end else cursor)

    @on(DataTable.RowSelected)
    def _selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        if 0 <= event.cursor_row < len(self._numbers):
            self.post_message(self.Chosen(self._numbers[event.cursor_row]))

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()


def row(snapshot: Snapshot, entry: Round) -> list[str]:
    """Write a round's row: number, model, boxes done, Dice and its interval, time of training, state."""
    done, count = snapshot.progress.get(entry.number, (0, 0))
    model = next((m for m in snapshot.models if m.number == entry.trained), None)
    dice = snapshot.mean_dice(entry.trained) if model else None
    half = words.interval(snapshot.scores.get(entry.trained or 0, ())) if model else ""
    return [
        str(entry.number),
        f"{model.number}{' ★' if model.champion else ''}" if model else "–",
        f"{done}/{count}" if count else "–",
        words.dice(dice) if model else "–",
        half.removeprefix("±") or "–",
        words.duration(model.seconds) if model else "–",
        str(entry.state),
    ]
