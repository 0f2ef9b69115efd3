"""Who gets what? Every page's ops go to the scribe, and what they change to all who look on.

    socket ──► Desk.handle ──► scribe's queue ──► Desk._answered ──► the sender: ack, patch or refusal
                                                               └───► others on the box: patch

All runs on the server's loop; only the scribe's thread touches labels and database. Answers are handled in the order in
which the scribe gives them, so a page hears the revisions of its box in their order.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from json import dumps
from typing import Any, TypeVar

from ..store.box import Box
from ..store.errors import RondelError, UsageError
from ..store.project import person as login
from . import heads, messages
from .board import Board
from .canvas import Canvas
from .news import Answer, Change, Snapshot, Unsaved
from .pages import Page, Session, Sessions
from .scribe import Scribe

log = logging.getLogger(__name__)
T = TypeVar("T")
WATCH_SECONDS, MEND_SECONDS = 0.25, 3.0
MOST_REFUSED = 100
KEPT_SERIALS = 200
OFFLINE_SECONDS = 300.0
"""Painting that a page may report of the time before this server knew it."""
GOING, REFUSED, LATER = 1001, 1008, 1013
"""Close codes of websockets."""


class Desk:
    """All pages of a server. Make it, make the sessions with `prepare`, then `start`."""

    def __init__(self, scribe: Scribe) -> None:
        self.scribe = scribe
        self.pages: set[Page] = set()
        self.pending = 0
        """What pages sent and has no answer yet."""
        self._sessions: Sessions | None = None
        self._serials: dict[str, int] = {}
        self._board: Board | None = None
        self._locks: dict[str, asyncio.Lock] = {}
        self._counted: dict[str, float] = {}
        self._watching: list[asyncio.Task] = []
        self.lacking: Callable[[Any], None] = lambda session: None
        """Called with the session of a page that cannot paint."""

    def start(self, sessions: Sessions) -> None:
        """Begin to watch for what verbs, screens and jobs change."""
        self._sessions = sessions
        loop = asyncio.get_running_loop()
        self._watching = [loop.create_task(self._watch()), loop.create_task(self._mend())]

    def stop(self) -> None:
        """Send the pages off; they come back by themselves when a server is there again."""
        for task in self._watching:
            task.cancel()
        for page in list(self.pages):
            page.end(GOING, "the server stops")

    @property
    def sessions(self) -> Sessions:
        assert self._sessions is not None
        return self._sessions

    @property
    def saved(self) -> int:
        """Edits made since the server started."""
        return self.scribe.saved

    # What is served.

    async def prepare(self, session: Session) -> None:
        """Open the box that a session is about to show, so that its chunks can be asked for."""
        assert session.box is not None
        self._serials.pop(session.serial, None)
        self._serials[session.serial] = session.box
        while len(self._serials) > KEPT_SERIALS:
            del self._serials[next(iter(self._serials))]
        await self.open_box(session.box)

    async def open_box(self, id: int) -> Canvas:
        """Return the canvas of a box; raises UsageError when there is no such box."""
        await self.ask(self.scribe.forget, self._in_use() | {id})
        return await self.ask(self.scribe.canvas, id)

    def canvas_of(self, serial: str) -> Canvas | None:
        """Return the canvas that is served under a serial."""
        return self.scribe.canvases.get(self._serials.get(serial, 0))

    def _in_use(self) -> set[int]:
        """Return the boxes whose canvases are kept: those on show, and those under the newest serials."""
        shown = {s.box for s in self._sessions.all() if s.box is not None} if self._sessions else set()
        return shown | {page.showing for page in self.pages if page.showing} | set(list(self._serials.values())[-20:])

    # What pages say.

    async def handle(self, page: Page, text: str | bytes) -> None:
        """Deal with one message of a page; it is dealt with when this returns."""
        if not page.open:
            return
        try:
            message = messages.parse(text)
            match message:
                case messages.Hello():
                    await self._greet(page, message)
                case messages.Named():
                    self._name(page.session, message.person)
                    self._tell_heads()
                case messages.Seconds():
                    await self._count(page, message)
                case messages.Op():
                    await self._operate(page, message)
        except messages.Refusal as error:
            self._refuse(page, error.number, error)
        except RondelError as error:
            page.tell("note", text=str(error))
        except Unsaved as error:  # it stays in the page's queue, and with it all that comes after
            page.tell("note", text=f"not saved yet, trying again: {error}")
            page.end(LATER, "try again")

    def leave(self, page: Page, goodbye: bool = False) -> None:
        """A connection has ended; a page that said goodbye gives up its box, any other comes back."""
        session, page.open = page.session, False
        self.pages.discard(page)
        session.sockets.discard(page)
        session.seen = time.time()
        if goodbye and not session.sockets:
            session.held = False
            self.sessions.save()
        self._tell_heads()

    async def _greet(self, page: Page, hello: messages.Hello) -> None:
        for other in [p for p in self.pages if p.client == hello.client and p is not page]:
            other.end(GOING, "the page has connected anew")
            self.leave(other)
        page.client, page.missing = hello.client, hello.missing
        if page.missing:
            log.warning("rondel: this Neuroglancer lacks %s: only keys change labels", ", ".join(page.missing))
            self.lacking(page.session)
        self._counted.setdefault(hello.client, time.monotonic() - OFFLINE_SECONDS)
        if hello.person:
            self._name(page.session, hello.person)
        self.pages.add(page)
        page.session.sockets.add(page)
        page.session.seen = time.time()
        if not page.session.held:
            page.session.held = True
            self.sessions.save()
        await self._show(page)
        if page.session.trouble:
            page.tell("note", text=f"the image cannot be read now, trying again: {page.session.trouble}")
        self._tell_heads()

    def _name(self, session: Session, person: str) -> None:
        if session.person != person:
            session.person = person
            self.sessions.save()

    async def _count(self, page: Page, message: messages.Seconds) -> None:
        """Count active painting, but never more of it than time went by."""
        now = time.monotonic()
        seconds = min(message.seconds, now - self._counted.get(page.client, now))
        if seconds > 0:
            self._counted[page.client] = now
            await self.ask(self.scribe.add_seconds, message.box, seconds)

    def _refuse(self, page: Page, number: int, error: RondelError) -> None:
        page.tell("refused", number=number, message=error.message, hint=error.hint)
        page.refused += 1
        if page.refused > MOST_REFUSED:
            page.end(REFUSED, "too much that cannot be done")

    async def _operate(self, page: Page, op: messages.Op) -> None:
        if op.client != page.client:
            raise messages.Refusal("the op is not of the client that said hello", op.number)
        person, model = page.session.person or login(), page.session.model
        self.pending += 1
        try:
            answer = await self.ask(self.scribe.perform, op, person, model, then=partial(self._answered, page))
        finally:
            self.pending -= 1
        if isinstance(op, messages.Move) and answer.error is None and not answer.again:
            await self._move(page.session, op)

    def _answered(self, page: Page, answer: Answer) -> None:
        """Tell everybody what became of an op."""
        own = page.showing is not None and page.showing == answer.box
        self._spread(answer.changes, without=page if own else None)
        number = answer.number
        if answer.error:
            page.tell("refused", number=number, message=answer.error.message, hint=answer.error.hint)
        elif own and answer.repair:
            change = answer.repair
            page.send(messages.frame(messages.PATCH, change.revision, number, change.region, change.values))
        else:
            edit = answer.edit
            counts = {"edit": edit.number if edit else None, "voxels": edit.voxels if edit else 0}
            page.tell("ack", number=number, revision=answer.revision, **counts)
        if answer.board:
            self._take(answer.board)

    def _spread(self, changes: Sequence[Change], without: Page | None = None) -> None:
        for change in changes:
            patch = messages.frame(messages.PATCH, change.revision, 0, change.region, change.values)
            for page in self.pages:
                if page.showing == change.box and page is not without:
                    page.send(patch)

    # What pages show.

    async def show(
        self, session: Session, *, box: int | None = None, volume: str | None = None, model: int | None = None
    ) -> None:
        """Show something else in a session, and tell its pages; raises UsageError when there is no such thing."""
        async with self._locks.setdefault(session.token, asyncio.Lock()):
            await self.sessions.show(session, box=box, volume=volume, model=model)
            for page in list(session.sockets):
                await self._show(page)
        self._tell_heads()

    async def show_person(self, person: str, **wanted: Any) -> bool:
        """Show something else in the page that a person used last; False when they have none open."""
        theirs = [s for s in self.sessions.connected() if (s.person or login()) == person]
        if theirs:
            await self.show(max(theirs, key=lambda session: session.seen), **wanted)
        return bool(theirs)

    async def _move(self, session: Session, op: messages.Op) -> None:
        """Lead a page on, unless it was led on already."""
        match op:
            case messages.View():
                return await self.show(session, volume=session.volume)
            case messages.LabelThis():
                return await self.show(session, box=op.box)
        here = op.box or session.box
        if here != session.box or self._board is None:
            return None
        if isinstance(op, messages.Go) and isinstance(op.to, int):
            return await self.show(session, box=op.to)
        back = isinstance(op, messages.Go) and op.to == "previous"
        taken = {s.box for s in self.sessions.connected() if s is not session}
        found = self._board.before(here) if back else self._board.after(here)
        free = [box for box in found if box.id not in taken]
        if free:
            return await self.show(session, box=free[0].id)
        if back:
            raise UsageError("there is no box before this one", "go on to the next box")
        if found:
            raise UsageError(_open_elsewhere([box.id for box in found]), "come back to it later")
        raise UsageError("no other box waits to be labelled", "'rondel round' does what is due next")

    async def _show(self, page: Page) -> None:
        """Tell a page all of what its session shows."""
        session = page.session
        if session.box is None:
            page.showing = None
            await self.ask(self.scribe.overview, page.client, then=partial(self._shown_volume, page))
        else:
            await self.ask(self.scribe.snapshot, session.box, page.client, then=partial(self._shown_box, page))

    def _shown_box(self, page: Page, snapshot: Snapshot) -> None:
        box, session = snapshot.box, page.session
        if session.box != box.id:  # it was led on meanwhile, and is told so
            return
        self._serials[session.serial] = box.id  # a session that was made again may not have been prepared
        people = self._people()
        message = heads.box_message(session, snapshot, self.scribe.project.settings, people)
        page.showing, page.told = box.id, heads.changing(snapshot.board, people, box)
        page.send(dumps(message))
        region = Box.of_shape(box.box.shape)
        page.send(messages.frame(messages.WHOLE, snapshot.revision, 0, region, snapshot.voxels))
        self._take(snapshot.board)

    def _shown_volume(self, page: Page, overview: tuple[Board, int]) -> None:
        board, acked = overview
        if page.session.box is not None:
            return
        people = self._people()
        page.told = heads.changing(board, people, None)
        page.send(dumps(heads.view_message(page.session, board, acked, self.scribe.project.settings, people)))
        self._take(board)

    # What changes around the boxes.

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self.pages:
                try:
                    await self.ask(self.scribe.read_board, then=self._take)
                except Exception:  # the database may be busy now, and must still be watched afterwards
                    log.exception("the database could not be watched")

    async def _mend(self) -> None:
        """Try again what could not be read when the server started, and tell its pages when it can."""
        while any(session.trouble for session in self.sessions.all()):
            await asyncio.sleep(MEND_SECONDS)
            for session in await self.sessions.mend():
                for page in session.sockets:
                    page.tell("note", text="the image can be read again")

    def _take(self, board: Board) -> None:
        """Hear what the database says now; the same board means that nothing moved."""
        last, self._board = self._board, board
        if board is last:
            return
        self._tell_heads()
        if last is None:
            return
        for page in self.pages:
            if board.model > last.model:
                page.tell("note", text=f"model {board.model} is ready")
            if page.session.box is None:
                self._tell_boxes(page, last, board)

    def _tell_boxes(self, page: Page, last: Board, board: Board) -> None:
        boxes = heads.boxes_of(board, page.session.volume)
        if boxes != heads.boxes_of(last, page.session.volume):
            page.tell("heads", boxes=boxes)

    def _tell_heads(self) -> None:
        """Tell each page what has changed around its box since it was told last."""
        if self._board is None:
            return
        people, boxes = self._people(), {box.id: box for box in self._board.boxes}
        for page in self.pages:
            if page.told:
                now = heads.changing(self._board, people, boxes.get(page.showing or 0))
                changed = {name: value for name, value in now.items() if page.told.get(name) != value}
                page.told = now
                if changed:
                    page.tell("heads", **changed)

    def _people(self) -> list[dict[str, Any]]:
        return heads.present(self.sessions.connected(), login())

    # What verbs ask.

    async def write(self, operation: str, arguments: dict[str, Any]) -> Any:
        """Do what a verb sent, and show it to the pages; raises what the journal raises."""

        def done(found: tuple[Any, tuple[Change, ...]]) -> None:
            self._spread(found[1])

        result, _ = await self.ask(self.scribe.write, operation, arguments, then=done)
        return result

    async def act(self, session: Session, op: messages.Op) -> Answer:
        """Do an op that came another way than a page's socket, and show it to all who look on."""

        def done(answer: Answer) -> None:
            self._spread(answer.changes)

        return await self.ask(self.scribe.perform, op, session.person or login(), session.model, then=done)

    def status(self) -> dict[str, Any]:
        """Tell who has a page open and where in the volume it is, and how far the labels are saved."""
        missing = sorted({name for page in self.pages for name in page.missing})
        places = [{"position": session.position} for session in self.sessions.connected()]
        people = [one | place for one, place in zip(self._people(), places)]
        return {"people": people, "saved": self.saved, "pending": self.pending, "missing": missing}

    async def ask(self, job: Callable[..., T], *arguments: Any, then: Callable[[T], None] | None = None) -> T:
        """Have the scribe do a job; `then` hears the result before any later job's is heard."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def heard(result: Any) -> None:
            if future.done():  # nobody waits for it any more
                return
            try:
                if isinstance(result, Exception):
                    raise result
                if then:
                    then(result)
                future.set_result(result)
            except Exception as error:  # raised again where it is awaited
                future.set_exception(error)

        self.scribe.submit(partial(loop.call_soon_threadsafe, heard), job, *arguments)
        return await future


def _open_elsewhere(ids: Sequence[int]) -> str:
    if len(ids) == 1:
        return f"box {ids[0]} waits, but is open in another page"
    return f"boxes {', '.join(map(str, ids))} wait, but are open in other pages"
