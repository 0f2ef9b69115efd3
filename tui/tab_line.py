"""Which panels does a narrow terminal show? One line of tabs; each is reached by its number or by a click."""

from typing import ClassVar

from textual.content import Content
from textual.events import Click
from textual.message import Message

from .one_line import OneLine
from .theme import QUIET


class TabLine(OneLine):
    """The tabs of the narrow layout."""

    class Chosen(Message):
        def __init__(self, panel: str) -> None:
            super().__init__()
            self.panel = panel

    TABS: ClassVar[dict[str, tuple[str, tuple[str, ...]]]] = {
        "boxes": ("1 Boxes", ("boxes", "box")),
        "preview": ("3 Preview", ("preview",)),
        "rounds": ("4 Rounds, curve", ("rounds", "curve")),
        "jobs": ("6 Jobs, page, log", ("jobs", "link", "log")),
    }
    """Title and panels of each tab."""

    DEFAULT_CSS = """
    TabLine { background: $surface; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._tab = "boxes"

    @classmethod
    def tab_of(cls, panel: str) -> str:
        return next(tab for tab, (_, panels) in cls.TABS.items() if panel in panels)

    def on_mount(self) -> None:
        self.show(self._tab)

    def show(self, tab: str) -> None:
        self._tab = tab
        parts = [
            Content(f" {title} ").stylize("bold $background on $primary" if name == tab else QUIET)
            for name, (title, _) in self.TABS.items()
        ]
        self.write(Content(" ").join(parts))

    def on_click(self, event: Click) -> None:
        place = event.x - 1
        for title, panels in self.TABS.values():
            width = len(title) + 3
            if 0 <= place < width:
                self.post_message(self.Chosen(panels[0]))
                return
            place -= width
