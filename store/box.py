"""What is a region? Boxes of voxels, and the tiles by which a region is computed exactly.

Coordinates are voxels of a volume's working level, axes z, y, x, half-open.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from .errors import UsageError

if TYPE_CHECKING:
    import numpy as np

ZYX = tuple[int, int, int]


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """A half-open integer region, axes z, y, x: `start` is inside, `stop` is not.

    >>> Box((0, 0, 0), (4, 8, 8)).shape
    (4, 8, 8)
    """

    start: ZYX
    stop: ZYX

    def __post_init__(self) -> None:
        start = tuple(int(v) for v in self.start)
        stop = tuple(int(v) for v in self.stop)
        if len(start) != 3 or len(stop) != 3:
            raise UsageError(f"a box needs three axes z, y, x, got {start} to {stop}")
        if any(b < a for a, b in zip(start, stop)):
            raise UsageError(f"box {start} to {stop} stops before it starts")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "stop", stop)

    @classmethod
    def of_shape(cls, shape: Sequence[int]) -> Self:
        """Make the box of a whole array of this shape (z, y, x)."""
        return cls((0, 0, 0), _zyx(shape))

    @classmethod
    def at(cls, start: Sequence[int], shape: Sequence[int]) -> Self:
        """Make the box of this shape that starts here."""
        return cls(_zyx(start), _zyx([a + n for a, n in zip(start, shape)]))

    @classmethod
    def parse(cls, text: str, shape: Sequence[int]) -> Self:
        """Read `z0:z1,y0:y1,x0:x1` against a volume's shape; a bare `:` is the whole axis.

        Raises UsageError when it is no such text, or reaches outside the volume.
        """
        parts = text.replace(" ", "").split(",")
        hint = f"write it as z0:z1,y0:y1,x0:x1 within {','.join(f'0:{n}' for n in shape)}; ':' is the whole axis"
        if len(parts) != 3 or any(p.count(":") != 1 for p in parts):
            raise UsageError(f"region '{text}' is not three ranges", hint)
        try:
            pairs = [[int(v) if v else d for v, d in zip(p.split(":"), (0, n))] for p, n in zip(parts, shape)]
        except ValueError:
            raise UsageError(f"region '{text}' holds something that is not a whole number", hint) from None
        if any(not 0 <= a < b <= n for (a, b), n in zip(pairs, shape)):
            raise UsageError(f"region '{text}' is empty or outside the volume", hint)
        return cls(_zyx([a for a, _ in pairs]), _zyx([b for _, b in pairs]))

    @property
    def shape(self) -> ZYX:
        return _zyx([b - a for a, b in zip(self.start, self.stop)])

    @property
    def voxels(self) -> int:
        return math.prod(self.shape)

    @property
    def empty(self) -> bool:
        return self.voxels == 0

    @property
    def centre(self) -> tuple[float, float, float]:
        z, y, x = ((a + b - 1) / 2 for a, b in zip(self.start, self.stop))
        return z, y, x

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        z, y, x = (slice(a, b) for a, b in zip(self.start, self.stop))
        return z, y, x

    def contains(self, other: "Box") -> bool:
        return all(a <= c and d <= b for a, b, c, d in zip(self.start, self.stop, other.start, other.stop))

    def intersect(self, other: "Box") -> "Box":
        """Return what both cover; an empty box where they do not meet."""
        start = _zyx([max(a, b) for a, b in zip(self.start, other.start)])
        stop = _zyx([max(s, min(a, b)) for s, a, b in zip(start, self.stop, other.stop)])
        return Box(start, stop)

    def overlaps(self, other: "Box") -> bool:
        return all(a < d and c < b for a, b, c, d in zip(self.start, self.stop, other.start, other.stop))

    def grow(self, margin: Sequence[int]) -> "Box":
        """Move every face outwards by `margin` (z, y, x) voxels."""
        return Box(_zyx([a - m for a, m in zip(self.start, margin)]), _zyx([b + m for b, m in zip(self.stop, margin)]))

    def shift(self, offset: Sequence[int]) -> "Box":
        return Box(_zyx([a + o for a, o in zip(self.start, offset)]), _zyx([b + o for b, o in zip(self.stop, offset)]))

    def relative_to(self, outer: "Box") -> "Box":
        """Give this box in coordinates whose origin is the start of `outer`."""
        return self.shift([-a for a in outer.start])

    def snap_outwards(self, grid: Sequence[int]) -> "Box":
        """Grow to the smallest box around this one whose faces lie on multiples of `grid`."""
        return Box(
            _zyx([a // g * g for a, g in zip(self.start, grid)]),
            _zyx([-(-b // g) * g for b, g in zip(self.stop, grid)]),
        )

    def coarsen(self, grid: Sequence[int]) -> "Box":
        """Give this box in cells of `grid`, grown to whole ones."""
        return Box(
            _zyx([a // g for a, g in zip(self.start, grid)]),
            _zyx([-(-b // g) for b, g in zip(self.stop, grid)]),
        )

    def __str__(self) -> str:
        return ",".join(f"{a}:{b}" for a, b in zip(self.start, self.stop))


@dataclass(frozen=True, slots=True)
class Tile:
    """A piece of work: `write` is computed by this tile alone, `read` is what it has to look at.

    read   ┌─────────────┐   snapped to the network's strides, may reach past the volume,
    write  │   ┌─────┐   │   where the image is continued by reflection
           │   └─────┘   │
           └─────────────┘
    """

    write: Box
    read: Box

    @property
    def inner(self) -> Box:
        """Return the write box in coordinates of the read box."""
        return self.write.relative_to(self.read)


def tiles(
    shape: Sequence[int], region: Box, write: Sequence[int], context: Sequence[int], stride: Sequence[int]
) -> Iterator[Tile]:
    """Cut `region` of a volume of `shape` into tiles that give the same answer as one whole pass.

    `write` is the tile grid's pitch; write boxes lie on that grid (clipped to the region), so that no chunk of a
    grid that divides it has two writers. Read boxes are grown by `context`, clipped to the volume and then snapped
    outwards to `stride` (the product of the network's strides): a tile that starts off that grid pools other voxels
    together than the whole pass does. The part past the volume's end is to be filled by reflection.
    """
    region = region.intersect(Box.of_shape(shape))
    if region.empty:
        return
    first, last = region.start, region.stop
    ranges = [range(a // w, -(-b // w)) for a, b, w in zip(first, last, write)]
    for index in itertools.product(*ranges):
        cell = Box.at([i * w for i, w in zip(index, write)], write).intersect(region)
        read = cell.grow(context).intersect(Box.of_shape(shape)).snap_outwards(stride)
        yield Tile(cell, read)


def occupancy(box: Box, others: Sequence[Box]) -> "np.ndarray":
    """Return a bool array of the box's shape, true where any of `others` covers it."""
    import numpy as np

    covered = np.zeros(box.shape, bool)
    for other in others:
        common = other.intersect(box)
        if not common.empty:
            covered[common.relative_to(box).slices] = True
    return covered


def _zyx(values: Sequence[int]) -> ZYX:
    z, y, x = (int(v) for v in values)
    return z, y, x
