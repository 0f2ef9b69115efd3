"""What is a page to the server? One connection, and what was said over it; and what sessions are to the desk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from json import dumps
from typing import Any, Protocol

from .heads import Shown


class Session(Shown, Protocol):
    """What a browser page shows: sessions.Session."""

    token: str
    seen: float
    held: bool
    trouble: str
    sockets: set[Any]

    @property
    def position(self) -> list[int] | None: ...


class Sessions(Protocol):
    """What the desk needs of sessions.Sessions; `show` calls `Desk.prepare` before the page can ask for the box."""

    async def show(
        self, session: Any, *, box: int | None = None, volume: str | None = None, model: int | None = None
    ) -> None: ...
    async def mend(self) -> Sequence[Any]: ...
    def get(self, token: str) -> Any | None: ...
    def all(self) -> Sequence[Any]: ...
    def connected(self) -> Sequence[Any]: ...
    def save(self) -> None: ...


@dataclass(eq=False, slots=True)
class Page:
    """One connection of a browser page. Neither `send` nor `close` ever raises or waits."""

    session: Session
    send: Callable[[str | bytes], None]
    close: Callable[[int, str], None]
    client: str = ""
    showing: int | None = None
    """The box whose voxels it was sent."""
    told: dict[str, Any] = field(default_factory=dict)
    """What it was told last of what changes around its box."""
    missing: tuple[str, ...] = ()
    refused: int = 0
    open: bool = True

    def tell(self, type: str, **fields: Any) -> None:
        self.send(dumps({"type": type, **fields}))

    def end(self, code: int, why: str) -> None:
        """Hear and say no more."""
        self.open = False
        self.close(code, why)
