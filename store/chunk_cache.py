"""Where are the chunks of remote images kept that were read before? In files of the user's cache, up to a limit.

    ~/.cache/rondel/chunks/3f/3f9c…    one decoded chunk, zstd with a checksum

A file is named by the address of its array, the chunk's place, and what the array and its middle chunk hold, so that an
image that is written anew is read anew. Any number of processes share the folder: files appear whole by renaming, those
that were not used for longest go first, and what cannot be written or read is fetched as if there were no cache.
"""

import errno
import hashlib
import itertools
import json
import math
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import arrays, remote

if TYPE_CHECKING:
    import tensorstore

Region = tuple[slice, ...]
Reader = Callable[[Region], np.ndarray]
TOGETHER, TOGETHER_BYTES = 64, 128 << 20
"""Chunks that are asked for at once, and how much they may hold."""
RESERVE = 1 << 30
"""Bytes of the disk that are left to others."""


def open_reader(place: str, root: Path) -> Reader:
    """Open an array of an image for reading regions; what is remote goes through the cache of the project's limit."""
    stored = arrays.open_array(place)
    limit = _limit(root) if remote.is_url(place) else 0
    if not limit:
        return partial(arrays.read, stored, place=place)
    return _RemoteArray(stored, place, _version(stored, place), _cache(folder(), limit)).read


def folder() -> Path:
    """Return where chunks are kept."""
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".cache") / "rondel" / "chunks"


def _limit(root: Path) -> int:
    """Return the bytes that a project lets the cache have; the default where there is no project."""
    from . import settings, settings_file

    file = root / "project.toml"
    found = settings_file.load(file) if file.is_file() else settings.Settings()
    return int(found.remote.cache_gb * 1e9)


class ChunkCache:
    """Files up to a size; any thread may use it."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._lock = threading.Lock()
        self._unseen = limit
        """Bytes that were written here since files were last counted."""

    def get(self, name: str) -> bytes | None:
        """Return what is kept under a name, None where nothing is, or it is damaged."""
        import numcodecs

        path = self._path(name)
        try:
            content = numcodecs.Zstd().decode(path.read_bytes())
        except OSError:
            return None
        except (RuntimeError, ValueError):  # cut short by a crash
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)
        return content

    def put(self, name: str, content: bytes) -> None:
        """Keep something; a disk that is full, or may not be written, keeps nothing."""
        import numcodecs

        packed = numcodecs.Zstd(level=1, checksum=True).encode(content)
        path = self._path(name)
        beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
        with suppress(OSError):
            self._make_room(len(packed))
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                beside.write_bytes(packed)
                beside.replace(path)
            finally:
                beside.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        digest = hashlib.blake2b(name.encode(), digest_size=20).hexdigest()
        return self._folder / digest[:2] / digest

    def _make_room(self, size: int) -> None:
        """Count the files now and then, and remove the oldest down to nine tenths of what is allowed."""
        with self._lock:
            self._unseen += size
            if self._unseen <= self._limit / 20:
                return
            self._folder.mkdir(0o700, parents=True, exist_ok=True)  # what is kept may be nobody else's to see
            kept = sorted(self._files())
            held = sum(length for _, length, _ in kept)
            allowed = min(self._limit, held + shutil.disk_usage(self._folder).free - RESERVE)
            for _, length, path in kept:
                if held + size <= 0.9 * allowed:
                    break
                path.unlink(missing_ok=True)
                held -= length
            if held + size > allowed:
                raise OSError(errno.ENOSPC, "no room for chunks")
            self._unseen = size

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """List what is kept as (time of last use, size, path)."""
        for path in self._folder.glob("*/*"):
            with suppress(FileNotFoundError):  # another process removed it
                status = path.stat()
                yield status.st_mtime, status.st_size, path


_cache = lru_cache(ChunkCache)


@dataclass(frozen=True, slots=True)
class _RemoteArray:
    """An open array of a remote image, read by whole chunks."""

    stored: "tensorstore.TensorStore"
    place: str
    version: str
    cache: ChunkCache

    def read(self, index: Region) -> np.ndarray:
        shape, dtype = _chunk_shape(self.stored), self.stored.dtype.numpy_dtype
        region = np.empty([s.stop - s.start for s in index], dtype)
        chunks = _chunks(index, shape, self.stored.shape)
        together = max(1, min(TOGETHER, TOGETHER_BYTES // (math.prod(shape) * dtype.itemsize)))
        while some := list(itertools.islice(chunks, together)):
            for chunk, block in self._blocks(some):
                common = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(chunk, index)]
                region[_inside(common, index)] = block[_inside(common, chunk)]
        return region

    def _blocks(self, chunks: list[Region]) -> Iterator[tuple[Region, np.ndarray]]:
        """Return whole chunks: those that are not kept are asked for together, and kept then."""
        import tensorstore

        batch, asked = tensorstore.Batch(), []
        for chunk in chunks:
            name = f"{self.place}\n{self.version}\n{[s.start for s in chunk]}"
            content = self.cache.get(name)
            if content is None:
                asked.append((name, chunk, self.stored[chunk].read(batch=batch)))
            else:
                shape = [s.stop - s.start for s in chunk]
                yield chunk, np.frombuffer(content, self.stored.dtype.numpy_dtype).reshape(shape)
        batch.submit()
        for name, chunk, future in asked:
            block = np.asarray(remote.wait(lambda future=future: future, self.place))
            if (block != self.stored.fill_value).any():  # a missing one may come yet, and costs little
                self.cache.put(name, block.tobytes())
            yield chunk, block


def _version(stored: "tensorstore.TensorStore", place: str) -> str:
    """Return what changes when an array is written anew: not all servers tell, and metadata may stay the same."""
    middle = next(_chunks([slice(n // 2, n // 2 + 1) for n in stored.shape], _chunk_shape(stored), stored.shape))
    described = json.dumps(stored.spec().to_json()["metadata"], sort_keys=True)
    return hashlib.blake2b(described.encode() + arrays.read(stored, middle, place).tobytes()).hexdigest()


def _chunk_shape(stored: "tensorstore.TensorStore") -> tuple[int, ...]:
    return tuple(int(n or 1) for n in stored.chunk_layout.read_chunk.shape or ())


def _chunks(index: Sequence[slice], chunk: Sequence[int], shape: Sequence[int]) -> Iterator[Region]:
    """List the chunks that a region touches, each as its own region."""
    spans = [
        [slice(k * c, min((k + 1) * c, n)) for k in range(s.start // c, -(-s.stop // c))]
        for s, c, n in zip(index, chunk, shape)
    ]
    return itertools.product(*spans)


def _inside(part: Sequence[slice], whole: Region) -> Region:
    return tuple(slice(p.start - w.start, p.stop - w.start) for p, w in zip(part, whole))
