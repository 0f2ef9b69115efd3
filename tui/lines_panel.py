"""How does a panel show lines of text that may be more than it has room for? It scrolls once it is focused."""

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from .one_line import same


class LinesPanel(VerticalScroll):
    """Lines of text; arrows, page keys and the wheel scroll them."""

    DEFAULT_CSS = """
    LinesPanel { padding: 0 1; scrollbar-size-vertical: 1; }
    LinesPanel > Static { height: auto; }
    """

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines = Static(markup=False)
        self._written = Content("")

    def compose(self) -> ComposeResult:
        yield self._lines

    def write(self, lines: Content) -> None:
        """Show these lines; equal ones are not drawn again."""
        if not same(lines, self._written):
            self._written = lines
            self._lines.update(lines)
