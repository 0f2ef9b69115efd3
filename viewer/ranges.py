"""How much of a file is answered? All, one range, nothing because the page has it, or nothing because there is none.

RFC 9110, sections 13 and 14. A file is opened, looked at and read by one call, so that a request costs one change of
thread; what is left of a large one is read piece by piece, so that its size does not matter.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

PIECE = 1 << 20
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

    def read(self) -> bytes:
        """Return the next piece, empty at the end."""
        if self.descriptor is None:
            return b""
        wanted = min(PIECE, self.reply.stop - self.place)
        piece = os.pread(self.descriptor, wanted, self.place)
        self.place += len(piece)
        if not piece or self.place == self.reply.stop:
            self.close()
        return piece

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def open_file(path: str, method: str, asked: Mapping[str, str]) -> Opened:
    """Open a file and read the first piece of what is wanted of it; raises FileNotFoundError when it is no file."""
    # A named pipe would keep the thread waiting for somebody to write.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(path)
        tag = f'"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"'
        reply = decide(method, asked, found.st_size, tag)
        opened = Opened(reply, b"", descriptor, reply.start)
        if method == "HEAD" or reply.start == reply.stop:
            opened.close()
        else:
            opened.piece = opened.read()
        return opened
    except BaseException:
        os.close(descriptor)
        raise
