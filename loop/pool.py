"""Which part of a volume is predicted for a ranking, where all of it would take too long?

A round must not cost more the larger the volume is. So a volume is cut into cells of whole chunks, and cells are drawn
in an order of which every beginning is spread evenly over the region (Halton's sequence, Numerische Mathematik 2, 1960,
scrambled by the seed): the drawing may end at a number of voxels, or when the time is up.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ..store.box import ZYX, Box

CELLS = 24
"""A pool is cut into at least so many cells, so that they are spread over the volume rather than one corner of it."""


def cell_shape(chunks: Sequence[int], region: Box, voxels: int) -> ZYX:
    """Return the shape of a cell: whole chunks, as large as CELLS of them fit the pool; larger ones waste less context.

    Axes grow in turn, the shortest first, and none beyond the region.
    """
    cell = [int(n) for n in chunks]
    while True:
        longer = [axis for axis in range(3) if cell[axis] < region.shape[axis]]
        if not longer:
            break
        axis = min(longer, key=lambda a: cell[a])
        grown = [n + chunks[a] * (a == axis) for a, n in enumerate(cell)]
        if math.prod(grown) * CELLS > voxels:
            break
        cell = grown
    z, y, x = cell
    return z, y, x


def cells(region: Box, cell: Sequence[int], seed: int) -> Iterator[Box]:
    """Yield every cell of the region once, each beginning of them spread over it; borders are cut to the region."""
    from scipy.stats import qmc

    low = [a // n for a, n in zip(region.start, cell)]
    counts = [-(-b // n) - a for a, b, n in zip(low, region.stop, cell)]
    total, seen = math.prod(counts), np.zeros(math.prod(counts), bool)
    points = qmc.Halton(3, rng=np.random.default_rng(seed))
    while seen.sum() < total // 2:
        for place in (points.random(64) * counts).astype(int):
            index = int(np.ravel_multi_index(tuple(place), counts))
            if not seen[index]:
                seen[index] = True
                yield _cell(region, cell, low, place)
    for index in np.random.default_rng(seed).permutation(np.flatnonzero(~seen)):  # few are left to hit: in any order
        yield _cell(region, cell, low, np.unravel_index(index, counts))


def _cell(region: Box, cell: Sequence[int], low: Sequence[int], place: Sequence[int]) -> Box:
    return Box.at([(a + int(i)) * n for a, i, n in zip(low, place, cell)], cell).intersect(region)
