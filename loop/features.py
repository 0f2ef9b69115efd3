"""What does a box look like, in a few cheap numbers, and which boxes are typical of their kind?"""

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.cluster.vq import kmeans2

from ..store.box import ZYX
from .candidates import CONSTANT, dull

PERCENTILES = (5, 25, 50, 75, 95)
SCALES = (1.0, 2.0)
"""Laplacian's width in finest voxels."""


@dataclass(frozen=True, slots=True)
class Typical:
    """A row of features, and the cluster it is typical of."""

    row: int
    cluster: int
    """1 is the largest."""
    clusters: int
    share: float
    """Share of all rows that are in the cluster."""


def describe(image: np.ndarray, spacing_nm: Sequence[float]) -> np.ndarray:
    """Return cheap features of a normalised (Z, Y, X) image: intensities, edges, texture at two scales."""
    widths = np.array([min(spacing_nm) / s for s in spacing_nm])
    axes = [axis for axis, n in enumerate(image.shape) if n > 1]
    slopes = [np.gradient(image, axis=axis) * widths[axis] for axis in axes]
    edges = np.sqrt(sum(s**2 for s in slopes)) if slopes else np.zeros(1)
    texture = [np.sqrt(np.mean(ndimage.gaussian_laplace(image, s * widths) ** 2)) * s**2 for s in SCALES]
    spread = np.percentile(image, PERCENTILES)
    return np.array([image.mean(), image.std(), *spread, edges.mean(), edges.std(), *texture])


def is_dull(image: np.ndarray, bins: ZYX, blank: float) -> bool:
    """Tell whether a box is mostly blank or holds padding, by the rule that ranking applies to bins."""
    deviation = _bin_deviations(image, bins)
    return bool(dull((deviation < blank).mean(), (deviation < CONSTANT).mean()))


def typical_first(features: np.ndarray, count: int, rng: np.random.Generator) -> Iterator[Typical]:
    """Go through rows of features, the most typical of each cluster in turn, the largest clusters first."""
    standard = (features - features.mean(0)) / np.where(features.std(0) > 0, features.std(0), 1)
    count = min(count, len(np.unique(standard, axis=0)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        centres, member = kmeans2(standard, count, iter=50, minit="++", rng=rng)
    sizes = np.bincount(member, minlength=len(centres))
    clusters = [k for k in np.argsort(-sizes, kind="stable") if sizes[k]]
    queues = []
    for k in clusters:
        rows = np.flatnonzero(member == k)
        queues.append(rows[np.argsort(np.linalg.norm(standard[rows] - centres[k], axis=1), kind="stable")])
    for turn in itertools.zip_longest(*queues):
        for number, row in enumerate(turn, 1):
            if row is not None:
                yield Typical(int(row), number, len(clusters), float(sizes[clusters[number - 1]] / len(features)))


def _bin_deviations(image: np.ndarray, bins: ZYX) -> np.ndarray:
    """Return the standard deviation in each bin; bins at the end may be partial."""
    rest = [(0, -n % b) for n, b in zip(image.shape, bins)]
    z, y, x = (-(-n // b) for n, b in zip(image.shape, bins))
    padded = np.pad(image.astype(np.float64), rest, constant_values=np.nan)
    return np.nanstd(padded.reshape(z, bins[0], y, bins[1], x, bins[2]), axis=(1, 3, 5))
