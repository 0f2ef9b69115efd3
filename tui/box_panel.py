"""Why was the selected box proposed, where is it, and is what was painted in it saved?"""

import time
from typing import ClassVar

from textual.content import Content

from ..store.records import LabelBox, State
from . import words
from .lines_panel import LinesPanel
from .snapshot import Snapshot
from .theme import FAINT, QUIET

BAR = 20
RESERVE = "; a reserve box, to go on with while a model trains"


class BoxPanel(LinesPanel):
    """What is known of one box."""

    HELP: ClassVar[str] = """
### The selected box
Why it was proposed, where it lies, and what was painted in it. **Saved** means: the stroke is on disk, written and
synced before the page was told so. Nothing has to be saved by hand.
"""

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._snapshot: Snapshot | None = None
        self._box: int | None = None

    def on_mount(self) -> None:
        self.set_interval(1.0, self._draw)  # "saved 2 s ago" grows older

    def show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._draw()

    def choose(self, snapshot: Snapshot, box: LabelBox | None) -> None:
        self._snapshot, self._box = snapshot, box.id if box else None
        self.border_title = Content(f"Box {box.id} · {words.purpose(box)}" if box else "Box")  # type: ignore[assignment]
        self._draw()

    def _draw(self) -> None:
        if self._snapshot is None:
            return
        box = self._snapshot.box(self._box)
        self.write(facts(self._snapshot, box, time.time()) if box else Content("no box is selected").stylize(QUIET))


def facts(snapshot: Snapshot, box: LabelBox, now: float) -> Content:
    """Write what is known of a box, a line each."""
    record = snapshot.volume(box.volume)
    lines = [
        Content(words.plain(box.reason)).stylize("bold"),
        _line("priority", _priority(snapshot, box)),
        _line(
            "origin",
            Content(f"z {box.box.start[0]}  y {box.box.start[1]}  x {box.box.start[2]}  =  {_place(snapshot, box)}"),
        ),
        _line("size", Content(words.size(box.box, record))),
        _line("volume", Content(f"{words.plain(box.volume)}, round {box.round}{RESERVE if box.reserve else ''}")),
        _line("saved", _saved(snapshot, box, now)),
    ]
    if box.seconds or box.person:
        painted = f"{words.minutes(box.seconds)} of painting" if box.seconds else "not painted yet"
        lines.append(_line("by", Content(f"{words.plain(box.person or 'nobody yet', 30)}, {painted}")))
    if box.state == State.SKIPPED:
        lines.append(_line("skipped", Content(words.plain(box.why or "no reason given"))))
    seen = (
        [words.plain(p.name or "somebody", 30) for p in (snapshot.server.people or ()) if p.box == box.id]
        if snapshot.server
        else []
    )
    if seen:
        lines.append(_line("open at", Content(", ".join(seen)).stylize("$success")))
    return Content("\n").join(lines)


def _line(name: str, content: Content) -> Content:
    return Content.assemble((f"{name:<9}", QUIET), content)


def _place(snapshot: Snapshot, box: LabelBox) -> str:
    record = snapshot.volume(box.volume)
    return f"{words.place(box.box, record)} {words.unit(record)}"


def _priority(snapshot: Snapshot, box: LabelBox) -> Content:
    """Draw a box's priority among those that were ranked with it."""
    peers = [b.priority for b in snapshot.boxes if b.round == box.round and b.strategy == box.strategy]
    most, ahead = max(peers, default=0.0), sum(priority > box.priority for priority in peers)
    done, rest = words.bar(box.priority / most if most > 0 else 0.0, BAR)
    said = f"  {box.priority:.3f}, number {ahead + 1} of {len(peers)}"
    return Content.assemble((done, "$primary"), (rest, FAINT), said)


def _saved(snapshot: Snapshot, box: LabelBox, now: float) -> Content:
    saves = snapshot.saves.get(box.id)
    if saves is None:
        return Content("nothing painted yet").stylize(QUIET)
    who = f" by {words.plain(saves.person, 30)}" if saves.person else ""
    text = f"{words.counted(saves.edits, 'edit')}, the last {words.ago(saves.at, now)}{who}"
    return Content.assemble(("✔ ", "bold $success"), text)
