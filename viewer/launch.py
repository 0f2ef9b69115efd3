"""How is the server of a project started in a process of its own, stopped, and asked to show something?"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..store import errors, locks, serving
from ..store.errors import LockedError, RondelError
from ..store.serving import Serving

START_SECONDS = 60.0
STOP_SECONDS = 30.0
LOG = "serve.log"
OURS = "rondel: "
"""What lines for a person begin with."""


@dataclass(frozen=True, slots=True)
class Started:
    """A server that answers, and what it said while it started."""

    serving: Serving
    said: tuple[str, ...] = ()
    new: bool = True
    """False when it ran already."""


def ensure(folder: Path, *, port: int | None = None, bind: str | None = None) -> Started:
    """Return the project's server, started in a process and session of its own when none runs.

    Raises what the server failed with; LockedError when it runs on another machine, or does not come up.
    """
    found = serving.running(folder)
    if found:
        return Started(_reachable(found), new=False)
    words = [*(("--port", str(port)) if port is not None else ()), *(("--bind", bind) if bind is not None else ())]
    log = folder / "jobs" / LOG
    log.parent.mkdir(exist_ok=True)
    with log.open("ab") as file:
        began = file.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "rondel.viewer.server", str(folder.resolve()), *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        return _await(folder, process, log, began)
    except BaseException:
        process.terminate()
        process.wait()
        raise


def _await(folder: Path, process: subprocess.Popen, log: Path, began: int) -> Started:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = serving.running(folder)
        if found and found.pid != process.pid:  # another verb was faster
            process.terminate()
            process.wait()
            return Started(_reachable(found), new=False)
        if found:
            return Started(found, _said(log, began))
        if process.poll() is not None:
            raise _failure(process.returncode, log, began)
        time.sleep(0.05)
    raise LockedError(f"the server did not come up within {START_SECONDS:.0f} s", f"read {log}")


def stop(folder: Path) -> Serving | None:
    """Stop the project's server and wait until it is gone; returns what it was, or None when none runs."""
    found = serving.running(folder)
    if found is None:
        return None
    _reachable(found)
    with suppress(ProcessLookupError):
        os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while serving.running(folder) == found or _holds(folder, found):
        if time.monotonic() > deadline:
            raise LockedError(
                f"the server (pid {found.pid}) did not end within {STOP_SECONDS:.0f} s",
                f"'kill -9 {found.pid}' ends it; no edit is lost by that",
            )
        time.sleep(0.05)
    return found


def show(found: Serving, person: str, **wanted: int | str | None) -> bool:
    """Let a person's open page show a box, or a volume and a model; False when they have no page open."""
    body = json.dumps({"person": person, **wanted}).encode()
    return bool(_ask(found, "POST", "/show", body).get("shown"))


def state(found: Serving) -> dict[str, Any]:
    """Ask who has a page open, what is not saved yet, and which names the installed Neuroglancer lacks."""
    return _ask(found, "GET", "/status", None, 5.0)


def connected(found: Serving) -> list[dict[str, Any]]:
    """List who has a page open: person, and the volume or box that they see."""
    return state(found).get("people", [])


def _ask(found: Serving, method: str, path: str, body: bytes | None, seconds: float = 30.0) -> dict[str, Any]:
    try:
        status, text = serving.ask(found, method, path, body, seconds)
    except OSError as error:
        raise RondelError(
            f"the server (pid {found.pid}) does not answer: {error}", "'rondel stop' stops it; then run the verb again"
        ) from error
    answer = _parsed(text)
    if status != 200:
        message = answer.get("message") or f"the server (pid {found.pid}) answered {status}"
        raise errors.named(answer.get("error", ""), message, answer.get("hint") or "jobs/serve.log may say more")
    return answer


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _reachable(found: Serving) -> Serving:
    if not serving.here(found):
        raise LockedError(f"the server of this project runs on {found.host}", "run the verb there, or stop it there")
    return found


def _holds(folder: Path, found: Serving) -> bool:
    holder = locks.holder(folder / locks.LABELS)
    return holder is not None and (holder.pid, holder.host) == (found.pid, found.host)


def _said(log: Path, began: int) -> tuple[str, ...]:
    """Return the lines that are meant for a person, without the program's name."""
    return tuple(line.removeprefix(OURS) for line in _lines(log, began) if line.startswith(OURS))


def _lines(log: Path, began: int) -> list[str]:
    with log.open("rb") as file:
        file.seek(began)
        return file.read().decode(errors="replace").splitlines()


def _failure(code: int, log: Path, began: int) -> RondelError:
    """Return what the server's process failed with, by its last words and its exit code."""
    said = _said(log, began)
    if said:
        message, _, hint = said[-1].rpartition("; ")
        error = RondelError(message or hint, hint if message else "")
    else:
        last = (_lines(log, began) or [f"exit code {code}"])[-1]
        error = RondelError(f"the server ended at once: {last}", f"{log} has more")
    error.exit_code = code if 0 < code < 128 else 1
    return error
