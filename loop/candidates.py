"""Where may a box lie, and what do the bins say of it?

Boxes lie on the bin grid, half a box apart, so that a box is a whole number of bins and its scores are exact sums of
theirs. A volume is gone through in slabs one box thick: memory holds one slab of bins, however large the volume is.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..store.box import ZYX, Box
from ..store.errors import UsageError

CONSTANT = 1e-4
"""A bin whose normalised intensities deviate less than this holds padding; one differing voxel in a bin is more."""
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
    values: np.ndarray
    """Statistics (name, z, y, x) of any float dtype; a memory map will do."""
    region: Box
    taken: tuple[Box, ...]
    """Boxes that no proposal may overlap."""

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
    windows = [_Window(starts, size, length, step) for starts, size, length, step in axes]
    for z, first, last in zip(places.starts[0], windows[0].first, windows[0].last):
        means = _means(table, slice(first, last), windows, blank)
        allowed = (means["valid"] > 1 - 1e-6) & ~dull(means["blank"], means["constant"])
        allowed &= ~_covered(places, int(z), table.taken)
        y, x = np.nonzero(allowed)
        starts = np.stack([np.full(len(y), z), places.starts[1][y], places.starts[2][x]], 1)
        fractions = [means[f"fraction:{label}"][y, x] for label in table.labels]
        yield Slab(places.box, starts, means["entropy"][y, x], np.array(fractions).reshape(len(fractions), len(y)))


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


class _Window:
    """Along one axis: the bins of each box, and how many voxels of the volume each bin holds."""

    def __init__(self, starts: np.ndarray, box: int, length: int, step: int) -> None:
        self.first = starts // step
        self.last = -(-(starts + box) // step)
        edges = np.minimum(np.arange(-(-length // step) + 1) * step, length)
        self.voxels = np.diff(edges).astype(float)


def _means(table: BinTable, slab: slice, windows: Sequence[_Window], blank: float) -> dict[str, np.ndarray]:
    """Average what ranking needs over every box that starts in this slab; blank and constant are shares of bins."""

    def over_boxes(bins: np.ndarray) -> np.ndarray:
        plane = np.tensordot(windows[0].voxels[slab], bins, 1) * windows[1].voxels[:, None] * windows[2].voxels
        return _box_sums(plane, windows[1], windows[2])

    wanted = ["valid", "entropy", *(f"fraction:{label}" for label in table.labels)]
    sums = {name: over_boxes(_read(table, name, slab)) for name in wanted}
    deviation = _read(table, "deviation", slab)
    sums |= {"blank": over_boxes(deviation < blank), "constant": over_boxes(deviation < CONSTANT)}
    voxels = over_boxes(np.ones(deviation.shape))
    return {name: total / voxels for name, total in sums.items()}


def _read(table: BinTable, name: str, slab: slice) -> np.ndarray:
    return np.asarray(table.values[table.names.index(name), slab], np.float64)


def _box_sums(plane: np.ndarray, rows: _Window, columns: _Window) -> np.ndarray:
    """Sum a plane over every pair of a row and a column window, by its integral image."""
    integral = np.zeros((plane.shape[0] + 1, plane.shape[1] + 1))
    integral[1:, 1:] = plane.cumsum(0).cumsum(1)
    strips = integral[rows.last] - integral[rows.first]
    return strips[:, columns.last] - strips[:, columns.first]


def _covered(places: Grid, z: int, taken: Sequence[Box]) -> np.ndarray:
    """Tell which boxes of one slab overlap a taken box."""
    covered = np.zeros(places.shape[1:], bool)
    for box in taken:
        if box.start[0] < z + places.box[0] and z < box.stop[0]:
            y, x = (
                (starts < box.stop[axis]) & (box.start[axis] < starts + places.box[axis])
                for axis, starts in zip((1, 2), places.starts[1:])
            )
            covered |= np.outer(y, x)
    return covered
