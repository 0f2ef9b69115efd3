"""How are values written on screens? As plain text: nothing that a name holds is ever obeyed as markup or escape."""

import sqlite3
import time
from collections.abc import Sequence

from ..store.box import Box
from ..store.errors import ProjectError, RondelError, SpaceError
from ..store.records import LabelBox, Purpose, Score, State, VolumeRecord
from ..store.units import from_nm

NA = "n/a"
GLYPHS = {State.PROPOSED: "○", State.OPEN: "◐", State.DONE: "✔", State.SKIPPED: "–", State.DROPPED: "×"}
SHORT_UNITS = {"nanometer": "nm", "micrometer": "µm", "millimeter": "mm", "angstrom": "Å", "picometer": "pm"}
WORK = {
    "import": "reading the image",
    "round": "making the next round",
    "train": "training a model",
    "predict": "predicting",
    "rank": "choosing boxes",
    "score": "scoring a model",
    "simulate": "simulating rounds",
    "export": "exporting",
}
"""What jobs do, by their kind."""
BLOCKS = "▁▂▃▄▅▆▇█"


def plain(text: object, most: int = 0) -> str:
    """Write a text on one line with its control characters shown, not obeyed; cut to `most` characters, 0 being all."""
    written = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))
    return written if not most or len(written) <= most else f"{written[: max(0, most - 1)]}…"


def known(error: Exception) -> RondelError:
    """Return what a door met as an error that has a hint and an exit code."""
    if isinstance(error, RondelError):
        return error
    if isinstance(error, sqlite3.DatabaseError):
        return ProjectError(f"project.db cannot be used: {error}", "restore the newest file of backups/")
    if isinstance(error, OSError):
        place = error.filename or "a file"
        return SpaceError(f"{place}: {error.strerror or error}", "see that it is there and may be used")
    return RondelError(f"{type(error).__name__}: {error}")


def work(kind: str) -> str:
    """Say what a job of a kind does, in a person's words."""
    return WORK.get(kind, kind)


def state(box: LabelBox) -> str:
    return f"{GLYPHS[box.state]} {box.state}"


def duration(seconds: float | None) -> str:
    """Write a time span: 0:42, 12:03, 3 h 05."""
    if seconds is None:
        return NA
    whole = max(0, round(seconds))
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600} h {whole % 3600 // 60:02d}"


def minutes(seconds: float | None) -> str:
    """Write a time span in minutes: 2.5 min, 14 min."""
    if seconds is None:
        return NA
    return f"{seconds / 60:.1f} min" if seconds < 600 else f"{seconds / 60:.0f} min"


def ago(moment: float, now: float | None = None) -> str:
    """Say how long ago something was: 2 s ago, 5 min ago, 3 h ago, 4 d ago."""
    past = max(0.0, (time.time() if now is None else now) - moment)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if past >= size:
            return f"{past / size:.0f} {unit} ago"
    return f"{past:.0f} s ago"


def clock(moment: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(moment))


def counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def dice(value: float | None) -> str:
    return NA if value is None else f"{value:.3f}"


def interval(scores: Sequence[Score]) -> str:
    """Write the mean of the classes' intervals as ±, the way the mean Dice is a mean over classes."""
    known = [(s.high - s.low) / 2 for s in scores if s.label != 1 and s.low is not None and s.high is not None]
    return f"±{sum(known) / len(known):.3f}" if known and not blind(scores) else ""


def blind(scores: Sequence[Score]) -> bool:
    """Tell whether a model found nothing of any class but the first: its interval is nothing wide, and says nothing."""
    sought = [s for s in scores if s.label != 1 and s.dice is not None]
    return bool(sought) and all(s.dice == 0 and s.precision is None for s in sought)


def unit(record: VolumeRecord | None) -> str:
    """Return the short name of the unit in which places of a volume are shown."""
    return SHORT_UNITS.get(record.unit, record.unit) if record else "voxels"


def place(box: Box, record: VolumeRecord | None) -> str:
    """Write where a box begins, z y x, in the volume's own unit."""
    if record is None:
        return " ".join(str(v) for v in box.start)
    values = [from_nm(v * nm, record.unit) for v, nm in zip(box.start, record.spacing_nm)]
    return " ".join(_length(v) for v in values)


def size(box: Box, record: VolumeRecord | None) -> str:
    """Write a box's shape in voxels, and its size in the volume's own unit."""
    voxels = " × ".join(str(n) for n in box.shape)
    if record is None:
        return voxels
    lengths = (_length(from_nm(n * nm, record.unit)) for n, nm in zip(box.shape, record.spacing_nm))
    return f"{voxels} voxels = {' × '.join(lengths)} {unit(record)}"


def purpose(box: LabelBox) -> str:
    return "test" if box.purpose == Purpose.TEST else "reserve" if box.reserve else "train"


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw values as a line of blocks, each the mean of those that fall to it."""
    if not values or width < 1:
        return ""
    count = min(width, len(values))
    edges = [len(values) * k // count for k in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in zip(edges, edges[1:])]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    return "".join(BLOCKS[round((v - low) / span * (len(BLOCKS) - 1))] for v in means)


def bar(share: float, width: int) -> tuple[str, str]:
    """Draw how much is done, to half a cell: the part that is done and the part that is not."""
    halves = round(max(0.0, min(1.0, share)) * width * 2)
    done = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    return done, "─" * (width - len(done))


def _length(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}" if abs(value) >= 1 else f"{value:.3g}"
