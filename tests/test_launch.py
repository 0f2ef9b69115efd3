"""The server in a process of its own: started once, found again, stopped."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rondel.store import edits, locks, serving
from rondel.store.box import Box
from rondel.store.errors import LockedError, RondelError
from rondel.viewer import launch

from .conftest import stroke
from .doors import Rondel, rondel
from .test_imports import PROGRAM

__all__ = ["rondel"]


@pytest.fixture
def folder(project) -> Iterator[Path]:
    """A project whose server is stopped at the end."""
    yield project.folder
    launch.stop(project.folder)


def test_it_is_started_once_and_found_again(folder):
    first = launch.ensure(folder)
    again = launch.ensure(folder)
    assert first.new and not again.new and again.serving == first.serving == serving.running(folder)
    assert first.serving.pid != os.getpid() and os.getsid(first.serving.pid) != os.getsid(0)
    assert launch.connected(first.serving) == []


def test_it_is_gone_once_it_was_stopped_and_comes_back_with_the_same_link(folder):
    found = launch.ensure(folder).serving
    assert launch.stop(folder) == found
    assert locks.holder(folder / locks.LABELS) is None and launch.stop(folder) is None
    kept = serving.load(folder)
    assert kept and replace(kept, pid=found.pid) == found
    again = launch.ensure(folder).serving
    assert (again.port, again.key, again.secret, again.cookie) == (found.port, found.key, found.secret, found.cookie)


def test_one_that_was_killed_is_no_obstacle(folder):
    found = launch.ensure(folder).serving
    os.kill(found.pid, signal.SIGKILL)
    while serving.running(folder):
        pass
    again = launch.ensure(folder)
    assert again.new and again.serving.port == found.port


def test_verbs_that_start_it_at_the_same_time_get_the_same_one(folder):
    got = []
    threads = [threading.Thread(target=lambda: got.append(launch.ensure(folder))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({started.serving.pid for started in got}) == 1 and sum(started.new for started in got) == 1


def test_a_taken_port_is_said_and_the_next_one_is_remembered(folder):
    port = launch.ensure(folder).serving.port
    launch.stop(folder)
    with socket.create_server(("127.0.0.1", port)):
        started = launch.ensure(folder)
        assert started.serving.port != port and any(str(port) in line for line in started.said)
        launch.stop(folder)
        with pytest.raises(RondelError, match=str(port)) as caught:
            launch.ensure(folder, port=port)
    assert caught.value.exit_code == 1 and caught.value.hint
    assert launch.ensure(folder).serving.port == started.serving.port


def test_a_port_that_is_asked_for_is_used_and_remembered(folder):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert launch.ensure(folder, port=port).serving.port == port
    launch.stop(folder)
    assert launch.ensure(folder).serving.port == port


def test_what_it_failed_with_is_raised_here(folder):
    (folder / "project.toml").write_text("[projectt]\n")
    with pytest.raises(RondelError, match="projectt") as caught:
        launch.ensure(folder)
    assert caught.value.exit_code == 2 and "did you mean" in caught.value.hint


def test_a_server_elsewhere_is_not_asked(folder):
    found = launch.ensure(folder).serving
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: "elsewhere")
        for act in (launch.ensure, launch.stop):
            with pytest.raises(LockedError, match=found.host):
                act(folder)


def test_labels_are_changed_and_pages_asked_for_while_it_runs(folder, project, box):
    found = launch.ensure(folder).serving
    assert edits.submit(project, stroke(Box((4, 8, 8), (8, 20, 20)), 2, 1, box=box.id)).number == 1
    assert not launch.show(found, "ann", box=box.id)


def test_verbs_start_and_stop_it(rondel: Rondel, folder):
    said = rondel.ok("-p", folder, "serve", "--detach").out.splitlines()
    found = serving.running(folder)
    assert found and said[0] == f"http://127.0.0.1:{found.port}/open/{found.secret}"
    assert f"ssh -N -L {found.port}:127.0.0.1:{found.port} " in said[1]
    assert "nobody connected" in rondel.ok("-p", folder, "status").out
    assert rondel.ok("-p", folder, "stop").out == f"the server on port {found.port} has ended\n"
    assert rondel.ok("-p", folder, "stop").out == "no server runs\n"


def test_an_address_that_others_reach_is_warned_of(rondel: Rondel, folder):
    ran = rondel.ok("-p", folder, "serve", "--detach", "--bind", "0.0.0.0")
    assert "served on 0.0.0.0" in ran.err and "http://127.0.0.1:" in ran.out


@pytest.mark.parametrize("words", [("serve", "--detach"), ("label",), ("view",), ("status",)], ids=" ".join)
def test_verbs_that_start_it_load_nothing_slow_themselves(folder, box, words):
    ran = subprocess.run([sys.executable, "-c", PROGRAM, "-p", folder, *words], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr.splitlines()[-1]) == (0, "loaded"), ran.stderr


FOREGROUND = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); \
import sys; sys.argv[0] = 'rondel'; from rondel.tui.cli import main; main()"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_a_signal_ends_it_in_the_foreground_after_a_clean_stop(folder, number, code):
    started = subprocess.Popen(
        [sys.executable, "-c", FOREGROUND, "-p", folder, "serve"], stdout=subprocess.PIPE, text=True
    )
    assert started.stdout
    place = started.stdout.readline().strip()
    found = serving.running(folder)
    assert found and found.pid == started.pid and place.endswith(found.secret)
    started.send_signal(number)
    assert started.wait(30) == code
    started.stdout.close()
    stopped = serving.load(folder)
    assert stopped and stopped.pid == 0 and locks.holder(folder / locks.LABELS) is None
