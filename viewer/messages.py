"""What may a page say, and what is it told? The two sides of the websocket, with everything checked at the door.

    page ──► hello, op, seconds, person            JSON
    page ◄── box, view, ack, refused, heads, note  JSON
    page ◄── patch, whole                          binary: 9 x int32, then uint8 values

Whatever passes here is of the declared type, finite and of bounded size; what does not is refused in words.
"""

import struct
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ..store.box import ZYX, Box
from ..store.errors import InvalidDataError

MOST_POINTS = 20_000
FARTHEST = 1e6
"""Voxels from the box's corner at which a point may lie; a pointer that left the screen is not farther."""
LARGEST_RADIUS = 1024.0
LONGEST_SECONDS = 3600.0
PATCH, WHOLE = 1, 2
_FRAME = struct.Struct("<9i")


def _person(name: str) -> str:
    name = " ".join(name.split())
    if not name or not name.isprintable():
        raise ValueError("a name has letters that can be printed")
    return name


Coordinate = Annotated[float, Field(ge=-FARTHEST, le=FARTHEST, allow_inf_nan=False)]
Point = tuple[Coordinate, Coordinate, Coordinate]
Voxel = Annotated[int, Field(ge=0, lt=1 << 31)]
Place = tuple[Voxel, Voxel, Voxel]
Value = Annotated[int, Field(ge=0, le=255)]
Axis = Literal[0, 1, 2]
Id = Annotated[int, Field(ge=0, lt=1 << 53)]
Client = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{8,64}$")]
Person = Annotated[str, Field(max_length=64), AfterValidator(_person)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class Hello(_Message):
    """The first message of a page, and again when it has lost its way: it is told all that it shows."""

    type: Literal["hello"]
    client: Client
    person: Person | None = None
    box: Id | None = None
    missing: Annotated[tuple[Annotated[str, Field(max_length=200)], ...], Field(max_length=100)] = ()
    """Names of Neuroglancer's that the page needs and did not find."""


class Seconds(_Message):
    type: Literal["seconds"]
    box: Id
    seconds: Annotated[float, Field(ge=0, le=LONGEST_SECONDS, allow_inf_nan=False)]


class Named(_Message):
    """Who sits at the page."""

    type: Literal["person"]
    person: Person


class Op(_Message):
    """Something a person did, numbered by their page, so that it can be sent again."""

    type: Literal["op"]
    client: Client
    number: Annotated[int, Field(ge=1, lt=1 << 31)]
    box: Id | None = None
    crc: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None
    """crc32 of the region, as the page shows it after the op; None where the page cannot know."""
    region: tuple[Voxel, Voxel, Voxel, Voxel, Voxel, Voxel] | None = None


class Paint(Op):
    op: Literal["paint"]
    value: Value
    points: Annotated[tuple[Point, ...], Field(min_length=1, max_length=MOST_POINTS)]
    radius: Annotated[float, Field(gt=0, le=LARGEST_RADIUS, allow_inf_nan=False)]
    plane: Axis | None = None
    only: Value | None = None


class Threshold(Paint):
    op: Literal["threshold"]  # type: ignore[assignment]
    tolerance: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0
    """How much brighter or darker than where the stroke starts, as a share of the box's contrast."""


class Fill(Op):
    op: Literal["fill"]
    at: Place
    plane: Axis | None = None
    value: Value


class Interpolate(Op):
    op: Literal["interpolate"]
    axis: Axis
    value: Annotated[int, Field(ge=1, le=255)]
    only: Value | None = None


class Copy(Op):
    op: Literal["copy"]
    axis: Axis
    source: Annotated[int, Field(alias="from", ge=0, lt=1 << 31)]
    to: Voxel
    only: Value | None = None


class Accept(Op):
    op: Literal["accept"]
    at: Place | None = None
    only: Value | None = None
    above: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None


class Empty(Op):
    op: Literal["empty"]


class Undo(Op):
    op: Literal["undo"]


class Redo(Op):
    op: Literal["redo"]


class Done(Op):
    op: Literal["done"]


class Skip(Op):
    op: Literal["skip"]
    why: Annotated[str, Field(max_length=500)] = ""


class Go(Op):
    op: Literal["go"]
    to: Literal["next", "previous"] | Id


class View(Op):
    op: Literal["view"]


class LabelThis(Op):
    """Of a box that was clicked in the view of a whole volume."""

    op: Literal["label"]


Stroke = Paint | Threshold | Fill | Interpolate | Copy | Accept | Empty
Move = Done | Skip | Go | View | LabelThis
_OPS = Annotated[Stroke | Undo | Redo | Move, Field(discriminator="op")]
Message = Hello | Seconds | Named | Op
_kinds: dict[str, TypeAdapter[Any]] = {
    "hello": TypeAdapter(Hello),
    "seconds": TypeAdapter(Seconds),
    "person": TypeAdapter(Named),
    "op": TypeAdapter(_OPS),
}


class _Envelope(BaseModel):
    type: Literal["hello", "seconds", "person", "op"]


class _Numbered(BaseModel):
    number: Annotated[int, Field(ge=1, lt=1 << 31)] = 0


class Refusal(InvalidDataError):
    """A message that will not do; `number` is that of the op, 0 where it cannot be told."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message, "reload the page; if it happens again, page and server are not of one version")
        self.number = number


def parse(text: str | bytes) -> Message:
    """Read a message; raises Refusal saying what is wrong with it."""
    if isinstance(text, bytes):
        raise Refusal("a page sends text, not bytes", 0)
    try:
        return _kinds[_Envelope.model_validate_json(text).type].validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"][:4])
        raise Refusal(
            f"the page sent what cannot be done: {place or 'message'}: {first['msg']}", _number(text)
        ) from None


def _number(text: str) -> int:
    try:
        return _Numbered.model_validate_json(text).number
    except ValidationError:
        return 0


def frame(kind: int, revision: int, number: int, region: Box, values: bytes) -> bytes:
    """Pack voxels of a box (uint8, C order, in voxels of the box) for the page."""
    return _FRAME.pack(kind, revision, number, *region.start, *region.shape) + values


def read_frame(data: bytes) -> tuple[int, int, int, Box, bytes]:
    """Unpack what `frame` packed: kind, revision, number, region, values."""
    kind, revision, number, *place = _FRAME.unpack_from(data)
    start: ZYX = (place[0], place[1], place[2])
    return kind, revision, number, Box.at(start, place[3:]), data[_FRAME.size :]
