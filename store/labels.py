"""What are the labels of a box now, and where did each voxel come from?"""

from typing import TYPE_CHECKING

import numpy as np

from .box import ZYX, Box
from .records import EditKind, VolumeRecord

if TYPE_CHECKING:
    from . import ngff
    from .project import Project

CHUNK = 64
KINDS = (EditKind.PAINT, *(k for k in EditKind if k not in (EditKind.PAINT, EditKind.UNDO, EditKind.REDO)))
"""Kinds that provenance tells apart; a voxel's code is 1 + the index of its kind."""


def create(project: "Project", record: VolumeRecord) -> None:
    """Make the empty label image of a whole volume: uint8, unsharded, only touched chunks will exist."""
    from . import ngff

    ngff.create_multiscale(
        project.labels_path(record.name),
        name=record.name,
        axes="zyx",
        shape=record.shape,
        chunks=label_chunks(record.shape),
        dtype="uint8",
        spacing_nm=record.spacing_nm,
        translation_nm=record.translation_nm,
        unit=record.unit,
        levels=len(ngff.level_factors(record.shape, record.spacing_nm)),
        kind="mode",
        label=metadata(project),
    )


def metadata(project: "Project") -> "ngff.LabelMetadata":
    """Return the declared classes as label images show them."""
    from . import ngff

    return ngff.LabelMetadata(tuple((c.value, c.name, c.colour) for c in project.classes), "")


def label_chunks(shape: ZYX) -> ZYX:
    """Return the chunk shape of label arrays and maps: 64 a side, fitted to thin volumes."""
    z, y, x = (min(CHUNK, n) for n in shape)
    return z, y, x


def read(project: "Project", volume: str, box: Box) -> np.ndarray:
    """Return the labels of a box, uint8 (Z, Y, X), 0 being unlabelled; the box lies inside the volume."""
    return np.asarray(open_labels(project, volume)[box.slices].read().result())


def open_labels(project: "Project", volume: str, *, write: bool = False):
    """Open the label array at the working level."""
    from . import ngff

    return ngff.open_array(project.labels_path(volume) / "s0", write=write)


def provenance(project: "Project", volume: str, box: Box) -> np.ndarray:
    """Tell by what kind of edit each voxel got its label: uint8 (Z, Y, X), 0 unlabelled, else 1 + index in KINDS.

    A voxel belongs to the last live edit that covers it; voxels erased by it count as unlabelled.
    """
    from .edits import last_cover

    values, covers = last_cover(project.database, volume, box)
    kinds = {
        row["number"]: KINDS.index(EditKind(row["kind"])) + 1
        for row in project.database.rows("SELECT number, kind FROM edit WHERE volume = ? AND live = 1", volume)
    }
    codes = np.zeros(box.shape, np.uint8)
    for number in np.unique(covers[values > 0]):
        codes[(covers == number) & (values > 0)] = kinds[int(number)]
    return codes


def sources(project: "Project", volume: str, box: Box) -> dict[str, int]:
    """Count the labelled voxels of a box by the kind of edit they came from."""
    counts = np.bincount(provenance(project, volume, box).ravel(), minlength=len(KINDS) + 1)[1:]
    return {str(kind): int(count) for kind, count in zip(KINDS, counts) if count}
