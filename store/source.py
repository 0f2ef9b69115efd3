"""What is an image that can be imported? Declared axes and spacing, and a way to read a box of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from . import axes
from .box import ZYX, Box


@dataclass(frozen=True, slots=True)
class Source:
    """An image in any format that is read here; close it, or use it in a `with` statement."""

    place: str
    axes: str
    """Letters of t, c, z, y, x in stored order."""
    stored_shape: tuple[int, ...]
    dtype: np.dtype
    spacing: tuple[float, float, float] | None
    """Voxel size (z, y, x) in `unit`, NaN or all None where the file does not say."""
    unit: str | None
    channel_names: tuple[str, ...]
    fetch: Callable[[tuple[slice, ...]], np.ndarray]
    """Read a region of the stored array."""
    close: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def shape(self) -> ZYX:
        return axes.zyx(self.axes, self.stored_shape)

    def read(self, box: Box, time: int | None = None, channels: Sequence[int] = (0,)) -> np.ndarray:
        """Return the channels of a box, (C, Z, Y, X), bool as uint8; raises VolumeError for a damaged file."""
        parts = [self._read(axes.region(self.axes, box, time, run)) for run in axes.runs(channels)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _read(self, region: tuple[slice, ...]) -> np.ndarray:
        return axes.to_czyx(self.fetch(region), self.axes)
