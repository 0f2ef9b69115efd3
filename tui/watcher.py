"""Who notices that the project has changed? Two threads: one reads the rows that moved, one asks the server.

No widget reads a file; what these threads found reaches the screens as one snapshot.
"""

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..store import serving
from ..store.errors import RondelError
from ..store.project import Project, open_project
from . import words
from .snapshot import Person, Server, Snapshot, read

POLL_SECONDS = 0.1
ALIVE_SECONDS = 1.0
"""How often it is looked whether a running job's process and the server are there, and whether settings changed."""
SHARE = 5
"""Reading takes at most one part in this many of the time, however large the project is."""


class Watcher:
    """Looks at a project until it is closed.

    `tell` is called with each new snapshot, `failed` when the project cannot be read; both from a thread.
    """

    def __init__(
        self, first: Snapshot, tell: Callable[[Snapshot], None], failed: Callable[[RondelError], None]
    ) -> None:
        self.folder = Path(first.folder)
        self.tell, self.failed = tell, failed
        self._snapshot = first
        self._server = first.server
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=f"rondel-{target.__name__}", daemon=True)
            for target in (self._watch_rows, self._watch_server)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Ask the threads to end; they hold nothing that has to be waited for."""
        self._stopped.set()

    def _watch_rows(self) -> None:
        while not self._stopped.is_set():
            try:
                stamp = _stamp(self.folder)
                with open_project(self.folder) as project:
                    self._follow(project, stamp)
            except (RondelError, sqlite3.DatabaseError, OSError) as error:
                self.failed(words.known(error))
                self._stopped.wait(ALIVE_SECONDS)

    def _follow(self, project: Project, stamp: int) -> None:
        """Read what moves until the settings change, since a project is opened with its settings."""
        seen, looked, pause = None, 0.0, 0.0
        while not self._stopped.wait(max(POLL_SECONDS, pause)):
            began, pause = time.monotonic(), 0.0
            version = project.database.row("PRAGMA data_version")[0]  # type: ignore[index]
            aged = began - looked >= ALIVE_SECONDS
            if aged and _stamp(self.folder) != stamp:
                return
            due = version != seen or self._server != self._snapshot.server
            if not due and not (aged and self._snapshot.running):
                continue
            snapshot = read(project, self._snapshot, self._server)
            seen, looked = version, began
            if snapshot != self._snapshot:
                self._snapshot = snapshot
                self.tell(snapshot)
            pause = SHARE * (time.monotonic() - began)

    def _watch_server(self) -> None:
        while not self._stopped.wait(ALIVE_SECONDS):
            self._server = look_for_server(self.folder, self._snapshot.settings)


def first_look(folder: Path) -> Snapshot:
    """Read a project and its server once; raises RondelError when it is none."""
    with open_project(folder.resolve()) as project:
        return read(project, None, look_for_server(project.folder, project.settings))


def look_for_server(folder: Path, settings: Any) -> Server | None:
    """Find the server that runs, and who has its page open; None when none runs."""
    from ..viewer import launch, link

    found = serving.running(folder)
    if found is None:
        return None
    server = Server(found.port, found.host, found.bind, link.link(found), link.tunnel(found, settings), None)
    try:
        said = launch.state(found) if serving.here(found) else None
    except RondelError:
        return server
    return server if said is None else _answered(server, said)


def _answered(server: Server, said: dict[str, Any]) -> Server:
    people = tuple(_person(one) for one in said.get("people", ()))
    return replace(server, people=people, pending=int(said.get("pending", 0)), missing=tuple(said.get("missing", ())))


def _person(one: dict[str, Any]) -> Person:
    box, position = one.get("box"), one.get("position")
    where = tuple(int(v) for v in position) if isinstance(position, list) and len(position) == 3 else None
    return Person(str(one.get("person") or ""), box, str(one.get("volume") or ""), where)  # type: ignore[arg-type]


def _stamp(folder: Path) -> int:
    try:
        return (folder / "project.toml").stat().st_mtime_ns
    except OSError:
        return 0
