"""Which classes will there be, and in which colours? Rows of a name and a colour."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Label

from .first_run import COLOUR, new_colour

MOST = 9


class ClassRow(Horizontal):
    """One class."""

    DEFAULT_CSS = """
    ClassRow {
        height: 3;
        & .value { width: 4; margin: 1 0; text-align: right; padding: 0 1 0 0; }
        & .name { width: 1fr; }
        & .colour { width: 14; }
        & .swatch { width: 4; height: 1; margin: 1 1; }
    }
    """

    def __init__(self, index: int, name: str = "") -> None:
        super().__init__()
        self.index, self._name_at_first = index, name

    def compose(self) -> ComposeResult:
        yield Label(str(self.index + 1), classes="value")
        what = "everything else" if self.index == 0 else "name of the class" if self.index == 1 else "no further class"
        yield Input(self._name_at_first, placeholder=what, classes="name", max_length=64)
        yield Input(new_colour(self.index), classes="colour", max_length=7)
        yield Label(" ", classes="swatch")

    @property
    def chosen(self) -> tuple[str, str]:
        return self.query_one(".name", Input).value, self.query_one(".colour", Input).value

    @on(Input.Changed, ".colour")
    def _show_colour(self, event: Input.Changed) -> None:
        if COLOUR.fullmatch(event.value):
            self.query_one(".swatch", Label).styles.background = Color.parse(event.value)


class ClassRows(Vertical):
    """Rows of classes; the last one is always empty, for one more."""

    DEFAULT_CSS = "ClassRows { height: auto; margin: 1 0 0 0; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next", "next field", show=False),
        Binding("up", "app.focus_previous", "field before", show=False),
    ]

    def compose(self) -> ComposeResult:
        yield ClassRow(0, "background")
        yield ClassRow(1)

    @property
    def chosen(self) -> tuple[tuple[str, str], ...]:
        return tuple(row.chosen for row in self.query(ClassRow))

    @on(Input.Changed, ".name")
    def _make_room(self) -> None:
        rows = list(self.query(ClassRow))
        if rows[-1].chosen[0].strip() and len(rows) < MOST:
            self.mount(ClassRow(len(rows)))
