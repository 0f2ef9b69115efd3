"""Verbs about label boxes and labels: boxes, label, skip, history, undo, redo, revert, repair."""

import uuid
from pathlib import Path
from typing import Annotated

import typer

from ..store import label_boxes
from ..store.box import Box
from ..store.errors import LabelError, UsageError
from ..store.project import Project, person
from ..store.records import Edit, EditKind, LabelBox, State
from . import door, parse

boxes = typer.Typer(invoke_without_command=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Id = Annotated[int, typer.Argument(help="Number of the box.")]
BoxOption = Annotated[int | None, typer.Option("--box", help="Number of the box; the one edited last by default.")]
Whose = Annotated[
    str | None, typer.Option("--person", help="Whose edit: the name given in the page, where it is not yours here.")
]
OTHERS = "--person takes the name that was given in the page; 'rondel history' shows the names"
TOOLS = {
    EditKind.PAINT: "brush",
    EditKind.ERASE: "eraser",
    EditKind.THRESHOLD: "range",
    EditKind.INTERPOLATE: "between",
    EditKind.EMPTY: "rest is",
}
"""What the page calls tools that the journal has other names for."""
OPEN_STATES = (State.PROPOSED, State.OPEN, State.DONE, State.SKIPPED)


@boxes.callback()
def boxes_default(context: typer.Context) -> None:
    """List the label boxes, or add, move and propose some.

    Example: rondel -p cells boxes
    """
    if context.invoked_subcommand is None:
        boxes_list(context)


@boxes.command("list")
def boxes_list(
    context: typer.Context,
    round: Annotated[int | None, typer.Option("--round", help="Boxes of this round only.")] = None,
    state: Annotated[list[State], typer.Option("--state", help="Boxes in this state only; may be repeated.")] = [],  # noqa: B006
    json: Json = False,
) -> None:
    """List label boxes with their priority and why they were proposed; dropped ones only when asked for.

    Example: rondel -p cells boxes list --state proposed --json
    """
    from ..store import ledger

    with door.opened(context) as project:
        if round:
            ledger.get_round(project.database, round)
        found = label_boxes.select(project.database, round=round, state=state or OPEN_STATES)
    if json:
        door.emit("boxes", found)
        return
    head = ("box", "round", "purpose", "state", "volume", "region z,y,x", "priority", "why")
    door.table(head, [_row(box) for box in found])


@boxes.command("add")
def boxes_add(
    context: typer.Context,
    region: Annotated[str, typer.Argument(help="Region z0:z1,y0:y1,x0:x1 in voxels of the working level.")],
    volume: Annotated[
        str | None, typer.Option("--volume", help="Name of the volume; may be left out when there is one.")
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Make it a test box, never trained on.")] = False,
) -> None:
    """Add a label box by hand.

    Example: rondel -p cells boxes add 0:32,64:96,64:96 --test
    """
    from . import actions

    with door.opened(context) as project:
        door.say(actions.add_box(project, volume, region, test))


@boxes.command("done")
def boxes_done(context: typer.Context, id: Id) -> None:
    """Declare a box labelled, as it is now; unlabelled voxels may be left in it.

    Example: rondel -p cells boxes done 3
    """
    from ..store.finish import finish

    with door.opened(context) as project:
        finish(project, id, person())
        door.say(f"box {id} is done")


@boxes.command("reopen")
def boxes_reopen(context: typer.Context, id: Id) -> None:
    """Open a done or skipped box again.

    Example: rondel -p cells boxes reopen 3
    """
    with door.opened(context) as project:
        label_boxes.move(project.database, id, State.OPEN, person())
        door.say(f"box {id} is open")


@boxes.command("test")
def boxes_test(context: typer.Context, id: Id) -> None:
    """Protect a box as a test box; it is never trained on from then on.

    Example: rondel -p cells boxes test 3
    """
    with door.opened(context) as project:
        label_boxes.protect(project.database, id)
        door.say(f"box {id} is a test box")


@boxes.command("propose")
def boxes_propose(
    context: typer.Context,
    count: Annotated[int, typer.Argument(min=1, max=1000, help="How many more boxes.")] = 4,
    detach: Annotated[bool, typer.Option("--detach", help="Start the job and do not follow it.")] = False,
) -> None:
    """Propose more boxes in the present round, by its strategy.

    Example: rondel -p cells boxes propose 4
    """
    with door.opened(context) as project:
        result = door.run(project, "rank", {"count": count}, detach=detach)
        if result:
            door.say(f"{result['proposed']} boxes proposed")


def label(
    context: typer.Context,
    id: Annotated[int | None, typer.Argument(help="Number of the box; the next one that waits by default.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Labels of the box's shape: TIFF, npy, PNG or OME-Zarr.")
    ] = None,
    mapping: Annotated[str | None, typer.Option("--map", help="Values of the file to label values: 0=1,1=2.")] = None,
    keep_open: Annotated[bool, typer.Option("--keep-open", help="Leave the box open instead of done.")] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open a browser here; never over ssh.")] = False,
) -> None:
    """Label a box in the browser, or hand in its labels as a file; 0 in it is unlabelled.

    Prints the link of the page, and the tunnel that brings it to the machine you sit at; the server is started if
    need be.

    Example: rondel -p cells label

    Example: rondel -p cells label 3 --from corrected.tif
    """
    from . import verbs_serve

    if source is None and (mapping or keep_open):
        raise UsageError("--map and --keep-open speak of a file, but there is none", "give the file with --from")
    if source is not None and (id is None or open_):
        wrong = "names no box" if id is None else "opens no page"
        raise UsageError(f"label --from {wrong}", "write: rondel label BOX --from FILE")
    with door.opened(context) as project:
        if source is None or id is None:
            verbs_serve.label_in_page(project, id, open_)
        else:
            _label_from(project, label_boxes.get(project.database, id), source, mapping, keep_open)


def _label_from(project: Project, box: LabelBox, source: Path, mapping: str | None, keep_open: bool) -> None:
    import numpy as np

    from ..store import edits, importers
    from ..store.writer import open_writer

    if not source.exists():
        raise UsageError(f"there is no file {source}", "check the path")
    opened = importers.open_labels(source, parse.mapping(mapping) or None, len(project.classes))
    if tuple(opened.shape) != box.box.shape:
        raise LabelError(
            f"{source.name} has shape {tuple(opened.shape)}, box {box.id} has {box.box.shape}",
            "save exactly the box, axes z,y,x",
        )
    values = opened.read(Box.of_shape(box.box.shape))
    everywhere = np.ones(values.shape, bool)
    stroke = edits.Stroke(EditKind.IMPORT, box.volume, box.box, everywhere, values, person(), *_sender(), box.id)
    with open_writer(project) as writer:
        edit = writer.write(stroke)
        if box.state != State.OPEN:
            label_boxes.move(project.database, box.id, State.OPEN, person())
        if not keep_open:
            writer.finish(box.id, person())
    known = int((values > 0).sum())
    ended = "" if keep_open else ", done"
    door.say(f"edit {edit.number}: {known} of {values.size} voxels of box {box.id} labelled{ended}")


def skip(
    context: typer.Context,
    id: Id,
    why: Annotated[str, typer.Option("--why", help="Reason, kept with the box.")],
) -> None:
    """Skip a box that cannot or should not be labelled.

    Example: rondel -p cells skip 4 --why blurred
    """
    with door.opened(context) as project:
        label_boxes.move(project.database, id, State.SKIPPED, person(), why=why)
        door.say(f"box {id} is skipped: {why}")


def history(
    context: typer.Context,
    box: Annotated[int | None, typer.Option("--box", help="Edits of this box only.")] = None,
    json: Json = False,
) -> None:
    """List the edits of the journal, oldest first, with the tool that made them, and which of them were undone.

    Example: rondel -p cells history --box 3
    """
    from ..store import edits

    with door.opened(context) as project:
        if box is not None:
            label_boxes.get(project.database, box)
        found = edits.history(project.database, box)
    if json:
        door.emit("edits", found)
        return
    head = ("edit", "tool", "box", "volume", "region z,y,x", "voxels", "person", "when", "")
    first = project.classes[0].name
    door.table(
        head,
        [
            (e.number, tool(e.kind, first), *_where(e), e.voxels, e.person, door.when(e.created), _fate(e))
            for e in found
        ],
    )


def undo(context: typer.Context, box: BoxOption = None, whose: Whose = None) -> None:
    """Undo your own last edit in a box; what others painted since stays.

    Example: rondel -p cells undo --box 3 --person Beatrix
    """
    from . import actions

    with door.opened(context) as project:
        door.say(actions.undo(project, _box(project, box, whose), whose))


def redo(context: typer.Context, box: BoxOption = None, whose: Whose = None) -> None:
    """Bring back what you undid last in a box.

    Example: rondel -p cells redo
    """
    from . import actions

    with door.opened(context) as project:
        door.say(actions.redo(project, _box(project, box, whose), whose))


def revert(
    context: typer.Context,
    id: Id,
    to: Annotated[
        int | None, typer.Option("--to", min=0, help="Edit whose state comes back; before the box's first by default.")
    ] = None,
) -> None:
    """Put a box back to what it was; this is an edit too and can be undone.

    Example: rondel -p cells revert 3
    """
    from ..store import edits
    from ..store.writer import open_writer

    with door.opened(context) as project, open_writer(project) as writer:
        box = label_boxes.get(project.database, id)
        if to:
            edits.find(project.database, to)
        edit = writer.revert(id, box.volume, box.box, person(), _sender(), to)
        door.say(f"edit {edit.number} reverts {edit.voxels} voxels of box {id}")


def repair(
    context: typer.Context,
    volume: Annotated[str | None, typer.Argument(help="Name of the volume; all by default.")] = None,
) -> None:
    """Rebuild damaged or missing label chunks from the journal.

    Example: rondel -p cells repair
    """
    from ..store.repair import repair as mend

    with door.opened(context) as project:
        names = [project.volume_record(volume).name] if volume else [v.name for v in project.volumes()]
        for name in names:
            door.say(f"{name}: {len(mend(project, name))} chunks rebuilt")


def _box(project: Project, box: int | None, whose: str | None) -> int:
    if box is not None:
        return label_boxes.get(project.database, box).id
    row = project.database.row(
        "SELECT box FROM edit WHERE person = ? AND box NOT NULL ORDER BY number DESC LIMIT 1",
        whose or person(),
    )
    if row is None:
        raise UsageError(f"{whose or person()} has edited no box yet", OTHERS)
    return row["box"]


def _sender() -> tuple[str, int]:
    return f"verb-{uuid.uuid4().hex}", 1


def _row(box: LabelBox) -> tuple:
    state = f"{box.state}{' (reserve)' if box.reserve else ''}"
    why = f"{box.reason}; skipped: {box.why}" if box.why else box.reason
    return box.id, box.round, box.purpose, state, box.volume, box.box, f"{box.priority:.3f}", why


def tool(kind: EditKind, first_class: str) -> str:
    """Say with what an edit was made, as its button in the page says it."""
    word = TOOLS.get(kind, str(kind))
    return f"{word} {first_class}" if kind == EditKind.EMPTY else word


def _where(edit: Edit) -> tuple:
    return edit.box, edit.volume, edit.region


def _fate(edit: Edit) -> str:
    if edit.target is not None:
        return f"of edit {edit.target}"
    return "" if edit.live else "undone"
