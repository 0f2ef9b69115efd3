"""Which voxels lie within a radius of a line segment? The brush's rule for one segment, and a shortcut for large ones.

Along a row of voxels the answer is one run, since the shape is convex. For large regions the run's ends are computed
for a slightly larger and a slightly smaller radius: between the two, and only there, the rule itself is asked.

    row   . . . ? # # # # # # # # # ? . .     # surely inside   ? asked   . surely outside
"""

from collections.abc import Sequence

import numpy as np

from ..store.box import Box

Point = Sequence[float]

DOUBT = 1e-6
"""Distance within which rounding could tell; what is computed here is exact to about 1e-9."""
MANY, SMALL_RADIUS, FAR = 20_000, 2.0, 4096.0
"""Voxels, and radius, above which the shortcut is taken; and distances up to which DOUBT is enough."""


def near(region: Box, w: Point, a: Point, b: Point, radius: float, plane: int | None) -> np.ndarray:
    """Return the mask of the voxels of a region (bool, Z, Y, X) that lie within `radius` of the segment from a to b.

    `w` is the size of a voxel along each axis in units of the radius; `plane` is an axis that does not count.
    """
    d = [0.0 if i == plane else w[i] * (b[i] - a[i]) for i in range(3)]
    p = [np.zeros(1) if i == plane else _along(region, w, a, i) for i in range(3)]
    if plane is None and region.voxels > MANY and radius > SMALL_RADIUS and _close(p, d):
        return _by_runs(p, w, d, radius)
    p = [p[0][:, None, None], p[1][:, None], p[2]]
    return np.broadcast_to(_inside(p, d, radius), region.shape)


def _along(region: Box, w: Point, a: Point, axis: int) -> np.ndarray:
    """Return how far each index along an axis lies from a."""
    return w[axis] * (np.arange(region.start[axis], region.stop[axis], dtype=np.float64) - a[axis])


def _close(p: list[np.ndarray], d: list[float]) -> bool:
    """Tell whether numbers are such that what is computed here is exact enough."""
    if 0 < max(map(abs, d)) < 1 / FAR:
        return False
    return all(max(abs(line[0]), abs(line[-1]), abs(step)) < FAR for line, step in zip(p, d))


def _inside(p: Sequence[np.ndarray], d: Sequence[float], radius: float) -> np.ndarray:
    """The rule: p, how far voxels lie from the segment's start along each axis, broadcast against each other."""
    length = (d[0] * d[0] + d[1] * d[1]) + d[2] * d[2]
    if length > 0:
        t = np.clip(((p[0] * d[0] + p[1] * d[1]) + p[2] * d[2]) / length, 0.0, 1.0)
        p = [p[i] - t * d[i] for i in range(3)]
    return (p[0] * p[0] + p[1] * p[1]) + p[2] * p[2] <= radius * radius


def _by_runs(p: list[np.ndarray], w: Point, d: list[float], radius: float) -> np.ndarray:
    """Do what the rule says, row by row along the axis in which the segment goes least."""
    k = int(np.argmin(np.abs(d)))
    i, j = (axis for axis in range(3) if axis != k)
    rows, step = (p[i][:, None], p[j]), (d[i], d[j], d[k])
    first, last = _indices(_run(rows, step, radius + DOUBT), p[k], w[k])
    sure = _indices(_run(rows, step, radius - DOUBT), p[k], w[k])
    index = np.arange(p[k].size, dtype=np.int16)
    mask = (index >= first[..., None]) & (index < last[..., None])
    u, v = np.nonzero((first != sure[0]) | (last != sure[1]))
    row, place = np.nonzero(mask[u, v] & ~((index >= sure[0][u, v, None]) & (index < sure[1][u, v, None])))
    asked = [p[i][u[row]], p[j][v[row]]]
    asked.insert(k, p[k][place])
    mask[u[row], v[row], place] = _inside(asked, d, radius)
    return np.moveaxis(mask, 2, k)


def _indices(run: tuple[np.ndarray, np.ndarray], line: np.ndarray, w: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the first index of each row that lies in its run, and the first behind it."""
    low, high = run
    first, last = np.ceil((low - line[0]) / w), np.floor((high - line[0]) / w) + 1
    return np.clip(first, 0, line.size).astype(np.int16), np.clip(last, 0, line.size).astype(np.int16)


def _run(
    rows: tuple[np.ndarray, np.ndarray], d: tuple[float, float, float], radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return where along the third axis each row enters and leaves the shape; (inf, -inf) where it misses it."""
    (u, v), (du, dv, dw), square = rows, d, radius * radius
    length = du * du + dv * dv + dw * dw
    low, high = _ball(square - (u * u + v * v), 0.0)
    if length == 0:
        return low, high
    end = _ball(square - ((u - du) * (u - du) + (v - dv) * (v - dv)), dw)
    along = u * du + v * dv
    # Between the planes through both ends: the distance to the whole line.
    share = (du * du + dv * dv) / length  # at least 2/3, since the third axis is that of the least step
    middle = along * dw / length
    inside = middle * middle - share * (u * u + v * v - along * along / length - square)
    half = np.sqrt(np.maximum(inside, 0.0))
    first, last = (middle - half) / share, (middle + half) / share
    if dw:
        planes = -along / dw, (length - along) / dw
        first, last = np.maximum(first, np.minimum(*planes)), np.minimum(last, np.maximum(*planes))
        there = (inside >= 0) & (first <= last)
    else:
        there = (inside >= 0) & (along >= 0) & (along <= length)
    low = np.minimum(np.minimum(low, end[0]), np.where(there, first, np.inf))
    return low, np.maximum(np.maximum(high, end[1]), np.where(there, last, -np.inf))


def _ball(square: np.ndarray, centre: float) -> tuple[np.ndarray, np.ndarray]:
    """Return where rows enter and leave a ball, of which `square` is left at their distance from its centre."""
    half = np.sqrt(np.maximum(square, 0.0))
    return np.where(square >= 0, centre - half, np.inf), np.where(square >= 0, centre + half, -np.inf)
