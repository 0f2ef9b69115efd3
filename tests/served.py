"""The whole server on a small project, in a process of its own, and raw requests to it."""

import http.client
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rondel.store import label_boxes, serving
from rondel.store import project as projects
from rondel.store.box import Box
from rondel.store.project import Project
from rondel.store.records import LabelBox, Purpose, State
from rondel.store.serving import Serving
from rondel.viewer.guard import cookie_value

from .images import make_volume, texture

BOX = LabelBox(0, "scan", Box((4, 8, 8), (20, 40, 40)), 1, Purpose.TRAIN, State.PROPOSED, 0.5, "for a test")


def make_project(folder: Path) -> Project:
    """Make a project of three classes with a volume that can be read, and two boxes in it."""
    made = projects.create(folder / "cells", ["background", "membrane", "organelle"])
    record = make_volume(made.folder, texture((24, 48, 56))).record
    projects.add_volume(made, replace(record, imported=False))
    label_boxes.add(made.database, [BOX, replace(BOX, box=Box((0, 0, 0), (16, 16, 16)))])
    return made


@dataclass(frozen=True, slots=True)
class Heard:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Served:
    """A server that runs."""

    folder: Path
    process: subprocess.Popen
    log: Path

    @property
    def serving(self) -> Serving:
        found = serving.load(self.folder)
        assert found
        return found

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.serving.port}"

    @property
    def cookie(self) -> str:
        return f"{self.serving.cookie}={cookie_value(self.serving.key)}"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str | None) -> Heard:
        """Send a request as it is; a header that is None is left out, and `_` stands for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.serving.port, timeout=30)
        try:
            return exchange(connection, method, path, body, headers={"Host": self.host} | headers)
        finally:
            connection.close()

    def browse(self, method: str, path: str, body: bytes | None = None, **headers: str | None) -> Heard:
        """Send a request as the page does."""
        own = {"Cookie": self.cookie} | ({"Origin": f"http://{self.host}"} if method == "POST" else {})
        return self.ask(method, path, body, **own | headers)

    def verb(self, method: str, path: str, body: bytes | None = None) -> Heard:
        return self.ask(method, path, body, Authorization=f"Bearer {self.serving.key}")

    def open(self, query: str = "?box=1", **headers: str) -> str:
        """Open the link; returns the token of the session."""
        heard = self.ask("GET", f"/open/{self.serving.secret}{query}", None, **headers)
        assert heard.status == 200, heard
        return heard.body.decode().split("/v/")[1].split("/")[0]

    def said(self) -> str:
        return self.log.read_text()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(30)


def exchange(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, headers: dict[str, str | None]
) -> Heard:
    """Send one request with exactly these headers, and read what comes back."""
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    given = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    for name, value in given.items():
        connection.putheader(name, value)
    if body is not None and "Content-Length" not in given:
        connection.putheader("Content-Length", str(len(body)))
    with suppress(BrokenPipeError, ConnectionResetError):  # refused before all of it was sent
        connection.endheaders(body)
    answer = connection.getresponse()
    upgraded, text = answer.status == 101, b""
    with suppress(ConnectionResetError):  # the answer's end may be lost with the connection, where a body was refused
        text = b"" if upgraded else answer.read()
    heard = Heard(answer.status, dict(answer.headers.items()), text)
    if upgraded:
        connection.close()
    return heard


def begin(folder: Path, *words: str) -> Served:
    """Start a server and wait until it listens."""
    log = folder.parent / "server.log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "rondel.viewer.server", str(folder), *words], stdout=file, stderr=file
        )
    served = Served(folder, process, log)
    deadline = time.monotonic() + 60
    while not ((found := serving.load(folder)) and found.pid == process.pid):
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)  # the server tells of itself by a file
    return served


@contextmanager
def running(folder: Path, *words: str) -> Iterator[Served]:
    served = begin(folder, *words)
    try:
        yield served
    finally:
        served.process.kill()
        served.process.wait()
