"""How is one zarr array opened, read and written? tensorstore over zarr v2 and v3, at a local path or a URL.

Everything shares one bounded cache. tensorstore is imported here alone, by the functions that need it.
"""

import functools
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import remote, shards
from .box import ZYX
from .errors import VolumeError
from .remote import is_url, reason

if TYPE_CHECKING:
    import tensorstore

CACHE_BYTES = 64 << 20


def join(place: str | Path, inner: str) -> str:
    """Return where `inner` lies inside a store; in a web address it is quoted."""
    return remote.join(str(place), inner) if is_url(place) else str(Path(place) / inner)


def read_json(place: str | Path, key: str) -> dict[str, Any] | None:
    """Return the JSON object stored under `key`, None where there is none; raises VolumeError."""
    where = join(place, key)
    try:
        content = remote.fetch(str(place), key, _context()) if is_url(place) else Path(where).read_bytes()
        found = json.loads(content) if content is not None else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except VolumeError:
        raise
    except OSError as error:
        raise VolumeError(f"{where} cannot be read: {error}", "check the address and the permissions") from None
    except ValueError as error:
        raise VolumeError(f"{where} is not valid JSON: {error}", "the store is damaged; make it again") from None
    if found is not None and not isinstance(found, dict):
        raise VolumeError(f"{where} holds no JSON object", "the store is damaged; make it again")
    return found


def check_bucket(place: str) -> None:
    """Raise VolumeError when a place lies in a bucket that does not exist."""
    if remote.is_bucket(place):
        remote.check_bucket(place, _context())


@functools.cache
def _context() -> "tensorstore.Context":
    import tensorstore

    return tensorstore.Context(
        {
            "cache_pool": {"total_bytes_limit": CACHE_BYTES},
            "data_copy_concurrency": {"limit": min(4, os.cpu_count() or 1)},
            "file_io_concurrency": {"limit": 8},
            **remote.context(),
        }
    )


def _store(place: str | Path) -> dict[str, Any]:
    return remote.spec(str(place)) if is_url(place) else {"driver": "file", "path": f"{Path(place).absolute()}/"}


def open_array(place: str | Path, *, write: bool = False) -> "tensorstore.TensorStore":
    """Open a zarr array, v2 or v3, at a local path or a URL; raises VolumeError."""
    import tensorstore

    if write and is_url(place):
        raise VolumeError(f"{place} is a URL", "only local arrays are written")
    spec = {"driver": "auto", "kvstore": _store(place)}

    def start() -> "tensorstore.Future[tensorstore.TensorStore]":
        return tensorstore.open(spec, context=_context(), open=True, read=True, write=write)

    if is_url(place):
        return remote.wait(start, str(place), remote.TIMEOUT_S)
    try:
        return start().result()
    except ValueError as error:
        raise VolumeError(f"{place} cannot be opened as a zarr array: {reason(error)}", "check the path") from None


@dataclass(frozen=True, slots=True)
class Layout:
    """How an array is cut."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    """What a file holds, whole chunks; None where it is one chunk."""

    @property
    def files(self) -> int:
        """Count the files of an array all of which was written."""
        return shards.files(self.shape, self.shards or self.chunks)


def file_shape(stored: "tensorstore.TensorStore") -> ZYX:
    """Return the block (z, y, x) of an array that a file of it holds: a chunk, or the chunks of a shard."""
    z, y, x = (int(n or 1) for n in (stored.chunk_layout.write_chunk.shape or ())[-3:])
    return z, y, x


def create_array(path: Path, layout: Layout, *, dtype: str, names: Sequence[str], fill: float = 0) -> None:
    """Make an empty zarr v3 array: zstd, with a crc32c over each chunk."""
    import tensorstore

    little, checked = {"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}
    codecs = [little, {"name": "zstd", "configuration": {"level": 1}}, checked]
    if layout.shards:
        sharding = {"chunk_shape": list(layout.chunks), "codecs": codecs, "index_codecs": [little, checked]}
        codecs = [{"name": "sharding_indexed", "configuration": sharding | {"index_location": "end"}}]
    spec = {
        "driver": "zarr3",
        "kvstore": _store(path),
        "metadata": {
            "shape": list(layout.shape),
            "data_type": dtype,
            "dimension_names": list(names),
            "fill_value": fill,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(layout.shards or layout.chunks)}},
            "codecs": codecs,
        },
    }
    tensorstore.open(spec, context=_context(), create=True).result()


@contextmanager
def together() -> "Iterator[tensorstore.Transaction]":
    """Gather what is written under a transaction and write it at its end, each file once; nothing when it fails."""
    import tensorstore

    with tensorstore.Transaction() as gathered:
        yield gathered


def read(array: "tensorstore.TensorStore", index: tuple[slice, ...], place: str | Path) -> np.ndarray:
    """Read a region of an open array; raises VolumeError naming the place when its chunks cannot be had or decoded."""
    if is_url(place):
        return np.asarray(remote.wait(lambda: array[index].read(), str(place)))
    try:
        return np.asarray(array[index].read().result())
    except ValueError as error:
        raise VolumeError(
            f"{place} cannot be read: {reason(error)}", "the store is damaged or out of reach; check or copy it again"
        ) from None
