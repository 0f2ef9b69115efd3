"""What of a box is looked at, and what does a preview of it show? Values that screens hand to each other."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from textual.strip import Strip

AXES = "zyx"
UNCERTAINTY = "uncertainty"
"""Title of the picture that there is only with a prediction."""
STRONGEST = 12
"""Steps of contrast to either side."""


class Depth(StrEnum):
    """How many colours the terminal shows."""

    TRUE = "true colour"
    PALETTE = "256 colours"
    PLAIN = "no colours"


def depth_of(colour_system: str | None, no_colour: bool) -> Depth:
    """Tell what may be drawn from rich's name of a colour system; 16 colours are too few for a picture.

    Where rich cannot tell, Textual writes true colours.
    """
    if no_colour:
        return Depth.PLAIN
    return {None: Depth.TRUE, "truecolor": Depth.TRUE, "256": Depth.PALETTE}.get(colour_system, Depth.PLAIN)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for: a slice of a box, drawn into so many cells."""

    box: int
    width: int
    height: int
    depth: Depth = Depth.TRUE
    axis: int = 0
    """The axis across which it is cut: 0 z, 1 y, 2 x."""
    index: int | None = None
    """The slice, counted from the box's start; None is the middle one."""
    contrast: int = 0
    """Steps of contrast, 0 being the volume's own intensities."""

    def turned(self) -> Self:
        """Look along the next axis, at its middle slice."""
        return replace(self, axis=(self.axis + 1) % 3, index=None)

    def contrasted(self, steps: int) -> Self:
        return replace(self, contrast=max(-STRONGEST, min(STRONGEST, self.contrast + steps)))


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture of a preview."""

    title: str
    note: str
    """What is said in place of a picture that is not there."""
    strips: tuple[Strip, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """Pictures of a slice, in rows and columns."""

    request: Request
    rows: tuple[tuple[Tile, ...], ...]
    width: int
    height: int
    """Cells of each picture."""
    index: int
    slices: int
    place: str
    """Where the slice lies, in physical units."""

    @property
    def lacks_prediction(self) -> bool:
        return any(tile.note for row in self.rows for tile in row if tile.title == UNCERTAINTY)
