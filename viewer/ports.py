"""At which port and by which names is the page found?"""

import errno
import os
import secrets
import socket
import sys
from collections.abc import Iterable, Iterator

from tornado.netutil import bind_sockets

from ..store.errors import RondelError, UsageError

CHOICE = range(20_000, 30_000)
"""Where a project's first port is drawn from: below what systems hand out to outgoing connections. It is drawn, since
projects that all took the first free one would take it from each other whenever one is stopped."""
TRIED = 50
EVERY_ADDRESS = ("", "0.0.0.0", "::")


def claim(bind: str, insisted: int | None, remembered: int) -> list[socket.socket]:
    """Return sockets that hold a port: the one insisted on, else the remembered one, else the next that is free.

    Raises RondelError when the port insisted on is taken or may not be used, UsageError when `bind` is no address here.
    """
    wanted = insisted or remembered
    for port in [insisted] if insisted else _candidates(remembered):
        try:
            sockets = bind_sockets(port, bind)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and not insisted:
                continue
            raise _failure(error, bind, port) from error
        found = sockets[0].getsockname()[1]
        if wanted and found != wanted:
            print(
                f"rondel: port {wanted} is taken by another program: serving on port {found} instead, "
                "which is remembered; links and tunnels that name the old one do not work",
                file=sys.stderr,
                flush=True,
            )
        return sockets
    raise RondelError("no port is free", "name one with --port")


def _candidates(remembered: int) -> Iterator[int]:
    first = remembered or secrets.choice(CHOICE)
    yield from range(first, min(first + TRIED, 1 << 16))
    yield 0


def _failure(error: OSError, bind: str, port: int) -> RondelError:
    if error.errno == errno.EADDRINUSE:
        return RondelError(f"port {port} is taken by another program", "leave --port out, or name another one")
    if error.errno in (errno.EACCES, errno.EPERM):
        return RondelError(f"port {port} may not be used by this user", "name one above 1023 with --port")
    return UsageError(
        f"cannot listen at {bind}: {os.strerror(error.errno) if error.errno else error}",
        "name an address of this machine with --bind or [serve] bind",
    )


def names(bind: str, further: Iterable[str]) -> set[str]:
    """Return the host names, besides this machine's own loopback, by which a browser may ask."""
    if bind in EVERY_ADDRESS:
        return {*further, socket.gethostname()}
    return {*further, f"[{bind}]" if ":" in bind else bind}
