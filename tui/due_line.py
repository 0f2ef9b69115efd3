"""What is due, and what was said last? The line above the keys; a click on it is `space`."""

from textual.content import Content
from textual.message import Message

from . import words
from .messages import Said
from .next_step import Step
from .one_line import OneLine
from .theme import QUIET


class DueLine(OneLine):
    """What `space` does, always with its words; the last line of the log at its right."""

    class Pressed(Message):
        """The line was clicked."""

    DEFAULT_CSS = """
    DueLine { background: $panel; }
    DueLine:hover { background: $secondary 40%; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id)
        self._step = Step("")
        self._said: Said | None = None

    def show(self, step: Step) -> None:
        self._step = step
        self._draw()

    def say(self, said: Said) -> None:
        self._said = said
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def on_click(self) -> None:
        self.post_message(self.Pressed())

    def _draw(self) -> None:
        room = self.size.width - 2
        if room < 10:
            return
        key = (" space ", "bold $background on $accent") if self._step.action else (" wait ", "$text-muted on $surface")
        step = words.plain(self._step.words, room - len(key[0]) - 2)
        left = Content.assemble(key, "  ", (step, "bold"))
        spare = room - left.cell_length - 3
        if self._said is None or spare < 16:
            self.write(left)
            return
        style = "$error" if self._said.mistake else QUIET
        said = Content(words.plain(self._said.text, spare)).stylize(style)
        self.write(Content.assemble(left, " " * (room - left.cell_length - said.cell_length), said))
