"""What can be set, what is it set to, and what does it mean? Every setting with its sentence."""

from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import DataTable, Input, Static

from ..store import settings_file
from ..store.settings import Settings
from . import words
from .dialogs import AskLine
from .filled import fill
from .key_line import KeyLine
from .messages import Ask, Said
from .setting_rows import Setting, rows, to_toml
from .snapshot import Snapshot

HEADS = ("", "setting", "value", "default", "what it means")
NOTHING = "No setting has these words."


class SettingsScreen(Screen[None]):
    """The settings of project.toml in a table; a change is checked before it is written, and comments stay."""

    HELP: ClassVar[str] = """
### Settings
Every setting of `project.toml` with its sentence; those that differ from their default are marked with ●.
A change counts from the next job on. Comments in the file stay, and a wrong value changes nothing.

Classes come first: their names, colours and weights. A name in the last of these rows adds a class: the page has it
with the next box, models from the next training on. None is ever removed, since their numbers stand in the labels.

- `enter` or `e` change the setting under the cursor, `r` put it back to its default
- `/` show only settings with these words; `escape` shows all of them again, then goes back to the rounds
"""
    DEFAULT_CSS = """
    SettingsScreen {
        #title { height: 1; padding: 0 1; color: $accent; text-style: bold; }
        #filter { display: none; border: none; height: 1; margin: 0 1; padding: 0 1; background: $panel; }
        #filter.shown { display: block; }
        DataTable { height: 1fr; margin: 0 1; background: $background; overflow-x: hidden; }
        #sentence { height: 5; border-top: solid $border-blurred; padding: 0 2; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "change", "change"),
        Binding("r", "reset", "default"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("escape", "leave", "back", key_display="esc"),
        Binding("S", "app.pop_screen", "back", show=False),
    ]

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.settings: Settings = snapshot.settings
        self._rows: list[Setting] = []

    def compose(self) -> ComposeResult:
        yield Static(id="title", markup=False)
        yield Input(placeholder="words of the setting", id="filter", compact=True)
        yield DataTable(cursor_type="row")
        yield Static(id="sentence", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self._list()
        self.query_one(DataTable).focus()

    def show(self, snapshot: Snapshot) -> None:
        """Show another state; the cursor stays on its setting."""
        self.snapshot = snapshot
        if snapshot.settings != self.settings:
            self._show_settings(snapshot.settings)

    @property
    def setting(self) -> Setting | None:
        """The setting under the cursor."""
        row = self.query_one(DataTable).cursor_row
        return self._rows[row] if 0 <= row < len(self._rows) else None

    @on(DataTable.RowSelected)
    def action_change(self) -> None:
        if self.setting is not None:
            self._ask(self.setting, self.setting.value, self.setting.may_be)

    def action_reset(self) -> None:
        if self.setting is not None and self.setting.changed and self.setting.default is not None:
            self._change(self.setting, self.setting.default)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave out the key that has nothing to act on."""
        if action == "reset" and self.is_mounted:
            return self.setting is not None and self.setting.changed
        return True

    def action_filter(self) -> None:
        self.query_one("#filter").add_class("shown")
        self.query_one("#filter").focus()

    def action_leave(self) -> None:
        found = self.query_one("#filter", Input)
        if found.has_class("shown"):
            found.value = ""
            found.remove_class("shown")
            self.query_one(DataTable).focus()
        else:
            self.app.pop_screen()

    @on(Input.Changed, "#filter")
    def _filtered(self) -> None:
        self._list()

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        self.query_one(DataTable).focus()

    @on(DataTable.RowHighlighted)
    def _describe(self) -> None:
        setting = self.setting
        self.query_one("#sentence", Static).update(sentence(setting) if setting else Content(NOTHING))
        self.refresh_bindings()

    def _ask(self, setting: Setting, value: str, hint: str) -> None:
        def answered(typed: str | None) -> None:
            if typed is not None and typed != setting.value:
                self._change(setting, typed)

        question = f"{setting.key}: {setting.sentence}"
        self.app.push_screen(AskLine(question, hint, value, empty=True), answered)

    def _change(self, setting: Setting, typed: str) -> None:
        """Write a value; one that is refused is asked again, with the reason, unless this screen was closed since."""

        def changed(settings: Settings) -> None:
            self.app.post_message(Said(f"{setting.key} = {words.plain(typed, 60)}"))
            self._show_settings(settings)

        def refused(message: str, hint: str) -> None:
            if self.is_attached:
                self._ask(setting, typed, message)
            else:
                self.app.post_message(Said(message, hint, mistake=True))

        file = Path(self.snapshot.folder) / "project.toml"
        change = partial(settings_file.change, file, setting.key, to_toml(setting, typed))
        self.post_message(Ask(change, changed, refused))

    def _show_settings(self, settings: Settings) -> None:
        self.settings = settings
        if self.is_attached:
            self._list()

    def _list(self) -> None:
        table, at = self.query_one(DataTable), self.query_one(DataTable).cursor_row
        key = self._rows[at].key if 0 <= at < len(self._rows) else ""
        every = rows(self.settings)
        self._rows = [row for row in every if row.matches(self.query_one("#filter", Input).value)]
        keys = [row.key for row in self._rows]
        fill(table, HEADS, [cells(row) for row in self._rows], keys)
        table.move_cursor(row=keys.index(key) if key in keys else 0)
        changed = sum(row.changed for row in every)
        title = f"Settings · {words.plain(self.snapshot.name, 40)} · {changed} not at the default"
        self.query_one("#title", Static).update(Content(title))
        self._describe()


def cells(setting: Setting) -> tuple[Text, ...]:
    """Write a setting's line of the table."""
    style = "bold" if setting.changed else ""
    default = Text(words.plain(setting.default, 24) if setting.changed else "", "dim")
    value = Text(words.plain(setting.value, 40) or '""', style)
    mark = Text("●" if setting.changed else "")
    if setting.key.endswith(".colour"):
        value = Text.assemble(("██", setting.value), " ", value)
    return mark, Text(setting.key), value, default, Text(setting.sentence, "dim")


def sentence(setting: Setting) -> Content:
    """Write what a setting means and what it may be."""
    default = None if setting.default is None else f"Default: {words.plain(setting.default) or 'empty'}."
    may_be = f"It may be: {setting.may_be}." if setting.may_be else None
    rest = "   ".join(part for part in (default, may_be) if part)
    return Content.assemble((setting.key, "bold"), f"\n{setting.sentence}\n", (rest, "$text-muted"))
