"""How is a person asked something, or told how the screens work? Small windows over a screen."""

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Markdown, Static

from . import words

FRAME = """
    align: center middle;
    background: $background 60%;
    & > Vertical {
        width: 64; max-width: 90%; height: auto; max-height: 90%; padding: 1 2;
        border: round $accent; background: $surface;
    }
    Static { height: auto; }
    .hint { color: $text-muted; margin-top: 1; }
    Input { margin-top: 1; border: none; height: 1; padding: 0 1; background: $panel; }
"""


class Confirm(ModalScreen[bool]):
    """Ask before something that cannot be taken back."""

    BINDINGS = [("y,enter", "answer(True)", "yes"), ("n,escape,q", "answer(False)", "no")]
    DEFAULT_CSS = f"Confirm {{ {FRAME} }}"

    def __init__(self, question: str, yes: str = "do it") -> None:
        super().__init__()
        self.question, self.yes = question, yes

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(Content(words.plain(self.question)))
            keys = Content.assemble(("y", "bold $accent"), f" {self.yes}    ", ("n", "bold $accent"), " leave it")
            yield Static(keys, classes="hint")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class AskLine(ModalScreen[str | None]):
    """Ask for one line; None when the person thinks better of it."""

    BINDINGS = [("escape", "leave", "leave it")]
    DEFAULT_CSS = f"AskLine {{ {FRAME} }}"

    def __init__(self, question: str, hint: str = "", value: str = "", empty: bool = False) -> None:
        """With `empty` an empty line is an answer too."""
        super().__init__()
        self.question, self.hint, self.value, self.empty = question, hint, value, empty

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(Content(words.plain(self.question)))
            yield Input(self.value, compact=True)
            keys = Content.assemble(("enter", "bold $accent"), " take it    ", ("escape", "bold $accent"), " leave it")
            hint = Content.assemble(words.plain(self.hint), "\n") if self.hint else Content("")
            yield Static(Content.assemble(hint, keys), classes="hint")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip() or self.empty:
            self.dismiss(event.value.strip())

    def action_leave(self) -> None:
        self.dismiss(None)


KEYS = (
    (("space", "what is due"), ("1 … 8", "go to a panel")),
    (("o enter", "open the box in the page"), ("c  C", "copy the link, the ssh line")),
    (("d", "done"), ("s", "skip, with a reason")),
    (("e", "open again"), ("m", "propose more boxes")),
    (("a", "add a box by hand"), ("T", "protect as a test box")),
    (("g", "go to a box by number"), ("/", "filter the boxes")),
    (("p", "preview"), ("tab", "next panel")),
    (("M  J", "models, jobs"), ("S  l", "settings, log")),
    (("ctrl+p", "all that can be done"), ("q", "leave; jobs and the page go on")),
)
"""The keys of the main screen, two a line."""


class Help(ModalScreen[None]):
    """Say what the focused panel is and which keys there are."""

    BINDINGS = [("escape,q,question_mark,enter", "app.pop_screen", "close")]
    DEFAULT_CSS = """
    Help {
        align: center middle;
        background: $background 60%;
        & > VerticalScroll {
            width: 84; max-width: 95%; height: auto; max-height: 95%; padding: 1 2;
            border: round $accent; background: $surface;
        }
        Markdown { background: transparent; padding: 0; margin: 0; }
        #keys { margin-top: 1; }
    }
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll() as scroll:
            scroll.border_title = Content("Help")  # type: ignore[assignment]
            scroll.border_subtitle = Content("escape closes it")  # type: ignore[assignment]
            yield Markdown(self.text)
            yield Static(Content("\n").join([_keys(*pair) for pair in KEYS]), id="keys")


def _keys(left: tuple[str, str], right: tuple[str, str]) -> Content:
    parts = [Content.assemble((f"{key:<9}", "bold $accent"), f"{does:<30}") for key, does in (left, right)]
    return Content("").join(parts)
