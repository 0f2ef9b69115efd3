"""How are the screens started, and how do they end? Whatever ends them, the terminal is as it was before."""

import gc
import os
import signal
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .snapshot import Snapshot

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 3.0
"""Seconds for an orderly end after a signal; the terminal may be gone, so that writing to it never returns."""
RESTORE = "\x1b[<u\x1b[?1004l\x1b[?2004l\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?7h\x1b[?25h\x1b[?1049l"
"""Leaves the alternate screen, and turns off mouse, paste and focus reports."""


def can_show() -> bool:
    """Tell whether there is a terminal to show screens on."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def show(folder: Path, serve: bool = True) -> int:
    """Show a project's screens, or the first run where there is none; returns the exit code.

    Raises RondelError when the folder holds a project that cannot be opened.
    """
    from .app import RondelApp
    from .watcher import first_look

    first = first_look(folder) if (folder / "project.toml").exists() else None
    _collect_seldom()
    app = RondelApp(folder, first, serve)
    with _signals(app.stop) as ended:
        app.run()
    if not ended and app.snapshot:
        _say_what_goes_on(app.snapshot)
    return ended[-1] if ended else app.return_code or 0


def _say_what_goes_on(snapshot: "Snapshot") -> None:
    """Say, once the terminal is a person's own again, what runs without the screens, and how it is ended."""
    if snapshot.server:
        sys.stdout.write("the page goes on being served: 'rondel stop' ends that\n")
    for running in snapshot.running:
        sys.stdout.write(f"job {running.job.id} goes on: 'rondel jobs cancel {running.job.id}' ends it\n")


def _collect_seldom() -> None:
    """Let the garbage collector look at everything seldom: with 10,000 boxes each look stops the screens for 0.2 s."""
    gc.freeze()
    gc.set_threshold(2_000, 20, 200)


@contextmanager
def _signals(stop) -> Iterator[list[int]]:
    """Let signals end the app; gives the list of exit codes that they asked for."""
    codes: list[int] = []
    modes = termios.tcgetattr(sys.__stdin__.fileno()) if sys.__stdin__ else None

    def heard(number: int, _frame: object) -> None:
        codes.append(128 + number)
        last = threading.Timer(PATIENCE, _give_up, (128 + number, modes))
        last.daemon = True
        last.start()
        stop(128 + number)

    before = {number: signal.signal(number, heard) for number in SIGNALS}
    try:
        yield codes
    finally:
        for number, handler in before.items():
            if not codes:
                signal.signal(number, handler)


def _give_up(code: int, modes: list | None) -> None:
    """End now, with the terminal restored by hand as far as there still is one."""
    try:
        if modes is not None and sys.__stdin__ and termios.tcgetattr(sys.__stdin__.fileno()) != modes:
            os.write(2, RESTORE.encode())
            termios.tcsetattr(sys.__stdin__.fileno(), termios.TCSANOW, modes)
    except (OSError, termios.error, ValueError):
        pass  # the terminal is gone
    os._exit(code)
