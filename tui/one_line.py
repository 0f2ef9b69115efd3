"""How is a line written that is always one row high? Without laying the screen out anew, and only where it differs."""

from textual.content import Content
from textual.widgets import Static


class OneLine(Static):
    """One row of text; a layout of the whole screen would cost more than all the rest of a key."""

    DEFAULT_CSS = """
    OneLine { height: 1; padding: 0 1; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self._line = Content("")

    def write(self, line: Content) -> None:
        """Show this line; an equal one is not drawn again."""
        if not same(line, self._line):
            self._line = line
            self.update(line, layout=False)


def same(one: Content, other: Content) -> bool:
    """Compare texts and their styles; Textual's own comparison takes only the text."""
    return one.plain == other.plain and one.spans == other.spans
