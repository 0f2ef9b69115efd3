"""How many chunks of a map share a file? One, unless that makes more files than a file system is glad of.

Whoever writes part of a shard writes all of it anew. So shards are as small as brings an array below MANY files, and
never of more than MOST chunks. A tile of 128 x 256 x 256 is a quarter of the largest, so that 2.5 times the bytes of a
map are written; into shards of 512 voxels a side, a quarter of the files, it would be 8.5 times.
"""

import math
from collections.abc import Sequence

MANY = 20_000
"""Files of an array above which its chunks are put together."""
MOST = 128
"""Chunks of a shard: 256 x 256 x 512 voxels, in chunks of 64."""


def shard_shape(shape: Sequence[int], chunks: Sequence[int]) -> tuple[int, ...] | None:
    """Return the shape of an array's shards, whole chunks; None where each chunk is a file.

    The last three axes double in turn, the shortest first, the last of equally long ones; none beyond the array.
    """
    shard = list(chunks)
    space = range(len(shape) - 3, len(shape))
    while files(shape, shard) > MANY and math.prod(shard) < MOST * math.prod(chunks):
        longer = [axis for axis in space if shard[axis] < shape[axis]]
        if not longer:
            break
        shard[min(longer, key=lambda axis: (shard[axis], -axis))] *= 2
    return None if shard == list(chunks) else tuple(shard)


def files(shape: Sequence[int], each: Sequence[int]) -> int:
    """Return how many files an array has whose files each hold a block of this shape."""
    return math.prod(-(-n // c) for n, c in zip(shape, each))
