"""How are the voxels of an edit packed into a row? Bit masks and values, compressed by zstd."""

import math
from functools import cache

import numpy as np


def pack_mask(mask: np.ndarray) -> bytes:
    """Pack a bool array into bits, in C order."""
    return _codec().encode(np.packbits(mask.ravel()))


def unpack_mask(packed: bytes, shape: tuple[int, ...]) -> np.ndarray:
    bits = np.frombuffer(_codec().decode(packed), np.uint8)
    return np.unpackbits(bits, count=math.prod(shape)).astype(bool).reshape(shape)


def pack(values: np.ndarray) -> bytes:
    """Pack a 1-D uint8 array."""
    return _codec().encode(np.ascontiguousarray(values, np.uint8))


def unpack(packed: bytes) -> np.ndarray:
    return np.frombuffer(_codec().decode(packed), np.uint8)


@cache
def _codec():
    from numcodecs.zstd import Zstd

    return Zstd(level=1)
