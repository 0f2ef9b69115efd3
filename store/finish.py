"""When is a box done? Once its edits are applied, and coarse levels and class names show it to other programs."""

from . import edits, label_boxes, labels, ngff, pyramid
from .project import Project
from .records import LabelBox, State


def finish(project: Project, id: int, person: str) -> LabelBox:
    """Move a box to done from whatever state allows it; raises UsageError from any other, LockedError."""
    with edits.open_journal(project):
        box = label_boxes.get(project.database, id)
        if box.state in (State.PROPOSED, State.SKIPPED):
            label_boxes.move(project.database, id, State.OPEN, person)
        box = label_boxes.move(project.database, id, State.DONE, person)
        path = project.labels_path(box.volume)
        ngff.set_label(path, labels.metadata(project))
        pyramid.refresh(path, box.box)
    return box
