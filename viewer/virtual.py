"""What does a stored OME-Zarr image look like to the page? OME-Zarr 0.5 in our own frame, whatever is stored.

    stored                                        served
    zarr v2 or v3, axes in any order              zarr v3, the same axes, and a z of length 1 where there is none
    scales, translations and units of its own     nm: voxel i of the working level is centred at i times its spacing
    level paths and chunk keys of its own         s0, s1 … and c/0/0/0

Chunks stay the bytes that they are, unless the page could not decode them, or they lie in a bucket. Time and channels
are declared as channels, so that Neuroglancer makes them dimensions of a layer (t', c') and not of the whole scene.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..store import arrays
from ..store.box import Box
from ..store.errors import VolumeError
from ..store.ngff import ImageMetadata
from ..store.remote import is_bucket
from ..store.volume import voxel_ratio
from . import codecs
from .codecs import Codec, Undecodable
from .ranges import Slot

PLAIN: list[Codec] = [{"name": "bytes", "configuration": {"endian": "little"}}]
SHOWN_AS = {"bool": "uint8", "float16": "float32"}
"""Data types that Neuroglancer lacks. A stored bool is a byte already; a float16 is converted by the server."""


@dataclass(frozen=True, slots=True)
class VirtualArray:
    """One level as it is served, and where its chunks lie."""

    document: bytes
    """Its zarr.json."""
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    place: str
    """The stored array; empty where there is none."""
    prefix: str
    separator: str
    added: bool
    """Whether the first axis, z of length 1, is not in the stored array."""
    decoded: bool
    """Whether the server has to decode the chunks for the page."""
    sharded: bool
    """Whether shards are served as they are, for the page to find the chunks in them."""
    slots: tuple[int, ...] = ()
    """How many chunks a shard has along each axis, where the server finds them; else each chunk is a file."""

    def has(self, index: Sequence[int]) -> bool:
        """Tell whether there is such a chunk."""
        return len(index) == len(self.shape) and all(
            0 <= i < -(-n // c) for i, n, c in zip(index, self.shape, self.chunks)
        )

    def stored_at(self, index: Sequence[int]) -> str:
        """Return the path or URL of the file of a chunk that there is."""
        parts = [str(i // n) for i, n in zip(index, self.slots or [1] * len(index))][self.added :]
        return f"{self.place}/{self.separator.join([self.prefix, *parts] if self.prefix else parts)}"

    def slot(self, index: Sequence[int]) -> Slot | None:
        """Tell which chunk of that file it is; None where it is the file."""
        if not self.slots:
            return None
        number = 0
        for i, n in zip(index, self.slots):
            number = number * n + i % n
        return Slot(number, math.prod(self.slots))

    def region(self, index: Sequence[int]) -> tuple[slice, ...]:
        """Return what a chunk covers of the stored array."""
        spans = [slice(i * c, min((i + 1) * c, n)) for i, n, c in zip(index, self.shape, self.chunks)]
        return tuple(spans[self.added :])


@dataclass(frozen=True, slots=True)
class VirtualImage:
    """A multiscale image as it is served."""

    document: bytes
    """The zarr.json of its group."""
    levels: tuple[VirtualArray, ...]
    axes: str
    """Served axes in their order, "zyx" or more."""

    @property
    def remote(self) -> bool:
        return arrays.is_url(self.levels[0].place)


def of_image(
    metadata: ImageMetadata, working: int, spacing_nm: Sequence[float], *, growing: bool = False
) -> VirtualImage:
    """Describe a stored image, the voxels of its level `working` being of this size (z, y, x).

    Of what is `growing`, one of ours, shards are served chunk by chunk: they are written anew while a page is open, and
    a page keeps what it knows of where chunks lie in them.
    """
    added = "z" not in metadata.order
    axes = "z" * added + metadata.order
    levels = tuple(_level(metadata, k, axes, added, growing) for k in range(len(metadata.levels)))
    places = [_place(metadata, working, k, spacing_nm) for k in range(len(levels))]
    return VirtualImage(_group(metadata.name, axes, places), levels, axes)


def of_box(box: Box, chunks: Sequence[int], spacing_nm: Sequence[float]) -> VirtualImage:
    """Describe a uint8 image of one level that lies at a box of the working level and is stored nowhere."""
    document = _array(box.shape, chunks, "uint8", 0, PLAIN, "zyx")
    level = VirtualArray(document, box.shape, tuple(chunks), "uint8", "", "c", "/", False, True, False)
    place = (tuple(spacing_nm), tuple(a * s for a, s in zip(box.start, spacing_nm)))
    return VirtualImage(_group("box", "zyx", [place]), (level,), "zyx")


def _place(metadata: ImageMetadata, working: int, level: int, spacing_nm: Sequence[float]) -> tuple:
    """Return voxel size and position of the first voxel of a level in nm (z, y, x), seen from the working level."""
    ratios = voxel_ratio(metadata, working, level)
    shifts = [_shift(metadata, working, level, axis, ratio) for axis, ratio in zip("zyx", ratios)]
    return tuple(s * r for s, r in zip(spacing_nm, ratios)), tuple(s * t for s, t in zip(spacing_nm, shifts))


def _shift(metadata: ImageMetadata, working: int, level: int, axis: str, ratio: float) -> float:
    """Return where a level's first voxel is centred, in voxels of the working level.

    Without scales translations mean nothing: then a coarse voxel is taken to cover whole finer ones.
    """
    k = metadata.order.find(axis)
    if k < 0:
        return 0.0
    base, other = metadata.levels[working], metadata.levels[level]
    shift = (other.translation[k] - base.translation[k]) / base.scale[k] if base.scale[k] > 0 else math.nan
    return shift if math.isfinite(shift) and other.scale[k] > 0 else (ratio - 1) / 2


def _group(name: str, axes: str, places: Sequence[tuple]) -> bytes:
    space = {"type": "space", "unit": "nanometer"}
    multiscale = {
        "name": name,
        "axes": [{"name": a} | (space if a in "zyx" else {"type": "channel"}) for a in axes],
        "datasets": [
            {
                "path": f"s{k}",
                "coordinateTransformations": [
                    {"type": "scale", "scale": _spread(axes, scale, 1.0)},
                    {"type": "translation", "translation": _spread(axes, translation, 0.0)},
                ],
            }
            for k, (scale, translation) in enumerate(places)
        ],
    }
    ome = {"version": "0.5", "multiscales": [multiscale]}
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}).encode()


def _spread(axes: str, zyx: Sequence[float], other: float) -> list[float]:
    of = dict(zip("zyx", zyx))
    return [of.get(a, other) for a in axes]


def _level(metadata: ImageMetadata, level: int, axes: str, added: bool, growing: bool) -> VirtualArray:
    found = metadata.levels[level]
    place = arrays.join(metadata.url, found.path).rstrip("/")
    stored = arrays.read_json(place, "zarr.json" if metadata.zarr_format == 3 else ".zarray")
    if stored is None:
        raise VolumeError(f"{place} holds no array any more", "put the image back, or relink the volume")
    shape = (1, *found.shape) if added else found.shape
    dtype = SHOWN_AS.get(metadata.dtype, metadata.dtype)
    try:
        if metadata.dtype == "float16" or is_bucket(place):  # a bucket's credentials stay with the server
            raise Undecodable(place)
        chain = _served_codecs(metadata, stored, dtype, added)
        cut, fill = found.chunks, _fill(stored.get("fill_value"), dtype)
    except (Undecodable, KeyError, TypeError, IndexError):
        chain, cut, fill = PLAIN, found.inner_chunks, 0
    slots = ()
    if growing and _sharded(chain):
        chain, cut = chain[0]["configuration"]["codecs"], found.inner_chunks
        slots = tuple(n // c for n, c in zip(found.chunks, cut))
    chunks = (1, *cut) if added else cut
    prefix, separator = _key_encoding(stored)
    return VirtualArray(
        document=_array(shape, chunks, dtype, fill, chain, axes),
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        place=place,
        prefix=prefix,
        separator=separator,
        added=added,
        decoded=chain is PLAIN,
        sharded=_sharded(chain),
        slots=slots,
    )


def _sharded(chain: Sequence[Codec]) -> bool:
    return any(codec["name"] == "sharding_indexed" for codec in chain)


def _served_codecs(metadata: ImageMetadata, stored: dict[str, Any], dtype: str, added: bool) -> list[Codec]:
    import numpy as np

    if metadata.zarr_format == 2:
        return codecs.of_v2(stored, np.dtype(dtype).itemsize, added=added)
    if stored.get("storage_transformers"):
        raise Undecodable("storage transformers")
    return codecs.of_v3(stored["codecs"], added=added)


def _fill(value: Any, dtype: str) -> Any:
    """Return a fill value as v3 writes it; raises Undecodable when it is none that Neuroglancer knows."""
    if value is None:
        return 0
    if not dtype.startswith("float"):
        return int(value)
    if not isinstance(value, (int, float)) and value not in ("NaN", "Infinity", "-Infinity"):
        raise Undecodable(f"fill value {value}")
    return value


def _key_encoding(stored: dict[str, Any]) -> tuple[str, str]:
    """Return what stands before the numbers of a chunk's key, and between them."""
    if stored["zarr_format"] == 2:
        return "", stored.get("dimension_separator", ".")
    encoding: dict[str, Any] = stored.get("chunk_key_encoding") or {"name": "default"}
    settings = encoding.get("configuration") or {}
    if encoding["name"] == "v2":
        return "", settings.get("separator", ".")
    return "c", settings.get("separator", "/")


def _array(
    shape: Sequence[int], chunks: Sequence[int], dtype: str, fill: Any, chain: Sequence[Codec], axes: str
) -> bytes:
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": list(chain),
        "dimension_names": list(axes),
        "attributes": {},
    }
    return json.dumps(document).encode()
