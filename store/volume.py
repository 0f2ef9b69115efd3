"""How do I read an image? Boxes of voxels, in bounded memory, from a local path or a URL; never written to."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import arrays, axes, ngff
from . import spacing as spacings
from .box import Box
from .chunk_cache import Reader, open_reader
from .errors import VolumeError
from .intensities import sample
from .records import VolumeRecord
from .units import from_nm

AHEAD = 8
"""Boxes of many that are read before they are asked for."""
DTYPES = ("bool", "uint8", "uint16", "int16", "uint32", "float16", "float32")


@dataclass(slots=True)
class Volume:
    """An image volume that can be read."""

    record: VolumeRecord
    root: Path
    """The project folder, against which the paths of imported volumes count."""
    _metadata: ngff.ImageMetadata | None = field(default=None, repr=False)
    _opened: dict[int, Reader] = field(default_factory=dict, repr=False)

    @property
    def place(self) -> str:
        return locate(self.record.url, self.root)

    @property
    def metadata(self) -> ngff.ImageMetadata:
        if self._metadata is None:
            self._metadata = ngff.read_metadata(self.place)
            _check_unchanged(self.record, self._metadata)
        return self._metadata

    def read(self, box: Box, level: int | None = None) -> np.ndarray:
        """Return the image of a box, (C, Z, Y, X) in the image's dtype (bool as uint8).

        The box is in voxels of the working level and lies inside the volume. `level` counts from the finest of the
        pyramid, None being the working level; at another level the answer is what covers the box there.
        Raises VolumeError when the box reaches outside, or the store cannot be read.
        """
        record = self.record
        if not record.box.contains(box):
            raise VolumeError(f"box {box} reaches outside '{record.name}' of shape {record.shape}", "shrink the box")
        level = record.level if level is None else level
        if level != record.level:
            box = self._box_at(box, level)
        read = self._reader(level)
        parts = [
            axes.to_czyx(read(axes.region(record.axes, box, record.time, run)), record.axes)
            for run in axes.runs(record.channels)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def read_reflected(self, box: Box) -> np.ndarray:
        """Return the image of a box at the working level, continued by reflection where the box leaves the volume.

        As numpy's pad mode "reflect", the border voxel is not repeated; pads longer than the axis go on to and fro.
        """
        if self.record.box.contains(box):
            return self.read(box)
        wanted = [_reflected(a, b, n) for a, b, n in zip(box.start, box.stop, self.record.shape)]
        z, y, x = wanted
        inside = Box((z.min(), y.min(), x.min()), (z.max() + 1, y.max() + 1, x.max() + 1))
        image = self.read(inside)
        return image[np.ix_(np.arange(len(image)), *(w - a for w, a in zip(wanted, inside.start)))]

    def read_many(self, boxes: Iterable[Box]) -> Iterator[np.ndarray]:
        """Yield what `read_reflected` returns for each box, in their order; the next AHEAD are read meanwhile.

        Boxes that lie near each other should come one after the other: chunks that they share are then decoded once.
        """
        self._reader(self.record.level)  # opened here, rather than by several threads at once
        coming: deque[Future[np.ndarray]] = deque()
        readers = ThreadPoolExecutor(AHEAD, thread_name_prefix="read-box")
        try:
            for box in boxes:
                coming.append(readers.submit(self.read_reflected, box))
                if len(coming) > AHEAD:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            readers.shutdown(cancel_futures=True)

    def _reader(self, level: int) -> Reader:
        if level not in self._opened:
            levels = self.metadata.levels
            if not 0 <= level < len(levels):
                raise VolumeError(f"'{self.record.name}' has no level {level}", f"levels are 0 to {len(levels) - 1}")
            self._opened[level] = open_reader(arrays.join(self.place, levels[level].path), self.root)
        return self._opened[level]

    def _box_at(self, box: Box, level: int) -> Box:
        if not 0 <= level < len(self.metadata.levels):
            raise VolumeError(
                f"'{self.record.name}' has no level {level}", f"levels are 0 to {len(self.metadata.levels) - 1}"
            )
        shape = axes.zyx(self.record.axes, self.metadata.levels[level].shape)
        ratio = voxel_ratio(self.metadata, self.record.level, level)
        start = [min(math.floor(a / r + 1e-6), n - 1) for a, r, n in zip(box.start, ratio, shape)]
        stop = [max(a + 1, min(math.ceil(b / r - 1e-6), n)) for a, b, r, n in zip(start, box.stop, ratio, shape)]
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def open_volume(record: VolumeRecord, root: Path) -> Volume:
    """Make a recorded volume readable; raises VolumeError when its store is gone or is another image by now."""
    volume = Volume(record, root)
    _ = volume.metadata
    return volume


def locate(url: str, root: Path | None) -> str:
    """Return where a volume's store lies: a URL or an absolute path as it is, else a path in the project folder."""
    return url if arrays.is_url(url) else str((root or Path()) / url)


def describe(
    name: str,
    url: str,
    *,
    level: int = 0,
    time: int | None = None,
    channels: Sequence[str | int] | None = None,
    spacing: Sequence[float] | None = None,
    unit: str | None = None,
    percentiles: tuple[float, float] = (0.5, 99.5),
    imported: bool = False,
    root: Path | None = None,
) -> VolumeRecord:
    """Settle from an OME-Zarr image's metadata, and from what was asked for, how it is read.

    `spacing` is the voxel size of the working level (z, y, x; or y, x of a 2-D image) in `unit`; both win over the
    file's own. An imported image holds only what was chosen already: all its channels are taken. Raises VolumeError
    that names the flag to pass (--level, --time, --channel, --spacing, --unit) where metadata leaves something open.
    """
    place = locate(url, root)
    metadata = ngff.read_metadata(place)
    if not 0 <= level < len(metadata.levels):
        raise VolumeError(f"{place} has no level {level}", f"--level is 0 to {len(metadata.levels) - 1}")
    if metadata.dtype not in DTYPES:
        raise VolumeError(f"{place} has data type {metadata.dtype}", f"images are of {', '.join(DTYPES)}; convert it")
    order, chosen = metadata.order, metadata.levels[level]
    names = [c.name for c in metadata.channels]
    if imported and not channels:
        channels = range(len(names))
    spacing_nm, shown = spacings.of_level(metadata, level, spacing, unit)
    record = VolumeRecord(
        name=name,
        url=str(url),
        imported=imported,
        level=level,
        time=axes.choose_time(order, chosen.shape, time, place),
        channels=axes.choose_channels(order, chosen.shape, names, channels, place),
        axes=order,
        shape=axes.zyx(order, chosen.shape),
        chunks=axes.zyx(order, chosen.inner_chunks),
        dtype=metadata.dtype,
        spacing_nm=spacing_nm,
        translation_nm=spacings.translation_nm(metadata, level, spacing_nm),
        unit=shown,
        intensities=(),
    )
    if 0 in record.shape:
        raise VolumeError(f"{place} holds no voxels: its shape is {record.shape}", "check the image")
    return replace(record, intensities=sample(record, Volume(record, root or Path()).read_many, percentiles))


def report(record: VolumeRecord, root: Path) -> dict[str, Any]:
    """Tell what is known of a volume, for a person or a script: layout, levels, spacing, and what is missing."""
    metadata = Volume(record, root).metadata
    names = [c.name for c in metadata.channels]
    ratios = [voxel_ratio(metadata, record.level, k) for k in range(len(metadata.levels))]
    return {
        "name": record.name,
        "url": locate(record.url, root),
        "imported": record.imported,
        "version": metadata.version,
        "axes": record.axes,
        "shape": list(record.shape),
        **_blocks(record, metadata.levels[record.level]),
        "dtype": record.dtype,
        "level": record.level,
        "levels": [
            {
                "shape": list(axes.zyx(record.axes, level.shape)),
                **_blocks(record, level),
                "spacing": [from_nm(nm * r, record.unit) for nm, r in zip(record.spacing_nm, ratio)],
            }
            for level, ratio in zip(metadata.levels, ratios)
        ],
        "spacing": [from_nm(nm, record.unit) for nm in record.spacing_nm],
        "unit": record.unit,
        "time": record.time,
        "channels": [{"index": c, "name": names[c]} for c in record.channels],
        "intensities": [list(pair) for pair in record.intensities],
        "missing": _missing(record, metadata),
        "notes": [*metadata.notes, *_differences(record, metadata)],
    }


def _blocks(record: VolumeRecord, level: ngff.Level) -> dict[str, Any]:
    """Tell how a level is cut: its chunks, and the shards that hold them, None where there are none."""
    chunks, outer = (list(axes.zyx(record.axes, shape)) for shape in (level.inner_chunks, level.chunks))
    return {"chunks": chunks, "shards": outer if outer != chunks else None}


def _missing(record: VolumeRecord, metadata: ngff.ImageMetadata) -> list[str]:
    """List what the image does not say or have, and what that means."""
    missing = []
    if any(metadata.unit(a) is None for a in "zyx" if a in metadata.order):
        missing.append("unit: the one given when it was added is used")
    if any(not s > 0 for a, s in zip(metadata.order, metadata.levels[record.level].scale) if a in "zyx"):
        missing.append("spacing: the one given when it was added is used")
    if len(metadata.levels) == 1 and max(record.shape) > 1024:
        missing.append("coarser levels: looking at all of it will be slow")
    if "c" in metadata.order and [c.name for c in metadata.channels] == [str(k) for k in range(len(metadata.channels))]:
        missing.append("channel names: channels are numbered from 0")
    return missing


def _differences(record: VolumeRecord, metadata: ngff.ImageMetadata) -> list[str]:
    """Say where the spacing in use is not the file's, since the one that was given wins."""
    try:
        stored, _ = spacings.of_level(metadata, record.level)
    except VolumeError:
        return []
    return spacings.difference(record.spacing_nm, stored, record.unit)


def _reflected(start: int, stop: int, length: int) -> np.ndarray:
    """Return the index in 0..length-1 that each position shows under reflection without repeating the border."""
    if length == 1:
        return np.zeros(stop - start, int)
    period = 2 * (length - 1)
    folded = np.arange(start, stop) % period
    return np.minimum(folded, period - folded)


def voxel_ratio(metadata: ngff.ImageMetadata, base: int, level: int) -> list[float]:
    """Return how many voxels of the base level one voxel of `level` spans (z, y, x): by scale, else by shape."""
    order, ratios = metadata.order, []
    for axis in "zyx":
        k = order.find(axis)
        if k < 0:
            ratios.append(1.0)
            continue
        a, b = metadata.levels[base], metadata.levels[level]
        by_scale = b.scale[k] / a.scale[k] if a.scale[k] > 0 and b.scale[k] > 0 else math.nan
        ratios.append(by_scale if math.isfinite(by_scale) else a.shape[k] / b.shape[k])
    return ratios


def _check_unchanged(record: VolumeRecord, metadata: ngff.ImageMetadata) -> None:
    same = metadata.order == record.axes and len(metadata.levels) > record.level
    if not same or axes.zyx(record.axes, metadata.levels[record.level].shape) != record.shape:
        raise VolumeError(
            f"the image of '{record.name}' at {metadata.url} is not the one that was added",
            "put the old one back, or point 'rondel add --relink' to it",
        )
