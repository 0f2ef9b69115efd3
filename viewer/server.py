"""What is served, on one port? The client, the page, the arrays, the strokes; all behind the guard.

    python -m rondel.viewer.server PROJECT [--port N] [--bind ADDRESS]

The process holds the labels lock for as long as it serves, and is the only one that writes labels meanwhile. Everything
that open pages show is made again before the port is listened at, so that a page finds the server as it left it.
"""

import argparse
import asyncio
import html
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
from tornado.web import Application, RequestHandler

from ..store import locks, serving
from ..store.errors import LockedError, RondelError, UsageError
from ..store.project import NAME, open_project
from ..store.serving import SavedSession, Serving
from ..store.settings import Settings
from ..store.writer import BODY_BYTES
from . import client, page, ports
from .arrays import Arrays
from .canvas import Canvas
from .guard import SMALL_BODY, Credentials, Guard, SafeHeaders
from .scribe import Scribe
from .sessions import Session, Sessions

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
    with locks.hold(folder / locks.LABELS, "rondel serve", LOCK_SECONDS):
        return asyncio.run(_Server(folder, settings).run(port, bind, ready))


class _Server:
    """One run of the server."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self.canvases: dict[str, Canvas] = {}

    async def run(self, port: int | None, bind: str | None, ready: Callable[[Serving], None]) -> signal.Signals:
        ended = self._await_signal()
        sockets = ports.claim(bind or self.settings.serve.bind, port, self._remembered())
        self.serving = self._found(sockets, bind or self.settings.serve.bind)
        scribe, self.sessions = Scribe(self.folder), Sessions(self.folder, self._prepare, self._keep)
        self.scribe = scribe
        self.arrays = Arrays(self.folder, self.canvases.get)
        with _clean_logs(self._secrets):
            try:
                await asyncio.to_thread(scribe.start)
                await self.sessions.restore(self.serving.sessions)
                server = self._listen(sockets)
                self.sessions.save()
                ready(self.serving)
                number = await ended
                await self._close(server)
            finally:
                await asyncio.to_thread(scribe.stop)
                serving.save(self.folder, replace(self.serving, pid=0))
        return number

    def _listen(self, sockets: list[socket.socket]) -> HTTPServer:
        loop = asyncio.get_running_loop()
        app = Application(
            [
                (r"/open/([^/]+)", Open, {"sessions": self.sessions, "credentials": self.credentials}),
                *page.routes(self.sessions),
                *client.routes(self.sessions, loop),
                *self.arrays.routes(),
            ],
            transforms=[SafeHeaders],
            log_function=lambda handler: None,  # tornado's own would write down addresses, and they hold tokens
            websocket_max_message_size=SMALL_BODY,
            websocket_ping_interval=PING_SECONDS,
        )
        hosts = ports.names(self.serving.bind, self.settings.serve.hosts)
        guard = Guard(app, self.credentials, hosts, lambda token: self.sessions.get(token) is not None)
        server = HTTPServer(guard, max_body_size=BODY_BYTES, body_timeout=SLOWEST_BODY_SECONDS)
        server.add_sockets(sockets)
        return server

    async def _close(self, server: HTTPServer) -> None:
        """Answer what was begun, then let go of the pages; they come back when the server does."""
        server.stop()
        with suppress(TimeoutError):
            await asyncio.wait_for(server.close_all_connections(), CLOSING_SECONDS)
        await self.arrays.close()

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.serving.key, self.serving.secret, self.serving.cookie)

    def _secrets(self) -> list[str]:
        tokens = [session.token for session in self.sessions.all()]
        return [self.serving.key, self.serving.secret, self.credentials.cookie_value, *tokens]

    def _remembered(self) -> int:
        before = serving.load(self.folder)
        return self.settings.serve.port or (before.port if before else 0)

    def _found(self, sockets: list[socket.socket], bind: str) -> Serving:
        """Return this server as serve.json keeps it: with the secrets and sessions of the one before."""
        before = serving.load(self.folder)
        return Serving(
            os.getpid(),
            socket.gethostname(),
            bind,
            sockets[0].getsockname()[1],
            before.key if before else secrets.token_urlsafe(24),
            before.secret if before else secrets.token_urlsafe(24),
            before.cookie if before else f"rondel-{secrets.token_hex(4)}",
            time.time(),
            before.sessions if before else (),
        )

    async def _prepare(self, session: Session) -> None:
        assert session.box is not None
        self.canvases[session.serial] = await asyncio.to_thread(self.scribe.run, self.scribe.canvas, session.box)

    def _keep(self, sessions: tuple[SavedSession, ...]) -> None:
        self.serving = replace(self.serving, sessions=sessions)
        try:
            serving.save(self.folder, self.serving)
        except OSError as error:
            log.warning("serve.json could not be written: %s", error.strerror)

    def _await_signal(self) -> "asyncio.Future[signal.Signals]":
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


class Open(RequestHandler):
    """The link: shows the cookie to the browser, and goes on to a session of its own.

    A page and not a redirect: a SameSite=Strict cookie does not ride along a redirect that came from another site.
    """

    def initialize(self, sessions: Sessions, credentials: Credentials) -> None:
        self.sessions, self.credentials = sessions, credentials

    async def get(self, _secret: str) -> None:
        try:
            session = await self.sessions.open(page.origin_of(self.request), **self._wanted())
        except RondelError as error:
            self.set_status(404)
            self.finish(f"<!doctype html><meta charset=utf-8><title>rondel</title><p>{html.escape(str(error))}")
            return
        self.set_cookie(
            self.credentials.cookie, self.credentials.cookie_value, path="/", httponly=True, samesite="Strict"
        )
        place = f"/v/{session.token}/"
        self.finish(
            "<!doctype html><meta charset=utf-8><title>rondel</title>"
            f'<meta http-equiv="refresh" content="0;url={place}"><p><a href="{place}">go on</a>'
        )

    def _wanted(self) -> dict[str, int | str]:
        """Read what the link asks for; raises UsageError when that is nonsense."""
        found: dict[str, int | str] = {}
        for name in ("box", "volume", "model"):
            value = self.get_query_argument(name, None)
            if value is None:
                continue
            if name == "volume" and NAME.fullmatch(value) and len(value) <= 100:
                found[name] = value
            elif name != "volume" and value.isascii() and value.isdecimal() and len(value) <= 15:
                found[name] = int(value)
            else:
                raise UsageError(f"the link asks for a {name} that cannot be", "use the link as 'rondel' prints it")
        return found


class _clean_logs:
    """Sends what is logged to stderr, with every secret in it blacked out; tornado logs addresses, and they hold some."""

    def __init__(self, secrets: Callable[[], list[str]]) -> None:
        self.handler = logging.StreamHandler()
        self.handler.setFormatter(_Clean(secrets))

    def __enter__(self) -> None:
        logging.getLogger().addHandler(self.handler)

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self.handler)


class _Clean(logging.Formatter):
    def __init__(self, secrets: Callable[[], list[str]]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self.secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self.secrets():
            text = text.replace(secret, "…")
        return text


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
