"""What does the stock client ask of its server? Changes of the viewer's state, both ways, and actions.

The protocol is Neuroglancer's own (its python_integration/api.ts). Its handlers trust what they are sent; these do not.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import neuroglancer.server
from neuroglancer.trackable_state import ConcurrentModificationError
from neuroglancer.viewer_base import ViewerBase
from tornado.web import HTTPError, RequestHandler

DEEPEST = 64
"""Levels of nesting that a state may have."""


@dataclass(frozen=True, slots=True)
class Host:
    """What Neuroglancer's handlers need of their server."""

    viewers: Mapping[str, ViewerBase]
    loop: asyncio.AbstractEventLoop


class Events(neuroglancer.server.EventStreamHandler):
    """The stream of changes that the page hears."""

    def initialize(self, sessions, loop: asyncio.AbstractEventLoop) -> None:
        self.sessions = sessions
        self._wake_up = lambda: None
        super().initialize(Host(sessions.viewers, loop))

    async def get(self, viewer_token: str) -> None:
        _, _, generation = [self.get_query_argument(name) for name in ("c", "gc", "gs")]  # 400 unless all are there
        self.sessions.resume(viewer_token, generation)
        await super().get(viewer_token)


class State(RequestHandler):
    """A change of the viewer that the page made."""

    def initialize(self, sessions) -> None:
        self.sessions = sessions

    def post(self, token: str) -> None:
        sent = read_json(self.request.body)
        state, client, number, before = (sent.get(name) for name in ("s", "c", "g", "pg"))
        if not (isinstance(state, dict) and isinstance(client, str) and isinstance(before, str)):
            raise HTTPError(400)
        if type(number) is not int or len(client) > 100:
            raise HTTPError(400)
        try:
            generation = self.sessions.viewers[token].set_state(state, f"{client}/{number}", existing_generation=before)
            self.finish({"g": generation})
        except ConcurrentModificationError:
            self.set_status(412)  # the page hears the newer state by its stream


class Action(RequestHandler):
    """A key or a click that the page was told to report."""

    def initialize(self, sessions) -> None:
        self.sessions = sessions

    def post(self, token: str) -> None:
        sent = read_json(self.request.body)
        name, state = sent.get("action"), sent.get("state")
        if not (isinstance(name, str) and isinstance(state, dict)):
            raise HTTPError(400)
        self.sessions.act(token, name, state)


def routes(sessions, loop: asyncio.AbstractEventLoop) -> list[tuple]:
    return [
        (r"/events/(?P<viewer_token>[^/]+)", Events, {"sessions": sessions, "loop": loop}),
        (r"/state/([^/]+)", State, {"sessions": sessions}),
        (r"/action/([^/]+)", Action, {"sessions": sessions}),
    ]


def read_json(body: bytes) -> dict[str, Any]:
    """Parse an object of bounded depth; what is no such thing is answered with 400."""
    try:
        found = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise HTTPError(400) from None
    if not isinstance(found, dict) or not _shallow(found, DEEPEST):
        raise HTTPError(400)
    return found


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _shallow(value: Any, levels: int) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_shallow(part, levels - 1) for part in inside)
