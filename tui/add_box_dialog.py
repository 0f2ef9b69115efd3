"""Which region becomes a label box by hand? Coordinates, or what the page shows at its centre."""

from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Select, Static

from ..store.box import ZYX, Box
from ..store.errors import UsageError
from ..store.records import LabelBox, VolumeRecord
from . import actions, words
from .dialogs import FRAME
from .messages import Act
from .snapshot import Person, Snapshot
from .toggles import Tick

USUAL: ZYX = (32, 32, 32)


class AddBoxDialog(ModalScreen[Act | None]):
    """Ask for a region; the answer is the action that adds it."""

    BINDINGS = [("escape", "leave", "leave it")]
    DEFAULT_CSS = f"""
    AddBoxDialog {{ {FRAME}
        Select {{ margin-top: 1; }}
        Tick {{ margin-top: 1; border: none; padding: 0; background: transparent; }}
    }}
    """

    def __init__(self, snapshot: Snapshot, near: LabelBox | None) -> None:
        """`near` is the selected box: its volume is the one that is offered."""
        super().__init__()
        self.snapshot, self.near = snapshot, near
        self.page = _own_page(snapshot)

    def compose(self) -> ComposeResult:
        names = [record.name for record in self.snapshot.volumes]
        offered = self.page.volume if self.page else self.near.volume if self.near else names[0]
        with Vertical():
            yield Static("Add a box by hand: its region, or the voxel at its centre")
            if len(names) > 1:
                options = [(words.plain(name, 40), name) for name in names]
                yield Select(options, value=offered if offered in names else names[0], allow_blank=False, compact=True)
            yield Input(self._around_page(), placeholder="z0:z1,y0:y1,x0:x1   or   z,y,x", compact=True)
            yield Tick("a test box: scored on, never trained on", compact=True)
            yield Static(classes="hint")

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._explain()

    def action_leave(self) -> None:
        self.dismiss(None)

    @on(Input.Changed)
    @on(Select.Changed)
    def _explain(self) -> None:
        """Say what would be added, or what is wrong with it."""
        keys = Content.assemble(("enter", "bold $accent"), " add it    ", ("escape", "bold $accent"), " leave it")
        try:
            said = Content(words.size(self._region(), self._record))
        except UsageError as error:
            said = Content(words.plain(error)).stylize("$warning")
        self.query_one(".hint", Static).update(Content.assemble(said, "\n", keys))

    @on(Input.Submitted)
    def _add(self) -> None:
        try:
            region = str(self._region())
        except UsageError:
            return  # the hint says what is wrong
        test = self.query_one(Tick).value
        self.dismiss(Act(partial(actions.add_box, volume=self._record.name, region=region, test=test)))

    @property
    def _record(self) -> VolumeRecord:
        chosen = self.query(Select)
        name = chosen.first().value if chosen else self.snapshot.volumes[0].name
        return next(record for record in self.snapshot.volumes if record.name == name)

    def _region(self) -> Box:
        return read_region(self.query_one(Input).value, self._record, self._shape(self._record))

    def _shape(self, record: VolumeRecord) -> ZYX:
        """Return the shape that boxes of a volume have, by the setting or by those that are there."""
        set_shape = self.snapshot.settings.boxes.shape
        if set_shape != "auto":
            return set_shape
        return next((box.box.shape for box in reversed(self.snapshot.boxes) if box.volume == record.name), USUAL)

    def _around_page(self) -> str:
        """Return the region around what the person's page shows at its centre, where the server says that."""
        record = self.snapshot.volume(self.page.volume) if self.page else None
        if self.page is None or self.page.position is None or record is None:
            return ""
        return str(actions.region_around(self.page.position, self._shape(record), record.shape))


def read_region(text: str, record: VolumeRecord, shape: ZYX) -> Box:
    """Read a region, or a centre around which a box of this shape is laid; raises UsageError."""
    parts = text.replace(" ", "").split(",")
    if len(parts) == 3 and all(part.isdecimal() and len(part) < 12 for part in parts):
        centre = (int(parts[0]), int(parts[1]), int(parts[2]))
        if not all(c < n for c, n in zip(centre, record.shape)):
            raise UsageError(f"voxel {text} lies outside '{record.name}'", f"its shape is {record.shape}")
        return actions.region_around(centre, shape, record.shape)
    return Box.parse(text, record.shape)


def _own_page(snapshot: Snapshot) -> Person | None:
    """Return the page that the person at these screens has open, or the only one that is."""
    people = (snapshot.server.people or ()) if snapshot.server else ()
    own = [person for person in people if person.name == snapshot.person] or list(people)
    return own[0] if own else None
