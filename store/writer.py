"""How does a change of labels reach whoever holds the labels lock?

While a server runs it holds the lock, and verbs and jobs send it what they want changed; when none runs, they take the
lock themselves. Both are a Writer. What is sent carries the sender's own number, so that sending it again is harmless.

    POST /write   4 bytes: length of the head | head, JSON | mask and values of a stroke, zlib
    answer        200 and {"edit": ...}, {"box": ...} or {"boxes": [...]}; else {"error":, "message":, "hint":}
"""

import dataclasses
import json
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import numpy as np

from . import edits, errors, label_boxes, serving
from .box import Box
from .errors import InvalidDataError, LabelError, LockedError, RondelError
from .project import Project
from .records import Edit, EditKind, LabelBox, Purpose, State

PATH = "/write"
BODY_BYTES = 16 << 20
MOST_VOXELS = 1 << 27
"""Voxels of the largest stroke that is sent: 512 a side."""
PATIENCE = 0.3
"""Seconds that the lock is waited for before looking again whether a server came up."""
ANSWER_SECONDS = {"repair": 3600.0}
"""How long an operation may take the server, where that is more than a minute."""
OPERATIONS: dict[str, dict[str, type | tuple]] = {
    "write": {
        "kind": str,
        "volume": str,
        "region": Box,
        "person": str,
        "client": str,
        "client_number": int,
        "box": (int, None),
    },
    "undo": {"box": int, "person": str, "sender": tuple},
    "redo": {"box": int, "person": str, "sender": tuple},
    "revert": {"box": int, "volume": str, "region": Box, "person": str, "sender": tuple, "to": (int, None)},
    "finish": {"box": int, "person": str},
    "repair": {"volume": str},
}
"""The operations that can be sent, with the names and types of their arguments: those of Writer's methods."""

Result = Edit | LabelBox | list[Box]


class Writer(Protocol):
    """Who changes labels: the Journal under the labels lock, or the server that holds it."""

    def write(self, stroke: edits.Stroke) -> Edit: ...
    def undo(self, box: int, person: str, sender: tuple[str, int]) -> Edit: ...
    def redo(self, box: int, person: str, sender: tuple[str, int]) -> Edit: ...
    def revert(
        self, box: int, volume: str, region: Box, person: str, sender: tuple[str, int], to: int | None = None
    ) -> Edit: ...
    def finish(self, box: int, person: str) -> LabelBox: ...
    def repair(self, volume: str) -> list[Box]: ...
    def catch_up(self) -> None: ...


@contextmanager
def open_writer(project: Project, timeout: float = edits.LOCK_SECONDS) -> Iterator[Writer]:
    """Give the one who may change labels now: the server when one runs, else the journal under the lock.

    Raises LockedError when the lock is not had within `timeout` seconds and no server answers for it.
    """
    with ExitStack() as stack:
        yield _choose(project, stack, time.monotonic() + timeout)


def _choose(project: Project, stack: ExitStack, deadline: float) -> Writer:
    while True:
        found = serving.running(project.folder)
        if found and serving.here(found):
            return Sender(project)
        wait = min(PATIENCE, max(0.0, deadline - time.monotonic()))
        try:
            return stack.enter_context(edits.open_journal(project, wait))
        except LockedError:
            if time.monotonic() >= deadline:
                raise


class Sender:
    """Send each change to the server that runs; should it end meanwhile, make the change here."""

    def __init__(self, project: Project, timeout: float = edits.LOCK_SECONDS) -> None:
        self.project = project
        self.timeout = timeout

    def write(self, stroke: edits.Stroke) -> Edit:
        return self._do("write", stroke=stroke)

    def undo(self, box: int, person: str, sender: tuple[str, int]) -> Edit:
        return self._do("undo", box=box, person=person, sender=sender)

    def redo(self, box: int, person: str, sender: tuple[str, int]) -> Edit:
        return self._do("redo", box=box, person=person, sender=sender)

    def revert(
        self, box: int, volume: str, region: Box, person: str, sender: tuple[str, int], to: int | None = None
    ) -> Edit:
        return self._do("revert", box=box, volume=volume, region=region, person=person, sender=sender, to=to)

    def finish(self, box: int, person: str) -> LabelBox:
        return self._do("finish", box=box, person=person)

    def repair(self, volume: str) -> list[Box]:
        return self._do("repair", volume=volume)

    def catch_up(self) -> None:
        """Wait until the server has applied all that was committed before this call."""
        database, deadline = self.project.database, time.monotonic() + self.timeout
        last = edits.last_number(database)
        while int(database.meta("applied", "0")) < last:
            if serving.running(self.project.folder) is None:
                with open_writer(self.project, self.timeout):
                    return
            if time.monotonic() > deadline:
                raise LockedError(f"edit {last} is not applied yet", "the server is busy; run the verb again")
            time.sleep(0.02)  # another process applies it, and SQLite tells nobody of its commits

    def _do(self, operation: str, **arguments: Any) -> Any:
        if operation == "write":
            edits.check_stroke(arguments["stroke"], self.project.label_values)  # here, before values become bytes
        body = encode(operation, **arguments)
        deadline, lost = time.monotonic() + self.timeout, False
        while True:
            if lost and operation == "finish" and self._is_done(arguments["box"]):
                return label_boxes.get(self.project.database, arguments["box"])  # done, only the answer was lost
            try:
                found = serving.running(self.project.folder)
                if found is None:
                    with edits.open_journal(self.project, PATIENCE) as journal:
                        return getattr(journal, operation)(**arguments)
                heard = _post(found, body, ANSWER_SECONDS.get(operation, 60.0))
                break
            except (_Unheard, LockedError) as error:
                lost = True
                if time.monotonic() > deadline:
                    raise LockedError(
                        f"the server of this project does not answer: {error}",
                        "'rondel stop' stops it; then run the verb again",
                    ) from error
                time.sleep(0.05)  # a server that starts or stops tells nobody; it is tried again until the deadline
        return read_answer(*heard)

    def _is_done(self, box: int) -> bool:
        return label_boxes.get(self.project.database, box).state == State.DONE


class _Unheard(Exception):
    """No answer came: the server ended, or is starting again."""


def _post(found: serving.Serving, body: bytes, seconds: float) -> tuple[int, bytes]:
    try:
        return serving.ask(found, "POST", PATH, body, seconds)
    except OSError as error:
        raise _Unheard(str(error)) from error


def encode(operation: str, **arguments: Any) -> bytes:
    """Write an operation as the body of POST /write; a stroke is the argument `stroke` of "write".

    Raises LabelError when it is larger than the server takes.
    """
    blob = b""
    if operation == "write":
        stroke: edits.Stroke = arguments["stroke"]
        arguments = {name: getattr(stroke, name) for name in OPERATIONS["write"]}
        values = np.ascontiguousarray(stroke.values[stroke.mask], np.uint8)
        blob = zlib.compress(np.packbits(stroke.mask.ravel()).tobytes() + values.tobytes(), 1)
    fields = {n: [*v.start, *v.stop] if isinstance(v, Box) else v for n, v in arguments.items()}
    head = json.dumps({"operation": operation, **fields}).encode()
    body = struct.pack("<I", len(head)) + head + blob
    if len(body) > BODY_BYTES or (operation == "write" and arguments["region"].voxels > MOST_VOXELS):
        raise LabelError(
            "the edit is too large to be sent to the server that runs", "'rondel stop' it, then run the verb again"
        )
    return body


def decode(body: bytes, limit: int = MOST_VOXELS) -> tuple[str, dict[str, Any]]:
    """Read the body of POST /write: the name of a Writer's method, and its arguments.

    Nothing larger than `limit` voxels is unpacked. Raises InvalidDataError when the body is no such thing.
    """
    try:
        length = struct.unpack_from("<I", body)[0]
        head = json.loads(body[4 : 4 + length])
        operation = head.pop("operation")
        fields = OPERATIONS[operation]
        if set(head) != set(fields):
            raise ValueError("it has other arguments")
        arguments = {name: _argument(head[name], fields[name]) for name in fields}
        if operation == "write":
            arguments = {"stroke": _stroke(arguments, body[4 + length :], limit)}
        return operation, arguments
    except (struct.error, ValueError, TypeError, KeyError, AttributeError, RecursionError, zlib.error) as error:
        raise InvalidDataError(f"this is no operation on labels: {error}", "send what this version sends") from error


def _argument(value: Any, wanted: type | tuple) -> Any:
    """Return one argument of an operation, of the type it must have."""
    if isinstance(wanted, tuple):
        return None if value is None else _argument(value, wanted[0])
    if wanted is Box:
        six = [_argument(v, int) for v in value]
        if len(six) != 6:
            raise ValueError("a region is six numbers")
        return Box((six[0], six[1], six[2]), (six[3], six[4], six[5]))
    if wanted is tuple:
        client, number = value
        return _argument(client, str), _argument(number, int)
    if type(value) is not wanted:
        raise TypeError(f"{value!r:.40} is not of type {wanted.__name__}")
    if wanted is int and abs(value) >= 1 << 63:
        raise ValueError("a number is too large")
    if wanted is str and not (len(value) <= 200 and value.isprintable()):
        raise ValueError("a name is too long, or cannot be printed")
    return value


def _stroke(arguments: dict[str, Any], blob: bytes, limit: int) -> edits.Stroke:
    region: Box = arguments["region"]
    if not 0 < region.voxels <= limit:
        raise ValueError(f"its region has {region.voxels} voxels")
    bits = -(-region.voxels // 8)
    reader = zlib.decompressobj()
    raw = reader.decompress(blob, bits + region.voxels + 1)
    mask = np.unpackbits(np.frombuffer(raw[:bits], np.uint8), count=region.voxels).astype(bool).reshape(region.shape)
    if not reader.eof or reader.unused_data or len(raw) != bits + int(mask.sum()):
        raise ValueError("its voxels are not those of its region")
    values = np.zeros(region.shape, np.uint8)
    values[mask] = np.frombuffer(raw[bits:], np.uint8)
    return edits.Stroke(**arguments | {"kind": EditKind(arguments["kind"]), "mask": mask, "values": values})


def answer(result: Result) -> bytes:
    """Write what an operation returned, as the server answers it."""
    if isinstance(result, list):
        return json.dumps({"boxes": [[*box.start, *box.stop] for box in result]}).encode()
    noun, region = ("edit", "region") if isinstance(result, Edit) else ("box", "box")
    values = dataclasses.asdict(result)
    place: Box = getattr(result, region)
    return json.dumps({noun: values | {region: [*place.start, *place.stop]}}).encode()


def refusal(error: RondelError) -> bytes:
    """Write why an operation was not done, as the server answers it."""
    return json.dumps({"error": type(error).__name__, "message": error.message, "hint": error.hint}).encode()


def read_answer(status: int, body: bytes) -> Result:
    """Return what the server answered to POST /write, or raise the error that it met there."""
    try:
        found = _result(json.loads(body))
    except (KeyError, TypeError, AttributeError, ValueError):
        found = RondelError(
            f"the server answered {status} and nothing that can be read", "jobs/serve.log says what it met"
        )
    if isinstance(found, RondelError):
        raise found
    return found


def _result(found: dict[str, Any]) -> Result | RondelError:
    if "error" in found:
        return errors.named(found["error"], found["message"], found["hint"])
    if "boxes" in found:
        return [_argument(box, Box) for box in found["boxes"]]
    if "edit" in found:
        edit = found["edit"]
        return Edit(**edit | {"kind": EditKind(edit["kind"]), "region": _argument(edit["region"], Box)})
    box = found["box"]
    purpose, state = Purpose(box["purpose"]), State(box["state"])
    return LabelBox(**box | {"box": _argument(box["box"], Box), "purpose": purpose, "state": state})
