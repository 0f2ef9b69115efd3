"""How is a multiscale array made and refreshed? Labels by mode, images by mean, chunk by chunk.

A coarse voxel covers up to 2x2x2 finer ones. Mode: the value most of them have; of equally many the larger value, so
that a class shows rather than what is unlabelled. Mean: of integers rounded, half up.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import arrays, ngff
from .axes import zyx
from .box import ZYX, Box, tiles
from .errors import VolumeError

if TYPE_CHECKING:
    import tensorstore

Progress = Callable[[float, float, str], None]
"""progress(done, total, unit); raising from it cancels."""


def build(path: Path, progress: Progress | None = None) -> None:
    """Fill the coarser levels of a multiscale that `create_multiscale` made from its finest level."""
    metadata = ngff.read_metadata(path)
    total = sum(math.prod(level.shape) for level in metadata.levels[1:])
    done = 0
    for part in _fill(path, metadata, Box.of_shape(zyx(metadata.order, metadata.levels[0].shape))):
        done += part.voxels
        if progress:
            progress(done, total, "voxels of coarser levels")


def refresh(path: Path, box: Box) -> None:
    """Make the voxels of all coarser levels above a changed box anew; the rest is left alone."""
    for _ in _fill(path, ngff.read_metadata(path), box):
        pass


def _fill(path: Path, metadata: ngff.ImageMetadata, box: Box) -> Iterator[Box]:
    """Fill the coarser levels above a box; yields each part that is made, one channel of a chunk."""
    reduce = mode if metadata.reduction == "mode" else mean
    stored = [ngff.open_array(path / level.path, write=True) for level in metadata.levels]
    region = box.intersect(Box.of_shape(zyx(metadata.order, metadata.levels[0].shape)))
    for k in range(1, len(stored)):
        fine, coarse = metadata.levels[k - 1], metadata.levels[k]
        factor = _factor(fine, coarse, path)
        region = region.coarsen(factor)
        for lead in np.ndindex(coarse.shape[:-3]):
            for cell in _cut(metadata, coarse, region, coarse.chunks):
                # A shard is made chunk by chunk, since it takes eight times its voxels, and is written once.
                with arrays.together() as gathered:
                    target = stored[k].with_transaction(gathered)[lead]
                    for part in _cut(metadata, coarse, cell, coarse.inner_chunks):
                        _write_part(stored[k - 1][lead], target, part, factor, reduce)
                        yield part


def _cut(metadata: ngff.ImageMetadata, level: ngff.Level, region: Box, chunks: Sequence[int]) -> Iterator[Box]:
    """Cut a region of a level by a grid of chunks."""
    shape, pitch = zyx(metadata.order, level.shape), zyx(metadata.order, chunks)
    return (tile.write for tile in tiles(shape, region, pitch, (0, 0, 0), (1, 1, 1)))


def _factor(fine: ngff.Level, coarse: ngff.Level, path: Path) -> ZYX:
    factor = tuple(round(b / a) for a, b in zip(fine.scale[-3:], coarse.scale[-3:]))
    if any(f not in (1, 2) for f in factor) or len(factor) != 3:
        raise VolumeError(
            f"{path}: level {coarse.path} is not made of blocks of 2", "only rondel's own arrays are refreshed"
        )
    return factor[0], factor[1], factor[2]


def _write_part(
    fine: "tensorstore.TensorStore", coarse: "tensorstore.TensorStore", part: Box, factor: ZYX, reduce: Callable
) -> None:
    spans = zip(part.start, part.stop, factor, fine.shape)
    z, y, x = (slice(a * f, min(b * f, n)) for a, b, f, n in spans)
    coarse[part.slices].write(reduce(arrays.read(fine, (z, y, x), "the finer level"), factor)).result()


def _corners(array: np.ndarray, factor: ZYX) -> list[np.ndarray]:
    """Return the voxels of each block, views of one shape; a cut block repeats its last voxel."""
    pads = [(0, -n % f) for n, f in zip(array.shape[-3:], factor)]
    if any(p for _, p in pads):
        array = np.pad(array, [(0, 0)] * (array.ndim - 3) + pads, "edge")
    starts = itertools.product(*(range(f) for f in factor))
    return [array[(..., *(slice(a, None, f) for a, f in zip(start, factor)))] for start in starts]


def mean(array: np.ndarray, factor: ZYX) -> np.ndarray:
    """Reduce the last three axes by blocks of `factor` (1 or 2 each) to their mean, in the array's own dtype."""
    corners = _corners(array, factor)
    whole = np.issubdtype(array.dtype, np.integer)
    wide = np.int64 if array.dtype.itemsize > 2 else np.int32
    total = np.zeros(corners[0].shape, wide if whole else np.float32)
    for corner in corners:
        total += corner
    if whole:
        return ((total + len(corners) // 2) // len(corners)).astype(array.dtype)
    return (total / len(corners)).astype(array.dtype)


def mode(array: np.ndarray, factor: ZYX) -> np.ndarray:
    """Reduce the last three axes of unsigned labels by blocks of `factor` to the most frequent value, ties upwards."""
    corners = _corners(array, factor)
    if not array.any():
        return np.zeros_like(corners[0])
    counts = [np.ones(c.shape, np.uint8) for c in corners]
    for i, j in itertools.combinations(range(len(corners)), 2):
        same = corners[i] == corners[j]
        counts[i] += same
        counts[j] += same
    shift = array.dtype.itemsize * 8
    best = np.zeros(corners[0].shape, np.uint64 if shift > 16 else np.uint32)
    for count, corner in zip(counts, corners):
        np.maximum(best, count.astype(best.dtype) << shift | corner, out=best)
    return (best & ((1 << shift) - 1)).astype(array.dtype)
