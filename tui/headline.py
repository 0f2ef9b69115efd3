"""Where does the project stand, in one line? Name, round, quality, boxes done, what is saved, what runs."""

from textual.content import Content
from textual.widgets import Static

from . import words
from .snapshot import Running, Snapshot, progress_of_round
from .theme import FAINT

Part = tuple[str, str]


class Headline(Static):
    """The first line of the screen; what does not fit is left out, the least telling first."""

    DEFAULT_CSS = """
    Headline { height: 1; padding: 0 1; background: $panel; color: $foreground; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self._parts: list[Part] = []

    def show(self, snapshot: Snapshot) -> None:
        self._parts = parts(snapshot)
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        room = max(10, self.size.width - 2)
        kept: list[Part] = []
        for text, style in self._parts:
            if sum(len(t) + 3 for t, _ in kept) + len(text) <= room:
                kept.append((text, style))
            elif not kept:
                kept.append((words.plain(text, room), style))
        line = Content("  ·  " if sum(len(t) + 5 for t, _ in kept) <= room + 5 else " · ").stylize(FAINT)
        self.update(line.join([Content(text).stylize(style) for text, style in kept]))


def parts(snapshot: Snapshot) -> list[Part]:
    """List what the line says, the most telling first, each with its style."""
    found: list[Part] = [(words.plain(snapshot.name, 30), "bold $accent"), (_round(snapshot), "")]
    champion = snapshot.champion
    if champion:
        scores = snapshot.scores.get(champion.number, ())
        dice = snapshot.mean_dice(champion.number)
        said = f"Dice {words.dice(dice)} {words.interval(scores)}".rstrip()
        found.append((f"model {champion.number}: {said}", "bold" if dice is not None else ""))
    current = snapshot.round
    if current:
        done, count = progress_of_round(snapshot.boxes_of(current.number))
        found.append((f"{done} of {words.counted(count, 'box', 'boxes')} done", ""))
    if snapshot.pending:
        found.append((f"◌ {words.counted(snapshot.pending, 'stroke')} being saved", "$warning"))
    elif snapshot.edits:
        found.append((f"✔ {words.counted(snapshot.edits, 'stroke')} saved", "$success"))
    found += [_running(running) for running in snapshot.running[:1]]
    return found


def _round(snapshot: Snapshot) -> str:
    current = snapshot.round
    if current is None:
        return "no round yet"
    return f"round {current.number} of {snapshot.settings.rounds.planned}, {current.state}"


def _running(running: Running) -> Part:
    return f"▶ {running.job.kind} {100 * running.share:.0f} %", "$primary"
