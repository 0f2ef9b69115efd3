"""What does the demo annotate? A made-up volume that looks like nervous tissue under an electron microscope.

Everything is built in nanometres and only then sampled by voxels, so anisotropic voxels see what a microscope would:
the same membranes, cut more coarsely. Truth comes from the same distances that the image is painted from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

from ..store.errors import UsageError

CLASSES = ("background", "membrane", "organelle")
BACKGROUND, MEMBRANE, ORGANELLE = 1, 2, 3

SITE_NM = 300.0
"""Typical distance between the sites whose neighbourhoods, joined by one to five, are the cells."""
HALF_WALL_NM = 14.0
"""Half the thickness of two neighbouring cells' membranes with the cleft between them."""
WARP_NM, WARP_LENGTH_NM = 36.0, 190.0
"""How far tissue is bent, as a standard deviation, and over what distance the bending changes."""
ROD_SHARE, ROD_GAP_NM = 0.25, 14.0
"""Share of the sites with an organelle, and how far organelles keep from the wall of their cell."""
THINNEST_ROD_NM = 45.0
"""Half the thickness that an organelle has at least somewhere."""
BLUR_NM = (7.0, 6.0, 6.0)
"""Standard deviation of the point spread, z, y, x."""
DOSE = 80.0
"""Electrons counted in a voxel of full brightness."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where the voxels are."""

    shape: tuple[int, int, int]
    spacing_nm: tuple[float, float, float]

    def noise(self, rng: np.random.Generator, length_nm: float) -> np.ndarray:
        """Draw Gaussian noise of unit variance everywhere that varies over about `length_nm`; float32 (Z, Y, X).

        Noise at knots is spread by Gaussian weights, an axis at a time; each voxel's weights have unit norm.
        """
        weights = [_spread(n, step, length_nm) for n, step in zip(self.shape, self.spacing_nm)]
        noise = rng.standard_normal([w.shape[1] for w in weights], dtype=np.float32)
        for axis, weight in enumerate(weights):
            noise = np.moveaxis(np.tensordot(weight, noise, (1, axis)), 0, axis)
        return np.ascontiguousarray(noise)

    def points(self, rng: np.random.Generator) -> np.ndarray:
        """Say which point of unbent tissue lies in each voxel: nm, float32 (Z, Y, X, 3)."""
        axes = [np.arange(n, dtype=np.float32) * step for n, step in zip(self.shape, self.spacing_nm)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        for axis in range(3):
            points[..., axis] += WARP_NM * self.noise(rng, WARP_LENGTH_NM)
        return points

    def window(self, low: np.ndarray, high: np.ndarray) -> tuple[slice, slice, slice]:
        """Return the voxels whose points may lie between two corners; the warp stays within five sigma."""
        start = np.floor((low - 5 * WARP_NM) / self.spacing_nm).clip(0, self.shape).astype(int)
        stop = np.ceil((high + 5 * WARP_NM) / self.spacing_nm).clip(0, self.shape).astype(int)
        z, y, x = (slice(a, b) for a, b in zip(start, stop))
        return z, y, x


@dataclass(frozen=True, slots=True)
class _Cells:
    sites: np.ndarray
    """Positions in nm of the sites, (N, 3)."""
    cell: np.ndarray
    """Number of the cell each site belongs to, (N,)."""
    owner: np.ndarray
    """Cell of each voxel, int32 (Z, Y, X)."""
    wall: np.ndarray
    """Distance in nm from each voxel to the nearest other cell, float32 (Z, Y, X)."""


def tissue(
    shape: Sequence[int] = (128, 208, 208), spacing_nm: Sequence[float] = (16.0, 8.0, 8.0), seed: int = 0
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Make an image, its dense truth (both uint8, z, y, x) and the names of classes 1, 2, 3; seeded.

    Raises UsageError when the shape or the spacing is none.
    """
    if len(shape) != 3 or len(spacing_nm) != 3 or min(shape) < 1 or min(spacing_nm) <= 0:
        raise UsageError(f"a volume needs three positive sizes and spacings, got {shape} and {spacing_nm}")
    rng = np.random.default_rng(seed)
    grid = _Grid((shape[0], shape[1], shape[2]), (spacing_nm[0], spacing_nm[1], spacing_nm[2]))
    points = grid.points(rng)
    cells = _cells(rng, grid, points)
    depth, folds = _organelles(rng, grid, points, cells)
    truth = np.full(grid.shape, BACKGROUND, np.uint8)
    truth[depth > 0] = ORGANELLE
    truth[cells.wall <= HALF_WALL_NM] = MEMBRANE
    matter = _matter(rng, grid, cells, depth, folds)
    _add_vesicles(rng, matter, points, cells, depth)
    return _expose(rng, grid, matter), truth, CLASSES


def _spread(size: int, step: float, length: float) -> np.ndarray:
    """Give the weight of each knot, `length` apart and two beyond either end, at each voxel: (size, knots)."""
    position = np.arange(size) * step / length
    knots = np.arange(-2, int(position[-1]) + 4)
    weight = np.exp(-((position[:, None] - knots) ** 2) / 1.1)
    return (weight / np.linalg.norm(weight, axis=1, keepdims=True)).astype(np.float32)


def _cells(rng: np.random.Generator, grid: _Grid, points: np.ndarray) -> _Cells:
    """Divide the points among cells: neighbourhoods of scattered sites, some joined into longer, branched cells."""
    margin = 2 * SITE_NM
    axes = [np.arange(-margin, n * step + margin, SITE_NM) for n, step in zip(grid.shape, grid.spacing_nm)]
    sites = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    sites = sites + rng.uniform(-0.45, 0.45, sites.shape) * SITE_NM
    cell = _join(rng, sites)
    tree = KDTree(sites)
    owner = np.empty(points.shape[:3], np.int32)
    wall = np.empty(points.shape[:3], np.float32)
    for z, plane in enumerate(points):  # a section at a time: six candidates a voxel are large
        owner[z], wall[z] = _walls(plane, tree, sites, cell)
    return _Cells(sites, cell, owner, wall)


def _join(rng: np.random.Generator, sites: np.ndarray, largest: int = 5) -> np.ndarray:
    """Give each site the number of its cell; about half of the sites are joined to a near neighbour's cell."""
    cell = np.arange(len(sites))
    near = np.asarray(KDTree(sites).query(sites, k=4)[1])
    for site in rng.permutation(len(sites))[: len(sites) // 2]:
        other = cell[near[site, rng.integers(1, 4)]]
        joined = (cell == cell[site]) | (cell == other)
        if joined.sum() <= largest:
            cell[joined] = other
    return cell


def _walls(points: np.ndarray, tree: KDTree, sites: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cell of each point and its distance in nm to the nearest plane that divides it from another cell.

    The planes lie halfway between sites; a soft minimum over them rounds the corners where cells meet.
    """
    distance, near = map(np.asarray, tree.query(points, k=6))  # (Y, X, 6)
    apart = np.linalg.norm(sites[near[..., 1:]] - sites[near[..., :1]], axis=-1)
    plane = (distance[..., 1:] ** 2 - distance[..., :1] ** 2) / (2 * apart)
    owner = cell[near]
    plane[owner[..., 1:] == owner[..., :1]] = 1e4
    rounding = 7.0
    wall = -rounding * np.log(np.exp(-plane / rounding).sum(axis=-1) + 1e-12)
    return owner[..., 0], np.maximum(wall, 0)


def _organelles(
    rng: np.random.Generator, grid: _Grid, points: np.ndarray, cells: _Cells
) -> tuple[np.ndarray, np.ndarray]:
    """Lay bent rods through some cells; return each voxel's depth in nm below their surface, and their inner folds.

    Depth is negative outside. Rods keep clear of the wall of their cell. Folds are in -1 .. 1.
    """
    depth = np.full(grid.shape, -1e3, np.float32)
    folds = np.zeros(grid.shape, np.float32)
    for site in map(int, np.flatnonzero(rng.random(len(cells.sites)) < ROD_SHARE)):
        path, radius = _rod(rng, cells, site)
        wave = _direction(rng) * (2 * np.pi / rng.uniform(55, 75))
        window = grid.window(path.min(axis=0) - radius, path.max(axis=0) + radius)
        home = cells.owner[window] == cells.cell[site]
        inside = points[window][home]  # (N, 3)
        clear = cells.wall[window][home] - HALF_WALL_NM - ROD_GAP_NM
        here = _soft_minimum(radius - KDTree(path).query(inside)[0], clear)
        if here.max(initial=0) < THINNEST_ROD_NM:
            continue  # a sliver in a narrow process
        depth[window][home] = np.maximum(depth[window][home], here)
        folds[window][home] = np.sin(inside @ wave + np.sin(inside[:, 1] / 45))
    return depth, folds


def _soft_minimum(a: np.ndarray, b: np.ndarray, rounding: float = 10.0) -> np.ndarray:
    """Take the smaller of two lengths in nm, and less where both are near, so that edges become round."""
    return -rounding * np.logaddexp(-a / rounding, -b / rounding)


def _rod(rng: np.random.Generator, cells: _Cells, site: int) -> tuple[np.ndarray, float]:
    """Return a centreline, (32, 3) in nm, that bends from a site towards another of its cell, and a radius."""
    centre, radius = cells.sites[site], rng.uniform(80, 125)
    same = np.flatnonzero(cells.cell == cells.cell[site])
    half = _direction(rng) * rng.uniform(40, 150)
    start, stop = centre - half, centre + half
    if len(same) > 1:
        stop = centre + 0.8 * (cells.sites[rng.choice(same[same != site])] - centre)
    bend = (start + stop) / 2 + _direction(rng) * rng.uniform(0, 70)
    t = np.linspace(0, 1, 32)[:, None]
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * stop, radius


def _direction(rng: np.random.Generator) -> np.ndarray:
    vector = rng.standard_normal(3)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _matter(rng: np.random.Generator, grid: _Grid, cells: _Cells, depth: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Say how bright each voxel would be under an even light, about 0 .. 1, without the vesicles."""
    tone = 0.66 + 0.06 * rng.standard_normal(cells.cell.max() + 1, dtype=np.float32)
    matter = tone[cells.owner] + 0.06 * grid.noise(rng, 20) + 0.035 * grid.noise(rng, 60)
    rim = np.exp(-(((depth - 8) / 9) ** 2))
    inner = 0.46 + 0.06 * folds + 0.03 * grid.noise(rng, 20)
    matter = np.where(depth > 8, inner, matter) - 0.2 * rim
    return matter - 0.31 * np.exp(-((cells.wall / HALF_WALL_NM) ** 2))


def _add_vesicles(
    rng: np.random.Generator, matter: np.ndarray, points: np.ndarray, cells: _Cells, depth: np.ndarray
) -> None:
    """Paint small membrane-bound spheres into the cytoplasm, in swarms; they stay background, to be told apart.

    Some have a dark core like a tiny organelle, some are as wide as a thin process.
    """
    swarms = points.reshape(-1, 3)[rng.integers(0, depth.size, max(1, depth.size // 50_000))]
    centres = np.repeat(swarms, 30, axis=0) + rng.normal(0, 75, (len(swarms) * 30, 3))
    radius = rng.choice([20.0, 34.0, 60.0], len(centres), p=[0.86, 0.09, 0.05])
    core = np.where(radius == 34, -0.22, 0.04)
    distance, nearest = map(np.asarray, KDTree(centres).query(points, distance_upper_bound=75))
    free = np.isfinite(distance) & (cells.wall > HALF_WALL_NM + 8) & (depth < -12)
    distance, nearest = distance[free], nearest[free]
    shell = np.exp(-(((distance - radius[nearest]) / 7) ** 2))
    matter[free] += np.where(distance < radius[nearest], core[nearest], 0) - 0.26 * shell


def _expose(rng: np.random.Generator, grid: _Grid, matter: np.ndarray) -> np.ndarray:
    """Take the picture: uneven light, a point spread, section to section changes, shot and read-out noise; uint8."""
    _, y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in grid.shape)
    light = 1 + 0.08 * grid.noise(rng, 900) + 0.07 * x + 0.05 * y[:, None]
    image = gaussian_filter(matter * light, [s / step for s, step in zip(BLUR_NM, grid.spacing_nm)], mode="nearest")
    image *= 1 + 0.03 * rng.standard_normal((grid.shape[0], 1, 1), dtype=np.float32)
    image = rng.poisson(np.maximum(image, 0.02) * DOSE).astype(np.float32) / DOSE
    image += 0.03 * rng.standard_normal(grid.shape, dtype=np.float32)
    return np.clip(np.rint(image * 220), 0, 255).astype(np.uint8)
