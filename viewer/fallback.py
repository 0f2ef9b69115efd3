"""How are labels changed where the page cannot paint? By Neuroglancer's own actions: a key, and where the pointer is.

A page whose Neuroglancer lacks names that the brush needs says so; then keys are bound that Neuroglancer leaves free.
What is shown of the box comes under a new address after each of them, since nothing can be written into its chunks.
"""

import asyncio
import copy
import json
import logging
import math
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

from ..store.errors import RondelError
from . import messages
from .desk import Desk
from .news import Unsaved
from .sessions import Session

log = logging.getLogger(__name__)

KEYS = {"p": "stamp", "d": "erase", "f": "fill", "g": "accept", "u": "undo", "c": "class", "t": "size"}
SIZES = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
STATUS = "rondel"
Point = tuple[float, float, float]


class Fallback:
    """The keys of all sessions that need them."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._keys: dict[str, Keys] = {}

    def bind(self, session: Session) -> None:
        """Let keys change labels in a session's page from now on."""
        if session.token not in self._keys:
            self._keys[session.token] = Keys(self.desk, session)


class Keys:
    """The keys of one session, and what they are set to."""

    def __init__(self, desk: Desk, session: Session) -> None:
        self.desk, self.session = desk, session
        self.client, self.number = f"keys-{secrets.token_hex(8)}", 0
        self.value, self.size = 0, SIZES[3]
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        for verb in KEYS.values():
            session.viewer.actions.add(f"rondel-{verb}", partial(self._pressed, verb))
        self._configure(self._bind)
        self._say("this Neuroglancer cannot be painted in; the strip lists the keys that change labels")

    def _pressed(self, verb: str, state: Any) -> None:
        """Hear an action of the page; what it asks for is done in turn."""
        task = asyncio.get_running_loop().create_task(self._do(verb, state))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, verb: str, state: Any) -> None:
        async with self._turn:
            try:
                await self._act(verb, state)
            except RondelError as error:
                self._say(str(error))
            except Unsaved as error:
                self._say(f"not saved, press again: {error}")
            except (LookupError, TypeError, ValueError) as error:
                log.warning("an action of Neuroglancer's could not be read: %s", error)
                self._say("this key cannot be understood: reload the page")

    async def _act(self, verb: str, state: Any) -> None:
        if self.session.box is None:
            return self._say("open a box first: 'rondel label' does")
        values = self.desk.scribe.project.label_values
        if self.value not in values:
            self.value = values[min(1, len(values) - 1)]
        if verb == "class":
            self.value = values[(values.index(self.value) + 1) % len(values)]
        elif verb == "size":
            self.size = SIZES[(SIZES.index(self.size) + 1) % len(SIZES)]
        else:
            canvas = await self.desk.open_box(self.session.box)
            point = None if verb == "undo" else _pointed(state, canvas.box.start)
            await self._operate(self._op(verb, point, canvas.voxels.shape))
        return self._say("saved ✔" if verb not in ("class", "size") else "")

    def _op(self, verb: str, point: Point | None, shape: tuple[int, ...]) -> messages.Op:
        """Return the op that a key stands for; raises RondelError where the pointer is not in the box."""
        self.number += 1
        op: dict[str, Any] = {"type": "op", "client": self.client, "number": self.number, "box": self.session.box}
        if point is None:
            return messages.Undo(op="undo", **op)
        z, y, x = (math.floor(v + 0.5) for v in point)
        voxel = (z, y, x)
        if not all(0 <= v < n for v, n in zip(voxel, shape)):
            raise RondelError("the pointer is not in the box", "point at a voxel inside its outline")
        if verb in ("stamp", "erase"):
            value = self.value if verb == "stamp" else 0
            return messages.Paint(op="paint", points=(voxel,), radius=self.size, value=value, **op)
        if verb == "fill":
            return messages.Fill(op="fill", at=voxel, value=self.value, **op)
        return messages.Accept(op="accept", at=voxel, only=0, **op)

    async def _operate(self, op: messages.Op) -> None:
        """Do an op, and show the box under a new address."""
        answer = await self.desk.act(self.session, op)
        if answer.error:
            raise answer.error
        before, self.session.serial = self.session.serial, secrets.token_hex(8)
        await self.desk.prepare(self.session)
        state = copy.deepcopy(self.session.viewer.state.to_json())
        for layer in state["layers"]:
            if layer["name"] == "labels":
                layer["source"] = json.loads(json.dumps(layer["source"]).replace(before, self.session.serial))
        self.session.viewer.set_state(state)
        self.desk.sessions.save()

    def _say(self, what: str) -> None:
        """Show what the keys are set to, and what happened, at the foot of the page."""
        text = " · ".join(part for part in (f"class {self.value or '–'}", f"size {self.size:g}", what) if part)

        def say(config: Any) -> None:
            config.status_messages[STATUS] = text

        self._configure(say)

    def _bind(self, config: Any) -> None:
        for key, verb in KEYS.items():
            config.input_event_bindings.viewer[f"key{key}"] = f"rondel-{verb}"

    def _configure(self, change: Callable[[Any], None]) -> None:
        self.session.viewer.config_state.retry_txn(change, lock=True)


def _pointed(state: Any, origin: tuple[int, int, int]) -> Point:
    """Return where the pointer is, in voxels of the box; raises RondelError where it is nowhere."""
    if state.mouse_position is None:
        raise RondelError("the pointer is not in a cross section", "point at a voxel inside the box's outline")
    names = list(state.viewer_state.dimensions.names)
    z, y, x = (float(state.mouse_position[names.index(name)]) - o for name, o in zip("zyx", origin))
    return z, y, x
