"""What does the box look like that is being painted? Its voxels, its revision, its chunks."""

from dataclasses import dataclass, field
from math import prod

import numpy as np

from ..store.box import ZYX, Box

CHUNK = 32
FLAT, FLAT_CHUNK = 4, 128
"""Boxes of at most so many sections are cut into wider chunks, so that they are not many tiny ones."""


@dataclass(slots=True)
class Canvas:
    """A label box's voxels as they are served.

    The scribe alone changes them, and never in place: whoever reads gets one revision whole, on any thread.
    """

    id: int
    """Id of the label box."""
    box: Box
    volume: str
    voxels: np.ndarray = field(repr=False)
    """uint8 (Z, Y, X), read-only"""
    revision: int = 0
    """Rises by one with each edit that touches the box."""

    def __post_init__(self) -> None:
        self.voxels = np.ascontiguousarray(self.voxels, np.uint8)
        self.voxels.flags.writeable = False

    @property
    def shape(self) -> ZYX:
        return self.box.shape

    @property
    def chunk_shape(self) -> ZYX:
        z, y, x = self.shape
        side = FLAT_CHUNK if z <= FLAT else CHUNK
        return min(z, side), min(y, side), min(x, side)

    @property
    def grid(self) -> ZYX:
        """Count the chunks along z, y, x."""
        z, y, x = (-(-n // c) for n, c in zip(self.shape, self.chunk_shape))
        return z, y, x

    def chunk(self, index: ZYX) -> bytes:
        """Return a chunk whole, C order z, y, x, what lies outside the box being 0; raises IndexError off the grid.

        The page edits chunks where they lie, and one that is missing or cut cannot be edited.
        """
        if len(index) != 3 or any(not 0 <= i < n for i, n in zip(index, self.grid)):
            raise IndexError(f"chunk {index} is not in the grid {self.grid}")
        cell = Box.at([i * c for i, c in zip(index, self.chunk_shape)], self.chunk_shape)
        inside = self.voxels[cell.slices]
        if inside.size == prod(self.chunk_shape):
            return inside.tobytes()
        whole = np.zeros(self.chunk_shape, np.uint8)
        whole[Box.of_shape(inside.shape).slices] = inside
        return whole.tobytes()

    def put(self, region: Box, values: np.ndarray) -> None:
        """Take over what an edit left in a region (in voxels of the box), as the next revision."""
        changed = self.voxels.copy()
        changed[region.slices] = values
        changed.flags.writeable = False
        self.voxels, self.revision = changed, self.revision + 1
