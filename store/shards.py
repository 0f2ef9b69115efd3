"""How many chunks of an array share a file? One, unless that makes more files than a file system is glad of.

Whoever writes part of a shard writes all of it anew. So shards are as small as brings an array below MANY files, and
never of more than MOST chunks, and they have the shape of what is written at once:

tiles, of a map as it is predicted. A tile of 128 x 256 x 256 is a quarter of the largest shard, so that 2.5 times the
bytes of a map are written; into shards of 512 voxels a side, a quarter of the files, it would be 8.5 times.
slabs, of an import or an export. Shards are one chunk thick and run along x, so that none is written twice.
Labels are written anywhere, and each chunk is a file.
"""

import math
from collections.abc import Sequence
from typing import Literal

Written = Literal["anywhere", "tiles", "slabs"]
"""How an array is written."""
MANY = 20_000
"""Files of an array above which its chunks are put together."""
MOST = 128
"""Chunks of a shard: 256 x 256 x 512 voxels or 64 x 64 x 8192, in chunks of 64."""


def shard_shape(shape: Sequence[int], chunks: Sequence[int], written: Written) -> tuple[int, ...] | None:
    """Return the shape of an array's shards, whole chunks; None where each chunk is a file.

    For tiles the last three axes double in turn, the shortest first, the last of equally long ones; for slabs x
    doubles, and y after it. No axis grows beyond the array.
    """
    if written == "anywhere":
        return None
    shard = list(chunks)
    z, y, x = range(len(shape) - 3, len(shape))
    space = (z, y, x) if written == "tiles" else (y, x)
    while files(shape, shard) > MANY and math.prod(shard) < MOST * math.prod(chunks):
        longer = [axis for axis in space if shard[axis] < shape[axis]]
        if not longer:
            break
        shard[min(longer, key=lambda axis: (shard[axis] if written == "tiles" else 0, -axis))] *= 2
    return None if shard == list(chunks) else tuple(shard)


def files(shape: Sequence[int], each: Sequence[int]) -> int:
    """Return how many files an array has whose files each hold a block of this shape."""
    return math.prod(-(-n // c) for n, c in zip(shape, each))
