"""The screens on a real terminal: however they end, its modes are what they were, and the exit code tells how."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rondel.store import label_boxes, ledger, serving
from rondel.store.box import Box
from rondel.store.records import State
from rondel.viewer import launch

from .conftest import add_box

PATIENCE = 60.0
SHOW = """
import sys
from pathlib import Path
from rondel.tui import actions, screens
{before}
sys.exit(screens.show(Path(sys.argv[1]), serve=False))
"""
CRASH = "def crash(project): raise ZeroDivisionError('planted')\nactions.do_due = crash"
LOADED = "import atexit; atexit.register(lambda: print('LOADED', *sorted({m.split('.')[0] for m in sys.modules})))"


class Terminal:
    """A program on a pseudo terminal of its own."""

    def __init__(self, *words: str, size: tuple[int, int] = (120, 40)) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.modes = termios.tcgetattr(self.slave)
        self.written = b""
        self.process = subprocess.Popen(
            words,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
            env={**os.environ, "TERM": "xterm-256color", "RONDEL_PERSON": "ann", "COLUMNS": "", "LINES": ""},
        )

    def until(self, text: str) -> None:
        """Read until the program has written something."""
        deadline = time.monotonic() + PATIENCE
        while text.encode() not in self.written:
            assert time.monotonic() < deadline, self.written[-2000:]
            self.read(0.1)

    def read(self, seconds: float) -> None:
        ready, _, _ = select.select([self.master], [], [], seconds)
        if ready:
            self.written += os.read(self.master, 1 << 16)

    def ended(self) -> int:
        """Read until the program has ended; returns its exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.written[-2000:]
            self.read(0.05)
        while select.select([self.master], [], [], 0.05)[0]:
            self.written += os.read(self.master, 1 << 16)
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for end in (self.master, self.slave):
            if end >= 0:
                os.close(end)


@pytest.fixture
def folder(project) -> Path:
    ledger.open_round(project.database, None, "typical", 0)
    add_box(project, Box((0, 0, 0), (16, 16, 16)))
    return project.folder


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def show(terminals: list[Terminal], folder: Path, before: str = "") -> Terminal:
    terminal = Terminal(sys.executable, "-c", SHOW.format(before=before), str(folder))
    terminals.append(terminal)
    terminal.until("Boxes")
    return terminal


def assert_restored(terminal: Terminal) -> None:
    """The terminal is as it was: its modes, its first screen, its cursor, and nothing reports the mouse."""
    assert termios.tcgetattr(terminal.slave) == terminal.modes
    for on, off in (("?1049h", "?1049l"), ("?25l", "?25h"), ("?1003h", "?1003l"), ("?2004h", "?2004l")):
        assert terminal.written.rfind(off.encode()) > terminal.written.rfind(on.encode()) >= 0, on


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
@pytest.mark.parametrize("keys", ["", "J", "s", "?"], ids=["main", "jobs", "dialog", "help"])
def test_a_signal_restores_the_terminal_and_is_the_exit_code(terminals, folder, number, keys) -> None:
    terminal = show(terminals, folder)
    os.write(terminal.master, keys.encode())
    terminal.read(0.2)
    terminal.process.send_signal(number)
    assert terminal.ended() == 128 + number
    assert_restored(terminal)


def test_q_leaves_with_nothing_changed(terminals, folder) -> None:
    terminal = show(terminals, folder)
    os.write(terminal.master, b"q")
    assert terminal.ended() == 0
    assert_restored(terminal)


def test_leaving_says_that_the_page_goes_on_and_how_it_is_stopped(terminals, folder) -> None:
    terminal = Terminal(sys.executable, "-m", "rondel.tui.cli", "-p", str(folder))
    terminals.append(terminal)
    try:
        terminal.until("/open/")
        os.write(terminal.master, b"q")
        assert terminal.ended() == 0
        assert b"'rondel stop'" in terminal.written.rpartition(b"?1049l")[2]
        assert serving.running(folder) is not None
    finally:
        launch.stop(folder)


def test_a_crash_restores_the_terminal_and_is_told(terminals, folder) -> None:
    terminal = show(terminals, folder, CRASH)
    os.write(terminal.master, b" ")
    assert terminal.ended() == 1
    assert b"planted" in terminal.written
    assert_restored(terminal)


def test_a_terminal_that_goes_away_ends_the_screens_and_not_the_server(terminals, folder, project) -> None:
    terminal = Terminal(sys.executable, "-m", "rondel.tui.cli", "-p", str(folder))
    terminals.append(terminal)
    try:
        terminal.until("/open/")
        os.close(terminal.master)
        os.close(terminal.slave)
        terminal.master = terminal.slave = -1
        assert terminal.process.wait(PATIENCE) == 128 + signal.SIGHUP
        found = serving.running(folder)
        assert found is not None and launch.connected(found) == []
    finally:
        launch.stop(folder)


def test_killed_screens_leave_a_project_that_shows_the_same_again(terminals, folder, project) -> None:
    terminal = show(terminals, folder)
    terminal.until("origin")
    os.write(terminal.master, b"d")
    terminal.until("Nothing is painted in box 1")
    os.write(terminal.master, b"y")
    terminal.until("box 1 is done")
    terminal.process.kill()
    terminal.process.wait()
    assert label_boxes.get(project.database, 1).state == State.DONE
    again = show(terminals, folder)
    again.until("1 of 1 box done")
    os.write(again.master, b"q")
    assert again.ended() == 0


def test_the_screens_load_nothing_slow(terminals, folder) -> None:
    terminal = show(terminals, folder, LOADED)
    os.write(terminal.master, b"q")
    assert terminal.ended() == 0
    loaded = terminal.written.decode(errors="replace").partition("LOADED")[2].split()
    assert "textual" in loaded and not {"torch", "monai", "dask", "neuroglancer", "scipy"} & set(loaded)
