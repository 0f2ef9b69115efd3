"""How much of a file is answered? All, one range, nothing because the page has it, or nothing because there is none.

RFC 9110, sections 13 and 14. A file is opened, looked at and read by one call; what is left of a large one is read
piece by piece, so that its size does not matter. Of a shard (zarr v3, sharding_indexed) one chunk can be answered as if
it were a file: where it lies is read from the same open file, so that a shard which is written anew meanwhile never
gives parts of two. What the kernel has in memory can be read without waiting for a disk,
which spares the change to another thread; on a busy machine that change costs more than all the rest.
"""

import errno
import os
import re
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

PIECE, SMALL_PIECE = 1 << 20, 120 << 10
"""Bytes read at once: many where that costs a change of thread, else few, since C's malloc asks the kernel for blocks
above 128 kB anew each time, which costs more than sending them."""
NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)
"""Linux' flag to read nothing that is not in memory; other systems have none."""
ENTRY, CHECKSUM = struct.Struct("<QQ"), 4
"""Of the index of a shard: where a chunk lies, and the bytes after all of them."""
ABSENT = (2**64 - 1, 2**64 - 1)
RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
ETAG = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent of some content."""

    status: int
    start: int
    stop: int
    headers: dict[str, str]


def decide(method: str, asked: Mapping[str, str], size: int, tag: str) -> Reply:
    """Decide what a request gets of content of this size whose version is `tag`."""
    headers = {"Etag": tag, "Accept-Ranges": "bytes"}
    known = asked.get("If-None-Match")
    if known is not None and (known.strip() == "*" or tag in ETAG.findall(known)):
        return Reply(304, 0, 0, headers)
    span = _span(asked["Range"], size) if method == "GET" and "Range" in asked else None
    if span is None or asked.get("If-Range", tag) != tag:
        return Reply(200, 0, size, headers | {"Content-Length": str(size)})
    start, stop = span
    if start >= stop:
        return Reply(416, 0, 0, headers | {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
    placed = {"Content-Range": f"bytes {start}-{stop - 1}/{size}", "Content-Length": str(stop - start)}
    return Reply(206, start, stop, headers | placed)


def _span(text: str, size: int) -> tuple[int, int] | None:
    """Return the bytes of one range, empty when there are none; None for what is to be passed over."""
    match = RANGE.fullmatch(text.replace(" ", ""))
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size


@dataclass(slots=True)
class Opened:
    """A file that is being answered; close it, or read it to its end."""

    reply: Reply
    piece: bytes
    """The first bytes of what is to be sent."""
    descriptor: int | None = field(repr=False)
    """None when the piece is all of it."""
    place: int = 0
    """Where in the file the next piece begins, and where the last one ends."""
    end: int = 0

    def read(self, *, wait: bool = True) -> bytes:
        """Return the next piece, empty at the end; without `wait` as `_read` below."""
        if self.descriptor is None:
            return b""
        wanted = min(PIECE if wait else SMALL_PIECE, self.end - self.place)
        piece = _read(self.descriptor, wanted, self.place, wait)
        self.place += len(piece)
        if not piece or self.place == self.end:
            self.close()
        return piece

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


@dataclass(frozen=True, slots=True)
class Slot:
    """Which chunk of a shard: its number in C order, and how many the shard has room for."""

    number: int
    count: int


def open_file(
    path: str, method: str, asked: Mapping[str, str], slot: Slot | None = None, *, wait: bool = True
) -> Opened:
    """Open a file and read the first piece of what is wanted of it, or of one chunk; without `wait` as `_read` below.

    Raises FileNotFoundError when it is no file, or the chunk is not in the shard.
    """
    # A named pipe would keep the thread waiting for somebody to write.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    opened = None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(path)
        tag = f'"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"'
        first, stop = _chunk(descriptor, found.st_size, slot, wait) if slot else (0, found.st_size)
        reply = decide(method, asked, stop - first, tag)
        opened = Opened(reply, b"", descriptor, first + reply.start, first + reply.stop)
        if method == "HEAD" or reply.start == reply.stop:
            opened.close()
        else:
            opened.piece = opened.read(wait=wait)
        return opened
    except BaseException:
        if opened is None or opened.descriptor is not None:
            os.close(descriptor)
        raise


def _chunk(descriptor: int, size: int, slot: Slot, wait: bool) -> tuple[int, int]:
    """Return where a chunk lies in a shard whose index is at the end: an offset and a length each, then a checksum."""
    entry = _read(descriptor, ENTRY.size, size - CHECKSUM - (slot.count - slot.number) * ENTRY.size, wait)
    start, length = ENTRY.unpack(entry)
    if (start, length) == ABSENT:
        raise FileNotFoundError(f"chunk {slot.number} of a shard")
    if start + length > size:
        raise OSError(errno.EIO, "a shard is cut off")
    return start, start + length


def _read(descriptor: int, wanted: int, place: int, wait: bool) -> bytes:
    """Read part of a file; without `wait` only what needs no disk, else BlockingIOError."""
    if wait:
        return os.pread(descriptor, wanted, place)
    if NOWAIT is None:
        raise BlockingIOError
    buffer, filled = memoryview(bytearray(wanted)), 0
    while filled < wanted:
        try:
            count = os.preadv(descriptor, [buffer[filled:]], place + filled, NOWAIT)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                raise BlockingIOError from None
            raise
        if not count:
            break
        filled += count
    return bytes(buffer[:filled])
