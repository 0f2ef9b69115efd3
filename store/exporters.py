"""How does an array of a project leave it? As OME-Zarr with a pyramid, or as OME-TIFF; streamed, whole or not at all.

`read` returns the voxels of a box: (Z, Y, X), or (C, Z, Y, X) where the axes are czyx.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from . import arrays, ngff, pyramid
from .beside import appear
from .box import Box, tiles
from .importers import SLAB_BYTES, image_chunks, slabs
from .pyramid import Progress
from .units import from_nm

Read = Callable[[Box], np.ndarray]
BIG_TIFF = 3 << 30
OME_UNITS = {
    "picometer": "pm",
    "angstrom": "Å",
    "nanometer": "nm",
    "micrometer": "µm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "inch": "in",
}


def export_ome_zarr(
    target: Path,
    read: Read,
    *,
    name: str,
    axes: Literal["zyx", "czyx"],
    shape: Sequence[int],
    dtype: str,
    spacing_nm: Sequence[float],
    translation_nm: Sequence[float],
    unit: str,
    kind: Literal["image", "mode", "mean"],
    label: ngff.LabelMetadata | None = None,
    channel_names: Sequence[str] = (),
    progress: Progress | None = None,
) -> None:
    """Write an OME-Zarr 0.5 image, or with `label` a label image, with a pyramid.

    A label image is written at the target itself, with image-label metadata: ome-zarr's reader and napari show that
    as labels, while a `labels` group below a root without an image is shown as nothing.
    Raises UsageError when the target exists, SpaceError when the disk is full; then nothing is left behind.
    """
    lead, space = tuple(shape[:-3]), tuple(shape[-3:])
    chunks = image_chunks(space)
    channels = [ngff.numbered_channel(c, k) for k, c in enumerate(channel_names)]
    with appear(target) as beside:
        ngff.create_multiscale(
            beside,
            name=name,
            axes=axes,
            shape=shape,
            chunks=(*(1 for _ in lead), *chunks),
            dtype=dtype,
            spacing_nm=spacing_nm,
            translation_nm=translation_nm,
            unit=unit,
            levels=len(ngff.level_factors(space, spacing_nm)),
            kind=kind,
            label=label,
            channels=channels,
            written="slabs",
        )
        stored = ngff.open_array(beside / "s0", write=True)
        done = 0
        for box in slabs(space, arrays.file_shape(stored), _voxel_bytes(dtype, shape)):
            stored[(*(slice(None) for _ in lead), *box.slices)].write(read(box)).result()
            done += box.voxels
            if progress:
                progress(done, math.prod(space), "voxels")
        pyramid.build(beside, progress)


def export_tiff(
    target: Path,
    read: Read,
    *,
    axes: Literal["zyx", "czyx"],
    shape: Sequence[int],
    dtype: str,
    spacing_nm: Sequence[float],
    unit: str,
    channel_names: Sequence[str] = (),
    progress: Progress | None = None,
) -> None:
    """Write an OME-TIFF with physical sizes, plane by plane, a BigTIFF when it has more than 3 GB.

    Channels lie within sections (axes ZCYX), so that the volume is read once. Raises UsageError when the target
    exists, SpaceError when the disk is full; then nothing is left behind.
    """
    import tifffile

    depth, *plane = shape[-3:]
    stored = (depth, *plane) if axes == "zyx" else (depth, shape[0], *plane)
    described: dict[str, Any] = {"axes": "ZYX" if axes == "zyx" else "ZCYX"}
    described |= {f"PhysicalSize{a}": from_nm(s, unit) for a, s in zip("ZYX", spacing_nm)}
    described |= {f"PhysicalSize{a}Unit": OME_UNITS[unit] for a in "ZYX"}
    if channel_names:
        described["Channel"] = {"Name": list(channel_names)}
    big = math.prod(stored) * np.dtype(dtype).itemsize > BIG_TIFF
    with appear(target) as beside, tifffile.TiffWriter(beside, bigtiff=big, ome=True) as writer:
        writer.write(
            _planes(read, shape, _voxel_bytes(dtype, shape), progress),
            shape=stored,
            dtype=dtype,
            photometric="minisblack",
            compression="zlib",
            metadata=described,
        )


def _planes(read: Read, shape: Sequence[int], voxel_bytes: int, progress: Progress | None) -> Iterator[np.ndarray]:
    """Yield every plane of every section, reading as many sections at a time as a slab may hold."""
    depth, height, width = shape[-3:]
    sections = max(1, min(64, SLAB_BYTES // (height * width * voxel_bytes)))
    whole = Box.of_shape((depth, height, width))
    for tile in tiles(whole.shape, whole, (sections, height, width), (0, 0, 0), (1, 1, 1)):
        slab = read(tile.write)
        if progress:
            progress(tile.write.stop[0], depth, "sections")
        for section in range(tile.write.shape[0]):
            yield from np.ascontiguousarray(slab[..., section, :, :]).reshape(-1, height, width)


def _voxel_bytes(dtype: str, shape: Sequence[int]) -> int:
    return np.dtype(dtype).itemsize * math.prod(shape[:-3])
