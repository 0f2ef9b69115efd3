"""Which learning curves are there to be shown? A line a class, their mean, and the runs of a simulation beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..store.project import Project
from .braille import Line, Point
from .snapshot import Snapshot

ARM_COLOURS = ("grey62", "grey50", "grey74")


class Effort(StrEnum):
    """What a learning curve is drawn against."""

    BOXES = "labelled boxes"
    VOXELS = "voxels of labelled boxes"
    MINUTES = "minutes of painting"

    def following(self) -> "Effort":
        listed = list(Effort)
        return listed[(listed.index(self) + 1) % len(listed)]


@dataclass(frozen=True, slots=True)
class Arm:
    """One strategy of a simulation, to compare with."""

    name: str
    points: tuple[tuple[float, float, float], ...]
    """Boxes, voxels and mean Dice after each round."""


def lines(snapshot: Snapshot, effort: Effort, arms: Sequence[Arm] = ()) -> list[Line]:
    """Return the lines to draw: the mean over classes with its interval, each class, and the arms of a simulation."""
    amounts = _amounts(snapshot, effort)
    scored = [model for model in snapshot.models if snapshot.mean_dice(model.number) is not None]
    placed = sorted((sum(amounts.get(id, 0.0) for id in model.boxes), model.number) for model in scored)
    if not placed:
        return []
    found = []
    for c in snapshot.classes[1:]:
        points = [point for x, number in placed if (point := _class_point(snapshot, number, c.value, x))]
        if points:
            found.append(Line(c.name, c.colour, tuple(points), whiskers=True))
    if len(found) > 1:
        mean = [Point(x, dice) for x, number in placed if (dice := snapshot.mean_dice(number)) is not None]
        found.insert(0, Line("mean", "bold", tuple(mean)))
    return found + [line for k, arm in enumerate(arms) if (line := _arm_line(arm, effort, k))]


def _amounts(snapshot: Snapshot, effort: Effort) -> dict[int, float]:
    """Return the effort behind each box that a model was trained on."""
    if effort == Effort.BOXES:
        return {id: 1.0 for model in snapshot.models for id in model.boxes}
    used = {id for model in snapshot.models for id in model.boxes}
    own = [box for box in snapshot.boxes if box.id in used]
    if effort == Effort.VOXELS:
        return {box.id: float(box.box.voxels) for box in own}
    return {box.id: box.seconds / 60 for box in own}


def read_arms(project: Project) -> tuple[Arm, ...]:
    """Read the simulation whose curve.csv was put into exports/ last; none when there is none that can be read."""
    from ..loop import curves
    from ..store.errors import InvalidDataError

    files = [*project.folder.glob("exports/*.csv"), *project.folder.glob("exports/*/curve.csv")]
    background = project.classes[0].name
    for file in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            points = curves.summarise(curves.read_csv(file), background)
        except (InvalidDataError, OSError, UnicodeDecodeError):
            continue
        names = list(dict.fromkeys(s.strategy for s in points))
        return tuple(
            Arm(
                f"{name} ({file.name})",
                tuple((s.x["boxes"] or 0, s.x["voxels"] or 0, s.dice) for s in points if s.strategy == name and s.dice),
            )
            for name in names
        )
    return ()


def _class_point(snapshot: Snapshot, model: int, label: int, x: float) -> Point | None:
    score = next((s for s in snapshot.scores.get(model, ()) if s.label == label), None)
    return None if score is None or score.dice is None else Point(x, score.dice, score.low, score.high)


def _arm_line(arm: Arm, effort: Effort, index: int) -> Line | None:
    if effort == Effort.MINUTES or not arm.points:
        return None  # an oracle paints in no time
    points = tuple(Point(boxes if effort == Effort.BOXES else voxels, dice) for boxes, voxels, dice in arm.points)
    return Line(arm.name, ARM_COLOURS[index % len(ARM_COLOURS)], points, dashed=True)
