"""What can be imported? A TIFF, a folder of TIFF or PNG, an npy or an OME-Zarr, opened lazily and read by boxes."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import arrays, axes, ngff
from .box import Box
from .errors import VolumeError
from .source import Source
from .spacing import of_level
from .tiff import open_tiff
from .units import from_nm

TIFF = (".tif", ".tiff", ".btf", ".tf8", ".tf2")
PNG = (".png",)


def is_zarr(place: str | Path) -> bool:
    """Tell whether this is a zarr store, which is referenced where it is instead of imported."""
    if arrays.is_url(place):
        return True
    folder = Path(place)
    return folder.is_dir() and (
        folder.suffix == ".zarr"
        or any((folder / key).is_file() for key in ("zarr.json", ".zattrs", ".zgroup", ".zarray"))
    )


def open_source(path: str | Path, axes_word: str | None = None) -> Source:
    """Open an image file or folder; raises VolumeError when it is damaged, or its axes are not known without --axes."""
    if is_zarr(path):
        return _open_zarr(str(path))
    path = Path(path)
    if path.is_dir():
        return _open_folder(path, axes_word)
    if not path.is_file():
        raise VolumeError(f"{path} does not exist", "check the path")
    kind = path.suffix.lower()
    if kind in TIFF:
        return open_tiff(path, axes_word)
    if kind in PNG:
        first = read_image(path)
        return _images([path], first, axes_word)
    if kind == ".npy":
        return _open_npy(path, axes_word)
    raise VolumeError(f"{path} is of no format known here", "TIFF, a folder of TIFF or PNG, npy and OME-Zarr are read")


def plain_axes(shape: Sequence[int], axes_word: str | None, place: str) -> str:
    """Return the axes of an array that declares none: given, else z, y, x in 3-D and y, x in 2-D; never more."""
    if axes_word:
        return axes.check_axes(axes_word, shape, place)
    if len(shape) in (2, 3):
        return "zyx"[-len(shape) :]
    raise VolumeError(f"{place} has {len(shape)} axes of lengths {tuple(shape)} without names", "name them with --axes")


def _open_zarr(place: str) -> Source:
    metadata = ngff.read_metadata(place)
    stored = ngff.open_array(arrays.join(place, metadata.levels[0].path))
    try:
        nm, unit = of_level(metadata, 0)
        spacing = (from_nm(nm[0], unit), from_nm(nm[1], unit), from_nm(nm[2], unit))
    except VolumeError:
        spacing, unit = None, None
    return Source(
        place=place,
        axes=metadata.order,
        stored_shape=metadata.levels[0].shape,
        dtype=np.dtype(metadata.dtype),
        spacing=spacing,
        unit=unit,
        channel_names=tuple(c.name for c in metadata.channels),
        fetch=lambda region: arrays.read(stored, region, place),
    )


def _open_npy(path: Path, axes_word: str | None) -> Source:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise VolumeError(f"{path} cannot be read: {error}", "the file is damaged or holds no plain array") from None
    word = plain_axes(array.shape, axes_word, str(path))
    names = _numbered(word, array.shape)
    native = array.dtype.newbyteorder("=")

    def fetch(region: tuple[slice, ...]) -> np.ndarray:
        return np.array(array[region], native)

    return Source(str(path), word, array.shape, native, None, None, names, fetch)


def _open_folder(folder: Path, axes_word: str | None) -> Source:
    files = sorted((p for p in folder.iterdir() if p.suffix.lower() in TIFF + PNG and p.name[0] != "."), key=_natural)
    if not files:
        raise VolumeError(f"{folder} holds no TIFF or PNG", "name a folder of sections, or an image file")
    if len({p.suffix.lower() in PNG for p in files}) > 1:
        raise VolumeError(
            f"{folder} holds both TIFF and PNG", "keep the sections of one volume in a folder of their own"
        )
    return _images(files, read_image(files[0]), axes_word)


def _images(files: list[Path], first: np.ndarray, axes_word: str | None) -> Source:
    """Stack sections of one shape along z; a third axis of a section is its colour."""
    place = str(files[0] if len(files) == 1 else files[0].parent)
    if first.ndim not in (2, 3) or (first.ndim == 3 and first.shape[2] > 4):
        raise VolumeError(f"{files[0]} has shape {first.shape}", "each file of a folder is one section, y and x")
    word = "zyxc"[: first.ndim + 1]
    if axes_word and axes.check_axes(axes_word, (len(files), *first.shape), place) != word:
        raise VolumeError(f"{place} is a stack of sections with axes {word}, not {axes_word}", "leave out --axes")

    def fetch(region: tuple[slice, ...]) -> np.ndarray:
        return np.stack([_section(p, first)[region[1:]] for p in files[region[0]]])

    shape = (len(files), *first.shape)
    return Source(place, word, shape, first.dtype, None, None, _numbered(word, shape), fetch)


def _section(path: Path, first: np.ndarray) -> np.ndarray:
    image = read_image(path)
    if image.shape != first.shape or image.dtype != first.dtype:
        raise VolumeError(
            f"{path} is {image.dtype} of shape {image.shape}, but the first section is {first.dtype} of {first.shape}",
            "sections of one volume have one shape and type; mend or remove that file",
        )
    return image


def read_image(path: Path) -> np.ndarray:
    """Read one section, (Y, X) or (Y, X, colour); raises VolumeError naming the file."""
    if path.suffix.lower() in TIFF:
        with open_tiff(path, None) as source:
            if source.shape[0] != 1 or "t" in source.axes:
                raise VolumeError(
                    f"{path} holds {source.shape} voxels", "each file of a folder is one section, y and x"
                )
            whole = Box.of_shape(source.shape)
            image = source.read(whole, None, range(len(source.channel_names)))[:, 0]
            return image[0] if "c" not in source.axes else np.moveaxis(image, 0, -1)
    from PIL import Image

    try:
        with Image.open(path) as opened:
            return np.asarray(opened)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise VolumeError(f"{path} cannot be read: {error}", "the file is damaged; copy it again") from None


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sort section 10 after section 9."""
    return [(0, int(p), "") if p.isdigit() else (1, 0, p.lower()) for p in re.split(r"([0-9]+)", path.name) if p]


def _numbered(word: str, shape: Sequence[int]) -> tuple[str, ...]:
    return tuple(str(k) for k in range(axes.size(word, shape, "c")))
