"""What is there to see of a box or a volume? Gathered from the project's rows and files, for the scene to draw."""

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..store import edits, intensities, label_boxes, ledger, models, ngff
from ..store.arrays import is_url
from ..store.axes import size, zyx
from ..store.box import Box, occupancy
from ..store.maps import Maps
from ..store.project import Project
from ..store.records import LabelBox, State, VolumeRecord
from ..store.settings import LabelClass
from ..store.volume import Volume

PERCENTILES = (0.1, 99.9)
SMALL_LEVEL = 16 << 20
"""Voxels up to which all of the coarsest level is looked at."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """Which intensities of a channel are dark, and which are bright."""

    low: float
    high: float
    exact: bool
    """Whether somebody chose them to be black and white; otherwise they are percentiles, and there is more on both
    sides that should still be told apart."""


@dataclass(frozen=True, slots=True)
class View:
    """What a scene is drawn from, whatever it shows."""

    origin: str
    """What addresses of arrays begin with."""
    record: VolumeRecord
    channels: tuple[ngff.Channel, ...]
    """The channels that are shown, in the record's order."""
    contrasts: tuple[Contrast, ...]
    classes: tuple[LabelClass, ...]
    model: int | None
    """The model whose map is shown."""
    tiles: int
    """How many tiles of that map are done."""
    edit: int
    """The last edit of labels."""


@dataclass(frozen=True, slots=True)
class BoxView(View):
    box: LabelBox
    serial: str
    """Names this opening of the box in addresses."""


@dataclass(frozen=True, slots=True)
class VolumeView(View):
    boxes: tuple[LabelBox, ...]


def box_view(project: Project, id: int, *, origin: str, serial: str, model: int | None = None) -> BoxView:
    """Gather what a label box looks like; without a model, the best one whose map covers the box.

    Raises UsageError when there is no such box or model, InvalidDataError when that model has no map.
    """
    box = label_boxes.get(project.database, id)
    return BoxView(*_common(project, box.volume, origin, model, box.box), box=box, serial=serial)


def volume_view(project: Project, volume: str, *, origin: str, model: int | None = None) -> VolumeView:
    """Gather what a whole volume looks like; without a model, the best one that has a map of it. Raises as above."""
    found = label_boxes.select(project.database, volume=volume)
    boxes = tuple(box for box in found if box.state != State.DROPPED)
    return VolumeView(*_common(project, volume, origin, model, None), boxes=boxes)


def _common(project: Project, volume: str, origin: str, model: int | None, region: Box | None) -> tuple:
    record = project.volume_record(volume)
    channels, contrasts = _look(record, project.folder)
    if model is None:
        model = _best_model(project, volume, region)
    else:
        models.get(project.database, model)
        Maps.open(project.folder, volume, model)
    tiles = len(ledger.done_tiles(project.database, volume, model)) if model else 0
    last = edits.last_number(project.database)
    return origin, record, channels, contrasts, project.classes, model, tiles, last


def _best_model(project: Project, volume: str, region: Box | None) -> int | None:
    """Return the champion if its map shows the region, else the newest model whose map does."""
    listed = sorted(models.models(project.database), key=lambda m: (m.champion, m.number), reverse=True)
    for model in listed:
        tiles = ledger.done_tiles(project.database, volume, model.number)
        if tiles and (region is None or occupancy(region, [*tiles]).all()):
            return model.number
    return None


@functools.lru_cache(maxsize=256)
def _look(record: VolumeRecord, root: Path) -> tuple[tuple[ngff.Channel, ...], tuple[Contrast, ...]]:
    """Return the channels of a volume that are shown, and the contrast of each; raises VolumeError."""
    volume = Volume(record, root)
    channels = [volume.metadata.channels[c] for c in record.channels]
    ranges = _percentiles(volume)
    return tuple(channels), tuple(_contrast(c.window, pair, record.dtype) for c, pair in zip(channels, ranges))


def _contrast(window: tuple[float, float] | None, percentiles: tuple[float, float], dtype: str) -> Contrast:
    """Return the omero window, else the range of nearly all intensities."""
    if window and _chosen(window, dtype):
        return Contrast(*window, exact=True)
    return _fitted(*percentiles, dtype)


def _percentiles(volume: Volume) -> list[tuple[float, float]]:
    """Return a range for each channel that holds nearly all of the coarsest level, and of samples of the working level.

    Averaging narrows the range, so that a coarse level alone would leave finer ones too bright and too dark. Samples
    of a remote image would take too long.
    """
    record, metadata = volume.record, volume.metadata
    coarsest = len(metadata.levels) - 1
    shape, found = metadata.levels[coarsest].shape, []
    small = math.prod(zyx(metadata.order, shape)) * size(metadata.order, shape, "c") <= SMALL_LEVEL
    if small:
        found.append([_range(channel) for channel in volume.read(record.box, coarsest)])
    if not small or not (is_url(record.url) or coarsest == record.level):
        found.append(intensities.sample(record, volume.read_many, PERCENTILES))
    return [(min(low for low, _ in pairs), max(high for _, high in pairs)) for pairs in zip(*found)]


def _range(channel: np.ndarray) -> tuple[float, float]:
    finite = channel[np.isfinite(channel)] if channel.dtype.kind == "f" else channel.ravel()
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite.astype(np.float32), PERCENTILES)
    return float(low), float(high)


def _chosen(window: tuple[float, float], dtype: str) -> bool:
    low, high = window
    full = _limits(dtype)
    return (
        math.isfinite(low) and math.isfinite(high) and low < high and not (full and low <= full[0] and high >= full[1])
    )


def _fitted(low: float, high: float, dtype: str) -> Contrast:
    """Take percentiles as the client takes them: whole numbers within the range of whole ones, and not the same."""
    full = _limits(dtype)
    if full is None:
        return Contrast(low, high if high > low else low + 1.0, exact=False)
    low, high = math.floor(low), math.ceil(high)
    if high <= low:
        low, high = (low, low + 1) if low < full[1] else (low - 1, low)
    return Contrast(low, high, exact=False)


def _limits(dtype: str) -> tuple[float, float] | None:
    """Return the smallest and largest whole number of a data type; None for floats."""
    if dtype.startswith("float"):
        return None
    if dtype == "bool":
        return 0.0, 1.0
    info = np.iinfo(dtype)
    return float(info.min), float(info.max)
