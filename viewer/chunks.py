"""What is in a chunk that no file holds as it is to be served? Blank, with a hole cut out, or decoded for the page."""

import functools
import json
import math
from pathlib import Path

import numpy as np

from ..store.box import Box
from ..store.chunk_cache import Reader, open_reader
from .virtual import VirtualArray

BLANK_BYTES = 64 << 20
"""Larger chunks are not made up when they are missing."""


@functools.lru_cache(maxsize=64)
def blank(array: VirtualArray) -> bytes | None:
    """Encode a chunk that was never stored, since it holds nothing but the fill value; None for a shard.

    Answering it spares the browser's console an error for each chunk that is not there.
    """
    if array.sharded or math.prod(array.chunks) * np.dtype(array.dtype).itemsize > BLANK_BYTES:
        return None
    return encode(array, np.zeros((0,) * len(array.chunks), array.dtype))


def encode(array: VirtualArray, block: np.ndarray) -> bytes:
    """Encode a chunk as the array's metadata say; a smaller block is continued by the fill value."""
    import tensorstore

    document = json.loads(array.document) | {"shape": array.chunks}
    spec = {"driver": "zarr3", "kvstore": {"driver": "memory"}, "metadata": document}
    opened = tensorstore.open(spec | {"store_data_equal_to_fill_value": True}, create=True).result()
    if block.size:
        opened[tuple(slice(n) for n in block.shape)].write(block).result()
    else:
        opened.write(opened.read().result()).result()
    assert opened.kvstore is not None
    return bytes(opened.kvstore.read("c" + "/0" * len(array.chunks)).result().value)


def inside(array: VirtualArray, index: tuple[int, ...], hole: Box) -> Box:
    """Return the part of a box (Z, Y, X) that lies in a chunk, in voxels of the array."""
    z, y, x = array.region(index)
    return Box((z.start, y.start, x.start), (z.stop, y.stop, x.stop)).intersect(hole)


def cut(array: VirtualArray, root: Path, index: tuple[int, ...], part: Box) -> bytes:
    """Encode a stored chunk with the voxels of a box inside it set to 0."""
    region = array.region(index)
    block = np.array(_reader(array.place, root)(region))
    block[part.shift([-s.start for s in region]).slices] = 0
    return encode(array, block)


def decode(array: VirtualArray, root: Path, index: tuple[int, ...]) -> bytes:
    """Read a stored chunk and return its voxels, little-endian in C order, in full size."""
    block = _reader(array.place, root)(array.region(index)).astype(np.dtype(array.dtype).newbyteorder("<"))
    if array.added:
        block = block[np.newaxis]
    whole = np.zeros(array.chunks, block.dtype)
    whole[tuple(slice(n) for n in block.shape)] = block
    return whole.tobytes()


@functools.lru_cache(maxsize=256)
def _reader(place: str, root: Path) -> Reader:
    return open_reader(place, root)
