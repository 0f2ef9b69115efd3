"""The server's life: start, stop, restart, a taken port, signals; and what it never tells anybody."""

import http.client
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from neuroglancer.viewer_base import ViewerBase
from rondel.store import label_boxes, locks, serving
from rondel.store.errors import RondelError, UsageError
from rondel.store.project import Project
from rondel.store.records import State
from rondel.viewer import client, guard, logs, page, ports, server

from .served import Served, make_project, running


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    make_project(folder).close()
    return folder / "cells"


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "cells"))


@pytest.fixture(scope="module")
def served(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests that do not stop theirs."""
    with running(Path(shutil.copytree(model, tmp_path_factory.mktemp("served") / "cells"))) as found:
        yield found


def chunk_path(served: Served, token: str) -> str:
    serial = next(s.serial for s in served.serving.sessions if s.token == token)
    return f"/s/{token}/data/box/{serial}/s0/c/0/0/0"


def first_events(served: Served, token: str, generation: str, seconds: float = 0.3) -> dict[str, dict]:
    """Return what the stream of changes tells a page at once that last heard of `generation`, by its kind."""
    connection = http.client.HTTPConnection("127.0.0.1", served.serving.port, timeout=seconds)
    headers = {"Host": served.host, "Cookie": served.cookie}
    connection.request("GET", f"/events/{token}?c=other&gc=&gs={generation}", headers=headers)
    answer, found = connection.getresponse(), {}
    assert answer.status == 200
    try:
        while line := answer.readline():
            if line.startswith(b"data: "):
                event = json.loads(line[6:])
                found[event["k"]] = event
    except TimeoutError:
        pass
    connection.close()
    return found


def post_state(served: Served, token: str, state: object, before: str, number: int = 1):
    body = json.dumps({"s": state, "g": number, "pg": before, "c": "page"}).encode()
    return served.browse("POST", f"/state/{token}", body)


def test_the_link_leads_to_a_page_with_ours_in_it_and_the_box_can_be_read(served):
    token = served.open("?box=1")
    html = served.browse("GET", f"/v/{token}/").body.decode()
    assert 'src="paint.js"' in html and 'href="paint.css"' in html and "neuroglancer</title>" not in html
    for name in page.OURS:
        assert served.browse("GET", f"/v/{token}/{name}").status == 200
    for name in page.stock():
        assert f"/v/{token}/{name}" and served.browse("GET", f"/client/{name}").status == 200
    assert served.browse("GET", chunk_path(served, token)).body == bytes(16 * 32 * 32)
    state = first_events(served, token, "")["s"]["s"]
    assert f"/s/{token}/data/box/" in json.dumps(state) and "labels" in json.dumps(state)


@pytest.mark.parametrize(
    "query",
    [
        "?box=99",
        "?box=x",
        "?box=-1",
        "?box=1&model=9",
        "?volume=other",
        "?volume=../x",
        "?box=" + "9" * 40,
        "?model=%FF",
    ],
)  # fmt: skip
def test_a_link_to_what_is_not_there_is_one_sentence(served, query):
    before = served.serving.sessions
    heard = served.ask("GET", f"/open/{served.serving.secret}{query}")
    assert heard.status in (400, 404) and "Set-Cookie" not in heard.headers
    assert served.serving.sessions == before and "Traceback" not in served.said()


def test_a_restarted_server_has_the_same_link_sessions_and_boxes(folder):
    with running(folder) as served:
        token, before = served.open("?box=2"), served.serving
        path = chunk_path(served, token)
        generation = first_events(served, token, "")["s"]["g"]
        assert served.stop() == 0
    stopped = serving.load(folder)
    assert stopped and stopped.pid == 0 and stopped.sessions and not locks.holder(folder / locks.LABELS)
    with running(folder) as served:
        after = served.serving
        assert replace(after, pid=0, started=0) == replace(before, pid=0, started=0, sessions=after.sessions)
        assert served.browse("GET", path).status == 200
        assert served.browse("GET", f"/v/{token}/").status == 200
        assert "s" not in first_events(served, token, generation)  # an open page keeps its camera
        assert post_state(served, token, {"layers": []}, generation).status == 200
        assert "s" in first_events(served, token, "")  # a page that is loaded anew is told


def test_a_killed_server_leaves_what_the_next_one_needs(folder):
    with running(folder) as served:
        token = served.open("?volume=scan")
        served.stop(signal.SIGKILL)
        assert serving.running(folder) is None
    with running(folder) as served:
        assert served.browse("GET", f"/v/{token}/").status == 200


def test_a_session_whose_box_is_gone_is_dropped_and_the_others_stay(folder):
    with running(folder) as served:
        kept, gone = served.open("?box=1"), served.open("?box=2")
        served.stop()
    found = serving.load(folder)
    assert found
    sessions = [replace(s, box=99) if s.token == gone else s for s in found.sessions]
    old = replace(found.sessions[0], token="old", seen=0.0)
    serving.save(folder, replace(found, sessions=(*sessions, old)))
    with running(folder) as served:
        assert [s.token for s in served.serving.sessions] == [kept]
        assert served.browse("GET", f"/v/{gone}/").status == served.browse("GET", "/v/old/").status == 403


def test_a_page_whose_image_is_out_of_reach_is_kept_until_it_is_back(folder):
    with running(folder) as served:
        token = served.open("?box=1")
        path = chunk_path(served, token)
        served.stop()
    image = folder / "scan.ome.zarr"
    image.rename(folder / "away")
    with running(folder) as served:
        heard = served.browse("GET", f"/v/{token}/")
        assert heard.status == 503 and b"scan" in heard.body and b"paint.js" not in heard.body
        assert heard.headers["Refresh"] == "5"  # the browser asks again by itself
        assert served.browse("GET", path).status == 200
        (folder / "away").rename(image)
        assert b"paint.js" in served.browse("GET", f"/v/{token}/").body
        assert "layers" in first_events(served, token, "")["s"]["s"]


def test_another_tunnel_gets_addresses_of_its_own(served):
    token = served.open("?box=1")
    assert f"http://{served.host}/s/" in json.dumps(first_events(served, token, ""))
    assert served.browse("GET", f"/v/{token}/", Host="localhost:4711").status == 200
    assert "http://localhost:4711/s/" in json.dumps(first_events(served, token, ""))
    assert served.serving.sessions[-1].origin == "http://localhost:4711"


def test_a_link_without_a_wish_opens_what_waits_and_else_the_volume(folder):
    with running(folder) as served:
        served.open("")
        assert served.serving.sessions[-1].box == 1
    with server.open_project(folder) as project:
        for box in (1, 2):
            label_boxes.move(project.database, box, State.SKIPPED, "ann")
    with running(folder) as served:
        served.open("")
        assert (served.serving.sessions[-1].box, served.serving.sessions[-1].volume) == (None, "scan")


def test_only_so_many_sessions_are_kept(served):
    first = served.open("?volume=scan")
    tokens = [served.open("?volume=scan") for _ in range(55)]
    assert len(served.serving.sessions) == 50
    assert served.browse("GET", f"/v/{first}/").status == 403
    assert served.browse("GET", f"/v/{tokens[-1]}/").status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"s": 1, "g": 1, "pg": "", "c": ""}',
        b'{"s": {}, "g": "1", "pg": "", "c": ""}',
        b'{"s": {"a": NaN}, "g": 1, "pg": "", "c": ""}',
        b'{"s": ' + b'{"a": ' * 90 + b"1" + b"}" * 90 + b', "g": 1, "pg": "", "c": ""}',
        b"[" * 100_000,
        b'{"g": ' + b"9" * 6000 + b"}",
        b"\xff\xfe",
        b'{"action": 3, "state": {}}',
        b'{"action": "x", "state": 3}',
    ],
)
def test_what_is_no_state_or_action_is_refused(served, body):
    token = served.open()
    assert served.browse("POST", f"/state/{token}", body).status == 400
    assert served.browse("POST", f"/action/{token}", body).status == 400
    assert "Traceback" not in served.said()


def test_of_two_changes_to_the_same_state_the_second_is_told_to_look_again(served):
    token = served.open()
    generation = first_events(served, token, "")["s"]["g"]
    assert post_state(served, token, {"layers": []}, generation).status == 200
    assert post_state(served, token, {"layers": []}, generation, 2).status == 412
    assert first_events(served, token, "")["s"]["s"] == {"layers": []}


def test_secrets_stand_in_no_log_no_process_list_and_no_title(served):
    token = served.open()
    served.ask("GET", f"/open/{served.serving.secret}x")
    for heard in (served.browse("GET", f"/v/{token}/"), served.ask("GET", f"/open/{served.serving.secret}")):
        assert heard.body.decode().split("<title>")[1].split("</title>")[0] == "rondel"
    served.browse("POST", f"/state/{token}", b"{")
    served.verb("POST", "/write", b"nonsense")
    served.browse("GET", f"/s/{token}/data/box/nothing/zarr.json")
    process = Path(f"/proc/{served.process.pid}")
    seen = served.said() + (process / "cmdline").read_text() + (process / "environ").read_text()
    found = served.serving
    for secret in (found.key, found.secret, guard.cookie_value(found.key), token):
        assert secret not in seen
    assert (served.folder / serving.FILE).stat().st_mode & 0o777 == 0o600


def test_a_traceback_in_the_log_has_no_secret_in_it():
    formatter = logs.Clean(lambda: ["s3cret", "t0ken"])
    try:
        raise ValueError("GET /open/s3cret and /v/t0ken/")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "", 1, "Uncaught %s", ("/v/t0ken/",), sys.exc_info())
    text = formatter.format(record)
    assert "ValueError" in text and "s3cret" not in text and "t0ken" not in text


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_stops_it_in_order(folder, number, code):
    with running(folder) as served:
        served.open()
        assert served.stop(number) == code
        found = serving.load(folder)
        assert found and found.pid == 0 and len(found.sessions) == 1
        assert "Traceback" not in served.said()


def test_a_closed_terminal_ends_it_unless_it_was_detached(folder):
    with running(folder) as served:
        served.process.send_signal(signal.SIGHUP)
        assert served.verb("GET", "/status").status == 200
        served.stop()
    program = f"import pathlib, rondel.viewer.server as s; print(s.serve(pathlib.Path({str(folder)!r}), ready=print))"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    assert process.wait(30) == 0 and int(process.stdout.read()) == signal.SIGHUP
    process.stdout.close()


def test_there_is_one_server_of_a_project(served):
    second = subprocess.run(
        [sys.executable, "-m", "rondel.viewer.server", str(served.folder)], capture_output=True, text=True, timeout=60
    )
    assert second.returncode == 4 and f"pid {served.process.pid}" in second.stderr
    assert served.verb("GET", "/status").status == 200


def test_a_taken_port_is_said_and_the_next_one_remembered(folder):
    with running(folder) as served:
        port = served.serving.port
        served.stop()
    with socket.create_server(("127.0.0.1", port)), running(folder) as served:
        found = served.serving.port
        assert found != port and f"port {port} is taken" in served.said()
        served.stop()
    with running(folder) as served:
        assert served.serving.port == found


def test_a_port_that_is_insisted_on_is_the_one_or_none(folder):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ran = subprocess.run(
            [sys.executable, "-m", "rondel.viewer.server", str(folder), "--port", str(port)],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert ran.returncode == 1 and ran.stderr.startswith(f"rondel: port {port} is taken")
    with running(folder, "--port", str(port)) as served:
        assert served.serving.port == port


def test_it_listens_at_loopback_only_unless_told_otherwise():
    (found,) = ports.claim("127.0.0.1", None, 0)
    assert found.getsockname()[0] == "127.0.0.1"
    found.close()
    with pytest.raises(UsageError):
        ports.claim("192.0.2.1", None, 0)
    with pytest.raises(UsageError):
        ports.claim("no such host.invalid", None, 0)
    assert ports.names("127.0.0.1", ("lab.example",)) == {"127.0.0.1", "lab.example"}
    assert socket.gethostname() in ports.names("0.0.0.0", ())


def test_further_hosts_are_let_in_by_name_only(folder):
    toml = folder / "project.toml"
    toml.write_text(re.sub(r"(?m)^#? ?hosts = .*", 'hosts = ["lab.example"]', toml.read_text()))
    with running(folder) as served:
        token = served.open(Host="lab.example:8000")
        assert served.browse("GET", f"/v/{token}/", Host="LAB.example:8000").status == 200
        assert served.browse("GET", f"/v/{token}/", Host="lab.example.org").status == 403


@pytest.mark.parametrize("name", ["set_max_body_size"])
def test_it_does_not_serve_where_the_guard_would_not_hold(monkeypatch, name):
    monkeypatch.delattr(server.HTTP1Connection, name)
    with pytest.raises(RondelError, match="cannot be served safely"):
        server.probe()


def test_it_does_not_serve_a_client_it_does_not_know(monkeypatch):
    monkeypatch.setattr(page, "stock", dict)
    with pytest.raises(RondelError, match="neuroglancer"):
        server.probe()


def test_the_installed_neuroglancer_has_all_that_is_relied_on():
    server.probe()
    viewer = ViewerBase(token="x")
    assert {"state", "set_state", "shared_state", "config_state"} <= set(dir(viewer))
    assert issubclass(client.Events, client.neuroglancer.server.EventStreamHandler)


def test_an_edit_under_way_is_written_before_the_end(folder):
    from rondel.store import writer
    from rondel.store.box import Box
    from rondel.store.project import open_project

    from .conftest import stroke

    with running(folder) as served, open_project(folder) as project:
        body = writer.encode("write", stroke=stroke(Box((4, 8, 8), (8, 12, 12)), 2, 1, box=1))
        connection = http.client.HTTPConnection("127.0.0.1", served.serving.port, timeout=30)
        connection.request("POST", "/write", body, {"Authorization": f"Bearer {served.serving.key}"})
        answer = connection.getresponse()
        assert answer.status == 200 and writer.read_answer(200, answer.read())
        connection.close()
        assert served.stop() == 0
        assert_labels(project, Box((4, 8, 8), (8, 12, 12)), 2)


def assert_labels(project: Project, region, value: int) -> None:
    from rondel.store import labels

    assert (labels.read(project, "scan", region) == value).all()


def test_it_is_found_by_other_verbs_as_the_one_that_writes(served):
    found = serving.running(served.folder)
    assert found and found.pid == served.process.pid != os.getpid()
    assert serving.ask(found, "GET", "/status")[0] == 200
