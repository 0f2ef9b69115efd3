"""How does an image file become a volume, and a label file labels? Streamed by slabs, never whole in memory."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from . import arrays, axes, ngff, pyramid
from .beside import appear
from .box import ZYX, Box, tiles
from .errors import LabelError, VolumeError
from .pyramid import Progress
from .source import Source
from .sources import open_source
from .spacing import difference, settle
from .volume import DTYPES

__all__ = ["LabelSource", "image_chunks", "import_image", "open_labels", "open_source", "slabs"]

SLAB_BYTES = 128 << 20
CHUNK_VOXELS = 64**3


def import_image(
    source: str | Path,
    target: Path,
    *,
    name: str,
    axes: str | None = None,
    spacing: Sequence[float] | None = None,
    unit: str | None = None,
    time: int | None = None,
    channels: Sequence[str | int] | None = None,
    progress: Progress | None = None,
) -> None:
    """Make an OME-Zarr 0.5 image with a pyramid of an image file: one time point, the chosen channels.

    `spacing` and `unit` win over the file's own. Raises VolumeError naming the flag where the file leaves something
    open, SpaceError when the disk is full; in both cases nothing is left behind.
    """
    with open_source(source, axes) as opened, appear(target) as beside:
        plan = _plan(opened, spacing, unit, time, channels)
        lead = (len(plan.channels),) if len(plan.channels) > 1 else ()
        ngff.create_multiscale(
            beside,
            name=name,
            axes="czyx" if lead else "zyx",
            shape=(*lead, *opened.shape),
            chunks=(*(1 for _ in lead), *plan.chunks),
            dtype=plan.dtype,
            spacing_nm=plan.spacing_nm,
            unit=plan.unit,
            levels=len(ngff.level_factors(opened.shape, plan.spacing_nm)),
            kind="image",
            channels=[ngff.numbered_channel(opened.channel_names[c], k) for k, c in enumerate(plan.channels)]
            if lead
            else (),
            notes=plan.notes,
            written="slabs",
        )
        _copy(opened, beside / "s0", plan, progress)
        pyramid.build(beside, progress)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What an import takes and makes."""

    time: int | None
    channels: tuple[int, ...]
    spacing_nm: tuple[float, float, float]
    unit: str
    dtype: str
    chunks: ZYX
    notes: tuple[str, ...]


def _plan(
    source: Source,
    spacing: Sequence[float] | None,
    unit: str | None,
    time: int | None,
    channels: Sequence[str | int] | None,
) -> _Plan:
    if source.dtype.name not in DTYPES:
        raise VolumeError(
            f"{source.place} has data type {source.dtype}", f"images are of {', '.join(DTYPES)}; convert it"
        )
    if 0 in source.stored_shape:
        raise VolumeError(f"{source.place} holds no voxels: its shape is {source.stored_shape}", "check the image")
    spacing_nm, shown, notes = _spacing(source, spacing, unit)
    dtype = "uint8" if source.dtype == bool else source.dtype.name
    return _Plan(
        time=axes.choose_time(source.axes, source.stored_shape, time, source.place),
        channels=axes.choose_channels(source.axes, source.stored_shape, source.channel_names, channels, source.place),
        spacing_nm=spacing_nm,
        unit=shown,
        dtype=dtype,
        chunks=image_chunks(source.shape),
        notes=(f"imported from {source.place}", *notes),
    )


def _spacing(
    source: Source, spacing: Sequence[float] | None, unit: str | None
) -> tuple[tuple[float, float, float], str, list[str]]:
    """Return the voxel size in nm, the unit to show, and a note when what was given is not what the file says."""
    said = dict(zip("zyx", source.spacing or (math.nan,) * 3))
    sizes = {axis: said[axis] for axis in "zyx" if axis in source.axes}
    units = dict.fromkeys(sizes, source.unit)
    used, shown = settle(sizes, units, source.place, spacing, unit)
    try:
        stored, _ = settle(sizes, units, source.place)
    except VolumeError:
        return used, shown, []
    return used, shown, difference(used, stored, shown)


def image_chunks(shape: Sequence[int]) -> ZYX:
    """Return the chunk shape of an imported image: 64 a side, wider in y and x where there are few sections."""
    z = min(64, shape[0])
    side = 64
    while z * (2 * side) ** 2 <= CHUNK_VOXELS:
        side *= 2
    return z, min(side, shape[1]), min(side, shape[2])


def _copy(source: Source, array: Path, plan: _Plan, progress: Progress | None) -> None:
    """Write the finest level; the next slab is read while the last one is compressed and written."""
    stored = ngff.open_array(array, write=True)
    pending, done = None, 0
    voxel = np.dtype(plan.dtype).itemsize * len(plan.channels)
    try:
        for box in slabs(source.shape, arrays.file_shape(stored), voxel):
            image = source.read(box, plan.time, plan.channels)
            if pending is not None:
                pending.result()
            target = stored[box.slices] if stored.rank == 3 else stored[(slice(None), *box.slices)]
            pending = target.write(image[0] if stored.rank == 3 else image)
            done += box.voxels
            if progress:
                progress(done, math.prod(source.shape), "voxels")
    finally:
        if pending is not None:  # a write that goes on would put files back into a folder that is being removed
            pending.result()


def slabs(shape: Sequence[int], file: Sequence[int], voxel_bytes: int) -> Iterator[Box]:
    """Cut a volume into boxes on the grid of its files: whole sections, or bands of rows where sections are huge."""
    z, y, x = (int(n) for n in shape)
    rows = SLAB_BYTES // (file[0] * x * voxel_bytes)
    band = y if rows >= y else max(1, rows // file[1]) * file[1]
    for tile in tiles(shape, Box.of_shape(shape), (file[0], band, x), (0, 0, 0), (1, 1, 1)):
        yield tile.write


@dataclass(frozen=True, slots=True)
class LabelSource:
    """Labels in a file, read by boxes; close it, or use it in a `with` statement."""

    source: Source
    mapping: dict[int, int] | None
    """Value in the file to label value; 0 stays 0 when it is not named."""
    values: int
    """How many classes are declared: labels are 0 to this."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.source.close()

    @property
    def shape(self) -> ZYX:
        return self.source.shape

    def read(self, box: Box) -> np.ndarray:
        """Return the labels of a box, uint8 (Z, Y, X); raises LabelError for a value that is no declared class."""
        found = self.source.read(box)[0]
        present = [int(v) for v in np.unique(found)]
        table = {v: self._label(v) for v in present}
        if all(a == b for a, b in table.items()):
            return found.astype(np.uint8)
        labels = np.zeros(found.shape, np.uint8)
        for value, label in table.items():
            labels[found == value] = label
        return labels

    def _label(self, value: int) -> int:
        if self.mapping is not None and value not in self.mapping and value != 0:
            raise LabelError(f"{self.source.place} holds value {value}, which --map does not name", "add it to --map")
        label = value if self.mapping is None else self.mapping.get(value, 0)
        if not 0 <= label <= self.values:
            raise LabelError(
                f"{self.source.place} holds value {value}, but the declared classes are 1 to {self.values}",
                "declare the class, or give --map, like --map 0=1,1=2",
            )
        return label


def open_labels(path: str | Path, mapping: dict[int, int] | None, values: int) -> LabelSource:
    """Open a file of labels; raises LabelError when they are not whole numbers or have time points or channels."""
    source = open_source(path)
    try:
        if source.dtype.kind not in "uib":
            raise LabelError(f"{path} has data type {source.dtype}", "labels are whole numbers; convert it to uint8")
        for axis in "tc":
            if axes.size(source.axes, source.stored_shape, axis) > 1:
                raise LabelError(
                    f"{path} has axes {source.axes}", "labels have axes z, y, x only; export one time or channel"
                )
        wrong = [v for v in (mapping or {}).values() if not 0 <= v <= values]
        if wrong:
            raise LabelError(f"--map leads to {wrong[0]}, but the declared classes are 1 to {values}", "mend --map")
    except LabelError:
        source.close()
        raise
    return LabelSource(source, mapping, values)
