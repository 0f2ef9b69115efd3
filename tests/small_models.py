"""Model versions with scores, without a training."""

import numpy as np
from rondel.store import ledger, models
from rondel.store.models import Draft
from rondel.store.project import Project
from rondel.store.records import Model, Score

CURVE = ((1, 0.9, 1e-3, None), (2, 0.5, 1e-3, 0.6), (3, 0.3, 1e-4, None), (4, 0.2, 1e-5, 0.4))


def add_model(
    project: Project,
    boxes: tuple[int, ...],
    dice: tuple[float | None, ...] | None,
    *,
    parent: int | None = None,
    champion: bool = False,
) -> Model:
    """List a version, with a score of each class, or without any."""
    names = tuple(c.name for c in project.classes)
    draft = Draft(parent, 1, names, 4, 83.0, 5, boxes, 0.2, {}, CURVE)
    number = models.save(project, draft, {"a": np.arange(1000, dtype=np.float32)}).number
    scores = [
        Score(number, c.value, 4, d, *((None, None) if d is None else (d - 0.1, d + 0.1)), d, d, d)
        for c, d in zip(project.classes, dice or ())
    ]
    ledger.set_scores(project.database, number, scores)
    models.judge(project.database, number, f"verdict on {number}", champion)
    return models.get(project.database, number)
