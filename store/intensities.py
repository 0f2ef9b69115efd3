"""How bright is a volume? Percentiles of its finite values, from blocks spread over it, in bounded memory."""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from .box import ZYX, Box
from .errors import VolumeError
from .records import VolumeRecord

SAMPLE_BLOCKS = 64
SAMPLE_VOXELS = 1 << 18
"""Intensities are sampled from at most 64 blocks of about 64³ voxels, 16 million in all."""


def sample(
    record: VolumeRecord, read: Callable[[list[Box]], Iterable[np.ndarray]], percentiles: tuple[float, float]
) -> tuple[tuple[float, float], ...]:
    """Return the low and high percentile of each channel; raises VolumeError for a channel without finite values.

    `read` returns the image (C, Z, Y, X) of each box.
    """
    blocks = list(read(_sample_boxes(record)))
    found = []
    for c in range(len(record.channels)):
        values = np.concatenate([block[c].ravel() for block in blocks])
        values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        if not values.size:
            raise VolumeError(f"{record.url} holds no finite values in channel {record.channels[c]}", "check the image")
        low, high = np.percentile(values.astype(np.float32), percentiles)
        found.append((float(low), float(high)))
    return tuple(found)


def _sample_boxes(record: VolumeRecord) -> list[Box]:
    """Choose blocks spread over the volume, all of it when it is small; the same ones every time."""
    shape = _block_shape(record.chunks, record.shape)
    grid = [-(-n // s) for n, s in zip(record.shape, shape)]
    total = math.prod(grid)
    chosen = np.random.default_rng(0).choice(total, min(total, SAMPLE_BLOCKS), replace=False)
    corners = np.stack(np.unravel_index(np.sort(chosen), grid), 1) * shape
    return [Box.at(corner, shape).intersect(record.box) for corner in corners]


def _block_shape(chunks: Sequence[int], shape: Sequence[int]) -> ZYX:
    """Halve or double a chunk's axes until it has about SAMPLE_VOXELS, so that few chunks are decoded in vain."""
    block = [min(c, n) for c, n in zip(chunks, shape)]
    while math.prod(block) > SAMPLE_VOXELS:
        k = block.index(max(block))
        block[k] = -(-block[k] // 2)
    while math.prod(block) * 2 <= SAMPLE_VOXELS:
        room = [k for k in range(3) if block[k] < shape[k]]
        if not room:
            break
        k = min(room, key=lambda k: block[k])
        block[k] = min(block[k] * 2, shape[k])
    return block[0], block[1], block[2]
