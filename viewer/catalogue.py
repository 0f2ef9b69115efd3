"""Which arrays may be asked for, and where does each lie? What the project's rows name, and nothing else.

Rows are read by whichever thread needs them, over a connection of its own that is closed again: SQLite's are bound to
their thread, and the server's own belongs to its scribe. What was found is kept for good, since an address names one
way of reading a volume (addresses.py): a volume that is added, relinked, or taken back and added anew has another.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..store import arrays, label_boxes, ngff
from ..store.box import ZYX, Box
from ..store.database import on_network
from ..store.errors import InvalidDataError, UsageError
from ..store.maps import CLASSES, UNCERTAINTY, Maps
from ..store.project import Project, open_project
from ..store.records import VolumeRecord
from ..store.volume import open_volume, voxel_ratio
from . import addresses, names, virtual
from .virtual import VirtualImage

FILES = {"classes": CLASSES, "uncertainty": UNCERTAINTY}


@dataclass(frozen=True, slots=True)
class Shown:
    """An image as it is served, and what of it is not to be seen."""

    image: VirtualImage
    holes: tuple[Box, ...] = ()
    """A box for each level, in its voxels, whose values are served as 0; none where nothing is cut out."""
    near: bool = False
    """Whether it lies on a disk of this machine, where looking a file up takes no time to speak of."""


class Catalogue:
    """What is served of a project. Any thread may ask; what was not asked before costs opening files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: dict[tuple, Any] = {}

    def known(self, *key: Any) -> Any:
        """Return what `find` found before, None when it was not asked yet."""
        return self._kept.get(key)

    def find(self, kind: str, *names: Any) -> Any:
        """Return what an address means: Shown for "image", "map", "saved" and "box", bytes for "names".

        Raises UsageError or InvalidDataError when it means nothing, VolumeError when an image is out of reach.
        """
        key = (kind, *names)
        if key not in self._kept:
            with open_project(self.folder) as project:
                self._kept[key] = FINDERS[kind](project, *names)
        return self._kept[key]


def _image(project: Project, volume: str, tag: str) -> Shown:
    record = _record(project, volume, tag)
    return _shown(open_volume(record, project.folder).metadata, record, record.level)


def _map(project: Project, volume: str, tag: str, model: str, what: str) -> Shown:
    record = _record(project, volume, tag)
    maps = Maps.open(project.folder, volume, int(model))
    if maps.plan.shape != record.shape:
        raise InvalidDataError(f"the map of model {model} was made for another '{volume}'", "predict it anew")
    metadata = ngff.read_metadata(maps.folder / FILES[what])
    return _shown(metadata, record, 0, growing=True)


def _saved(project: Project, volume: str, tag: str, box: str) -> Shown:
    record = _record(project, volume, tag)
    metadata = ngff.read_metadata(project.labels_path(volume))
    shown = _shown(metadata, record, 0)
    if box == "0":
        return shown
    found = label_boxes.get(project.database, int(box))
    if found.volume != volume:
        raise UsageError(f"box {box} is not in '{volume}'", "'rondel boxes' lists the boxes")
    return replace(shown, holes=tuple(_hole(metadata, found.box, k) for k in range(len(metadata.levels))))


def _shown(metadata: ngff.ImageMetadata, record: VolumeRecord, working: int, *, growing: bool = False) -> Shown:
    near = not arrays.is_url(metadata.url) and not on_network(Path(metadata.url))
    return Shown(virtual.of_image(metadata, working, record.spacing_nm, growing=growing), near=near)


def _hole(metadata: ngff.ImageMetadata, box: Box, level: int) -> Box:
    """Return all voxels of a level that a box touches."""
    factors = [round(r) for r in voxel_ratio(metadata, 0, level)]
    grown = box.snap_outwards(factors)
    return Box.at([a // f for a, f in zip(grown.start, factors)], [n // f for n, f in zip(grown.shape, factors)])


def _record(project: Project, volume: str, tag: str) -> VolumeRecord:
    record = project.volume_record(volume)
    if addresses.tag(record) != tag:
        raise UsageError(f"'{volume}' is read in another way by now", "open the page anew")
    return record


def _box(project: Project, volume: str, box: Box, chunks: ZYX) -> Shown:
    return Shown(virtual.of_box(box, chunks, project.volume_record(volume).spacing_nm))


def _names(project: Project, digest: str) -> bytes:
    if names.digest_of(project.classes) != digest:
        raise UsageError("the classes are others by now", "open the page anew")
    return names.document(project.classes)


FINDERS: dict[str, Callable[..., Any]] = {"image": _image, "map": _map, "saved": _saved, "box": _box, "names": _names}
