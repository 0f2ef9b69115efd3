"""What happened while these screens were open? One line each, errors with their hint."""

from collections import deque
from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import RichLog

from . import words
from .key_line import KeyLine
from .messages import Said

MOST = 500
Line = tuple[float, Said]


class LogPanel(RichLog):
    """The newest line last; what was said stays readable."""

    HELP: ClassVar[str] = """
### Log
What was done and what went wrong since these screens were opened, each with what to do about it. Logs of jobs are in
the jobs screen, `J`.
"""

    DEFAULT_CSS = """
    LogPanel {
        background: transparent; padding: 0 1; overflow-x: hidden; overflow-y: auto;
        scrollbar-gutter: stable; scrollbar-size-vertical: 1;
    }
    """

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes, max_lines=MOST, wrap=True, markup=False, min_width=20)
        self._said: deque[Line] = deque(maxlen=MOST)
        self._width: int | None = None
        """Of the lines as they were broken; a panel that is hidden has none, and keeps this one."""

    def on_mount(self) -> None:
        self.border_title = Content("Log")  # type: ignore[assignment]
        self.border_subtitle = Content("nothing has happened yet")  # type: ignore[assignment]

    def say(self, lines: Iterable[Line]) -> None:
        for moment, said in lines:
            self.border_subtitle = Content("")  # type: ignore[assignment]
            self._said.append((moment, said))
            self.write(_text(moment, said), width=self._width)

    def on_resize(self, event: Resize) -> None:
        """Break all lines anew where the width is another one."""
        width = self.scrollable_content_region.width
        if width in (0, self._width):
            return
        self._width = width
        self.clear()
        for moment, said in self._said:
            self.write(_text(moment, said), width=width)


def _text(moment: float, said: Said):
    from rich.text import Text

    style = "red" if said.mistake else ""
    hint = f"; {words.plain(said.hint)}" if said.hint else ""
    return Text.assemble((f"{words.clock(moment)} ", "dim"), (words.plain(said.text), style), (hint, "dim"))


class LogScreen(Screen[None]):
    """The whole log."""

    BINDINGS = [
        Binding("escape", "app.pop_screen", "back", key_display="esc"),
        Binding("l", "app.pop_screen", "back", show=False),
    ]

    DEFAULT_CSS = """
    LogScreen LogPanel { border: round $border-blurred; height: 1fr; }
    """

    def __init__(self, lines: Iterable[Line]) -> None:
        super().__init__()
        self.lines = tuple(lines)

    def compose(self) -> ComposeResult:
        yield LogPanel(id="whole-log")
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(LogPanel).say(self.lines)

    def show(self, snapshot: object) -> None:
        """The log is of what was said, not of the project's state."""

    def say(self, lines: Iterable[Line]) -> None:
        self.query_one(LogPanel).say(lines)
