"""How is a model version saved, listed, loaded, checked? A version is immutable once it is listed."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .atomic import sync_folder, write_bytes
from .database import Database
from .errors import ModelError, SpaceError, UsageError
from .project import Project, person
from .records import Model, RoundState

if TYPE_CHECKING:
    import numpy as np

WEIGHTS, CARD = "weights.safetensors", "model.json"
_LISTED = (
    "SELECT model.*, model.number = (SELECT c.model FROM champion c ORDER BY c.number DESC LIMIT 1) AS champion "
    "FROM model"
)
_PROMOTE = "INSERT INTO champion (model, why, person, created) VALUES (?,?,?,?)"


@dataclass(frozen=True, slots=True)
class Draft:
    """A trained version that has no number yet."""

    parent: int | None
    round: int
    classes: tuple[str, ...]
    steps: int
    seconds: float
    edit: int
    boxes: tuple[int, ...]
    loss: float
    card: dict[str, Any]
    """What else model.json says: network plan, settings, normalisation, label values, versions."""
    curve: tuple[tuple[int, float, float, float | None], ...]
    """Training curve: step, loss, learning rate, loss on held-out boxes."""


def save(
    project: Project,
    draft: Draft,
    arrays: "dict[str, np.ndarray]",
    *,
    finish_round: bool = False,
    add: Callable[[Path], None] = lambda folder: None,
) -> Model:
    """Write a version to its folder, then list it; a kill at any moment leaves no half version listed.

    `add` may write further files into the folder before it is listed. With `finish_round` the round
    moves on to scoring in the same commit, so that it never trains twice.
    """
    import numpy as np
    from safetensors.numpy import save as to_bytes

    number = next_number(project.database)
    folder = model_folder(project, number)
    beside = folder.with_name(f".{folder.name}.partial")
    try:
        for left in (beside, folder):  # never listed, so nobody can have used it
            shutil.rmtree(left, ignore_errors=True)
        beside.mkdir(parents=True)
        weights = to_bytes({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        digest = hashlib.sha256(weights).hexdigest()
        card = {
            "model": number,
            "parent": draft.parent,
            "round": draft.round,
            "classes": draft.classes,
            "steps": draft.steps,
            "seconds": round(draft.seconds, 3),
            "edit": draft.edit,
            "boxes": draft.boxes,
            "loss": draft.loss,
            "sha256": digest,
            **draft.card,
        }
        write_bytes(beside / WEIGHTS, weights)
        write_bytes(beside / CARD, json.dumps(card, indent=1).encode())
        add(beside)
        beside.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise SpaceError(
            f"model {number} could not be saved: {error.strerror}", "free space, then run it again"
        ) from error
    with project.database.transaction() as connection:
        connection.execute(
            "INSERT INTO model (number, parent, round, classes, steps, seconds, edit, boxes, loss, sha256, bytes, "
            "created) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                number,
                draft.parent,
                draft.round,
                json.dumps(draft.classes),
                draft.steps,
                draft.seconds,
                draft.edit,
                json.dumps(draft.boxes),
                draft.loss,
                digest,
                len(weights),
                time.time(),
            ),
        )
        if finish_round:
            connection.execute(
                "UPDATE round SET state = ?, trained = ? WHERE number = ?", (RoundState.SCORING, number, draft.round)
            )
        connection.executemany("INSERT INTO curve VALUES (?,?,?,?,?)", [(number, *point) for point in draft.curve])
    return get(project.database, number)


def load(project: Project, number: int) -> "tuple[dict[str, np.ndarray], dict[str, Any]]":
    """Load a version's arrays and its card; raises ModelError when they are not what was saved."""
    return read(model_folder(project, number), number, get(project.database, number).sha256)


def read(folder: Path, number: int, sha256: str) -> "tuple[dict[str, np.ndarray], dict[str, Any]]":
    """Do the same without the database, by what it says the weights are."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    hint = f"restore {folder.name} from a copy, or go back: 'rondel models use N'"
    try:
        weights = (folder / WEIGHTS).read_bytes()
        card = json.loads((folder / CARD).read_text())
        if hashlib.sha256(weights).hexdigest() != sha256:
            raise ModelError(f"the weights of model {number} are not those that were saved", hint)
        return from_bytes(weights), card
    except (OSError, ValueError, SafetensorError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"model {number} cannot be loaded: {error}", hint) from error


def models(database: Database) -> list[Model]:
    return [_model(row) for row in database.rows(f"{_LISTED} ORDER BY model.number")]


def get(database: Database, number: int) -> Model:
    row = database.row(f"{_LISTED} WHERE model.number = ?", number)
    if row is None:
        raise UsageError(f"there is no model {number}", "'rondel models' lists the versions")
    return _model(row)


def one(database: Database, number: int | None) -> Model:
    """Return the version of this number, or the champion when none is given."""
    found = get(database, number) if number is not None else champion(database)
    if found is None:
        raise UsageError("there is no model yet", "label boxes and run 'rondel round' first")
    return found


def champion(database: Database) -> Model | None:
    """Return the model that the next round starts from."""
    row = database.row("SELECT model FROM champion ORDER BY number DESC LIMIT 1")
    return get(database, row["model"]) if row else None


def use(database: Database, number: int, why: str) -> Model:
    """Make a version the champion."""
    get(database, number)
    with database.transaction() as connection:
        connection.execute(_PROMOTE, (number, why, person(), time.time()))
    return get(database, number)


def judge(database: Database, number: int, verdict: str, promote: bool) -> None:
    """Record what the gate said of a version, and make it the champion in the same commit if it said so."""
    with database.transaction() as connection:
        connection.execute("UPDATE model SET verdict = ? WHERE number = ?", (verdict, number))
        if promote:
            connection.execute(_PROMOTE, (number, verdict, person(), time.time()))


def set_note(database: Database, number: int, note: str) -> Model:
    get(database, number)
    with database.transaction() as connection:
        connection.execute("UPDATE model SET note = ? WHERE number = ?", (note, number))
    return get(database, number)


def curve(database: Database, number: int) -> list[tuple[int, float, float, float | None]]:
    """Return a version's training curve: step, loss, learning rate, loss on held-out boxes."""
    rows = database.rows("SELECT step, loss, rate, held_out FROM curve WHERE model = ? ORDER BY step", number)
    return [(r["step"], r["loss"], r["rate"], r["held_out"]) for r in rows]


def next_number(database: Database) -> int:
    row = database.row("SELECT COALESCE(MAX(number), 0) + 1 AS number FROM model")
    return row["number"] if row else 1


def model_folder(project: Project, number: int) -> Path:
    return project.folder / "models" / f"{number:04d}"


def _model(row) -> Model:
    return Model(
        number=row["number"],
        parent=row["parent"],
        round=row["round"],
        champion=bool(row["champion"]),
        classes=tuple(json.loads(row["classes"])),
        steps=row["steps"],
        seconds=row["seconds"],
        edit=row["edit"],
        boxes=tuple(json.loads(row["boxes"])),
        loss=row["loss"],
        sha256=row["sha256"],
        bytes=row["bytes"],
        verdict=row["verdict"],
        note=row["note"],
        created=row["created"],
    )
