"""Verbs about model versions and what leaves the project: models, export."""

from pathlib import Path
from typing import Annotated

import typer

from ..store import ledger
from ..store import models as versions
from ..store.errors import UsageError
from ..store.project import Project
from . import door

models = typer.Typer(invoke_without_command=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Number = Annotated[int, typer.Argument(help="Number of the model.")]


@models.callback()
def models_default(context: typer.Context) -> None:
    """List the model versions, use an older one, compare two, note something.

    Example: rondel -p cells models
    """
    if context.invoked_subcommand is None:
        models_list(context)


@models.command("list")
def models_list(context: typer.Context, json: Json = False) -> None:
    """List the versions with parent, boxes, test scores and what the gate said.

    Example: rondel -p cells models list --json
    """
    with door.opened(context) as project:
        found = versions.models(project.database)
        if json:
            door.emit("models", [_with_scores(project, m) for m in found])
            return
        rows = []
        for m in found:
            dice = ledger.mean_dice(ledger.scores(project.database, m.number))
            mark = "champion" if m.champion else ""
            rows.append(
                (
                    m.number,
                    mark,
                    m.parent,
                    m.round,
                    len(m.boxes),
                    m.steps,
                    f"{m.seconds:.0f}",
                    f"{m.loss:.3f}",
                    door.number(dice),
                    m.note or m.verdict,
                )
            )
        door.table(("model", "", "parent", "round", "boxes", "steps", "seconds", "loss", "mean Dice", ""), rows)


@models.command("use")
def models_use(context: typer.Context, number: Number) -> None:
    """Make a version the champion, from which the next round starts; no version is ever overwritten.

    Example: rondel -p cells models use 2
    """
    from . import actions

    with door.opened(context) as project:
        door.say(actions.use_model(project, number))


@models.command("compare")
def models_compare(context: typer.Context, first: Number, second: Number, json: Json = False) -> None:
    """Compare two versions, class by class, on the test boxes.

    Example: rondel -p cells models compare 2 3
    """
    with door.opened(context) as project:
        pair = [versions.get(project.database, number) for number in (first, second)]
        if json:
            door.emit("models", [_with_scores(project, m) for m in pair])
            return
        scores = [{s.label: s for s in ledger.scores(project.database, m.number)} for m in pair]
        rows = []
        for c in project.classes:
            a, b = (s[c.value].dice if c.value in s else None for s in scores)
            rows.append(
                (
                    c.name,
                    door.number(a),
                    door.number(b),
                    door.number(b - a if a is not None and b is not None else None),
                )
            )
        door.table(("class", f"Dice of {first}", f"Dice of {second}", "difference"), rows)


@models.command("note")
def models_note(
    context: typer.Context, number: Number, text: Annotated[str, typer.Argument(help="What to remember.")]
) -> None:
    """Write a note to a version.

    Example: rondel -p cells models note 2 "before the new staining"
    """
    from . import actions

    with door.opened(context) as project:
        door.say(actions.note_model(project, number, text))


def export(
    context: typer.Context,
    volume: Annotated[str, typer.Argument(help="Name of the volume.")],
    target: Annotated[Path, typer.Argument(help="New file: .ome.zarr, or .tif for OME-TIFF.")],
    what: Annotated[str, typer.Option("--what", help="classes, labels, probabilities or uncertainty.")] = "classes",
    model: Annotated[int | None, typer.Option("--model", help="Model version; the champion by default.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start the job and do not follow it.")] = False,
) -> None:
    """Write labels or a model's output as OME-Zarr with a pyramid, or as OME-TIFF.

    Example: rondel -p cells export scan out.ome.zarr --what classes
    """
    from ..loop.transfer import WHAT, check_target

    if what not in WHAT:
        raise UsageError(f"--what {what} is not known", f"use one of {', '.join(WHAT)}")
    if what == "labels" and model is not None:
        raise UsageError("labels are not a model's", "leave --model out, or export --what classes")
    check_target(target)
    with door.opened(context) as project:
        request = {
            "volume": project.volume_record(volume).name,
            "target": str(target.resolve()),
            "what": what,
            "model": None if what == "labels" else versions.one(project.database, model).number,
        }
        if door.run(project, "export", request, detach=detach):
            door.say(f"{what} of {volume} written to {target}")


def _with_scores(project: Project, model: versions.Model) -> dict:
    return {**door.jsonable(model), "scores": door.jsonable(ledger.scores(project.database, model.number))}
