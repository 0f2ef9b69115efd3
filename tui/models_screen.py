"""Which versions are there, how good is each, and which one does the next round start from?"""

from functools import partial
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import DataTable, Static

from ..store.records import Model
from . import actions, words
from .dialogs import AskLine, Confirm
from .export_dialog import ExportDialog
from .filled import fill
from .key_line import KeyLine
from .messages import Act, Said
from .model_detail import comparison, detail
from .snapshot import Snapshot

NO_MODEL = "No model yet.\n\nLabel the boxes of round 1, then train: space on the main screen does what is due."


class ModelsScreen(Screen[None]):
    """The versions in a table, and all that is known of the one under the cursor."""

    HELP: ClassVar[str] = """
### Models
Every version that was trained; none is ever overwritten. The champion (★) is the one that the next round starts from.

- `u` use the version under the cursor: it becomes the champion
- `c` compare: mark a version, then move to another one; `c` again ends it
- `n` write a note to it, `e` export labels or its output, `o` open it in the page
- `escape` back to the rounds
"""
    DEFAULT_CSS = """
    ModelsScreen {
        #title { height: 1; padding: 0 1; color: $accent; text-style: bold; }
        DataTable { height: auto; max-height: 50%; margin: 0 1; background: $background; }
        VerticalScroll { height: 1fr; border-top: solid $border-blurred; padding: 1 2; scrollbar-size-vertical: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("u", "use", "use"),
        Binding("c", "compare", "compare"),
        Binding("n", "note", "note"),
        Binding("e", "export", "export"),
        Binding("o", "open", "open"),
        Binding("escape,M", "app.pop_screen", "back", key_display="esc"),
    ]

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.marked: int | None = None
        """The version that others are compared with."""

    def compose(self) -> ComposeResult:
        yield Static(id="title", markup=False)
        yield DataTable(cursor_type="row", zebra_stripes=False)
        with VerticalScroll(can_focus=False):
            yield Static(id="detail", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self._list(self.snapshot, len(self.snapshot.models) - 1)
        self.query_one(DataTable).focus()

    def on_resize(self) -> None:
        self._describe()

    def show(self, snapshot: Snapshot) -> None:
        """Show another state; the cursor stays where it is."""
        old, self.snapshot = self.snapshot, snapshot
        if (old.models, old.scores, old.classes) != (snapshot.models, snapshot.scores, snapshot.classes):
            self._list(snapshot, self.query_one(DataTable).cursor_row)

    @property
    def model(self) -> Model | None:
        """The version under the cursor."""
        row = self.query_one(DataTable).cursor_row
        return self.snapshot.models[row] if 0 <= row < len(self.snapshot.models) else None

    def action_use(self) -> None:
        model = self.model
        if model is None or model.champion:
            return

        def answered(sure: bool | None) -> None:
            if sure:
                self.post_message(Act(partial(actions.use_model, number=model.number)))

        question = f"Use model {model.number}? The next round starts from it instead of the present champion."
        self.app.push_screen(Confirm(question, "use it"), answered)

    def action_compare(self) -> None:
        self.marked = None if self.marked is not None or self.model is None else self.model.number
        self._describe()

    def action_note(self) -> None:
        model = self.model
        if model is None:
            return

        def answered(text: str | None) -> None:
            if text is not None:
                self.post_message(Act(partial(actions.note_model, number=model.number, text=text)))

        self.app.push_screen(AskLine(f"Note to model {model.number}", value=model.note, empty=True), answered)

    def action_export(self) -> None:
        if not self.snapshot.volumes:
            self.post_message(Said("there is no volume to export yet", "add one first", mistake=True))
            return

        def answered(act: Act | None) -> None:
            if act:
                self.post_message(act)

        self.app.push_screen(ExportDialog(self.snapshot, self.model.number if self.model else None), answered)

    def action_open(self) -> None:
        if self.model and self.snapshot.volumes:
            volume = self.snapshot.volumes[0].name
            self.post_message(Act(partial(actions.view, volume=volume, model=self.model.number)))

    @on(DataTable.RowHighlighted)
    def _describe(self) -> None:
        """Write what is known of the version under the cursor, or how it compares with the marked one."""
        model, shown = self.model, self.query_one("#detail", Static)
        marked = next((m for m in self.snapshot.models if m.number == self.marked), None)
        if model is None:
            shown.update(Content(NO_MODEL))
        elif marked is not None and marked.number != model.number:
            shown.update(comparison(self.snapshot, marked, model))
        elif marked is not None:
            shown.update(Content(f"Model {marked.number} is marked: move to the one to compare it with. c ends it."))
        else:
            shown.update(detail(self.snapshot, model, self.size.width))
        count = words.counted(len(self.snapshot.models), "model")
        self.query_one("#title", Static).update(Content(f"Models · {words.plain(self.snapshot.name, 40)} · {count}"))
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Dim the keys that have nothing to act on."""
        if action in ("use", "compare", "note", "open") and not self.snapshot.models:
            return None
        if action == "use" and self.is_mounted and self.model is not None and self.model.champion:
            return None
        return True

    def _list(self, snapshot: Snapshot, cursor: int) -> None:
        table = self.query_one(DataTable)
        names = [words.plain(c.name, 14) for c in snapshot.classes[1:]]
        interval = f"±{100 * snapshot.settings.test.interval:.0f} %"
        heads = ("model", "", "parent", "round", "boxes", "Dice", interval, *names, "steps", "time", "loss", "MB", "")
        rows = [[Text(cell) for cell in cells(snapshot, model)] for model in snapshot.models]
        fill(table, heads, rows, [str(model.number) for model in snapshot.models])
        table.move_cursor(row=max(0, min(cursor, len(snapshot.models) - 1)))
        self._describe()


def cells(snapshot: Snapshot, model: Model) -> list[str]:
    """Write a version's line of the table."""
    scores = snapshot.scores.get(model.number, ())
    by_label = {s.label: s.dice for s in scores}
    return [
        str(model.number),
        "★" if model.champion else "",
        str(model.parent or "–"),
        str(model.round),
        str(len(model.boxes)),
        words.dice(snapshot.mean_dice(model.number)),
        words.interval(scores),
        *(words.dice(by_label.get(c.value)) for c in snapshot.classes[1:]),
        str(model.steps),
        words.duration(model.seconds),
        f"{model.loss:.3f}",
        f"{model.bytes / 1e6:.1f}",
        words.plain(model.note, 40),
    ]
