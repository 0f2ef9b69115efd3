"""Which voxels does a tool change, and to what? Pure functions of the box's arrays, all (Z, Y, X).

Each returns a mask (bool), or mask and values (uint8) where the values differ from voxel to voxel.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ..store.box import ZYX

UNLABELLED, BACKGROUND = 0, 1
RANGE = (5, 95)
"""Percentiles of the intensities under the brush between which the threshold brush paints."""
NEARLY_ALL = (1, 99)


def fill(labels: np.ndarray, at: ZYX, plane: int | None) -> np.ndarray:
    """Select the voxels of one value that are connected, by faces, to the one at `at`; in its slice, with a plane."""
    return connected(labels == labels[at], at, plane)


def connected(mask: np.ndarray, at: ZYX, plane: int | None = None) -> np.ndarray:
    """Select the connected part of a mask that holds a voxel, which is in the mask."""
    structure = ndimage.generate_binary_structure(3, 1)
    if plane is not None:
        kept = np.zeros_like(mask)
        slab = _slab(plane, at[plane])
        kept[slab] = mask[slab]
        mask = kept
    parts = np.empty(mask.shape, np.int32)
    ndimage.label(mask, structure, output=parts)
    return parts == parts[at]


def contrast(image: np.ndarray) -> float:
    """Return how far apart the dark and the bright of an image are, but for its rarest intensities."""
    finite = image[np.isfinite(image)]
    return float(np.ptp(np.percentile(finite, NEARLY_ALL))) if finite.size else 0.0


def within_range(image: np.ndarray, covered: np.ndarray, start: np.ndarray, margin: float = 0.0) -> np.ndarray:
    """Select of the covered voxels those as bright as what the stroke started on, or by a margin darker or brighter.

    `start` masks the voxels under the brush at the stroke's first point. Voxels that are no number are never selected.
    """
    found = image[start]
    found = found[np.isfinite(found)]
    if not found.size:
        return np.zeros(covered.shape, bool)
    low, high = np.percentile(found, RANGE)
    return covered & (image >= low - margin) & (image <= high + margin)


def interpolate(labels: np.ndarray, axis: int, value: int, spacing: Sequence[float]) -> np.ndarray:
    """Select what lies between neighbouring slices that hold a class, by blending their signed distances.

    Raya and Udupa, Shape-based interpolation of multidimensional objects (1990). Slices that hold the class are left
    as they are.
    """
    painted = np.moveaxis(labels == value, axis, 0)
    in_plane = [s for i, s in enumerate(spacing) if i != axis]
    there = np.flatnonzero(painted.any(axis=(1, 2)))
    between = np.zeros(painted.shape, bool)
    for a, b in zip(there, there[1:]):
        if b - a > 1:
            first, last = _signed_distance(painted[a], in_plane), _signed_distance(painted[b], in_plane)
            for k in range(a + 1, b):
                between[k] = first * (b - k) + last * (k - a) < 0
    return np.moveaxis(between, 0, axis)


def _signed_distance(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Return how far each pixel lies from the border of a mask that is not empty: negative inside.

    What touches the edge of the slice goes on beyond it; a slice that is full ends there, for want of another border.
    """
    margin = int(mask.all())
    inside = _distance(np.pad(mask, margin), spacing)
    return _distance(~mask, spacing) - inside[margin : len(inside) - margin, margin : inside.shape[1] - margin]


def _distance(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    return np.asarray(ndimage.distance_transform_edt(mask, spacing))


def copy(labels: np.ndarray, axis: int, source: int, to: int) -> tuple[np.ndarray, np.ndarray]:
    """Carry the labelled voxels of one slice over to another."""
    mask, values = np.zeros(labels.shape, bool), np.zeros(labels.shape, np.uint8)
    values[_slab(axis, to)] = labels[_slab(axis, source)]
    mask[_slab(axis, to)] = labels[_slab(axis, source)] != UNLABELLED
    return mask, values


def accept(
    classes: np.ndarray, at: ZYX | None, probabilities: np.ndarray | None = None, above: float = 0.0
) -> np.ndarray:
    """Select what of a prediction is taken over; 0 there is not predicted.

    With `at`, only the predicted object under it; with probabilities, uint8 (K, Z, Y, X), only what the model gives at
    least this probability.
    """
    mask = classes != UNLABELLED
    if at is not None:
        mask = connected(classes == classes[at], at) if mask[at] else np.zeros_like(mask)
    if probabilities is not None:
        mask &= probabilities.max(0) >= above * 255
    return mask


def empty(labels: np.ndarray) -> np.ndarray:
    """Select all that nobody labelled, which is then said to be background."""
    return labels == UNLABELLED


def _slab(axis: int, index: int) -> tuple[slice, slice, slice]:
    z, y, x = (slice(index, index + 1) if i == axis else slice(None) for i in range(3))
    return z, y, x
