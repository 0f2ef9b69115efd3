"""Where is the page, how is it reached from another machine, who has it open, and is all paint saved?"""

from typing import ClassVar

from textual.content import Content
from textual.message import Message
from textual.style import Style

from . import words
from .lines_panel import LinesPanel
from .snapshot import Person, Server, Snapshot
from .theme import QUIET


class LinkPanel(LinesPanel):
    """The link (clickable where the terminal knows OSC 8), the tunnel line, and who is connected."""

    class Clicked(Message):
        """The link is to be copied."""

    HELP: ClassVar[str] = """
### The page
Boxes are labelled in a browser: `o` brings its page to the selected box, `c` copies the link.

Where you sit at another machine than this one, run the `ssh -L` line there once, in a terminal of its own; then the
link works in your browser. `C` copies that line. In tmux, copying needs `set -g set-clipboard on`.

The page is served by a process of its own: painting goes on when these screens are closed. Whoever has the link can
label. `rondel stop`, or the palette, ends the server.
"""

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._starting = False

    def starting(self, begun: bool) -> None:
        """Say whether the server is being started."""
        self._starting = begun

    def show(self, snapshot: Snapshot) -> None:
        self.border_title = Content("The page, in a browser")  # type: ignore[assignment]
        self.border_subtitle = Content("c copies the link" if snapshot.server else "")  # type: ignore[assignment]
        self.write(lines(snapshot, self._starting))

    def on_click(self) -> None:
        self.post_message(self.Clicked())


def lines(snapshot: Snapshot, starting: bool) -> Content:
    server = snapshot.server
    if server is None:
        wait = (
            "The page's server is being started …"
            if starting
            else "No page is served.\n\no: start it, and open the box"
        )
        return Content.assemble((wait, QUIET), "\n", _saved(snapshot))
    tunnel = Content.assemble(("elsewhere first: ", QUIET), (words.plain(server.tunnel), "bold"))
    link = Content.styled(server.link, Style(underline=True, link=server.link))
    parts = [link.stylize("$primary"), tunnel, *_lacking(server), _people(server), _saved(snapshot)]
    return Content("\n").join(parts)


def _lacking(server: Server) -> list[Content]:
    """Warn where pages cannot paint with the Neuroglancer that is installed."""
    if not server.missing:
        return []
    names = words.plain(", ".join(server.missing), 200)
    said = f"! the installed Neuroglancer lacks {names}: no brush; the page names the keys that label instead"
    return [Content(said).stylize("$warning")]


def _people(server: Server) -> Content:
    if server.people is None:
        return Content(f"◌ the server on {words.plain(server.host, 40)} does not answer here").stylize("$warning")
    if not server.people:
        return Content("○ no page is open").stylize(QUIET)
    seen = ", ".join(f"{words.plain(p.name or 'somebody', 24)} ({_sight(p)})" for p in server.people)
    count = words.counted(len(server.people), "page")
    return Content.assemble(("● ", "$success"), f"{count} open: {seen}")


def _sight(person: Person) -> str:
    return f"box {person.box}" if person.box is not None else words.plain(person.volume or "no volume", 24)


def _saved(snapshot: Snapshot) -> Content:
    if not snapshot.edits:
        return Content("○ no strokes yet: each is saved as it is painted").stylize(QUIET)
    saved = f"{words.counted(snapshot.edits, 'stroke')} saved, {snapshot.pending} pending"
    glyph = ("◌ ", "$warning") if snapshot.pending else ("✔ ", "$success")
    return Content.assemble(glyph, saved)
