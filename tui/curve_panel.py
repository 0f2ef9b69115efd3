"""How good do the models get by what was labelled? The learning curve, drawn in braille dots."""

from collections.abc import Sequence
from typing import ClassVar

from rich.console import Group, RenderableType
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widget import Widget

from . import words
from .braille import Line, chart, marks
from .learning import Arm, Effort, lines, read_arms
from .messages import Act
from .snapshot import Snapshot

ARM_SECONDS = 5.0
"""How often it is looked whether a simulation's curve was put into exports/."""
NO_MODEL = "No model yet. Label the boxes of round 1, then train: space does what is due."
NO_SCORE = "No score yet: two or more test boxes must be labelled. They are shown first among the boxes."


class CurvePanel(Widget, can_focus=True):
    """The learning curve against boxes, voxels or minutes. It is told of a new state by `show`."""

    DEFAULT_CSS = "CurvePanel { padding: 0 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("v", "next_effort", "x axis")]
    HELP: ClassVar[str] = """
### Learning curve
Dice of each class on the test boxes, which are never trained on, with its interval, and the mean of the classes.
Broken lines are those of a simulation, to compare with: they are drawn once a `curve.csv` that `rondel simulate` wrote
is copied into `exports/` of the project.

- `v` draws it against labelled boxes, their voxels, or minutes of painting
"""
    effort: reactive[Effort] = reactive(Effort.BOXES)
    arms: reactive[tuple[Arm, ...]] = reactive(())
    found: reactive[tuple[Line, ...]] = reactive(())
    """The lines that are drawn; equal ones are not drawn again."""
    trained: reactive[bool] = reactive(False)

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._snapshot: Snapshot | None = None

    def on_mount(self) -> None:
        self.border_title = "Learning curve"
        self.look()
        self.set_interval(ARM_SECONDS, self.look)

    def look(self) -> None:
        """Ask for the simulations that lie in exports/."""
        self.post_message(Act(read_arms, self.show_arms))

    def show(self, snapshot: Snapshot) -> None:
        """Show another state."""
        old, self._snapshot = self._snapshot, snapshot
        if old is None or any(a is not b for a, b in zip(_shown(old), _shown(snapshot))):
            self._find()

    def show_arms(self, arms: tuple[Arm, ...]) -> None:
        if self.is_attached:
            self.arms = arms
            self._find()

    def action_next_effort(self) -> None:
        self.effort = self.effort.following()
        self._find()

    def _find(self) -> None:
        if self._snapshot is not None:
            self.trained = bool(self._snapshot.models)
            self.found = tuple(lines(self._snapshot, self.effort, self.arms))

    def render(self) -> RenderableType:
        found = self.found
        if not found:
            return Text(NO_SCORE if self.trained else NO_MODEL, "dim")
        legend = _legend(found, self.size.width)[: max(1, self.size.height // 4)]
        drawn = chart(found, self.size.width, self.size.height - len(legend), f"{self.effort} (v)")
        return Group(*legend, *drawn) if drawn else _words(found)


def _shown(snapshot: Snapshot) -> tuple:
    """Return what the lines are made of; what did not move is the same object in the next snapshot."""
    return snapshot.models, snapshot.scores, snapshot.boxes, snapshot.settings


def _legend(found: Sequence[Line], width: int) -> list[Text]:
    """Name the lines, with the last value of each, in as few rows as they fit into."""
    rows: list[Text] = [Text()]
    for line, mark in zip(found, marks(found)):
        entry = Text(f"{mark} ", line.colour) + Text(
            f"{words.plain(line.name, 24)} {line.points[-1].y:.3f}  ", "default"
        )
        if rows[-1].cell_len + entry.cell_len > width and rows[-1].cell_len:
            rows.append(Text())
        rows[-1].append_text(entry)
    for row in rows:
        row.truncate(max(1, width))
    return rows


def _words(found: Sequence[Line]) -> Text:
    """Say the last values where there is no room to draw."""
    return Text("  ".join(f"{words.plain(line.name, 24)} {line.points[-1].y:.3f}" for line in found))
