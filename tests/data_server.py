"""Plain tornado servers on threads: with the array routes of a project, and with the files of a folder."""

import asyncio
import http.client
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import tornado.httpserver
import tornado.netutil
import tornado.web
from rondel.viewer.arrays import Arrays
from rondel.viewer.canvas import Canvas


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class DataServer:
    """What tests know of the running server."""

    origin: str
    canvases: dict[str, Canvas] = field(default_factory=dict)

    def ask(self, url: str, method: str = "GET", **headers: str) -> Answer:
        """Ask for a URL or a path exactly as it is written."""
        connection = http.client.HTTPConnection(self.origin.removeprefix("http://"), timeout=30)
        try:
            path = url.removeprefix(self.origin)
            connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers.items()), answer.read())
        finally:
            connection.close()


@contextmanager
def on_thread(start: Callable[[], tuple[tornado.web.Application, list]], sockets: list) -> Iterator[None]:
    """Serve an application on a loop of its own; `start` also names what is to be closed there at the end."""
    ready = threading.Event()
    told: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        application, open_things = start()
        listening = tornado.httpserver.HTTPServer(application)
        listening.add_sockets(sockets)
        stop = asyncio.Event()
        told.append((asyncio.get_running_loop(), stop))
        ready.set()
        await stop.wait()
        listening.stop()
        await listening.close_all_connections()
        for thing in open_things:
            await thing.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        loop, stop = told[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


@contextmanager
def data_server(folder: Path, more: Sequence[tuple] = ()) -> Iterator[DataServer]:
    """Serve the arrays of a project, and further routes if given."""
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server = DataServer(f"http://127.0.0.1:{sockets[0].getsockname()[1]}")

    def start() -> tuple[tornado.web.Application, list]:
        arrays = Arrays(folder, server.canvases.get)
        return tornado.web.Application([*arrays.routes(), *more]), [arrays]

    with on_thread(start, sockets):
        yield server


@contextmanager
def file_server(folder: Path) -> Iterator[str]:
    """Serve a folder as other web servers do, ranges too; yields its address."""
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    routes = [("/(.*)", tornado.web.StaticFileHandler, {"path": str(folder)})]
    with on_thread(lambda: (tornado.web.Application(routes), []), sockets):
        yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
