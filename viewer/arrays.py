"""Which arrays does the server answer for, and with what? Files by range, other servers' stores, and made-up chunks.

Only declared arrays are served: an address (addresses.py) names a volume, a map, saved labels or an open box, and a key
names a level and a chunk of its grid; the path that is read is made from those, never from the request. What an address
means is looked up, and disks are waited for, on threads: the loop carries the strokes as well.
"""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import tornado.web
from tornado.iostream import StreamClosedError

from ..store.arrays import is_url
from ..store.errors import RondelError, VolumeError
from . import addresses, chunks, ranges
from .addresses import Key
from .canvas import Canvas
from .catalogue import Catalogue, Shown
from .remote import GATEWAY_TIMEOUT, Remote
from .virtual import VirtualArray

READERS, FINDERS = 6, 2
"""Threads that read chunks, and threads that look up what was not asked for before, as at a remote store."""

CanvasOf = Callable[[str], Canvas | None]


class Arrays:
    """All arrays of a project as routes of a tornado application; close it on the loop that served them."""

    def __init__(self, folder: Path, canvas_of: CanvasOf) -> None:
        self.folder, self.canvas_of = folder, canvas_of
        self.remote = Remote()
        self._catalogue = Catalogue(folder)
        self._readers = ThreadPoolExecutor(READERS, "chunks")
        self._finders = ThreadPoolExecutor(FINDERS, "catalogue")

    def routes(self) -> list[tuple[str, type[tornado.web.RequestHandler], dict[str, Any]]]:
        stored = {"image": addresses.IMAGE, "map": addresses.MAP, "saved": addresses.SAVED}
        return [
            *((pattern, Stored, {"arrays": self, "kind": kind}) for kind, pattern in stored.items()),
            (addresses.BOX, OpenBox, {"arrays": self}),
            (addresses.NAMES, Names, {"arrays": self}),
        ]

    async def find(self, kind: str, *names: Any) -> Any:
        """Return what an address means; raises HTTPError 404 when that is nothing."""
        known = self._catalogue.known(kind, *names)
        if known is not None:
            return known
        try:
            return await self._on(self._finders, self._catalogue.find, kind, *names)
        except VolumeError as error:
            raise tornado.web.HTTPError(GATEWAY_TIMEOUT, "%s", error) from None
        except RondelError:
            raise tornado.web.HTTPError(404) from None

    async def read(self, function: Callable, *arguments: Any) -> Any:
        return await self._on(self._readers, function, *arguments)

    async def _on(self, pool: ThreadPoolExecutor, function: Callable, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)

    async def close(self) -> None:
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._finders.shutdown(wait=False, cancel_futures=True)
        await self.remote.close()


class _Handler(tornado.web.RequestHandler):
    """Answers GET and HEAD alike, the one without the body."""

    SUPPORTED_METHODS = ("GET", "HEAD")
    caching = "private, no-cache"

    def initialize(self, arrays: Arrays) -> None:
        self.arrays = arrays

    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Cache-Control", self.caching)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")

    def compute_etag(self) -> None:
        """Leave the ETag to `ranges`: tornado would hash what was written, which for HEAD is nothing."""

    def write_error(self, status_code: int, **_: Any) -> None:
        self.finish()

    async def answer(self, shown: Shown, key: Key) -> None:
        """Answer a key of a virtual store."""
        if key.level is None:
            return self.send(shown.image.document, "application/json")
        if key.level >= len(shown.image.levels):
            raise tornado.web.HTTPError(404)
        array = shown.image.levels[key.level]
        if key.chunk is None:
            return self.send(array.document, "application/json")
        if not array.has(key.chunk):
            raise tornado.web.HTTPError(404)
        return await self.chunk(shown, array, key.level, key.chunk)

    async def chunk(self, shown: Shown, array: VirtualArray, level: int, index: tuple[int, ...]) -> None:
        raise NotImplementedError

    def send(self, content: bytes, kind: str = "application/octet-stream") -> None:
        """Answer with what is in memory."""
        tag = f'"{hashlib.blake2b(content, digest_size=8).hexdigest()}"'
        reply = ranges.decide(self.request.method or "GET", self.request.headers, len(content), tag)
        self.begin(reply)
        self.set_header("Content-Type", kind)
        if self.request.method == "GET" and reply.stop > reply.start:
            self.write(content[reply.start : reply.stop])

    def begin(self, reply: ranges.Reply) -> None:
        self.set_status(reply.status)
        for name, value in reply.headers.items():
            self.set_header(name, value)


class Stored(_Handler):
    """Image, maps and saved labels."""

    def initialize(self, arrays: Arrays, kind: str) -> None:
        super().initialize(arrays)
        self.kind = kind

    async def get(self, *parts: str) -> None:
        *names, key = parts
        await self.answer(await self.arrays.find(self.kind, *names), addresses.parse_key(key))

    head = get

    async def chunk(self, shown: Shown, array: VirtualArray, level: int, index: tuple[int, ...]) -> None:
        hole = chunks.inside(array, index, shown.holes[level]) if shown.holes else None
        if hole and not hole.empty:
            return self.send(await self.made(chunks.cut, array, index, hole))
        if array.decoded:
            return self.send(await self.made(chunks.decode, array, index))
        if shown.image.remote:
            return await self.arrays.remote.relay(self, array.stored_at(index))
        return await self.file(array, index, shown.near)

    async def made(self, make: Callable[..., bytes], array: VirtualArray, *arguments: Any) -> bytes:
        try:
            return await self.arrays.read(make, array, self.arrays.folder, *arguments)
        except VolumeError as error:
            raise tornado.web.HTTPError(500 if await self.there(array) else GATEWAY_TIMEOUT, "%s", error) from None

    async def there(self, array: VirtualArray) -> bool:
        """Tell whether an array is in reach at all; of one on another server that is not known."""
        return not is_url(array.place) and await self.arrays.read(Path(array.place).exists)

    async def file(self, array: VirtualArray, index: tuple[int, ...], near: bool) -> None:
        """Answer with a chunk as it is stored."""
        try:
            opened = await self.opened(array.stored_at(index), array.slot(index), near)
        except (FileNotFoundError, NotADirectoryError):
            if not await self.there(array):  # a disk that is not mounted is no empty image
                raise tornado.web.HTTPError(GATEWAY_TIMEOUT) from None
            content = await self.arrays.read(chunks.blank, array)
            if content is None:
                raise tornado.web.HTTPError(404) from None
            return self.send(content)
        try:
            await self.stream(opened, near)
        except StreamClosedError:
            return None  # the page left
        finally:
            opened.close()

    async def opened(self, place: str, slot: ranges.Slot | None, near: bool) -> ranges.Opened:
        wanted = place, self.request.method or "GET", self.request.headers, slot
        if near:
            with suppress(BlockingIOError):
                return ranges.open_file(*wanted, wait=False)
        return await self.arrays.read(ranges.open_file, *wanted)

    async def stream(self, opened: ranges.Opened, near: bool) -> None:
        self.begin(opened.reply)
        if opened.piece:
            self.write(opened.piece)
        while opened.descriptor is not None:
            await self.flush()
            piece = await self.piece(opened, near)
            if not piece:
                break
            self.write(piece)

    async def piece(self, opened: ranges.Opened, near: bool) -> bytes:
        if near:
            with suppress(BlockingIOError):
                return opened.read(wait=False)
        return await self.arrays.read(opened.read)


class OpenBox(_Handler):
    """The box that is being painted, as it is now."""

    caching = "no-store"

    async def get(self, serial: str, key: str) -> None:
        self.canvas = self.arrays.canvas_of(serial)
        if self.canvas is None:
            raise tornado.web.HTTPError(404)
        shown = await self.arrays.find("box", self.canvas.volume, self.canvas.box, self.canvas.chunk_shape)
        await self.answer(shown, addresses.parse_key(key))

    head = get

    async def chunk(self, shown: Shown, array: VirtualArray, level: int, index: tuple[int, ...]) -> None:
        assert self.canvas is not None and len(index) == 3
        self.send(self.canvas.chunk((index[0], index[1], index[2])))


class Names(_Handler):
    """Names of the classes."""

    async def get(self, digest: str) -> None:
        self.send(await self.arrays.find("names", digest), "application/json")

    head = get
