"""Which voxels does a brush stroke cover? A pure rule that the page follows too, bit by bit.

Coordinates are voxels of the label box, float64, axes z, y, x, a voxel's centre at its integer index. Distances are in
units of the smallest spacing, so that a sphere is round in space; a flat disc leaves one axis out. The page paints by
the same formula before the server has answered: the order of the operations is part of the rule, since both must
round alike. `tests/raster_cases.json` holds strokes that both are tested with.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ..store.box import ZYX, Box
from .capsule import near

Point = Sequence[float]


def weights(spacing: Sequence[float]) -> tuple[float, float, float]:
    """Return the size of a voxel along z, y, x in units of the smallest spacing."""
    smallest = min(spacing)
    z, y, x = (s / smallest for s in spacing)
    return z, y, x


def rasterise(
    shape: ZYX, spacing: Sequence[float], points: Sequence[Point], radius: float, plane: int | None
) -> tuple[Box, np.ndarray]:
    """Return the stroke's bounding region, clipped to the box, and the mask of its voxels in it (bool, Z, Y, X).

    A stroke covers all within `radius` of the line through its points. With a plane it is a flat disc in the slice
    of the first point, perpendicular to that axis. The region is empty where the stroke misses the box.
    """
    w = weights(spacing)
    parts = [(a, b, segment_region(shape, w, points[0], a, b, radius, plane)) for a, b in segments(points)]
    region = union([part for _, _, part in parts])
    mask = np.zeros(region.shape, bool)
    for a, b, part in parts:
        view = mask[part.relative_to(region).slices]
        if not view.all():
            view |= near(part, w, a, b, radius, plane)
    return region, mask


def work(shape: ZYX, spacing: Sequence[float], points: Sequence[Point], radius: float, plane: int | None) -> int:
    """Count the voxels that have to be looked at, which is what a stroke costs."""
    w = weights(spacing)
    return sum(segment_region(shape, w, points[0], a, b, radius, plane).voxels for a, b in segments(points))


def segments(points: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    """Yield the first point by itself, then each pair of neighbours."""
    yield points[0], points[0]
    yield from zip(points, points[1:])


def segment_region(
    shape: ZYX, w: Sequence[float], first: Point, a: Point, b: Point, radius: float, plane: int | None
) -> Box:
    """Return a box around all that a segment can cover, clipped to the label box; an empty one where that is nothing.

    `first` is the stroke's first point: it alone says in which slice a flat stroke lies.
    """
    start, stop = [0, 0, 0], [0, 0, 0]
    for i in range(3):
        low = math.floor(min(a[i], b[i]) - radius / w[i])
        high = math.ceil(max(a[i], b[i]) + radius / w[i]) + 1
        if i == plane:
            low = math.floor(first[i] + 0.5)
            high = low + 1
        start[i], stop[i] = max(0, low), min(shape[i], high)
    if any(high <= low for low, high in zip(start, stop)):
        return Box((0, 0, 0), (0, 0, 0))
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def union(boxes: Sequence[Box]) -> Box:
    """Return the smallest box around those that are not empty."""
    there = [box for box in boxes if not box.empty]
    if not there:
        return Box((0, 0, 0), (0, 0, 0))
    z0, y0, x0 = (min(box.start[i] for box in there) for i in range(3))
    z1, y1, x1 = (max(box.stop[i] for box in there) for i in range(3))
    return Box((z0, y0, x0), (z1, y1, x1))
