"""A server of labels that cuts connections when told to, for tests of those who send to it."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rondel.store import edits, locks, serving, writer
from rondel.store.errors import RondelError
from rondel.store.project import open_project
from rondel.store.serving import Serving


class SmallServer:
    """Holds the labels lock of a project and does what POST /write asks, one request at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cuts: list[str] = []
        """What goes wrong with the next requests: "before" or "after" the work, or "end" of the server after it."""
        self.asked: list[str] = []
        self.shown: list[dict] = []
        self.people: list[dict] = []
        self.status: dict = {}
        """What GET /status says besides the people."""
        self.lock = ExitStack()
        self.lock.enter_context(locks.hold(folder / locks.LABELS, "the server", 1))
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = self.http.server_address[1]
        self.serving = Serving(
            os.getpid(), socket.gethostname(), "127.0.0.1", self.port, "a-key", "a-secret", "rondel-0", time.time()
        )
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.one_at_a_time = threading.Lock()
        self.thread.start()
        serving.save(folder, self.serving)

    def end(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.lock.close()

    def act(self, body: bytes) -> tuple[int, bytes]:
        operation, arguments = writer.decode(body)
        self.asked.append(operation)
        try:
            with self.one_at_a_time, open_project(self.folder) as project:
                return 200, writer.answer(getattr(edits.Journal(project), operation)(**arguments))
        except RondelError as error:
            return 422, writer.refusal(error)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Authorization"] != "Bearer a-key" or self.headers["Host"].split(":")[0] != "127.0.0.1":
                    self._send(401, b"{}")
                elif self.path == "/show":
                    server.shown.append(json.loads(body))
                    self._send(200, b'{"shown": 1}')
                else:
                    self._write(body, server.cuts.pop(0) if server.cuts else "")

            def _write(self, body: bytes, cut: str) -> None:
                if cut == "before":
                    return
                answer = server.act(body)
                if cut == "end":
                    threading.Thread(target=server.end).start()
                if not cut:
                    self._send(*answer)

            def do_GET(self) -> None:
                self._send(200, json.dumps({"people": server.people, **server.status}).encode())

            def _send(self, status: int, answer: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


@contextmanager
def small_server(folder: Path) -> Iterator[SmallServer]:
    server = SmallServer(folder)
    try:
        yield server
    finally:
        server.end()
