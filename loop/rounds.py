"""What is due now? The only module that knows the order of a round.

    ranking ──► labelling ──► training ──► scoring ──► closed, and the next round's ranking
               (a person)

Each state is a row before its work begins, so a killed round goes on where it was. Deciding what is due loads no torch;
the work itself is in propose.py, learn.py and judge.py and runs in the job's process.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..store import edits, label_boxes, ledger, models, serving
from ..store.errors import LabelError, UsageError
from ..store.project import Project
from ..store.records import LabelBox, Model, Purpose, Round, RoundState, State
from .report import Report

if TYPE_CHECKING:
    from .cluster import Dask

WAITING = (State.PROPOSED, State.OPEN)


@dataclass(frozen=True, slots=True)
class Due:
    """The next step, and whether a job or a person does it."""

    step: str
    words: str
    verb: str
    computes: bool


def due(project: Project, boxes: Sequence[LabelBox] | None = None) -> Due:
    """Say what is due now; `boxes` are the label boxes, where they have been read already."""
    if not project.volumes():
        return Due("add", "add a volume", "rondel add IMAGE", False)
    current = ledger.last_round(project.database)
    if current is None or current.state in (RoundState.RANKING, RoundState.CLOSED):
        number = 1 if current is None else current.number + (current.state == RoundState.CLOSED)
        words = "propose the first boxes" if current is None else f"propose the boxes of round {number}"
        return Due("rank", words, "rondel round", True)
    if current.state == RoundState.TRAINING:
        return Due("train", f"go on training model {models.next_number(project.database)}", "rondel round", True)
    if current.state == RoundState.SCORING:
        return Due("score", f"score model {current.trained}", "rondel round", True)
    fresh, waiting = fresh_boxes(project, boxes), waiting_boxes(project, boxes)
    if fresh:
        number = models.next_number(project.database)
        still = f"; {_waits(waiting, 'still ')}" if waiting else ""
        return Due(
            "train",
            f"train model {number} on {counted(len(fresh), 'new box', 'new boxes')}{still}",
            "rondel round",
            True,
        )
    if waiting:
        first = waiting[0]
        words = f"label box {first.id} of '{first.volume}', {first.purpose} ({_waits(waiting)})"
        return Due("label", words, f"rondel label {first.id}", False)
    return Due("propose", "no box waits: propose more", "rondel boxes propose", False)


def counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _waits(boxes: list[LabelBox], still: str = "") -> str:
    """Write how many boxes wait, those in reserve apart."""
    asked = sum(label_boxes.asked_for(box) for box in boxes)
    parts = [counted(asked, f"box {still}waits", f"boxes {still}wait")] if asked else []
    if len(boxes) > asked:
        parts.append(f"{len(boxes) - asked} in reserve")
    return ", ".join(parts)


def waiting_boxes(project: Project, boxes: Iterable[LabelBox] | None = None) -> list[LabelBox]:
    """List the boxes, of these or of all, that wait for a person: test boxes first, then by priority."""
    if boxes is None:
        boxes = label_boxes.select(project.database, state=WAITING)
    waiting = (box for box in boxes if box.state in WAITING)
    return sorted(waiting, key=lambda box: (box.purpose != Purpose.TEST, box.reserve))


def fresh_boxes(project: Project, boxes: Iterable[LabelBox] | None = None) -> list[LabelBox]:
    """List the done train boxes, of these or of all, that the newest model has not seen as they are now."""
    if boxes is None:
        boxes = label_boxes.select(project.database, state=[State.DONE], purpose=Purpose.TRAIN)
    done = [box for box in boxes if box.state == State.DONE and box.purpose == Purpose.TRAIN]
    listed = models.models(project.database)
    seen, known = (listed[-1].edit, listed[-1].boxes) if listed else (0, ())
    return [
        box
        for box in done
        if edits.last_number(project.database, box.id) > seen
        or (box.id not in known and edits.replay(project.database, box.volume, box.box).any())
    ]


def work_round(project: Project, arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    """Do all that is due up to the next human step, at most up to the next proposals."""
    project = _in_time(project, arguments)
    notes: list[str] = []
    while (step := due(project)).computes:
        STEPS[step.step](project, report, notes)
        if step.step == "rank":
            break
    return {"notes": notes}


def work_train(project: Project, arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    """Train, score and gate a further version; the round stays as it is.

    A version that a killed job trained but did not get to judge is taken up instead of training another one.
    """
    from . import judge, learn

    current = ledger.last_round(project.database)
    model = _unjudged(project, arguments["scratch"]) or learn.train_model(
        project, current.number if current else 0, report, scratch=arguments["scratch"]
    )
    notes = [f"model {model.number} trained on {counted(len(model.boxes), 'box', 'boxes')}, loss {model.loss:.3f}"]
    notes.append(judge.score_and_gate(project, model.number, report))
    return {"model": model.number, "notes": notes}


def work_score(project: Project, arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    from . import judge

    number = models.one(project.database, arguments["model"]).number
    boxes = judge.score_model(project, number, report)
    return {"model": number, "notes": [f"model {number} scored on {counted(boxes, 'test box', 'test boxes')}"]}


def work_rank(project: Project, arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    """Propose more boxes in the present round."""
    from . import propose

    project = _in_time(project, arguments)
    current = ledger.last_round(project.database)
    if current is None or current.state != RoundState.LABELLING:
        raise UsageError("there is no round in which boxes are labelled", "run 'rondel round' first")
    return {"proposed": len(propose.propose_boxes(project, current, arguments["count"], 0, report))}


def _in_time(project: Project, arguments: dict[str, Any]) -> Project:
    """Return the project with the time that was asked for in place of [rank] within."""
    within = arguments.get("within")
    if within is None:
        return project
    table = project.settings.rank.model_copy(update={"within": within})
    return replace(project, settings=project.settings.model_copy(update={"rank": table}))


def work_predict(project: Project, arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    number, keep = models.one(project.database, arguments["model"]).number, arguments["probabilities"]
    with _workers(project, arguments, report) as dask:  # before the import, which takes seconds
        from . import mapping

        return mapping.predict_volume(project, arguments["volume"], number, report, probabilities=keep, dask=dask)


def _workers(project: Project, arguments: dict[str, Any], report: Report) -> "AbstractContextManager[Dask | None]":
    wanted = arguments.get("dask")
    if not wanted:
        return nullcontext()
    from .cluster import connected

    return connected(wanted["workers"], wanted["scheduler"], project.settings.predict, report)


def rank_step(project: Project, report: Report, notes: list[str]) -> None:
    """Propose the boxes of a round, and drop what earlier rounds left unopened."""
    from . import propose

    current = ledger.last_round(project.database)
    if current is None or current.state == RoundState.CLOSED:
        current = _open_round(project)
    settings = project.settings
    if current.number == 1 and settings.test.boxes and not _has_test_boxes(project):
        tests = propose.propose_test_boxes(project, current, settings.test.boxes, report)
        notes.append(f"{counted(len(tests), 'test box', 'test boxes')} proposed: they are never trained on")
    if not _train_boxes(project, current):
        propose.propose_boxes(project, current, settings.boxes.per_round, settings.boxes.reserve, report)
    have = _train_boxes(project, current)
    wanted = settings.boxes.per_round + settings.boxes.reserve
    spare = sum(box.reserve for box in have)
    more = f", {spare} more in reserve" if spare else ""
    short = f"; {wanted} were asked for, no more fit" if len(have) < wanted else ""
    notes.append(f"round {current.number}: {counted(len(have) - spare, 'box', 'boxes')} proposed{more}{short}")
    _drop_unopened(project, current, notes)
    ledger.set_round(project.database, current.number, RoundState.LABELLING)


def _drop_unopened(project: Project, current: Round, notes: list[str]) -> None:
    """Drop what waits of earlier rounds, but for what somebody has begun or has on a page; say what became of it."""
    keep = serving.boxes_on_pages(project.folder)
    dropped = label_boxes.drop_proposed(project.database, current.number, keep)
    kept = [box for box in waiting_boxes(project) if box.round < current.number and box.purpose == Purpose.TRAIN]
    if dropped:
        notes.append(f"{counted(dropped, 'box', 'boxes')} of earlier rounds dropped: nobody had begun any")
    if kept:
        ids = ", ".join(str(box.id) for box in kept)
        notes.append(f"{counted(len(kept), 'box', 'boxes')} of earlier rounds kept, begun or open on a page: {ids}")


def train_step(project: Project, report: Report, notes: list[str]) -> None:
    from . import learn

    current = _current(project)
    ledger.set_round(project.database, current.number, RoundState.TRAINING)
    try:
        model = learn.train_model(project, current.number, report, finish_round=True)
    except LabelError:  # a person must label more before anything can be learnt
        ledger.set_round(project.database, current.number, RoundState.LABELLING)
        raise
    notes.append(f"model {model.number} trained on {counted(len(model.boxes), 'box', 'boxes')}, loss {model.loss:.3f}")


def score_step(project: Project, report: Report, notes: list[str]) -> None:
    """Score the round's model, apply the gate, close the round, back the database up and begin the next round."""
    from . import judge

    current = _current(project)
    if current.trained is not None:
        notes.append(judge.score_and_gate(project, current.trained, report))
    ledger.set_round(project.database, current.number, RoundState.CLOSED)
    project.database.back_up(project.folder / "backups", project.settings.rounds.keep_backups)
    _open_round(project)


STEPS = {"rank": rank_step, "train": train_step, "score": score_step}


def _open_round(project: Project) -> Round:
    champion = models.champion(project.database)
    last = ledger.last_round(project.database)
    seed = project.settings.project.seed * 1000 + (last.number + 1 if last else 1)
    strategy = project.settings.rank.strategy if champion else "typical"
    return ledger.open_round(project.database, champion.number if champion else None, strategy, seed)


def _current(project: Project) -> Round:
    current = ledger.last_round(project.database)
    if current is None:
        raise UsageError("there is no round yet", "run 'rondel round'")
    return current


def _unjudged(project: Project, scratch: bool) -> Model | None:
    """Return the newest version if a train job made it of the present labels, and the gate has said nothing of it."""
    listed, current = models.models(project.database), ledger.last_round(project.database)
    if not listed:
        return None
    newest = listed[-1]
    if newest.verdict or newest.champion or (current and current.trained == newest.number):
        return None
    same = newest.edit == edits.last_number(project.database) and (newest.parent is None or not scratch)
    return newest if same else None


def _train_boxes(project: Project, current: Round) -> list[LabelBox]:
    return label_boxes.select(project.database, round=current.number, purpose=Purpose.TRAIN)


def _has_test_boxes(project: Project) -> bool:
    return bool(label_boxes.select(project.database, purpose=Purpose.TEST))
