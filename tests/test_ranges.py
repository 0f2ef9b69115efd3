"""Ranges, versions and refusals, as clients and attackers ask."""

import http.client
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tornado.web
from hypothesis import given, settings
from hypothesis import strategies as st
from rondel.store import project as projects
from rondel.store import volume as volumes
from rondel.viewer import addresses, ranges
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets

from .data_server import DataServer, data_server, on_thread
from .foreign import write_image

SIDE = 160
"""One chunk of 160 cubed bytes is read in several pieces."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory):
    """A server, the URL of an uncompressed chunk, and its bytes."""
    folder = tmp_path_factory.mktemp("ranges")
    array = np.random.default_rng(0).integers(0, 255, (SIDE,) * 3).astype(np.uint8)
    path = write_image(folder / "i.zarr", [array], "zyx", scales=[[1, 1, 1]])
    import zarr

    group = zarr.open_group(path, mode="r+")
    made = group.create_array("0", shape=array.shape, dtype="u1", chunks=array.shape, compressors=None, overwrite=True)
    made[...] = array
    (folder / "secret.txt").write_text("secret")
    with projects.create(folder / "cells", ["background", "cell"]) as project:
        record = projects.add_volume(project, volumes.describe("scan", str(path)))
    with data_server(folder / "cells") as server:
        yield server, f"{addresses.image(server.origin, record)}", array.tobytes()


def test_a_chunk_is_its_file(place):
    server, url, content = place
    answer = server.ask(f"{url}s0/c/0/0/0")
    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["Content-Length"] == str(len(content))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_it_is_the_same_where_files_cannot_be_read_without_waiting(place, monkeypatch: pytest.MonkeyPatch):
    server, url, content = place
    monkeypatch.setattr(ranges, "NOWAIT", None)
    assert server.ask(f"{url}s0/c/0/0/0").body == content
    assert server.ask(f"{url}s0/c/0/0/0", Range="bytes=7-2000000").body == content[7:2000001]
    with pytest.raises(BlockingIOError):
        ranges.open_file(str(Path(__file__)), "GET", {}, wait=False)
    assert __file__ not in _open_names()


def test_head_tells_the_same_without_the_body(place):
    server, url, content = place
    for key in ("s0/c/0/0/0", "s0/zarr.json", "zarr.json"):
        whole, head = server.ask(url + key), server.ask(url + key, "HEAD")
        assert (head.status, head.body) == (200, b"")
        same = ("Etag", "Content-Length", "Content-Type", "Cache-Control")
        assert [head.headers[name] for name in same] == [whole.headers[name] for name in same]
    assert server.ask(f"{url}s0/c/0/0/0", "HEAD", Range="bytes=0-5").headers["Content-Length"] == str(len(content))


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-99", 5, 100),
        ("bytes=4095990-", 4095990, 4096000),
        ("bytes=-7", 4095993, 4096000),
        ("bytes=-9999999999", 0, 4096000),
        ("bytes=4095999-99999999999", 4095999, 4096000),
        ("bytes=1-3000000", 1, 3000001),
    ],
)
def test_a_range_is_that_part(place, asked: str, start: int, stop: int):
    server, url, content = place
    answer = server.ask(f"{url}s0/c/0/0/0", Range=asked)
    assert (answer.status, answer.body) == (206, content[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(content)}"


@pytest.mark.parametrize("asked", ["bytes=4096000-", "bytes=4096000-4096005", "bytes=-0", "bytes=999999999999999999-"])
def test_a_range_past_the_end_is_refused(place, asked: str):
    server, url, content = place
    answer = server.ask(f"{url}s0/c/0/0/0", Range=asked)
    assert (answer.status, answer.body) == (416, b"")
    assert answer.headers["Content-Range"] == f"bytes */{len(content)}"


@pytest.mark.parametrize("asked", ["bytes=5-4", "bytes=-", "bytes=a-b", "lines=0-5", "bytes=0-1,4-5", "", "bytes=--5"])
def test_what_is_no_single_range_is_passed_over(place, asked: str):
    server, url, content = place
    answer = server.ask(f"{url}s0/c/0/0/0", Range=asked)
    assert (answer.status, answer.body) == (200, content)


def test_what_the_client_has_is_not_sent_again(place):
    server, url, _ = place
    for key in ("s0/c/0/0/0", "s0/zarr.json"):
        tag = server.ask(url + key).headers["Etag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            answer = server.ask(url + key, If_None_Match=known, Range="bytes=0-5")
            assert (answer.status, answer.body, answer.headers["Etag"]) == (304, b"", tag)
        assert server.ask(url + key, If_None_Match='"other"').status == 200
        assert server.ask(url + key, If_Range=tag, Range="bytes=0-5").status == 206
        assert server.ask(url + key, If_Range='"other"', Range="bytes=0-5").status == 200


def test_a_changed_file_is_another_version(tmp_path: Path):
    file = tmp_path / "chunk"
    file.write_bytes(b"one")
    first = ranges.open_file(str(file), "GET", {})
    os.replace(_written(tmp_path / "beside", b"two", file), file)  # noqa: PTH105
    second = ranges.open_file(str(file), "GET", {"If-None-Match": first.reply.headers["Etag"]})
    assert (first.piece, second.piece, second.reply.status) == (b"one", b"two", 200)


def _written(path: Path, content: bytes, like: Path) -> Path:
    """Write a file of the same age as another."""
    path.write_bytes(content)
    found = like.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    return path


@pytest.mark.parametrize(
    "key",
    [
        "s0/c/1/0/0", "s0/c/0/0/-1", "s0/c/9999999999/0/0", "s0/c/99999999999999999999/0/0", "s0/c/0/0", "s0/c/0/0/0/0",
        "s0/c/00/0/0", "s0/c/0x0/0/0", "s0/c/0.0.0", "s0/c/0/0/0/", "s1/zarr.json", "s01/zarr.json", "s99/c/0/0/0",
        "s/zarr.json", "s00/zarr.json", "zarr.json/", ".zattrs", "s0", "", "s0/c/0/0/%30", "s0/c/0%2f0/0",
        "s0%2fzarr.json", "s0/c/٠/0/0", "../../../../secret.txt", "..%2f..%2fsecret.txt", "%2e%2e/secret.txt",
        "s0/../zarr.json", "s0//zarr.json",
        "s0/c/0/0/0%00", "s0/c/0/0/0%0a", "/etc/passwd", "s0/c/0/0/..%5c..%5csecret.txt", "S0/zarr.json",
    ],
)  # fmt: skip
def test_a_key_that_is_not_declared_is_not_there(place, key: str):
    server, url, _ = place
    assert _raw(server, (url + key).removeprefix(server.origin)) == 404


@pytest.mark.parametrize(
    "path",
    [
        "/data/", "/data/image/", "/data/image/scan/zarr.json", "/data/image/none/TAG/zarr.json",
        "/data/image/scan/0000000000000000/zarr.json", "/data/image/../scan/TAG/zarr.json",
        "/data/image/sc%61n/TAG/zarr.json", "/data/image/scan%2f..%2fscan/TAG/zarr.json", "/data/image/./TAG/zarr.json",
        "/data/image/scan;x/TAG/zarr.json", "/data/map/scan/TAG/1/0/classes/zarr.json",
        "/data/map/scan/TAG/9999999999/0/classes/zarr.json", "/data/map/scan/TAG/1/0/probabilities/zarr.json",
        "/data/saved/scan/TAG/0/7/zarr.json", "/data/saved/scan/TAG/0/-1/zarr.json", 
        "/data/saved/none/TAG/0/0/zarr.json", "/data/box/none/zarr.json", "/data/box/../zarr.json",
        "/data/names/0000000000000000/info", "/data/names/TAG/info",
    ],
)  # fmt: skip
def test_an_address_that_means_nothing_is_not_there(place, path: str):
    server, url, _ = place
    tag = url.rstrip("/").rsplit("/", 1)[1]
    assert _raw(server, path.replace("TAG", tag)) == 404


def _raw(server: DataServer, path: str) -> int:
    """Ask byte for byte, as no well-behaved client would."""
    host, port = server.origin.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return int(connection.makefile("rb").readline().split()[1])


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_is_written(place, method: str):
    server, url, _ = place
    assert server.ask(f"{url}s0/c/0/0/0", method).status == 405


def test_a_page_that_leaves_ends_its_answer(place):
    server, url, content = place
    host, port = server.origin.removeprefix("http://").split(":")
    before = _open_files()
    for _ in range(20):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(f"GET {url.removeprefix(server.origin)}s0/c/0/0/0 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert connection.recv(100)
    assert server.ask(f"{url}s0/c/0/0/0").body == content
    _wait_until(lambda: _open_files() <= before + 2)


def _open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def _open_names() -> list[str]:
    return [os.path.realpath(place) for place in Path("/dev/fd").iterdir()]


def _wait_until(condition) -> None:
    ticks = threading.Event()
    for _ in range(200):
        if condition():
            return
        ticks.wait(0.05)
    raise AssertionError("it never came to be")


@contextmanager
def far_store(folder: Path, chunk: type[tornado.web.RequestHandler]) -> Iterator[tuple[DataServer, str]]:
    """A project whose image is on another server, where a handler of the test's answers for its chunks."""
    path = write_image(folder / "i.zarr", [np.zeros((16, 16, 16), np.uint8)], "zyx", scales=[[1, 1, 1]])
    routes = [("/i.zarr/0/c/.*", chunk), ("/(.*)", tornado.web.StaticFileHandler, {"path": str(folder)})]
    sockets = bind_sockets(0, "127.0.0.1")
    with on_thread(lambda: (tornado.web.Application(routes), []), sockets):
        far = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/i.zarr"
        with projects.create(folder / "cells", ["background", "cell"]) as project:
            record = projects.add_volume(project, replace(volumes.describe("scan", str(path)), url=far))
        with data_server(folder / "cells") as server:
            yield server, addresses.image(server.origin, record)


def test_a_far_store_is_read_no_further_than_the_page_takes(tmp_path: Path):
    """A page that leaves in the middle of a large answer ends the other server's too."""
    sent, ended = [0], threading.Event()

    class Endless(tornado.web.RequestHandler):
        async def get(self) -> None:
            try:
                while True:
                    self.write(bytes(1 << 20))
                    await self.flush()
                    sent[0] += 1
            except StreamClosedError:
                ended.set()

    with far_store(tmp_path, Endless) as (server, url):
        host, port = server.origin.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            path = url.removeprefix(server.origin)
            connection.sendall(f"GET {path}s0/c/0/0/0 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            for _ in range(50):
                connection.recv(1 << 16)
        assert ended.wait(10)
    assert sent[0] < 60


@pytest.mark.parametrize(("far", "here"), [(403, 404), (404, 404), (410, 404), (500, 502), (503, 502), (401, 502)])
def test_what_a_far_store_refuses_is_told_in_our_words(tmp_path: Path, far: int, here: int):
    class Refuse(tornado.web.RequestHandler):
        def get(self) -> None:
            self.set_status(far)
            self.finish("who asks for secrets?")

    with far_store(tmp_path, Refuse) as (server, url):
        answer = server.ask(f"{url}s0/c/0/0/0")
        assert (answer.status, answer.body) == (here, b"")


def test_an_answer_that_breaks_off_far_away_breaks_off_here(tmp_path: Path):
    class Broken(tornado.web.RequestHandler):
        async def get(self) -> None:
            self.set_header("Content-Length", "1000000")
            self.write(bytes(300_000))
            await self.flush()
            self.detach().close()

    with far_store(tmp_path, Broken) as (server, url):
        with pytest.raises(http.client.IncompleteRead):
            server.ask(f"{url}s0/c/0/0/0")
        assert server.ask(f"{url}s0/zarr.json").status == 200


def test_a_far_store_hears_of_ranges_and_versions_and_of_nothing_else(tmp_path: Path):
    heard: list[dict[str, str]] = []

    class Listen(tornado.web.RequestHandler):
        def get(self) -> None:
            heard.append(dict(self.request.headers))
            self.finish(b"x")

    with far_store(tmp_path, Listen) as (server, url):
        server.ask(f"{url}s0/c/0/0/0", Range="bytes=0-1", If_None_Match='"a"', Cookie="secret", Authorization="secret")
    assert heard[0]["Range"] == "bytes=0-1" and heard[0]["If-None-Match"] == '"a"'
    assert "secret" not in str(heard)


SPANS = st.one_of(
    st.builds("bytes={}-{}".format, st.integers(0, 30), st.integers(0, 30)),
    st.builds("bytes={}-".format, st.integers(0, 30)),
    st.builds("bytes=-{}".format, st.integers(0, 30)),
    st.text(max_size=20),
)


@settings(max_examples=500, deadline=None)
@given(SPANS, st.integers(0, 20))
def test_what_is_answered_lies_in_the_content_and_is_told_right(text: str, size: int):
    reply = ranges.decide("GET", {"Range": text}, size, '"x"')
    assert 0 <= reply.start <= reply.stop <= size
    assert int(reply.headers["Content-Length"]) == reply.stop - reply.start
    if reply.status == 206:
        assert reply.headers["Content-Range"] == f"bytes {reply.start}-{reply.stop - 1}/{size}"
        assert reply.stop > reply.start
    elif reply.status == 200:
        assert (reply.start, reply.stop) == (0, size)
    else:
        assert (reply.status, reply.headers["Content-Range"]) == (416, f"bytes */{size}")
