"""How does a perfect annotator answer? An oracle labels boxes from dense truth, through the journal as a person."""

import uuid
from dataclasses import dataclass

import numpy as np

from ..store import edits, label_boxes
from ..store.errors import UsageError
from ..store.finish import finish
from ..store.importers import LabelSource
from ..store.project import Project
from ..store.records import EditKind, LabelBox, State

NAME = "oracle"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a box cost the oracle."""

    voxels: int
    """Voxels it labelled."""
    actions: int
    """Connected patches of voxels, class by class, that differed from what the model had predicted."""


def answer(project: Project, box: LabelBox, truth: LabelSource, predicted: np.ndarray | None) -> Answer:
    """Label a box from the truth and declare it done.

    `predicted` holds the classes uint8 (Z, Y, X) a person would have corrected; None means painting on a blank box.
    """
    values = truth.read(box.box)
    if not values.any():
        raise UsageError(
            f"the truth has no labels in box {box.id} ({box.box})", "give a --region where the truth is known"
        )
    if box.state != State.OPEN:
        label_boxes.move(project.database, box.id, State.OPEN, NAME)
    stroke = edits.Stroke(
        EditKind.IMPORT, box.volume, box.box, values > 0, values, NAME, f"oracle-{uuid.uuid4().hex}", 1, box.id
    )
    edits.submit(project, stroke)
    finish(project, box.id, NAME)
    return Answer(int((values > 0).sum()), corrections(values, predicted))


def corrections(truth: np.ndarray, predicted: np.ndarray | None) -> int:
    """Count connected patches to correct, in each section as a person paints, where truth is known.

    A blank box has every patch of every class but the first to paint; the first fills what is left at one stroke.
    """
    from skimage.measure import label

    wrong = truth > 0 if predicted is None else (truth > 0) & (truth != predicted)
    patches = 0
    for value in np.unique(truth[wrong]):
        if predicted is None and value == 1:
            patches += 1
            continue
        for section in wrong & (truth == value):
            if section.any():
                # skimage's types do not say that it returns a pair when asked for the number
                patches += int(label(section, connectivity=1, return_num=True)[1])  # type: ignore[index]  # a pair
    return patches
