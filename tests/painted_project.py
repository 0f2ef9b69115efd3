"""A project to paint in, made in a second: an image of round blobs, a prediction that is known, boxes of odd shapes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rondel.store import label_boxes, ledger, models
from rondel.store import project as projects
from rondel.store.box import Box
from rondel.store.maps import MapPlan, Maps
from rondel.store.models import Draft
from rondel.store.records import LabelBox, Purpose, State

from .images import make_volume

CLASSES = ("background", "membrane", "organelle")
SHAPE = (48, 96, 112)
SPACING_NM = (8.0, 4.0, 4.0)
BOXES = (
    Box((8, 16, 16), (48, 64, 80)),  # (40, 48, 64): at the volume's border, anisotropic
    Box((3, 5, 7), (34, 50, 48)),  # (31, 45, 41): no multiple of a chunk
    Box((20, 30, 30), (21, 90, 100)),  # (1, 60, 70): one section
    Box((0, 60, 60), (16, 92, 110)),
)
BLOBS = (((28, 40, 48), 10.0, 2), ((20, 30, 30), 6.0, 3), ((36, 52, 66), 7.0, 2))
"""Centre, radius in voxels of 4 nm, and class of each blob."""


@dataclass(frozen=True)
class Painted:
    """Where the project is, and what its model says of every voxel."""

    folder: Path
    classes: np.ndarray
    ids: tuple[int, ...]
    """Of the boxes, in the order of BOXES."""


def truth() -> np.ndarray:
    """Return the class of every voxel, uint8 (Z, Y, X)."""
    found = np.ones(SHAPE, np.uint8)
    grid = np.ogrid[tuple(slice(n) for n in SHAPE)]
    for centre, radius, value in BLOBS:
        away = sum(((axis - c) * s / 4.0) ** 2 for axis, c, s in zip(grid, centre, SPACING_NM))
        found[away <= radius**2] = value
    return found


def make(folder: Path) -> Painted:
    """Make the project in round 1 with a model that predicts `truth`, surely in blobs and half surely elsewhere."""
    classes = truth()
    noise = np.random.default_rng(0).normal(0, 4, SHAPE)
    image = np.clip(30 + 60 * classes.astype(float) + noise, 0, 255).astype(np.uint8)
    with projects.create(folder, list(CLASSES)) as project:
        volume = make_volume(folder, image, spacing_nm=SPACING_NM)
        projects.add_volume(project, volume.record)
        ledger.open_round(project.database, None, "random", 0)
        boxes = [
            LabelBox(0, "scan", box, 1, Purpose.TEST if k == 2 else Purpose.TRAIN, State.PROPOSED, 1 - k / 10, "a test")
            for k, box in enumerate(BOXES)
        ]
        ids = label_boxes.add(project.database, boxes)
        curve = ((1, 1.0, 1e-3, None),)
        models.save(project, Draft(None, 1, CLASSES, 1, 1.0, 0, (), 1.0, {}, curve), {"w": np.zeros(1, np.float32)})
        _predict(project, classes)
    return Painted(folder, classes, tuple(ids))


def _predict(project: projects.Project, classes: np.ndarray) -> None:
    record = project.volume_record("scan")
    plan = MapPlan.of(record, 1, (16, 16, 16), [(c.value, c.name, c.colour) for c in project.classes])
    maps = Maps.create(project.folder, plan)
    sure = np.where(classes > 1, 230, 140).astype(np.uint8)
    rest = 255 - sure
    shares = [np.where(classes == v, sure, rest // 2) for v in (1, 2, 3)]
    whole = Box.of_shape(SHAPE)
    bins = np.zeros((len(plan.statistics), *(-(-n // b) for n, b in zip(SHAPE, plan.bin))))
    uncertainty = np.where(classes > 1, 40, 200).astype(np.uint8)
    maps.write_tile(whole, classes, uncertainty, bins, np.stack(shares).astype(np.uint8))
    ledger.record_tile(project.database, "scan", 1, whole, True)
