"""What is in the selected box? Image, prediction, uncertainty and labels of one slice, in half-block cells."""

from dataclasses import replace
from textwrap import wrap
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from ..store.records import LabelBox
from .messages import PreviewWanted
from .snapshot import Snapshot
from .views import AXES, Preview, Request, Tile, depth_of

NO_BOX = "No box is selected. Choose one in the list of boxes to see it here."


class PreviewPanel(Widget, can_focus=True):
    """Four pictures of a slice.

    It asks for them by PreviewWanted, and is handed them by `show_preview`, or by `show_problem` why there are none.
    """

    DEFAULT_CSS = "PreviewPanel { padding: 0 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left_square_bracket", "slice(-1)", "slice −", key_display="["),
        Binding("right_square_bracket", "slice(1)", "slice +", key_display="]"),
        Binding("x", "turn", "axis"),
        Binding("minus", "contrast(-1)", "contrast −", key_display="-", show=False),
        Binding("plus,equals_sign", "contrast(1)", "contrast +", key_display="+", show=False),
        Binding("pageup", "slice(-8)", "8 slices back", show=False),
        Binding("pagedown", "slice(8)", "8 slices on", show=False),
        Binding("0", "reset", "middle slice, own contrast", show=False),
    ]
    HELP: ClassVar[str] = """
### Preview
Image, prediction, uncertainty and labels of one slice of the selected box.

- `[` `]` a slice back and on, page up and page down eight of them, or the mouse wheel
- `x` cuts across the next axis
- `-` `+` contrast, `0` back to the middle slice and the volume's own contrast
"""
    box: reactive[LabelBox | None] = reactive(None)
    request: reactive[Request | None] = reactive(None)
    """What is asked for now; None while there is no box or no place."""
    preview: reactive[Preview | None] = reactive(None)
    problem: reactive[str] = reactive("")
    """Why there is no preview, in one line."""

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._state: tuple = ()

    def show(self, snapshot: Snapshot) -> None:
        """Look again when the box's labels or its prediction are others by now."""
        box = snapshot.box(self.box.id) if self.box else None
        state = self._depends(snapshot, box)
        if box is not None and state != self._state:
            self.box, self._state = box, state
            if self.request is not None:
                self.post_message(PreviewWanted(self.request))

    def choose(self, snapshot: Snapshot, box: LabelBox | None) -> None:
        """Show another box."""
        self._state = self._depends(snapshot, box)
        if box is not None and self.box is not None and box.id == self.box.id:
            self.box = box
            return
        axis = self.request.axis if self.request else 0
        self.box, self.preview, self.problem = box, None, ""
        self._ask(None if box is None else self._blank(box, axis))

    def _depends(self, snapshot: Snapshot, box: LabelBox | None) -> tuple:
        """Return what a preview depends on beside the request; on tiles only as long as there is no prediction."""
        saves, champion = snapshot.saves.get(box.id) if box else None, snapshot.champion
        predicted = self.preview is not None and not self.preview.lacks_prediction
        tiles = None if predicted else snapshot.changes.get("tile")
        return saves, snapshot.pending, champion.number if champion else None, tiles

    def show_preview(self, preview: Preview) -> None:
        """Show what was asked for; an answer to what is no longer asked for is left aside."""
        if preview.request == self.request:
            self.preview, self.problem = preview, ""

    def show_problem(self, request: Request, text: str) -> None:
        if request == self.request:
            self.preview, self.problem = None, text

    def action_slice(self, steps: int) -> None:
        if self.request is None or self.box is None:
            return
        slices = self.box.box.shape[self.request.axis]
        now = slices // 2 if self.request.index is None else self.request.index
        self._ask(replace(self.request, index=max(0, min(slices - 1, now + steps))))

    def action_turn(self) -> None:
        if self.request is not None:
            self._ask(self.request.turned())

    def action_contrast(self, steps: int) -> None:
        if self.request is not None:
            self._ask(self.request.contrasted(steps))

    def action_reset(self) -> None:
        if self.request is not None:
            self._ask(replace(self.request, index=None, contrast=0))

    def on_resize(self, event: events.Resize) -> None:
        if self.box is None:
            return
        if self.request is None:
            self._ask(self._blank(self.box, 0))
        else:
            self._ask(replace(self.request, width=self.size.width, height=self.size.height))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_slice(-1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_slice(1)

    def watch_box(self, box: LabelBox | None) -> None:
        self.border_title = "Preview" if box is None else f"Preview · box {box.id}"

    def watch_preview(self, preview: Preview | None) -> None:
        if preview is None:
            self.border_subtitle = ""
            return
        contrast = f" · contrast {preview.request.contrast:+d}" if preview.request.contrast else ""
        slices = f"{AXES[preview.request.axis]} {preview.index + 1} of {preview.slices}"
        self.border_subtitle = f"{slices} · {preview.place}{contrast}"

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if self.preview is None:
            return self._words(y, width)
        row, line = divmod(y, self.preview.height + 1)
        if row >= len(self.preview.rows):
            return Strip.blank(width, self.rich_style)
        gap = Strip.blank(1, self.rich_style)
        parts: list[Strip] = []
        for tile in self.preview.rows[row]:
            parts += [self._tile_line(tile, line, self.preview.width), gap]
        return Strip.join(parts).adjust_cell_length(width, self.rich_style)

    def _tile_line(self, tile: Tile, line: int, width: int) -> Strip:
        style = self.rich_style
        if line == 0:
            title = Segment(tile.title, style + Style(bold=True))
            return Strip([title]).adjust_cell_length(width, style)
        if tile.note:
            words = _wrapped(tile.note, width)
            text = words[line - 1] if line - 1 < len(words) else ""
            return Strip([Segment(text, style + Style(dim=True))]).adjust_cell_length(width, style)
        if line - 1 < len(tile.strips):
            strip = tile.strips[line - 1]
            if not strip or next(iter(strip)).style is None:  # no colours: characters in the panel's own style
                strip = strip.apply_style(style)
            return strip.adjust_cell_length(width, style)
        return Strip.blank(width, style)

    def _words(self, y: int, width: int) -> Strip:
        """Say in a few lines why there is no picture."""
        text = NO_BOX if self.box is None else self.problem or "reading …"
        words = _wrapped(text, width)
        line = words[y] if y < len(words) else ""
        return Strip([Segment(line, self.rich_style + Style(dim=True))]).adjust_cell_length(width, self.rich_style)

    def _blank(self, box: LabelBox, axis: int) -> Request | None:
        if self.size.width < 2 or self.size.height < 2:
            return None
        depth = depth_of(self.app.console.color_system, self.app.no_color)
        return Request(box.id, self.size.width, self.size.height, depth, axis)

    def _ask(self, request: Request | None) -> None:
        if request != self.request:
            self.request = request
            if request is not None:
                self.post_message(PreviewWanted(request))


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(text, max(1, width - 1))
