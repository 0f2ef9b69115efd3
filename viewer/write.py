"""What do verbs and screens ask of the server? To change labels, to show something, to say who is there."""

import asyncio
import json
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tornado.web import RequestHandler

from ..store import writer
from ..store.errors import InvalidDataError, LockedError, RondelError, SpaceError
from .desk import Desk
from .messages import Id, Person


class Wanted(BaseModel):
    """What a person's page shall show: a box, or a volume with the maps of a model."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    person: Person
    box: Id | None = None
    volume: Annotated[str, Field(max_length=200)] | None = None
    model: Id | None = None


class _Verb(RequestHandler):
    """Answers JSON; an error is its class, its message and its hint, which the verb raises again."""

    def initialize(self, desk: Desk) -> None:
        self.desk = desk

    def answer(self, body: bytes) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(body)

    def refuse(self, error: RondelError) -> None:
        self.set_status(507 if isinstance(error, SpaceError) else 423 if isinstance(error, LockedError) else 400)
        self.answer(writer.refusal(error))


class Write(_Verb):
    async def post(self) -> None:
        try:
            operation, arguments = await asyncio.to_thread(writer.decode, self.request.body)
            self.answer(writer.answer(await self.desk.write(operation, arguments)))
        except RondelError as error:
            self.refuse(error)


class Show(_Verb):
    async def post(self) -> None:
        try:
            wanted = Wanted.model_validate_json(self.request.body)
            shown = await self.desk.show_person(**wanted.model_dump())
            self.answer(json.dumps({"shown": shown}).encode())
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            self.refuse(InvalidDataError(f"{place or 'request'}: {first['msg']}", "send what this version sends"))
        except RondelError as error:
            self.refuse(error)


class Status(_Verb):
    def get(self) -> None:
        self.answer(json.dumps(self.desk.status()).encode())


def routes(desk: Desk) -> list[tuple]:
    return [(f"/{kind.__name__.lower()}", kind, {"desk": desk}) for kind in (Write, Show, Status)]
