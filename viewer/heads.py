"""What is a page told about what it shows? Messages as plain values, from the board and from snapshots."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from ..store.records import LabelBox, State
from ..store.settings import Settings
from . import scene
from .board import Board
from .news import Snapshot


class Shown(Protocol):
    """What is read here of a session."""

    person: str
    volume: str
    box: int | None
    serial: str
    model: int | None


def box_message(session: Shown, snapshot: Snapshot, settings: Settings, people: Sequence[dict]) -> dict[str, Any]:
    """Tell a page all of the box that it shows, but for its voxels."""
    box = snapshot.box
    return {
        "type": "box",
        "id": box.id,
        "serial": session.serial,
        "origin": list(box.box.start),
        "shape": list(box.box.shape),
        "spacing": list(snapshot.spacing),
        "unit": snapshot.record.unit,
        "purpose": str(box.purpose),
        "reason": box.reason,
        "revision": snapshot.revision,
        "acked": snapshot.acked,
        **_about(session, settings),
        **changing(snapshot.board, people, box),
    }


def view_message(
    session: Shown, board: Board, acked: int, settings: Settings, people: Sequence[dict]
) -> dict[str, Any]:
    """Tell a page that shows a whole volume which boxes lie in it."""
    return {
        "type": "view",
        "boxes": boxes_of(board, session.volume),
        "acked": acked,
        **_about(session, settings),
        **changing(board, people, None),
    }


def changing(board: Board, people: Sequence[dict], box: LabelBox | None) -> dict[str, Any]:
    """Return the part that changes while a page shows the same box."""
    own = {} if box is None else {"state": str(box.state), "seconds": box.seconds}
    return {"round": board.progress(), "people": list(people), **own}


def boxes_of(board: Board, volume: str) -> list[dict[str, Any]]:
    """List the boxes of a volume that can be clicked, and the layer in which each is outlined."""
    return [
        {
            "id": box.id,
            "start": list(box.box.start),
            "stop": list(box.box.stop),
            "state": str(box.state),
            "purpose": str(box.purpose),
            "layer": scene.layer_of(box),
            "says": scene.words_of(box),
        }
        for box in board.boxes
        if box.volume == volume and box.state != State.DROPPED
    ]


def present(sessions: Iterable[Shown], nameless: str) -> list[dict[str, Any]]:
    """List who has a page open, and at which box."""
    return [{"person": s.person or nameless, "box": s.box, "volume": s.volume} for s in sessions]


def _about(session: Shown, settings: Settings) -> dict[str, Any]:
    return {
        "volume": session.volume,
        "model": session.model,
        "person": session.person or None,
        "project": settings.project.name,
        "classes": [{"value": c.value, "name": c.name, "colour": c.colour} for c in settings.classes],
    }
