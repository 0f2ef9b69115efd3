"""What happens when a person opens the link? The browser gets the cookie, and goes on to a session of its own.

/open/SECRET[?box=3 | ?volume=scan[&model=2]]
"""

import re
from typing import TypedDict

from tornado.web import RequestHandler

from ..store.errors import RondelError, UsageError
from ..store.project import NAME
from .guard import Credentials
from .page import BEGIN, origin_of, refuse
from .sessions import Sessions

NUMBER = re.compile(r"[0-9]{1,15}")
LONGEST_NAME = 100


class Wanted(TypedDict, total=False):
    box: int
    volume: str
    model: int


class Open(RequestHandler):
    """A page, not a redirect: a SameSite=Strict cookie does not ride along a redirect that came from another site."""

    def initialize(self, sessions: Sessions, credentials: Credentials) -> None:
        self.sessions, self.credentials = sessions, credentials

    async def get(self, _secret: str) -> None:
        try:
            session = await self.sessions.open(origin_of(self.request), **self.wanted())
        except RondelError as error:
            refuse(self, error)
            return
        self.set_cookie(
            self.credentials.cookie, self.credentials.cookie_value, path="/", httponly=True, samesite="Strict"
        )
        place = f"/v/{session.token}/"
        self.finish(f'{BEGIN}<meta http-equiv="refresh" content="0;url={place}"><p><a href="{place}">Go on</a>')

    def wanted(self) -> Wanted:
        """Read what the link asks for; raises UsageError when that cannot be."""
        found = Wanted()
        box, volume, model = (self.get_query_argument(name, None) for name in ("box", "volume", "model"))
        if box is not None:
            found["box"] = _number("box", box)
        if model is not None:
            found["model"] = _number("model", model)
        if volume is not None:
            if not NAME.fullmatch(volume) or len(volume) > LONGEST_NAME:
                raise _nonsense("volume")
            found["volume"] = volume
        return found


def _number(name: str, text: str) -> int:
    if not NUMBER.fullmatch(text):
        raise _nonsense(name)
    return int(text)


def _nonsense(name: str) -> UsageError:
    return UsageError(f"the link asks for a {name} that cannot be", "use the link as 'rondel serve' prints it")


def routes(sessions: Sessions, credentials: Credentials) -> list[tuple]:
    return [(r"/open/([^/]+)", Open, {"sessions": sessions, "credentials": credentials})]
