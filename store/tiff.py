"""What does a TIFF hold, and how is a region of it read page by page? Plain, ImageJ, OME and BigTIFF."""

import logging
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np

from . import axes
from .errors import VolumeError
from .source import Source
from .units import SHORT_UNITS, UNITS_NM

if TYPE_CHECKING:
    import tifffile

LARGE_PAGE = 64 << 20
"""A page above this many bytes is read by its strips or tiles instead of whole."""
BROKEN = (ValueError, LookupError, TypeError, ArithmeticError, OSError, RuntimeError, struct.error, zlib.error)
"""What tifffile raises over damaged files."""
DAMAGED = "the file is truncated or damaged; copy it again"


def open_tiff(path: Path, axes_word: str | None) -> Source:
    """Open the one image of a TIFF; raises VolumeError when it is damaged or its axes are not declared."""
    import tifffile
    import zarr

    with _complaints(path):
        file = tifffile.TiffFile(path)
    try:
        with _complaints(path):
            series = _only_series(file, path)
            _check_complete(file, series, path)
            word, shape, keep = _declared(series, axes_word, str(path))
        spacing, unit, names = _ome(file) if file.is_ome else _imagej(file, series)
        count = axes.size(word, shape, "c")
        native = np.dtype(series.dtype).newbyteorder("=")
        by_page = series.keyframe.nbytes <= LARGE_PAGE
        stored = zarr.open_array(series.aszarr(level=0, chunkmode="page" if by_page else None), mode="r")
    except BaseException:
        file.close()
        raise

    def fetch(region: tuple[slice, ...]) -> np.ndarray:
        index = iter(region)
        try:
            part = np.asarray(stored[tuple(next(index) if k else slice(None) for k in keep)])
        except BROKEN as error:
            raise VolumeError(f"{path} cannot be read: {error}", _advice(error)) from None
        return part.reshape([n for n, k in zip(part.shape, keep) if k]).astype(native, copy=False)

    return Source(
        place=str(path),
        axes=word,
        stored_shape=shape,
        dtype=native,
        spacing=spacing,
        unit=unit,
        channel_names=names if len(names) == count else tuple(str(k) for k in range(count)),
        fetch=fetch,
        close=file.close,
    )


@contextmanager
def _complaints(path: Path) -> Iterator[None]:
    """Turn what tifffile raises, or only logs, such as a page that lies past the end, into a VolumeError."""
    found: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: found.append(record.getMessage())
    logger = logging.getLogger("tifffile")
    propagate = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    except VolumeError:
        raise
    except BROKEN as error:
        raise VolumeError(f"{path} cannot be read: {error}", DAMAGED) from error
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
    if found:
        raise VolumeError(f"{path} is damaged: {found[0]}", DAMAGED)


def _only_series(file: "tifffile.TiffFile", path: Path) -> "tifffile.TiffPageSeries":
    len(file.pages)  # walks the whole chain of pages, so that a broken one is noticed now
    if len(file.series) != 1:
        raise VolumeError(f"{path} holds {len(file.series)} images", "save the one that is meant as a file of its own")
    return file.series[0]


def _check_complete(file: "tifffile.TiffFile", series: "tifffile.TiffPageSeries", path: Path) -> None:
    """Refuse pages that are missing or end after the file does; tifffile would read them as zeros."""
    size = file.filehandle.size
    missing = sum(page is None for page in series.pages)
    if missing:
        raise VolumeError(f"{path} lacks {missing} of its {len(series.pages)} pages", "put its missing files beside it")
    for page in series.pages:
        if page is not None and page.parent is file and _end(page) > size:
            raise VolumeError(f"{path} ends within a page, after {size} bytes", DAMAGED)
    if series.dataoffset is not None and not series.is_multifile and series.dataoffset + series.nbytes > size:
        raise VolumeError(f"{path} ends after {size} bytes, {series.dataoffset + series.nbytes} are needed", DAMAGED)


def _end(page: "tifffile.TiffPage | tifffile.TiffFrame") -> int:
    return max((a + n for a, n in zip(page.dataoffsets, page.databytecounts)), default=0)


def _declared(
    series: "tifffile.TiffPageSeries", axes_word: str | None, place: str
) -> tuple[str, tuple[int, ...], list[bool]]:
    """Return axes, shape and, for each axis that tifffile sees, whether it is kept.

    A single undeclared axis (tifffile: Q or I) before y, x is taken as z, since nothing else is said; further unknown
    axes are only left out when they have length 1.
    """
    letters = series.axes.lower().replace("s", "s" if "C" in series.axes else "c")
    if axes_word:
        return axes.check_axes(axes_word, series.shape, place), tuple(series.shape), [True] * len(series.shape)
    if letters in ("qyx", "iyx", "qyxc", "iyxc"):
        letters = "z" + letters[1:]
    keep = [a in axes.LETTERS or n > 1 for a, n in zip(letters, series.shape)]
    word = "".join(a for a, k in zip(letters, keep) if k)
    shape = tuple(n for n, k in zip(series.shape, keep) if k)
    if set(word) - set(axes.LETTERS) or len(set(word)) != len(word):
        raise VolumeError(
            f"{place} has axes {series.axes} of lengths {series.shape}", "name them with --axes, like tzyx"
        )
    return axes.check_axes(word, shape, place), shape, keep


def _ome(file: "tifffile.TiffFile") -> tuple[tuple[float, float, float] | None, str | None, tuple[str, ...]]:
    """Read voxel size and channel names of the first image; the unit defaults to µm, as the schema says."""
    root = ElementTree.fromstring(file.ome_metadata or "<OME/>")
    pixels = next((e for e in root.iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None:
        return None, None, ()
    names = [e.get("Name") for e in pixels if e.tag.rpartition("}")[2] == "Channel"]
    sizes = {}
    for axis in "ZYX":
        size, unit = pixels.get(f"PhysicalSize{axis}"), _known_unit(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        if size is not None and unit is not None:
            sizes[axis] = (float(size), unit)
    return *_in_one_unit(sizes), tuple(str(k) if n is None else n for k, n in enumerate(names))


def _imagej(
    file: "tifffile.TiffFile", series: "tifffile.TiffPageSeries"
) -> tuple[tuple[float, float, float] | None, str | None, tuple[str, ...]]:
    """Read voxel size from ImageJ's tags; the resolution of other TIFFs is of a printer and says nothing."""
    found = file.imagej_metadata or {}
    unit = _known_unit(str(found.get("unit", "")))
    if not file.is_imagej or unit is None:
        return None, None, ()
    tags = series.keyframe.tags
    sizes = {"Z": (float(found["spacing"]), unit)} if found.get("spacing") else {}
    for axis in "YX":
        above, below = tags[f"{axis}Resolution"].value if f"{axis}Resolution" in tags else (0, 1)
        if above:
            sizes[axis] = (below / above, unit)
    return *_in_one_unit(sizes), ()


def _known_unit(text: str) -> str | None:
    word = text.replace("\\u00B5", "µ").strip().lower()
    full = SHORT_UNITS.get(word, word)
    return full if full in UNITS_NM else None


def _in_one_unit(sizes: dict[str, tuple[float, str]]) -> tuple[tuple[float, float, float] | None, str | None]:
    """Return (z, y, x) in the unit of x, NaN for a z that is not known; nothing unless y and x are."""
    if "Y" not in sizes or "X" not in sizes:
        return None, None
    unit = sizes["X"][1]
    z, y, x = (sizes.get(a, (np.nan, unit)) for a in "ZYX")
    values = [float(f"{v * UNITS_NM[u] / UNITS_NM[unit]:.12g}") for v, u in (z, y, x)]
    return (values[0], values[1], values[2]), unit


def _advice(error: Exception) -> str:
    if "imagecodecs" in str(error):
        return "its compression needs 'pip install imagecodecs', or save it uncompressed or with deflate"
    return DAMAGED
