"""When is a box done? Once its edits are applied, and coarse levels and class names show it to other programs."""

from . import label_boxes, labels, ngff, pyramid
from .project import Project
from .records import LabelBox, State
from .writer import open_writer


def finish(project: Project, id: int, person: str) -> LabelBox:
    """Move a box to done from whatever state allows it; raises UsageError from any other, LockedError."""
    with open_writer(project) as writer:
        return writer.finish(id, person)


def settle(project: Project, id: int, person: str) -> LabelBox:
    """Do what `finish` says; only for who holds the labels lock and has applied all edits.

    The row moves last: a box whose process was killed meanwhile is not done, and can be finished again.
    """
    box = label_boxes.get(project.database, id)
    if box.state not in (State.PROPOSED, State.SKIPPED):
        box.check_move(State.DONE)
    path = project.labels_path(box.volume)
    ngff.set_label(path, labels.metadata(project))
    pyramid.refresh(path, box.box)
    return label_boxes.move(project.database, id, State.DONE, person, opening=True)
