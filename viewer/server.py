"""What is served, on one port? The client, the page, the arrays, the strokes; all behind the guard.

    python -m rondel.viewer.server PROJECT [--port N] [--bind ADDRESS]

The process holds the labels lock for as long as it serves, and is the only one that writes labels meanwhile. Everything
that open pages show is made again before the port is listened at, so that a page finds the server as it left it.
"""

import argparse
import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from neuroglancer.viewer_base import ViewerBase
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.web import Application

from ..store import locks, serving
from ..store.errors import RondelError
from ..store.project import open_project
from ..store.serving import SavedSession, Serving
from ..store.settings import Settings
from ..store.writer import BODY_BYTES
from . import client, entry, logs, page, ports, write
from . import socket as sockets
from .arrays import Arrays
from .desk import Desk
from .fallback import Fallback
from .guard import SMALL_BODY, Credentials, Guard, SafeHeaders
from .scribe import Scribe
from .sessions import Sessions

log = logging.getLogger(__name__)

LOCK_SECONDS = 10.0
PING_SECONDS = 20.0
SLOWEST_BODY_SECONDS = 60.0
CLOSING_SECONDS = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(
    folder: Path, *, port: int | None = None, bind: str | None = None, ready: Callable[[Serving], None]
) -> signal.Signals:
    """Serve a project until a signal ends it, and return that signal; `ready` is called once pages can be opened.

    A `port` that is given is insisted on: RondelError when it is taken. Otherwise the remembered one is used, or else
    the next that is free, which stderr is told. Raises LockedError when another process writes labels, and RondelError
    when the installed neuroglancer is not one that can be served safely. SIGHUP is ignored where it was before.
    """
    probe()
    with open_project(folder) as project:
        settings = project.settings
    wait = 0.0 if serving.running(folder) else LOCK_SECONDS  # a verb is soon done, a server is not
    with locks.hold(folder / locks.LABELS, "rondel serve", wait):
        return asyncio.run(_Server(folder, settings, port, bind).run(ready))


class _Server:
    """One run of the server."""

    def __init__(self, folder: Path, settings: Settings, port: int | None, bind: str | None) -> None:
        self.folder, self.settings = folder, settings
        before = serving.load(folder)
        bind = bind or settings.serve.bind
        self.sockets = ports.claim(bind, port, settings.serve.port or (before.port if before else 0))
        self.serving = Serving(
            os.getpid(),
            socket.gethostname(),
            bind,
            self.sockets[0].getsockname()[1],
            before.key if before else secrets.token_urlsafe(24),
            before.secret if before else secrets.token_urlsafe(24),
            before.cookie if before else f"rondel-{secrets.token_hex(4)}",
            time.time(),
            before.sessions if before else (),
        )
        self.scribe = Scribe(folder)
        self.desk = Desk(self.scribe)
        self.sessions = Sessions(folder, self.desk.prepare, self.keep)
        self.arrays = Arrays(folder, self.desk.canvas_of)

    async def run(self, ready: Callable[[Serving], None]) -> signal.Signals:
        ended = _first_signal()
        with logs.clean(self.secrets):
            try:
                await asyncio.to_thread(self.scribe.start)
                await self.sessions.restore(self.serving.sessions)
                self.desk.start(self.sessions)
                self.desk.lacking = Fallback(self.desk).bind
                app = self.application()
                guard = Guard(app, self.credentials, self.hosts, self.sessions.get)
                app.settings["log_function"] = guard.answered  # tornado's own writes down addresses, which hold tokens
                http = HTTPServer(guard, max_body_size=BODY_BYTES, body_timeout=SLOWEST_BODY_SECONDS)
                http.add_sockets(self.sockets)
                self.sessions.save()
                ready(self.serving)
                number = await ended
                guard.closing = True
                http.stop()
                self.desk.stop()
                await _until(lambda: not guard.begun, CLOSING_SECONDS)
            finally:
                await asyncio.to_thread(self.scribe.stop)  # what was begun is written, and answered
            with suppress(TimeoutError):
                await asyncio.wait_for(http.close_all_connections(), CLOSING_SECONDS)
            await self.arrays.close()
        serving.save(self.folder, replace(self.serving, pid=0))
        return number

    def application(self) -> Application:
        return Application(
            [
                *entry.routes(self.sessions, self.credentials),
                *page.routes(self.sessions),
                *client.routes(self.sessions, asyncio.get_running_loop()),
                *self.arrays.routes(),
                *sockets.routes(self.desk, self.sessions),
                *write.routes(self.desk),
            ],
            transforms=[SafeHeaders],
            websocket_max_message_size=SMALL_BODY,
            websocket_ping_interval=PING_SECONDS,
        )

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.serving.key, self.serving.secret, self.serving.cookie)

    @property
    def hosts(self) -> set[str]:
        return ports.names(self.serving.bind, self.settings.serve.hosts)

    def secrets(self) -> list[str]:
        tokens = [session.token for session in self.sessions.all()]
        return [self.serving.key, self.serving.secret, self.credentials.cookie_value, *tokens]

    def keep(self, sessions: tuple[SavedSession, ...]) -> None:
        self.serving = replace(self.serving, sessions=sessions)
        try:
            serving.save(self.folder, self.serving)
        except OSError as error:  # pages go on; only a restart would not know them
            log.warning("serve.json could not be written: %s", error.strerror)


async def _until(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)


def _first_signal() -> "asyncio.Future[signal.Signals]":
    """Return what will hold the first signal; a second one ends the process as if nobody waited for it."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[signal.Signals] = loop.create_future()

    def end(number: signal.Signals) -> None:
        for each in caught:
            loop.remove_signal_handler(each)
        ended.set_result(number)

    caught = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in caught:
        loop.add_signal_handler(number, end, number)
    return ended


def probe() -> None:
    """Raise RondelError unless what is relied on is there: without it the guard or the pages would fail unseen."""
    viewer = ViewerBase(token="probe")
    wanted = {
        "tornado HTTP1Connection.set_max_body_size": hasattr(HTTP1Connection, "set_max_body_size"),
        "tornado HTTPServer.start_request": hasattr(HTTPServer, "start_request"),
        "neuroglancer EventStreamHandler.get": hasattr(client.Events.__base__, "get"),
        "neuroglancer ViewerBase.shared_state": hasattr(viewer, "shared_state"),
        "neuroglancer ViewerBase.config_state": hasattr(viewer, "config_state"),
        "neuroglancer ViewerBase.actions": hasattr(viewer, "actions"),
    }
    missing = [name for name, there in wanted.items() if not there]
    if missing:
        raise RondelError(
            f"the page cannot be served safely: {', '.join(missing)} is not there",
            "install the versions that constraints.txt names",
        )
    page.index()


def main() -> None:
    """Be the server of a project, detached from any terminal."""
    parser = argparse.ArgumentParser(prog="python -m rondel.viewer.server", description=serve.__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--bind")
    words = parser.parse_args()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        ended = serve(words.project, port=words.port, bind=words.bind, ready=_say)
    except RondelError as error:
        print(f"rondel: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(0 if ended == signal.SIGTERM else 128 + ended)


def _say(found: Serving) -> None:
    print(f"serving {found.bind}:{found.port}", flush=True)


if __name__ == "__main__":
    main()
