"""What does a box look like, in a few cheap numbers, and which boxes are typical of their kind?"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.vq import kmeans2

from ..store.box import ZYX
from .candidates import CONSTANT, dull

PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Rows of features that are alike."""

    rows: tuple[int, ...]
    """The most typical first: by distance from the cluster's centre."""
    share: float
    """Share of all rows that are in the cluster."""


def describe(image: np.ndarray, spacing_nm: Sequence[float]) -> np.ndarray:
    """Return cheap features of a normalised (Z, Y, X) image: intensities, edges, texture at two scales."""
    fineness = [min(spacing_nm) / s for s in spacing_nm]
    slopes = [np.gradient(image, axis=axis) * fineness[axis] for axis in range(3) if image.shape[axis] > 1]
    edges = np.sqrt(sum(s**2 for s in slopes)) if slopes else np.zeros(1)
    texture = [_curvature(image, fineness), _curvature(_halved(image), fineness)]
    spread = np.percentile(image, PERCENTILES)
    return np.array([image.mean(), image.std(), *spread, edges.mean(), edges.std(), *texture])


def is_dull(image: np.ndarray, bins: ZYX, blank: float) -> bool:
    """Tell whether a box is mostly blank or holds padding, by the rule that ranking applies to bins."""
    deviation = _bin_deviations(image, bins)
    return bool(dull((deviation < blank).mean(), (deviation < CONSTANT).mean()))


def clusters(features: np.ndarray, count: int, rng: np.random.Generator) -> list[Cluster]:
    """Group rows of features by k-means, each feature counting equally; the largest cluster first, none empty."""
    standard = (features - features.mean(0)) / np.where(features.std(0) > 0, features.std(0), 1)
    count = min(count, len(np.unique(standard, axis=0)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        centres, member = kmeans2(standard, count, iter=50, minit="++", rng=rng)
    found = []
    for k, centre in enumerate(centres):
        rows = np.flatnonzero(member == k)
        rows = rows[np.argsort(np.linalg.norm(standard[rows] - centre, axis=1), kind="stable")]
        found.append(Cluster(tuple(rows.tolist()), len(rows) / len(features)))
    return sorted((c for c in found if c.rows), key=lambda c: -c.share)


def _curvature(image: np.ndarray, fineness: Sequence[float]) -> float:
    """Return the root of the mean squares of second differences, all axes together."""
    second = [np.diff(image, 2, axis) * fineness[axis] ** 2 for axis in range(3) if image.shape[axis] > 2]
    return float(np.sqrt(sum(np.mean(s**2) for s in second)))


def _halved(image: np.ndarray) -> np.ndarray:
    """Average neighbours along each axis that is long enough to be halved."""
    for axis, length in enumerate(image.shape):
        if length > 3:
            pairs = np.take(image, range(length // 2 * 2), axis)
            shape = [*image.shape[:axis], length // 2, 2, *image.shape[axis + 1 :]]
            image = pairs.reshape(shape).mean(axis + 1)
    return image


def _bin_deviations(image: np.ndarray, bins: ZYX) -> np.ndarray:
    """Return the standard deviation in each bin; bins at the end may be partial."""
    rest = [(0, -n % b) for n, b in zip(image.shape, bins)]
    z, y, x = (-(-n // b) for n, b in zip(image.shape, bins))
    padded = np.pad(image.astype(np.float64), rest, constant_values=np.nan)
    return np.nanstd(padded.reshape(z, bins[0], y, bins[1], x, bins[2]), axis=(1, 3, 5))
