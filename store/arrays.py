"""How is one zarr array opened, read and written? tensorstore over zarr v2 and v3, local path or http(s) URL.

Everything shares one bounded cache. tensorstore is imported here alone, by the functions that need it.
"""

import functools
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import VolumeError

if TYPE_CHECKING:
    import tensorstore

CACHE_BYTES = 64 << 20
TIMEOUT_S = 20


def is_url(place: str | Path) -> bool:
    return str(place).startswith(("http://", "https://"))


def join(place: str | Path, inner: str) -> str:
    """Return where `inner` lies inside a store; in a URL it is quoted."""
    if is_url(place):
        return f"{str(place).rstrip('/')}/{urllib.parse.quote(inner)}"
    return str(Path(place) / inner)


def read_json(place: str | Path, key: str) -> dict[str, Any] | None:
    """Return the JSON object stored under `key`, None where there is none; raises VolumeError."""
    where = join(place, key)
    try:
        content = _fetch(where) if is_url(where) else Path(where).read_bytes()
        found = json.loads(content) if content is not None else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise VolumeError(f"{where} cannot be read: {error}", "check the address and the permissions") from None
    except ValueError as error:
        raise VolumeError(f"{where} is not valid JSON: {error}", "the store is damaged; make it again") from None
    if found is not None and not isinstance(found, dict):
        raise VolumeError(f"{where} holds no JSON object", "the store is damaged; make it again")
    return found


def _fetch(address: str) -> bytes | None:
    try:
        with urllib.request.urlopen(address.replace(" ", "%20"), timeout=TIMEOUT_S) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        if error.code in (403, 404):  # public buckets answer 403 for what does not exist
            return None
        raise


@functools.cache
def _context() -> "tensorstore.Context":
    import tensorstore

    return tensorstore.Context(
        {
            "cache_pool": {"total_bytes_limit": CACHE_BYTES},
            "data_copy_concurrency": {"limit": min(4, os.cpu_count() or 1)},
            "file_io_concurrency": {"limit": 8},
            "http_request_concurrency": {"limit": 16},
            "http_request_retries": {"max_retries": 4, "initial_delay": "200ms", "max_delay": "4s"},
        }
    )


def _store(place: str | Path) -> dict[str, str]:
    if is_url(place):
        return {"driver": "http", "base_url": str(place).rstrip("/").replace(" ", "%20") + "/"}
    return {"driver": "file", "path": f"{Path(place).absolute()}/"}


def open_array(place: str | Path, *, write: bool = False) -> "tensorstore.TensorStore":
    """Open a zarr array, v2 or v3, at a local path or an http(s) URL; raises VolumeError."""
    import tensorstore

    if write and is_url(place):
        raise VolumeError(f"{place} is a URL", "only local arrays are written")
    spec = {"driver": "auto", "kvstore": _store(place)}
    try:
        return tensorstore.open(spec, context=_context(), open=True, read=True, write=write).result()
    except ValueError as error:
        raise VolumeError(f"{place} cannot be opened as a zarr array: {reason(error)}", "check the path") from None


def create_array(
    path: Path, *, shape: Sequence[int], chunks: Sequence[int], dtype: str, names: Sequence[str], fill: float = 0
) -> None:
    """Make an empty zarr v3 array: unsharded, zstd, with a crc32c over each chunk."""
    import tensorstore

    spec = {
        "driver": "zarr3",
        "kvstore": _store(path),
        "metadata": {
            "shape": list(shape),
            "data_type": dtype,
            "dimension_names": list(names),
            "fill_value": fill,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "zstd", "configuration": {"level": 1}},
                {"name": "crc32c"},
            ],
        },
    }
    tensorstore.open(spec, context=_context(), create=True).result()


def read(array: "tensorstore.TensorStore", index: tuple[slice, ...], place: str | Path) -> np.ndarray:
    """Read a region of an open array; raises VolumeError naming the place when its chunks cannot be decoded."""
    try:
        return np.asarray(array[index].read().result())
    except ValueError as error:
        raise VolumeError(
            f"{place} cannot be read: {reason(error)}", "the store is damaged or out of reach; check or copy it again"
        ) from None


def reason(error: Exception) -> str:
    """Return the part of a tensorstore message that a person can use."""
    return str(error).split(" [")[0].splitlines()[0][:300]
