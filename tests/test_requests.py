"""Nonsense in every place: requests that pass the first checks and then go wrong are refused, and change nothing."""

import asyncio
import http.client
import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rondel.store import writer
from rondel.store.box import Box
from rondel.store.project import open_project
from rondel.viewer import addresses
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

from .conftest import stroke
from .served import Heard, Served, exchange, make_project, running

EXAMPLES = 5000
QUICK = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
FOLLOWED = ("project.db", "project.db-wal", "project.db-shm")
"""Files that SQLite may touch for reading; what is committed shows by its data_version."""


@dataclass
class Watched:
    """A server, and all that could change in its project."""

    served: Served
    token: str
    names: dict[str, str]
    rows: sqlite3.Connection
    connection: http.client.HTTPConnection
    statuses: list[int] = field(default_factory=list)

    def state(self) -> tuple:
        """Return what differs once a byte was written."""
        version = self.rows.execute("PRAGMA data_version").fetchone()[0]
        places = [Path(place) / name for place, _, names in os.walk(self.served.folder) for name in names]
        found = {path: path.stat() for path in places if path.name not in FOLLOWED}
        files = [(path, file.st_mtime_ns, file.st_size, file.st_ino) for path, file in found.items()]
        return version, sorted(files)

    def send(self, asked: "Asked") -> Heard:
        found = self.served.serving
        headers: dict[str, str | None] = {"Host": self.served.host}
        if asked.path.startswith(("/write", "/show", "/status")):
            headers["Authorization"] = f"Bearer {found.key}"
        else:
            headers |= {"Cookie": self.served.cookie, "Origin": f"http://{self.served.host}"}
        path = asked.path
        for name, value in self.names.items():
            path = path.replace(f"<{name}>", value)
        try:
            return exchange(self.connection, asked.method, path, asked.body, headers | asked.headers)
        except (http.client.HTTPException, OSError):  # closed after a refusal, or our own client would not send it
            self.connection.close()
            return Heard(400, {}, b"")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with make_project(tmp_path_factory.mktemp("asked")) as project, running(project.folder) as served:
        token = served.open("?box=1")
        tag = addresses.tag(project.volume_record("scan"))
        names = {
            "token": token,
            "secret": served.serving.secret,
            "serial": served.serving.sessions[0].serial,
            "tag": tag,
        }
        connection = http.client.HTTPConnection("127.0.0.1", served.serving.port, timeout=30)
        with closing(sqlite3.connect(project.folder / "project.db")) as rows:
            yield Watched(served, token, names, rows, connection)
        connection.close()


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    body: bytes | None = None
    headers: dict[str, str | None] = field(default_factory=dict)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
LINE = st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#")
word = st.text(LINE, max_size=12)
number = st.one_of(st.integers(-3, 40), st.integers(0, 2**70)).map(str)


@st.composite
def changed(draw: st.DrawFn, right: dict[str, Any]) -> dict[str, Any]:
    """Draw an object that is right but for some of its fields."""
    wrong = draw(st.dictionaries(st.sampled_from([*right, "more"]), anything, min_size=1, max_size=2))
    missing = draw(st.sets(st.sampled_from([*right]), max_size=1))
    return {name: value for name, value in (right | wrong).items() if name not in missing}


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn, right: bytes) -> bytes:
    """Draw bytes that are right but for some: flipped, cut off or put in."""
    body = bytearray(right)
    for at in draw(st.lists(st.integers(0, max(0, len(body) - 1)), max_size=3)):
        body[at] ^= draw(st.integers(1, 255))
    cut = draw(st.integers(0, len(body)))
    return bytes(body[:cut] + draw(st.binary(max_size=6)) + body[cut:][draw(st.integers(0, 4)) :])


STATE = {"s": {"layers": []}, "g": 1, "pg": "none", "c": "page"}
ACTION = {"action": "screenshot", "state": {"viewerState": {}}}
SHOW = {"person": "nobody", "box": 1, "volume": "scan", "model": 1}
REGION = Box((4, 8, 8), (20, 40, 40))
WRITES = [
    writer.encode("write", stroke=stroke(Box((4, 8, 8), (6, 12, 12)), 2, 1, box=1)),
    writer.encode("undo", box=1, person="ann", sender=("client-ann", 7)),
    writer.encode("revert", box=1, volume="scan", region=REGION, person="ann", sender=("c", 1), to=None),
    writer.encode("finish", box=9, person="ann"),
]


@st.composite
def head_changed(draw: st.DrawFn, right: bytes) -> bytes:
    """Draw the body of a write whose head has other fields, and whose length is right again."""
    length = int.from_bytes(right[:4], "little")
    head = json.dumps(draw(changed(json.loads(right[4 : 4 + length])))).encode("utf-8", "surrogatepass")
    return len(head).to_bytes(4, "little") + head + right[4 + length :]


def posts(path: str, right: dict[str, Any]) -> st.SearchStrategy[Asked]:
    bodies = changed(right).map(encoded) | anything.map(encoded) | damaged(encoded(right)) | st.binary(max_size=40)
    return bodies.map(lambda body: Asked("POST", path, body))


writes = st.sampled_from(WRITES).flatmap(lambda w: head_changed(w) | damaged(w))
key = st.one_of(
    st.just("zarr.json"),
    st.just("s0/zarr.json"),
    st.builds("s{}/zarr.json".format, number),
    st.builds("s{}/c/{}/{}/{}".format, number, number, number, number),
    st.builds("s0/c/{}".format, st.lists(number | word, max_size=6).map("/".join)),
    word,
)
array = st.one_of(
    st.just("box/<serial>"),
    st.just("image/scan/<tag>"),
    st.builds("map/scan/<tag>/{}/{}/{}".format, number, number, st.sampled_from(["classes", "uncertainty", "bins"])),
    st.builds("saved/scan/<tag>/{}/{}".format, number, number),
    st.builds("names/{}".format, word),
    st.builds("{}/{}/{}".format, word, word, word),
)
header = st.sampled_from(
    ["Range", "If-None-Match", "If-Modified-Since", "If-Range", "Accept-Encoding", "Content-Type", "Transfer-Encoding"]
)
value = st.one_of(
    word,
    st.builds("bytes={}-{}".format, number, number),
    st.builds("bytes=-{}".format, number),
    st.sampled_from(["bytes=0-0,5-6", "bytes=5-2", "chunked", "gzip", "*", "W/", "Thu, 99 Foo 2020 00:00:00 GMT"]),
)
headers = st.dictionaries(header, value, max_size=2)
gets = st.one_of(
    st.builds("/s/<token>/data/{}/{}".format, array, key),
    st.builds("/open/<secret>?{}={}".format, st.sampled_from(["box", "volume", "model", "x"]), number | word),
    st.builds("/v/<token>/{}".format, word),
    st.builds("/client/{}".format, word),
    st.builds("/events/<token>?c={}&gc={}".format, word, word),
    st.builds("/ws/<token>?{}".format, word),
    st.builds("/{}".format, word),
)
requests = st.one_of(
    st.builds(Asked, st.sampled_from(["GET", "HEAD"]), gets, st.none(), headers),
    posts("/state/<token>", STATE),
    posts("/action/<token>", ACTION),
    posts("/show", SHOW),
    writes.map(lambda body: Asked("POST", "/write", body)),
    st.builds(Asked, st.sampled_from(["GET", "POST", "PUT", "DELETE"]), gets, st.binary(max_size=20), headers),
)


def test_no_generated_request_is_a_fault_of_the_server_or_changes_a_byte(watched):
    @QUICK
    @given(requests)
    def ask(asked: Asked) -> None:
        before = watched.state()
        heard = watched.send(asked)
        watched.statuses.append(heard.status)
        assert heard.status < 500, (asked, heard)
        if heard.status >= 400:
            assert watched.state() == before, (asked, heard)

    ask()
    assert len(watched.statuses) >= EXAMPLES
    deep = [status for status in watched.statuses if status not in (401, 403, 405, 429)]
    assert len(deep) > 0.9 * len(watched.statuses)  # most come past the guard
    assert {200, 400, 404} <= set(watched.statuses)
    assert "Traceback" not in watched.served.said() and " ERROR " not in watched.served.said()
    assert watched.served.verb("GET", "/status").status == 200


@settings(QUICK, max_examples=300)
@given(st.binary(max_size=60) | st.builds("GET {} HTTP/1.{}\r\n{}: {}\r\n\r\n".format, word, number, word, word))
def test_what_is_no_request_at_all_is_cut_off(watched, raw):
    raw = raw.encode() if isinstance(raw, str) else raw
    before = watched.state()
    with socket.create_connection(("127.0.0.1", watched.served.serving.port), timeout=30) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(100)
    assert not answer or answer.split()[1] in (b"400", b"401", b"403", b"404", b"405", b"429")
    assert watched.state() == before


PAINT = {
    "type": "op", "op": "paint", "client": "a-generated-page", "number": 1, "box": 1, "value": 2,
    "points": [[1.0, 2.0, 3.0]], "radius": 2.0, "plane": 0, "only": None, "crc": 0, "region": [0, 0, 0, 1, 2, 3],
}  # fmt: skip
HELLO = {"type": "hello", "client": "a-generated-page", "person": "ann", "box": 1, "missing": []}
LAST = json.dumps({"type": "op", "op": "nonsense", "number": 424242})
OPS = [
    PAINT | {"op": op} | more
    for op, more in {
        "threshold": {},
        "fill": {"at": [1, 2, 3]},
        "interpolate": {"axis": 0},
        "copy": {"axis": 0, "from": 0, "to": 1},
        "accept": {"at": None, "above": 0.5},
        "empty": {},
        "undo": {},
        "redo": {},
        "done": {},
        "skip": {"why": "x"},
        "go": {"to": "next"},
        "view": {},
        "label": {},
    }.items()
]
messages = st.sampled_from([PAINT, HELLO, {"type": "seconds", "box": 1, "seconds": 1.0}, *OPS]).flatmap(
    lambda right: changed(right).map(encoded) | damaged(encoded(right))
) | anything.map(encoded)


def test_no_generated_message_of_a_page_ends_the_server(watched):
    served, loop = watched.served, asyncio.new_event_loop()
    address = f"ws://{served.host}/ws/{watched.token}"
    asked = HTTPRequest(address, headers={"Cookie": served.cookie, "Origin": f"http://{served.host}"})

    async def connect() -> WebSocketClientConnection:
        page = await websocket_connect(asked)
        await page.write_message(json.dumps(HELLO))
        return page

    async def say(pages: list[WebSocketClientConnection], message: bytes) -> None:
        """Say something, and then what is refused for sure, so that it was dealt with once the refusal is heard."""
        if not pages:
            pages.append(await connect())
        try:
            await pages[0].write_message(message.decode("utf-8", "replace"))
            await pages[0].write_message(LAST)
            while (heard := await pages[0].read_message()) is not None:
                if isinstance(heard, str) and json.loads(heard).get("number") == 424242:
                    return
        except WebSocketClosedError:
            pass
        pages.clear()  # who talks too much nonsense is sent off

    pages: list[WebSocketClientConnection] = []

    @settings(QUICK, max_examples=500)
    @given(messages)
    def speak(message: bytes) -> None:
        loop.run_until_complete(asyncio.wait_for(say(pages, message), 30))

    speak()
    loop.close()
    assert "Traceback" not in served.said() and " ERROR " not in served.said()
    assert served.verb("GET", "/status").status == 200


def test_a_request_that_is_right_does_change_something(watched):
    """So that the tests above could have failed."""
    before = watched.state()
    body = writer.encode("write", stroke=stroke(Box((4, 8, 8), (6, 12, 12)), 3, 77, box=1))
    assert watched.send(Asked("POST", "/write", body)).status == 200
    assert watched.state() != before
    with open_project(Path(watched.served.folder)) as project:
        assert project.database.row("SELECT 1 FROM edit WHERE client_number = 77")
