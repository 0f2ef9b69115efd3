"""How are label arrays rebuilt from the journal, chunk by chunk?"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from . import edits, labels, pyramid
from .box import Box
from .errors import InvalidDataError
from .project import Project
from .writer import open_writer

LEFT_BEHIND = ("*.partial", "*.__lock")
"""What writers that were killed leave in a zarr: temporary files of zarr-python, lock files of tensorstore."""


def repair(project: Project, volume: str) -> list[Box]:
    """Rewrite every label chunk that differs from the journal or cannot be read; returns their boxes.

    Nothing is lost by it: the journal is the truth and is not changed. Raises LockedError.
    """
    if not (project.labels_path(volume) / "zarr.json").exists():
        labels.create(project, project.volume_record(volume))
    with open_writer(project) as writer:
        return writer.repair(volume)


def mend(project: Project, volume: str) -> list[Box]:
    """Do what `repair` says; only for who holds the labels lock and has applied all edits."""
    sweep(project.labels_path(volume))
    mended = [box for box in _chunks(project, volume) if _mend(project, volume, box)]
    for box in mended:
        pyramid.refresh(project.labels_path(volume), box)
    return mended


def sweep(folder: Path) -> int:
    """Remove temporary files that killed writers left; returns how many."""
    stray = [path for pattern in LEFT_BEHIND for path in folder.rglob(pattern)]
    for path in stray:
        path.unlink(missing_ok=True)
    return len(stray)


def _mend(project: Project, volume: str, box: Box) -> bool:
    wanted = edits.replay(project.database, volume, box)
    try:
        if np.array_equal(labels.read(project, volume, box), wanted):
            return False
    except (ValueError, OSError, InvalidDataError):
        pass  # the chunk is damaged: writing it whole needs no reading
    labels.open_labels(project, volume, write=True)[box.slices].write(wanted).result()
    return True


def _chunks(project: Project, volume: str) -> Iterator[Box]:
    """Yield the boxes of the chunks that an edit touched or that have a file."""
    record = project.volume_record(volume)
    pitch = labels.label_chunks(record.shape)
    indices = {
        tuple(int(part) for part in path.parts[-3:])
        for path in (project.labels_path(volume) / "s0" / "c").glob("*/*/*")
        if all(part.isdigit() for part in path.parts[-3:])
    }
    for edit in edits.history(project.database, volume=volume):
        spans = [range(a // p, -(-b // p)) for a, b, p in zip(edit.region.start, edit.region.stop, pitch)]
        indices.update(itertools.product(*spans))
    for index in sorted(indices):
        yield Box.at([i * p for i, p in zip(index, pitch)], pitch).intersect(record.box)
