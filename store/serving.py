"""Who serves the project, where, and how is that server asked?

serve.json (mode 0600) keeps what a restarted server must find again: its port, its secrets, the browser sessions.
"""

import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from . import atomic, locks

FILE = "serve.json"
ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that mean all of the host's, and the one by which this host reaches them."""


@dataclass(frozen=True, slots=True)
class SavedSession:
    """What one browser page shows, kept so that it goes on after the server was restarted."""

    token: str
    person: str
    volume: str
    box: int | None
    """None while the whole volume is shown."""
    serial: str
    """Changes each time a box is shown, so that no URL of a box's labels is ever used twice."""
    origin: str
    """Scheme, host and port as the browser sees them, for example http://127.0.0.1:9321."""
    model: int | None
    seen: float
    held: bool = False
    """A page shows it; one that was cut off, or whose server ended, still does until it says goodbye."""


@dataclass(frozen=True, slots=True)
class Serving:
    """The server of a project: where it listens, or listened last."""

    pid: int
    """0 when it was stopped."""
    host: str
    """Name of the machine it runs on."""
    bind: str
    port: int
    key: str
    """Bearer key of verbs and screens."""
    secret: str
    """Last part of the link that opens the project in a browser."""
    cookie: str
    """Name of the cookie; cookies ignore ports, so each project has its own."""
    started: float
    sessions: tuple[SavedSession, ...] = ()

    @property
    def address(self) -> str:
        """The address at which this host reaches it."""
        return ANY_ADDRESS.get(self.bind, self.bind)


def load(folder: Path) -> Serving | None:
    """Return what serve.json says, also of a server that was stopped; None when there is none that can be read."""
    try:
        values = json.loads((folder / FILE).read_text("utf-8"))
        sessions = tuple(SavedSession(**session) for session in values.pop("sessions"))
        return Serving(**values, sessions=sessions)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def save(folder: Path, serving: Serving) -> None:
    """Write serve.json at once or not at all; nobody but its owner can read it, from its first byte on."""
    atomic.write_bytes(folder / FILE, json.dumps(asdict(serving), indent=1).encode(), mode=0o600)


def running(folder: Path) -> Serving | None:
    """Return the server that holds the labels lock now, or None."""
    serving = load(folder)
    if serving is None or not serving.pid:
        return None
    found = locks.holder(folder / locks.LABELS)
    if not found or (found.pid, found.host) != (serving.pid, serving.host):
        return None
    return serving if _lives(serving) else None


def boxes_on_pages(folder: Path) -> set[int]:
    """List the boxes that pages show, also while no server runs: open pages wait for it."""
    found = load(folder)
    return {s.box for s in found.sessions if s.held and s.box is not None} if found else set()


def here(serving: Serving) -> bool:
    """Tell whether a server runs on this machine; its address is of no use elsewhere."""
    return serving.host == socket.gethostname()


def _lives(serving: Serving) -> bool:
    """Tell whether its process is there: a lock that was just taken names who was killed with it, for a moment."""
    if not here(serving):
        return True
    with suppress(PermissionError):
        try:
            os.kill(serving.pid, 0)
        except ProcessLookupError:
            return False
    return True


def ask(
    serving: Serving, method: str, path: str, body: bytes | None = None, seconds: float = 60.0
) -> tuple[int, bytes]:
    """Send one request with the bearer key; returns status and body. Raises OSError when nobody answers."""
    import http.client

    connection = http.client.HTTPConnection(serving.address, serving.port, timeout=seconds)
    headers = {"Host": f"127.0.0.1:{serving.port}", "Authorization": f"Bearer {serving.key}"}
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"port {serving.port} gave no answer that can be read: {error}") from error
    finally:
        connection.close()
