"""Pages without a browser: they speak the websocket's protocol as paint.js does, and keep the box as it does."""

import asyncio
import json
import uuid
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tornado.httpserver
import tornado.netutil
import tornado.web
from rondel.store import label_boxes, locks, volume
from rondel.store import project as projects
from rondel.store.box import Box
from rondel.store.project import Project
from rondel.store.records import LabelBox, Purpose, State
from rondel.store.serving import SavedSession
from rondel.viewer import brush, messages, socket, write
from rondel.viewer.desk import Desk
from rondel.viewer.scribe import Scribe
from rondel.viewer.sessions import Sessions
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from .images import make_volume, texture

SHAPE = (24, 48, 56)
REGIONS = [Box((2, 4, 6), (18, 30, 33)), Box((4, 20, 36), (20, 44, 52)), Box((20, 0, 0), (21, 20, 20))]
SECONDS = 20.0


def make_project(folder: Path, regions: list[Box] = REGIONS) -> list[int]:
    """Make a project with one volume of a real image, and boxes of falling priority in it; returns their ids."""
    with projects.create(folder, ["background", "membrane", "organelle"]) as project:
        made = make_volume(folder, texture(SHAPE))
        projects.add_volume(project, volume.describe("scan", made.record.url, imported=True, root=folder))
        boxes = [
            LabelBox(0, "scan", region, 1, Purpose.TRAIN, State.PROPOSED, 1.0 - k / 10, f"reason {k}")
            for k, region in enumerate(regions)
        ]
        return label_boxes.add(project.database, boxes)


@dataclass
class Served:
    """The parts of a running server that tests look at."""

    folder: Path
    port: int
    desk: Desk
    sessions: Sessions
    project: Project
    """A connection of the test's own, as a verb has it."""

    async def page(self, box: int | None = None, **options: Any) -> "Page":
        """Open a page as a browser does with the link."""
        volume = None if box else "scan"
        session = await self.sessions.open(f"http://127.0.0.1:{self.port}", box=box, volume=volume)
        page = Page(f"ws://127.0.0.1:{self.port}/ws/{session.token}", **options)
        await page.connect()
        return page

    async def twin(self, other: "Page", **options: Any) -> "Page":
        """Open a further tab of the same session."""
        page = Page(other.url, **options)
        await page.connect()
        return page


@asynccontextmanager
async def serving(folder: Path, saved: tuple[SavedSession, ...] = ()) -> AsyncIterator[Served]:
    """Serve a project's labels in this loop, without the guard, going on with the sessions of another run."""
    with locks.hold(folder / locks.LABELS, "a test", 5.0), projects.open_project(folder) as project:
        scribe = Scribe(folder)
        scribe.start()
        desk = Desk(scribe)
        sessions = Sessions(folder, desk.prepare, lambda saved: None)
        await sessions.restore(saved)
        desk.start(sessions)
        application = tornado.web.Application(
            [*socket.routes(desk, sessions), *write.routes(desk)], websocket_max_message_size=1 << 20
        )
        http = tornado.httpserver.HTTPServer(application)
        sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
        http.add_sockets(sockets)
        try:
            yield Served(folder, sockets[0].getsockname()[1], desk, sessions, project)
        finally:
            http.stop()
            desk.stop()
            await asyncio.to_thread(scribe.stop)
            await http.close_all_connections()


@dataclass
class Page:
    """A page: what it shows is `base`, the box as the server said last, and its own unanswered strokes over it."""

    url: str
    person: str | None = "ann"
    headers: dict[str, str] = field(default_factory=dict)
    client: str = field(default_factory=lambda: uuid.uuid4().hex)
    head: dict[str, Any] = field(default_factory=dict)
    base: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0), np.uint8))
    revision: int = -1
    queue: list[dict[str, Any]] = field(default_factory=list)
    """Ops that wait for their answer."""
    sent: list[dict[str, Any]] = field(default_factory=list)
    """All ops."""
    next: int = 1
    answers: dict[int, dict[str, Any]] = field(default_factory=dict)
    heard: list[dict[str, Any]] = field(default_factory=list)
    revisions: list[int] = field(default_factory=list)
    frames: int = 0
    line: WebSocketClientConnection | None = None
    _greeted: bool = False

    async def connect(self) -> None:
        """Connect, say hello, take the box, and send what the server does not have."""
        request = HTTPRequest(self.url, headers=self.headers)
        self.line, self._greeted, self.revision = await websocket_connect(request), False, -1
        self.send(type="hello", client=self.client, person=self.person, box=self.head.get("id"), missing=[])
        await self.until(lambda: self._greeted and (self.head["type"] == "view" or self.revision >= 0))
        for op in self.queue:
            self.send(**op)

    def cut(self) -> None:
        """Lose the connection, without a word."""
        if self.line and self.line.protocol and self.line.protocol.stream:
            self.line.protocol.stream.close()
        self.line = None

    def close(self) -> None:
        if self.line:
            self.line.close()

    def send(self, **message: Any) -> None:
        assert self.line
        self.line.write_message(json.dumps(message))

    def op(self, op: str, **fields: Any) -> int:
        """Do something: it is queued, and sent."""
        message = {"type": "op", "op": op, "client": self.client, "number": self.next, "box": self.head.get("id")}
        message |= fields
        self.next += 1
        self.queue.append(message)
        self.sent.append(message)
        if self.line:
            self.send(**message)
        return message["number"]

    def paint(self, points: list, value: int, radius: float = 2.0, plane: int | None = None, only=None) -> int:
        """Paint a stroke as the page does: at once in its own view, with the checksum of what it then shows."""
        stroke = {"points": points, "value": value, "radius": radius, "plane": plane, "only": only}
        region, _ = brush.rasterise(self.base.shape, self.head["spacing"], points, radius, plane)
        view = self.view()
        self._raster(view, stroke)
        crc = zlib.crc32(view[region.slices].tobytes())
        return self.op("paint", **stroke, crc=crc, region=[*region.start, *region.stop])

    def view(self) -> np.ndarray:
        """Return what the person sees."""
        shown = self.base.copy()
        for op in self.queue:
            if op["op"] == "paint" and op["box"] == self.head["id"]:
                self._raster(shown, op)
        return shown

    async def settle(self) -> None:
        """Wait until everything is answered."""
        await self.until(lambda: not self.queue)

    async def done(self, number: int) -> dict[str, Any]:
        """Wait for the answer to an op."""
        await self.until(lambda: number in self.answers)
        return self.answers[number]

    async def until(self, true: Callable[[], Any]) -> Any:
        """Hear what the server says until something is so."""
        async with asyncio.timeout(SECONDS):
            while not (found := true()):
                await self.hear()
        return found

    async def told(self, type: str, **fields: Any) -> dict[str, Any]:
        """Wait for a message in which these fields have these values, of those not waited for before."""

        def find() -> dict[str, Any] | None:
            for k, message in enumerate(self.heard):
                if message["type"] == type and fields.items() <= message.items():
                    del self.heard[: k + 1]
                    return message
            return None

        return await self.until(find)

    async def hear(self) -> None:
        assert self.line
        message = await self.line.read_message()
        if message is None:
            raise ConnectionError(f"the server closed with {self.line.close_code}: {self.line.close_reason}")
        if isinstance(message, bytes):
            self._take_frame(message)
        else:
            self._take_message(json.loads(message))

    def _take_message(self, message: dict[str, Any]) -> None:
        self.heard.append(message)
        match message["type"]:
            case "box" | "view":
                self.head, self._greeted = message, True
                self.queue = [op for op in self.queue if op["number"] > message["acked"]]
                if message["type"] == "box":
                    self.base, self.revision = np.zeros(message["shape"], np.uint8), -1
            case "ack":
                op = next((op for op in self.queue if op["number"] == message["number"]), None)
                here = op and op["box"] == self.head.get("id") and self.revision >= 0
                if op and here and message["revision"] == self.revision + 1:
                    assert op["op"] == "paint", "only a stroke can be drawn without being told"
                    self._raster(self.base, op)
                    self._step(message["revision"])
                self._answered(message["number"], message)
            case "refused":
                self._answered(message["number"], message)
            case "heads":
                self.head = {**self.head, **message, "type": self.head["type"]}

    def _take_frame(self, data: bytes) -> None:
        kind, revision, number, region, values = messages.read_frame(data)
        self.frames += 1
        if kind == messages.WHOLE:
            assert region == Box.of_shape(self.base.shape)
            self.revision = revision
        elif revision != self.revision:
            self._step(revision)
        self.base[region.slices] = np.frombuffer(values, np.uint8).reshape(region.shape)
        if number:
            self._answered(number, {"type": "patch", "revision": revision, "region": region})

    def _step(self, revision: int) -> None:
        """A page that misses a revision would show what is not so."""
        assert revision == self.revision + 1, f"revision {revision} came after {self.revision}"
        self.revision = revision
        self.revisions.append(revision)

    def _answered(self, number: int, answer: dict[str, Any]) -> None:
        self.answers[number] = answer
        self.queue = [op for op in self.queue if op["number"] != number]

    def _raster(self, voxels: np.ndarray, stroke: dict[str, Any]) -> None:
        region, mask = brush.rasterise(
            voxels.shape, self.head["spacing"], stroke["points"], stroke["radius"], stroke["plane"]
        )
        if stroke["only"] is not None:
            mask &= voxels[region.slices] == stroke["only"]
        voxels[region.slices][mask] = stroke["value"]


def line_of(shape, dice, length: int = 4) -> list[list[float]]:
    """Draw the points of a stroke, some of them outside the box."""
    return [[dice.uniform(-2, n + 1) for n in shape] for _ in range(length)]
