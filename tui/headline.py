"""Where does the project stand, in one line? Name, round, quality, boxes done, what is saved, what runs."""

from dataclasses import dataclass

from textual.content import Content

from . import words
from .one_line import OneLine
from .snapshot import Snapshot
from .theme import FAINT


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the line, and how it is said where there is little room."""

    text: str
    short: str
    style: str = ""


class Headline(OneLine):
    """The first line of the screen; where it does not fit it is said in short, and then the last parts are left out."""

    DEFAULT_CSS = """
    Headline { background: $panel; color: $foreground; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id)
        self._parts: list[Part] = []

    def show(self, snapshot: Snapshot) -> None:
        self._parts = parts(snapshot)
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        gap, texts = fit(self._parts, self.size.width - 2)
        styled = [Content(text).stylize(part.style) for text, part in zip(texts, self._parts)]
        self.write(Content(gap).stylize(FAINT).join(styled))


def fit(listed: list[Part], room: int) -> tuple[str, list[str]]:
    """Return what stands between the parts and what each says, as far as there is room for them."""
    for gap, texts in (
        ("  ·  ", [part.text for part in listed]),
        (" · ", [part.text for part in listed]),
        (" · ", [part.short for part in listed]),
    ):
        if len(gap.join(texts)) <= room:
            return gap, texts
    texts = [part.short for part in listed]
    while len(texts) > 1 and len(" · ".join(texts)) > room:
        texts.pop()
    return " · ", texts


def parts(snapshot: Snapshot) -> list[Part]:
    """List what the line says, the most telling first."""
    found = [Part(words.plain(snapshot.name, 40), words.plain(snapshot.name, 16), "bold $accent"), _round(snapshot)]
    champion = snapshot.champion
    if champion:
        scores, mean = snapshot.scores.get(champion.number, ()), snapshot.mean_dice(champion.number)
        half = words.interval(scores)
        said = "finds nothing yet" if words.blind(scores) else f"Dice {words.dice(mean)} {half}".rstrip()
        found.append(Part(f"model {champion.number}: {said}", said, "bold" if half else ""))
    if snapshot.pending:
        waits = words.counted(snapshot.pending, "stroke")
        found.append(Part(f"◌ {waits} being saved", f"◌ {snapshot.pending} saving", "$warning"))
    elif snapshot.edits:
        found.append(Part(f"✔ {words.counted(snapshot.edits, 'stroke')} saved", "✔ saved", "$success"))
    for running in snapshot.running[:1]:
        share = f"{100 * running.share:.0f} %"
        doing = running.job.kind
        if doing == "round" and running.progress:  # "round 9 %" would be taken for a round of the project
            doing = words.plain(running.progress.stage, 30)
        found.append(Part(f"▶ {doing} {share}", f"▶ {doing} {share}", "$primary"))
    current = snapshot.round
    if current:
        done, count = snapshot.progress.get(current.number, (0, 0))
        found.append(Part(f"{done} of {words.counted(count, 'box', 'boxes')} done", f"{done}/{count} done"))
    return found


def _round(snapshot: Snapshot) -> Part:
    current = snapshot.round
    if current is None:
        return Part("no round yet", "no round yet")
    planned = snapshot.settings.rounds.planned
    return Part(f"round {current.number} of {planned}, {current.state}", f"round {current.number}, {current.state}")
