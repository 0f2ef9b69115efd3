"""What does the scribe report? Values that the desk turns into what pages are told."""

from dataclasses import dataclass

from ..store.box import Box
from ..store.errors import RondelError
from ..store.records import Edit, LabelBox, VolumeRecord
from .board import Board


@dataclass(frozen=True, slots=True)
class Change:
    """What an edit left in a box: `values`, uint8 in C order, in a region in voxels of the box."""

    box: int
    revision: int
    region: Box
    values: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an op of a page."""

    number: int
    box: int | None
    revision: int
    changes: tuple[Change, ...] = ()
    edit: Edit | None = None
    repair: Change | None = None
    """What the page must be shown, where it showed something else than the labels are now."""
    error: RondelError | None = None
    again: bool = False
    """It was done already, when it was sent before."""
    board: Board | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A box as it is at one revision, for a page that begins to show it."""

    box: LabelBox
    record: VolumeRecord
    spacing: tuple[float, float, float]
    revision: int
    voxels: bytes
    acked: int
    """The highest number of this client's ops that is dealt with."""
    board: Board


class Unsaved(Exception):
    """An op could not be written now, and may be sent again: the disk is full, or the database is busy."""
