"""What do image, prediction, uncertainty and labels of a box look like, in few cells? Read and drawn in a thread."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from threading import Lock

import numpy as np

from ..store import label_boxes, labels, ledger, models
from ..store.box import Box
from ..store.errors import InvalidDataError
from ..store.maps import Maps
from ..store.project import Project
from ..store.records import LabelBox
from ..store.units import from_nm
from . import half_blocks, pictures, words
from .pictures import Picture
from .views import AXES, UNCERTAINTY, Depth, Preview, Request, Tile

WHOLE_VOXELS = 1 << 21
"""Boxes up to this size are read at once, so that going through their slices reads nothing; larger ones by slices."""
KEPT = 24
"""How many arrays are kept: those of eight boxes."""
UNPREDICTED = "no model has predicted this slice yet"

Read = tuple[np.ndarray, ...]


class Previews:
    """Makes previews, and keeps what it read for the next slice; may be called from any thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Read] = OrderedDict()
        self._lock = Lock()

    def get(self, project: Project, request: Request) -> Preview:
        """Draw what is asked for; raises RondelError when the box or its image cannot be read."""
        with self._lock:
            box = label_boxes.get(project.database, request.box)
            return _Slice(self, project, box, request).preview()

    def read(self, key: Hashable, read: Callable[[], Read], keep: Callable[[Read], bool] = bool) -> Read:
        """Return what was read under a key, and read it now if it was not, or not worth keeping."""
        found = self._kept.get(key) or read()
        if keep(found):
            self._kept[key] = found
            self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found


class _Slice:
    """One slice of a box while it is drawn."""

    def __init__(self, previews: Previews, project: Project, box: LabelBox, request: Request) -> None:
        self.previews, self.project, self.box, self.request = previews, project, box, request
        self.record = project.volume_record(box.volume)
        self.slices = box.box.shape[request.axis]
        self.index = self.slices // 2 if request.index is None else max(0, min(self.slices - 1, request.index))
        self.region = box.box
        self.inside = self.index
        """Where the slice lies in the region that is read."""
        if box.box.voxels > WHOLE_VOXELS:
            self.region, self.inside = _thin(box.box, request.axis, self.index), 0

    def preview(self) -> Preview:
        request = self.request
        across = [
            n * nm for k, (n, nm) in enumerate(zip(self.box.box.shape, self.record.spacing_nm)) if k != request.axis
        ]
        extent = (across[0], across[1])
        columns, width, height = pictures.arrange(request.width, request.height, extent)
        (image,) = self.previews.read(
            ("image", self.record, self.region), lambda: (self.project.open_volume(self.record.name).read(self.region),)
        )
        shown = pictures.fit(extent, width, height)
        base = pictures.shade(self._cut(image), self.record.intensities, request.contrast, *shown)
        drawn = [Picture("image", base), *self._predicted(base), self._labelled(base)]
        tiles = _tiles(drawn, request.depth)
        rows = tuple(tuple(tiles[k : k + columns]) for k in range(0, pictures.COUNT, columns))
        lines, wide = shown
        width = min(width, max(wide, pictures.NARROW))
        return Preview(request, rows, width, lines // 2, self.index, self.slices, self._place())

    def _predicted(self, base: np.ndarray) -> list[Picture]:
        """Draw prediction and uncertainty of the champion, or of the model that ranked the box's round."""
        for number in self._models():
            key = ("map", self.record.name, number, self.region)
            try:
                classes, unsure = self.previews.read(key, partial(self._map, number), _whole)
            except InvalidDataError:
                continue
            known = self._cut(classes)
            if known.any():
                colours = {c.value: c.colour for c in self.project.classes}
                predicted = pictures.tint(f"prediction {number}", known, base, colours)
                return [predicted, pictures.heat(UNCERTAINTY, self._cut(unsure), known > 0, base)]
        return [Picture(title, base, note=UNPREDICTED) for title in ("prediction", UNCERTAINTY)]

    def _models(self) -> list[int]:
        champion = models.champion(self.project.database)
        ranked = [r.model for r in ledger.rounds(self.project.database) if r.number == self.box.round]
        wanted = [champion.number if champion else None, *ranked]
        return [number for number in dict.fromkeys(wanted) if number is not None]

    def _map(self, number: int) -> Read:
        maps = Maps.open(self.project.folder, self.record.name, number)
        return maps.read_classes(self.region), maps.read_uncertainty(self.region)

    def _labelled(self, base: np.ndarray) -> Picture:
        # What was applied is asked before the labels are read: what is applied meanwhile is read again next time.
        key = ("labels", self.record.name, self.region, self.project.database.meta("applied", "0"))
        (found,) = self.previews.read(key, lambda: (labels.read(self.project, self.record.name, self.region),))
        if not found.any():
            return Picture("labels", base, note="nothing painted yet")
        return pictures.tint("labels", self._cut(found), base, {c.value: c.colour for c in self.project.classes})

    def _cut(self, array: np.ndarray) -> np.ndarray:
        """Take the slice out of an array that ends in z, y, x."""
        return np.take(array, self.inside, axis=array.ndim - 3 + self.request.axis)

    def _place(self) -> str:
        axis = self.request.axis
        position = (self.box.box.start[axis] + self.index) * self.record.spacing_nm[axis]
        return f"{AXES[axis]} {from_nm(position, self.record.unit):.5g} {words.unit(self.record)}"


def _tiles(drawn: list[Picture], depth: Depth) -> list[Tile]:
    strips = iter(half_blocks.draw([picture for picture in drawn if not picture.note], depth))
    return [Tile(picture.title, picture.note, () if picture.note else next(strips)) for picture in drawn]


def _whole(found: Read) -> bool:
    """Tell whether all of a map's region is predicted; what is not is read again the next time."""
    return bool(found[0].all())


def _thin(box: Box, axis: int, index: int) -> Box:
    start, stop = list(box.start), list(box.stop)
    start[axis] += index
    stop[axis] = start[axis] + 1
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
