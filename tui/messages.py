"""What do widgets, screens and the app say to each other?

Widgets post what the user wants; the app does it and hands out what became of it. Screens and panels are told of a new
state by their method `show(snapshot)`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.message import Message

from ..store.project import Project
from ..store.records import LabelBox
from .snapshot import Snapshot

if TYPE_CHECKING:
    from .views import Preview, Request


@dataclass
class StateChanged(Message):
    """The project is another one now."""

    snapshot: Snapshot

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, StateChanged)


@dataclass
class Act(Message):
    """Do something with the project, in a thread: a function of actions.py with all arguments but the project bound.

    A text that it returns is one line for the log; with `then`, what it returns is handed to that on the event loop.
    """

    action: Callable[[Project], Any]
    then: Callable[[Any], None] | None = None


@dataclass
class Ask(Message):
    """Find something out that needs no project, in a thread; the answer is handed to `then` on the event loop."""

    question: Callable[[], Any]
    then: Callable[[Any], None]
    failed: Callable[[str, str], None] | None = None
    """Is handed message and hint instead of the log."""


@dataclass
class Said(Message):
    """One line for the log; a mistake is shown as a notice too."""

    text: str
    hint: str = ""
    mistake: bool = False


@dataclass
class BoxChosen(Message):
    """Another box is under the cursor; None when there is none."""

    box: LabelBox | None

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, BoxChosen)


@dataclass
class PreviewWanted(Message):
    """A preview is to be read."""

    request: "Request"

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, PreviewWanted)


@dataclass
class PreviewReady(Message):
    """A preview was read."""

    preview: "Preview"


@dataclass
class CopyText(Message):
    """Put a text on the clipboard of the terminal that the person sits at (OSC 52)."""

    text: str
    what: str
    """What it is, in words: "the link"."""


@dataclass
class ShowScreen(Message):
    """Open one of the screens by its name: models, jobs, settings, log."""

    name: str
