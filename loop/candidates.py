"""Where may a box lie, and what do the bins say of it?

Boxes lie on the bin grid, half a box apart, so that a box is a whole number of bins and its scores are exact sums of
theirs. A volume is gone through in slabs one box thick, and wide ones in strips: memory holds the bins of one strip,
however large the volume is.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from ..store.box import ZYX, Box
from ..store.errors import UsageError
from ..store.maps import Bins

CONSTANT = 1e-4
"""A bin whose normalised intensities deviate less than this holds padding; one differing voxel in a bin is more."""
STRIP = 1 << 19
"""Positions that are looked at together."""
BLANK_SHARE = 0.5
CONSTANT_SHARE = 0.25
"""Dark fluorescence has single constant bins inside tissue (1.5 % of vessel_2p's), so one of them is no padding yet."""


@dataclass(frozen=True, slots=True)
class BinTable:
    """The bins of one volume, and where in it boxes may be proposed."""

    volume: str
    shape: ZYX
    bin: ZYX
    names: tuple[str, ...]
    values: np.ndarray | Bins
    """Statistics (name, z, y, x) of any float dtype, in memory or in a file."""
    region: Box
    taken: tuple[Box, ...]
    """Boxes that no proposal may overlap."""
    known: tuple[Box, ...] = ()
    """Boxes that teach a model, or will once they are labelled."""

    @property
    def labels(self) -> tuple[int, ...]:
        """Return the label values other than class 1 whose fraction is known."""
        found = (int(n.partition(":")[2]) for n in self.names if n.startswith("fraction:"))
        return tuple(label for label in found if label != 1)


@dataclass(frozen=True, slots=True)
class Grid:
    """The positions that a box may take: the product of the starts along each axis."""

    box: ZYX
    """Shape of a box, cut to the volume where that is thinner."""
    starts: tuple[np.ndarray, np.ndarray, np.ndarray]

    @property
    def shape(self) -> ZYX:
        z, y, x = (len(s) for s in self.starts)
        return z, y, x

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    def at(self, index: Sequence[int]) -> Box:
        return Box.at([int(starts[i]) for starts, i in zip(self.starts, index)], self.box)


@dataclass(frozen=True, slots=True)
class Slab:
    """Candidates that start at the same z, with their means over the box."""

    box: ZYX
    starts: np.ndarray  # (M, 3)
    entropy: np.ndarray  # (M,)
    fractions: np.ndarray  # (labels, M)

    def take(self, rows: np.ndarray) -> Self:
        return type(self)(self.box, self.starts[rows], self.entropy[rows], self.fractions[:, rows])


def grid(shape: Sequence[int], region: Box, box: Sequence[int], bins: Sequence[int]) -> Grid:
    """Lay boxes on the bin grid inside the region; raises UsageError when a box is no whole number of bins."""
    region = region.intersect(Box.of_shape(shape))
    z, y, x = (min(b, n) for b, n in zip(box, shape))
    axes = zip(shape, region.start, region.stop, box, bins)
    starts = [_axis_starts(length, low, high, size, step) for length, low, high, size, step in axes]
    return Grid((z, y, x), (starts[0], starts[1], starts[2]))


def candidates(table: BinTable, box: Sequence[int], blank: float) -> Iterator[Slab]:
    """Yield the boxes that may be proposed, slab by slab.

    Left out: what is not predicted to the last voxel, what overlaps a taken box, and dull boxes.
    """
    places = grid(table.shape, table.region, box, table.bin)
    if not places.count:
        return
    axes = zip(places.starts, places.box, table.shape, table.bin)
    z, y, x = [_Window.of(*axis) for axis in axes]
    rows = max(STRIP // len(places.starts[2]), 1)
    for deep, low in itertools.product(range(places.shape[0]), range(0, places.shape[1], rows)):
        strip = slice(low, low + rows)
        yield _strip(table, places, (z[deep : deep + 1], y[strip], x), (deep, strip), blank)


def features(table: BinTable, box: Box) -> np.ndarray | None:
    """Average the network's features (F,) over what is predicted of a box on any voxels; None where nothing is.

    Raises UsageError when the map was made before bins held features.
    """
    rows = [row for row, name in enumerate(table.names) if name.startswith("feature:")]
    if not rows:
        raise UsageError(
            f"the map of '{table.volume}' was made before bins held features, by which boxes are told apart",
            f"remove the folder maps/{table.volume} of the project, so that it is predicted again",
        )
    within = box.snap_outwards(table.bin).intersect(Box.of_shape(table.shape))
    cells = [slice(a // step, -(-b // step)) for a, b, step in zip(within.start, within.stop, table.bin)]
    valid, *found = table.values[[table.names.index("valid"), *rows], *cells].astype(np.float64)
    axes = zip(cells, table.bin, box.start, box.stop)
    z, y, x = (np.diff(np.clip(np.arange(c.start, c.stop + 1) * step, a, b)) for c, step, a, b in axes)
    weights = valid * z[:, None, None] * y[:, None] * x
    return np.tensordot(found, weights, 3) / weights.sum() if weights.any() else None


def dull(blank: np.ndarray | float, constant: np.ndarray | float) -> np.ndarray:
    """Tell which boxes are mostly blank or hold padding, from their shares of blank and of constant bins."""
    return (np.asarray(blank) > BLANK_SHARE) | (np.asarray(constant) > CONSTANT_SHARE)


def overlapping(starts: np.ndarray, shapes: np.ndarray | Sequence[int], box: Box) -> np.ndarray:
    """Tell which of the boxes with these starts (M, 3) and shapes overlap one box."""
    return np.all((starts < np.array(box.stop)) & (np.array(box.start) < starts + np.asarray(shapes)), axis=1)


def _axis_starts(length: int, low: int, high: int, box: int, step: int) -> np.ndarray:
    if box >= length:  # the box is cut to the volume, so it needs all of the axis
        return np.arange(1 if (low, high) == (0, length) else 0)
    if box % step:
        raise UsageError(f"a box {box} voxels long is no whole number of bins of {step}", "predict again with this box")
    first, last = -(-low // step), (high - box) // step
    if last < first:
        return np.arange(0)
    stride = max(box // step // 2, 1)
    return np.union1d(np.arange(first, last + 1, stride), [last]) * step


@dataclass(frozen=True, slots=True)
class _Window:
    """Along one axis: the bins of each box, and how many voxels of the volume each bin holds."""

    first: np.ndarray
    last: np.ndarray
    voxels: np.ndarray

    @classmethod
    def of(cls, starts: np.ndarray, box: int, length: int, step: int) -> Self:
        edges = np.minimum(np.arange(-(-length // step) + 1) * step, length)
        return cls(starts // step, -(-(starts + box) // step), np.diff(edges).astype(float))

    def __getitem__(self, boxes: slice) -> Self:
        return type(self)(self.first[boxes], self.last[boxes], self.voxels)

    @property
    def span(self) -> slice:
        """Return the bins that any of the boxes holds."""
        return slice(int(self.first[0]), int(self.last[-1]))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum over the first axis of values, the bins of the span, for each box."""
        whole = np.zeros((len(values) + 1, *values.shape[1:]))
        np.cumsum(values, 0, out=whole[1:])
        low = self.first[0]
        return whole[self.last - low] - whole[self.first - low]


def _strip(
    table: BinTable, places: Grid, windows: tuple[_Window, _Window, _Window], index: tuple[int, slice], blank: float
) -> Slab:
    """Look at the boxes that start at one z and within a range of y."""
    means = _means(table, windows, blank)
    z, ys, xs = places.starts[0][index[0]], places.starts[1][index[1]], places.starts[2]
    allowed = (means["valid"] > 1 - 1e-6) & ~dull(means["blank"], means["constant"])
    allowed &= ~_covered(places.box, int(z), ys, xs, table.taken)
    y, x = np.nonzero(allowed)
    starts = np.stack([np.full(len(y), z), ys[y], xs[x]], 1)
    fractions = [means[f"fraction:{label}"][y, x] for label in table.labels]
    return Slab(places.box, starts, means["entropy"][y, x], np.array(fractions).reshape(len(fractions), len(y)))


def _means(table: BinTable, windows: tuple[_Window, _Window, _Window], blank: float) -> dict[str, np.ndarray]:
    """Average what ranking needs over every box (y, x) of a strip; blank and constant are shares of bins."""
    z, y, x = windows
    deep, area = z.voxels[z.span], y.voxels[y.span, None] * x.voxels[x.span]
    voxels = deep.sum() * np.outer(y.sums(y.voxels[y.span]), x.sums(x.voxels[x.span]))

    def over_boxes(bins: np.ndarray) -> np.ndarray:
        plane = np.tensordot(deep, bins, 1) * area
        return x.sums(y.sums(plane).T).T / voxels

    wanted = ["valid", "entropy", *(f"fraction:{label}" for label in table.labels)]
    rows = [table.names.index(name) for name in ("deviation", *wanted)]
    deviation, *found = table.values[rows, z.span, y.span, x.span]
    means = {"blank": over_boxes(deviation < blank), "constant": over_boxes(deviation < CONSTANT)}
    return means | {name: over_boxes(values.astype(np.float64)) for name, values in zip(wanted, found)}


def _covered(box: ZYX, z: int, ys: np.ndarray, xs: np.ndarray, taken: Sequence[Box]) -> np.ndarray:
    """Tell which boxes of one strip overlap a taken box."""
    covered = np.zeros((len(ys), len(xs)), bool)
    for other in taken:
        if other.start[0] < z + box[0] and z < other.stop[0]:
            y, x = (
                (starts < other.stop[axis]) & (other.start[axis] < starts + box[axis])
                for axis, starts in ((1, ys), (2, xs))
            )
            covered |= np.outer(y, x)
    return covered
