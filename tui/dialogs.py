"""How is a person asked something? Small windows over a screen."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

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
        else:
            event.input.value, event.input.placeholder = "", "write it here first"

    def action_leave(self) -> None:
        self.dismiss(None)
