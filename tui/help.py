"""How do the screens work? A window that says what the focused panel is, and which keys there are."""

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Markdown, Static

KEYS = (
    (("space", "what is due"), ("1 … 8", "go to a panel")),
    (("o enter", "open the box in the page"), ("c  C", "copy the link, ssh line")),
    (("d", "done"), ("s", "skip, with a reason")),
    (("e", "open again"), ("m", "propose more boxes")),
    (("a", "add a box by hand"), ("T", "protect as a test box")),
    (("g", "go to a box by number"), ("/", "filter the boxes")),
    (("p", "preview"), ("tab", "next panel")),
    (("M  J", "models, jobs"), ("S  l", "settings, log")),
    (("ctrl+p", "all that can be done"), ("q", "leave; what runs goes on")),
)
"""The keys of the main screen, two a line."""


class Help(ModalScreen[None]):
    """Say what the focused panel or screen is, and which keys there are."""

    BINDINGS = [("escape,q,question_mark,enter", "app.pop_screen", "close")]
    DEFAULT_CSS = """
    Help {
        align: center middle;
        background: $background 60%;
        & > VerticalScroll {
            width: 84; max-width: 95%; height: auto; max-height: 95%; padding: 1 2;
            border: round $accent; background: $surface; scrollbar-size-vertical: 1;
        }
        Markdown { background: transparent; padding: 0; margin: 0; }
        #keys { margin-top: 1; }
    }
    """

    def __init__(self, text: str, keys: bool) -> None:
        """With `keys` those of the main screen are listed below the text."""
        super().__init__()
        self.text, self.keys = text, keys

    def compose(self) -> ComposeResult:
        with VerticalScroll() as scroll:
            scroll.border_title = Content("Help")  # type: ignore[assignment]
            scroll.border_subtitle = Content("escape closes it")  # type: ignore[assignment]
            yield Markdown(self.text)
            if self.keys:
                yield Static(Content("\n").join([_keys(*pair) for pair in KEYS]), id="keys")


def _keys(left: tuple[str, str], right: tuple[str, str]) -> Content:
    parts = [Content.assemble((f"{key:<9}", "bold $accent"), f"{does:<25}") for key, does in (left, right)]
    return Content("").join(parts)
