"""How does a page speak with the server? One websocket, of which the desk knows no more than a Page."""

from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from .desk import Desk
from .pages import Page, Sessions

MOST_UNSENT = 64 << 20
"""Bytes that may wait for a page that does not read: then it is cut off, and begins anew when it can."""
SLOW = 1013


class PageSocket(WebSocketHandler):
    """Messages are dealt with one after the other: the next is read when the last is done with."""

    def initialize(self, desk: Desk, sessions: Sessions) -> None:
        self.desk, self.sessions = desk, sessions
        self.page: Page | None = None
        self.unsent = 0

    def prepare(self) -> None:
        if self.sessions.get(self.path_args[0]) is None:
            raise HTTPError(404)

    def get_compression_options(self) -> dict[str, int]:
        return {"compression_level": 1}  # voxels shrink well at any level, and the loop must not wait for it

    def open(self, token: str) -> None:
        session = self.sessions.get(token)
        if session is None:
            self.close(1008, "no such session")
            return
        self.set_nodelay(True)
        self.page = Page(session, self._send, self.close)

    async def on_message(self, message: str | bytes) -> None:
        if self.page:
            await self.desk.handle(self.page, message)

    def on_close(self) -> None:
        if self.page:
            self.desk.leave(self.page, goodbye=self.page.open and self.close_code is not None)

    def _send(self, message: str | bytes) -> None:
        try:
            sent = self.write_message(message, binary=isinstance(message, bytes))
        except WebSocketClosedError:
            return
        size = len(message)
        self.unsent += size
        sent.add_done_callback(lambda future: self._went(size, future.cancelled() or future.exception()))
        if self.unsent > MOST_UNSENT:
            self.close(SLOW, "the page does not read")

    def _went(self, size: int, _: object) -> None:
        self.unsent -= size


def routes(desk: Desk, sessions: Sessions) -> list[tuple]:
    return [(r"/ws/([^/]+)", PageSocket, {"desk": desk, "sessions": sessions})]
