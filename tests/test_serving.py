import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
from rondel.store import locks, serving
from rondel.store.serving import SavedSession, Serving

SESSION = SavedSession("token", "ann", "scan", 3, "serial", "http://127.0.0.1:9000", None, 12.5)
SERVING = Serving(
    os.getpid(), socket.gethostname(), "127.0.0.1", 9000, "key", "secret", "rondel-1", 1.5, (SESSION, SESSION)
)


def test_what_was_saved_is_loaded_again(tmp_path):
    assert serving.load(tmp_path) is None
    serving.save(tmp_path, SERVING)
    assert serving.load(tmp_path) == SERVING


def test_boxes_on_pages_are_known_while_no_server_runs(tmp_path):
    assert serving.boxes_on_pages(tmp_path) == set()
    on, off, volume = replace(SESSION, held=True), replace(SESSION, box=4), replace(SESSION, box=None, held=True)
    serving.save(tmp_path, replace(SERVING, pid=0, sessions=(on, off, volume)))
    assert serving.boxes_on_pages(tmp_path) == {3}


def test_nobody_else_can_read_it_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        serving.save(tmp_path, SERVING)
        serving.save(tmp_path, SERVING)
    finally:
        os.umask(before)
    assert (tmp_path / serving.FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [serving.FILE]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"pid": 1}', '{"sessions": [{}]}', '{"sessions": 3}', "\udcff"]
)
def test_a_file_that_says_nothing_is_none(tmp_path, text):
    (tmp_path / serving.FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert serving.load(tmp_path) is None and serving.running(tmp_path) is None


def test_a_server_runs_only_while_it_holds_the_lock(tmp_path):
    serving.save(tmp_path, SERVING)
    assert serving.running(tmp_path) is None
    with locks.hold(tmp_path / locks.LABELS, "the server", 1):
        assert serving.running(tmp_path) == SERVING
        serving.save(tmp_path, replace(SERVING, pid=0))
        assert serving.running(tmp_path) is None
    serving.save(tmp_path, SERVING)
    assert serving.running(tmp_path) is None


def test_a_lock_that_still_names_who_was_killed_is_no_server(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as killed:
        killed.wait()
    serving.save(tmp_path, replace(SERVING, pid=killed.pid))
    with locks.hold(tmp_path / locks.LABELS, "the next server", 1):
        holder = locks.Holder(killed.pid, SERVING.host, 1.5, "the server")
        (tmp_path / locks.LABELS).write_text(json.dumps(asdict(holder)))
        assert serving.running(tmp_path) is None


@pytest.mark.parametrize("other", [{"pid": os.getpid() + 1}, {"host": "elsewhere"}])
def test_somebody_else_at_the_lock_is_no_server(tmp_path, other):
    serving.save(tmp_path, replace(SERVING, **other))
    with locks.hold(tmp_path / locks.LABELS, "an edit of labels", 1):
        assert serving.running(tmp_path) is None


@pytest.mark.parametrize(
    ("bind", "address"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("127.0.0.1", "127.0.0.1"), ("10.0.0.5", "10.0.0.5")]
)
def test_an_address_of_all_is_reached_by_loopback(bind, address):
    assert replace(SERVING, bind=bind).address == address


def test_nobody_at_the_port_is_an_os_error():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = replace(SERVING, port=free.getsockname()[1])
        with pytest.raises(OSError):
            serving.ask(closed, "GET", "/status")


def test_something_else_at_the_port_is_an_os_error():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        import threading

        def talk() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-hello\r\n\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(OSError):
            serving.ask(replace(SERVING, port=listening.getsockname()[1]), "GET", "/status")
        thread.join()


def test_secrets_stay_where_they_are_written(tmp_path):
    serving.save(tmp_path, SERVING)
    assert set(json.loads((tmp_path / serving.FILE).read_text())) == set(Serving.__dataclass_fields__)
