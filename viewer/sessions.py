"""Who is looking at which box? One session for each page that was opened: its own viewer, camera and token.

Sessions are kept in serve.json, so that open pages go on when the server is started again. All methods run on the
server's loop; what reads the project does so on a thread, with a connection of its own.
"""

import asyncio
import logging
import math
import secrets
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import neuroglancer
from neuroglancer.viewer_base import ViewerBase

from ..store import label_boxes
from ..store.errors import RondelError, UsageError
from ..store.project import Project, open_project
from ..store.records import State
from ..store.serving import SavedSession
from . import looks, scene, views
from .looks import Looks

log = logging.getLogger(__name__)

ACTIONS = "rondel-"
"""What the names of our actions begin with."""
MOST = 50
OLDEST_SECONDS = 30 * 24 * 3600.0
DRAWING_SECONDS = 10.0
"""How long a restart waits for an image."""
UNREAD = (RondelError, OSError, ValueError, sqlite3.Error)
"""What reading an image, or the rows about it, may meet; a timeout is an OSError."""
SILENT = "it does not answer"


@dataclass(eq=False, slots=True)
class Session:
    """What one page shows."""

    token: str = field(repr=False)
    person: str
    volume: str
    box: int | None
    """None while the whole volume is shown."""
    serial: str
    """New each time a box is shown, so that no address of a box's labels is ever used twice."""
    origin: str
    """Scheme, host and port as the browser sees them."""
    model: int | None
    seen: float
    viewer: ViewerBase = field(repr=False)
    looks: Looks = field(default_factory=Looks, repr=False)
    """How the page's person set its layers."""
    sockets: set[Any] = field(default_factory=set, repr=False)
    """The page's connections, one for each tab."""
    resumed: bool = False
    """Made again after a restart, and not changed since: an open page need not be told what it shows."""
    held: bool = False
    """A page shows it, as far as the server knows."""
    trouble: str = ""
    """Why it could not be drawn when the server started, for as long as that is so."""

    @property
    def prefix(self) -> str:
        """What addresses of arrays begin with: they are found with this session's token only."""
        return f"{self.origin}/s/{self.token}"

    @property
    def position(self) -> list[int] | None:
        """The voxel of the working level (z, y, x) at the page's centre; None where the page says nothing of use."""
        state = self.viewer.shared_state.raw_state
        try:
            at = dict(zip(state["dimensions"], state["position"]))
            return [math.floor(at[axis] + 0.5) for axis in "zyx"]
        except (LookupError, TypeError, ValueError, OverflowError):
            return None

    @property
    def saved(self) -> SavedSession:
        return SavedSession(**{field.name: getattr(self, field.name) for field in fields(SavedSession)})


Prepare = Callable[[Session], Awaitable[None]]
Keep = Callable[[tuple[SavedSession, ...]], None]


class Sessions:
    """All sessions of a server, by token."""

    def __init__(self, folder: Path, prepare: Prepare, keep: Keep) -> None:
        """`prepare` makes a session's box ready before a page can ask for it; `keep` writes the sessions down."""
        self.folder, self.prepare, self.keep = folder, prepare, keep
        self.viewers: dict[str, ViewerBase] = {}
        self._sessions: dict[str, Session] = {}

    async def open(
        self, origin: str, *, box: int | None = None, volume: str | None = None, model: int | None = None
    ) -> Session:
        """Make a session that shows a box, a volume, or without either what waits to be labelled.

        Raises UsageError when there is no such box, volume or model.
        """
        if box is None and volume is None:
            box, volume = await asyncio.to_thread(self._reading, _waiting, self._taken())
        viewer = ViewerBase(token=secrets.token_urlsafe(24))
        session = Session(viewer.token, "", "", None, "", origin, None, time.time(), viewer)
        await self._fill(session, box, volume, model)
        self._add(session)
        self.save()
        return session

    async def restore(self, saved: tuple[SavedSession, ...]) -> None:
        """Make the sessions of the last run again; one whose box or volume is gone is dropped."""
        fresh = [old for old in saved if time.time() - old.seen < OLDEST_SECONDS]
        made = await asyncio.gather(*(self._again(old) for old in fresh))
        for session in filter(None, made):
            self._add(session)

    async def _again(self, old: SavedSession) -> Session | None:
        session = Session(**asdict(old), viewer=ViewerBase(token=old.token), resumed=True)
        try:
            await asyncio.wait_for(self._draw(session), DRAWING_SECONDS)
        except UsageError:
            return None
        except UNREAD as error:  # open pages still show what they have, and `mend` tries again
            session.trouble = str(error) or SILENT
            log.warning("a page of '%s' is not made again yet: %s", old.volume, session.trouble)
        return session

    async def mend(self) -> list[Session]:
        """Draw what is on pages and could not be drawn at the start; returns those that could be now."""
        mended = []
        for session in [s for s in self.connected() if s.trouble]:
            try:
                state = await asyncio.wait_for(self._scene(session), DRAWING_SECONDS)
            except UNREAD as error:
                session.trouble = str(error) or SILENT
                continue
            session.trouble = ""
            shared = session.viewer.shared_state
            if not shared.raw_state:  # otherwise its page has said meanwhile what it shows
                shared.set_state(state, shared.state_generation)  # no news to the page, which keeps its camera
            mended.append(session)
        return mended

    async def show(
        self, session: Session, *, box: int | None = None, volume: str | None = None, model: int | None = None
    ) -> None:
        """Show another box or volume in a page; on return its viewer has it. Tell the page's sockets then.

        Raises UsageError when there is no such box, volume or model; the page then goes on showing what it showed.
        """
        await self._fill(session, box, volume, model)
        self.save()

    async def come(self, token: str, origin: str) -> None:
        """A page is being loaded, maybe through another tunnel than before."""
        session = self._sessions[token]
        session.seen = time.time()
        if session.origin != origin or not session.viewer.shared_state.raw_state:
            session.origin = origin
            await self._draw(session)
        self.save()

    def resume(self, token: str, generation: str) -> None:
        """A page that was open before the restart comes back: what it shows becomes what is shown."""
        session = self._sessions[token]
        if session.resumed and generation:
            session.viewer.set_state(session.viewer.shared_state.raw_state, generation)
        session.resumed = False

    def get(self, token: str) -> Session | None:
        return self._sessions.get(token)

    def all(self) -> list[Session]:
        return list(self._sessions.values())

    def connected(self) -> list[Session]:
        """List the sessions that have a page open now."""
        return [session for session in self.all() if session.sockets]

    def save(self) -> None:
        self.keep(tuple(session.saved for session in self.all()))

    def act(self, token: str, name: str, state: dict[str, Any]) -> None:
        """A page reports an action that it was told to report; those of Neuroglancer's server are not among them."""
        if name.startswith(ACTIONS):
            self.viewers[token].actions.invoke(name, state)

    async def _fill(self, session: Session, box: int | None, volume: str | None, model: int | None) -> None:
        """Make a session show something else, at once or not at all."""
        before = session.volume, session.box, session.serial, session.model
        session.volume, session.box, session.model = volume or "", box, model
        session.serial = secrets.token_hex(8)
        try:
            await self._draw(session)
        except BaseException:
            session.volume, session.box, session.serial, session.model = before
            raise
        session.resumed = False

    async def _draw(self, session: Session) -> None:
        session.viewer.set_state(await self._scene(session))
        session.trouble = ""

    async def _scene(self, session: Session) -> dict[str, Any]:
        if session.box is not None:
            await self.prepare(session)  # first, so that a page goes on painting where only its image is out of reach
        state, session.volume, session.model = await asyncio.to_thread(
            self._reading, _compose, session.prefix, session.box, session.volume, session.serial, session.model
        )
        session.looks = looks.seen(session.looks, session.viewer.shared_state.raw_state, session.volume)
        return looks.dress(state.to_json(), session.looks)

    def _reading(self, function: Callable, *arguments: Any) -> Any:
        with open_project(self.folder) as project:
            return function(project, *arguments)

    def _taken(self) -> set[int]:
        return {session.box for session in self.connected() if session.box is not None}

    def _add(self, session: Session) -> None:
        """Take a session in; past the most that are kept, the one that was not used for the longest time goes."""
        self._sessions[session.token] = session
        self.viewers[session.token] = session.viewer
        idle = sorted((s for s in self.all() if not s.sockets and s is not session), key=lambda s: s.seen)
        for old in idle[: max(0, len(self._sessions) - MOST)]:
            del self._sessions[old.token], self.viewers[old.token]


def _waiting(project: Project, taken: set[int]) -> tuple[int | None, str | None]:
    """Return the box that waits to be labelled, and that nobody else has open; else the first volume."""
    waiting = label_boxes.select(project.database, state=(State.OPEN, State.PROPOSED))
    free = [box for box in waiting if box.id not in taken] or waiting
    if free:
        return free[0].id, None
    volumes = project.volumes()
    if not volumes:
        raise UsageError("the project has no volume yet", "'rondel add IMAGE' adds one")
    return None, volumes[0].name


def _compose(
    project: Project, prefix: str, box: int | None, volume: str, serial: str, model: int | None
) -> tuple[neuroglancer.ViewerState, str, int | None]:
    """Return what a box, or else a volume, looks like; and the volume and the model that are then shown."""
    if box is not None:
        view = views.box_view(project, box, origin=prefix, serial=serial, model=model)
        return scene.box_scene(view), view.record.name, view.model
    view = views.volume_view(project, volume, origin=prefix, model=model)
    return scene.volume_scene(view), view.record.name, view.model
