"""How is a model's map of a volume filled: all of it, a region, or cells spread over it?"""

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..store import label_boxes, ledger, maps
from ..store.box import ZYX, Box, Tile
from ..store.maps import MapPlan, Maps
from ..store.project import Project
from ..store.records import LabelBox, State, VolumeRecord
from . import halo as halos
from .engine import undone
from .loaded import Loaded, load, tile_shape
from .pool import cell_shape, cells
from .predict import plan_tiles, predict, predict_box
from .report import Report
from .tile_plan import TilePlan
from .uncertainty import quantise

if TYPE_CHECKING:
    from .cluster import Dask

ISOTROPIC_BOX: ZYX = (32, 32, 32)
FLAT_BOX: ZYX = (1, 128, 128)
THICK = 4.0
"""Where sections are this many times thicker than a pixel, a box is one section."""


def box_shape(project: Project, record: VolumeRecord) -> ZYX:
    """Return the shape of label boxes in a volume."""
    shape = project.settings.boxes.shape
    if shape != "auto":
        return shape
    flat = record.shape[0] == 1 or record.spacing_nm[0] >= THICK * max(record.spacing_nm[1:])
    return FLAT_BOX if flat else ISOTROPIC_BOX


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of a volume is predicted, and from where."""

    voxels: int
    until: float
    """Time of time.monotonic after which no tile is begun."""
    seed: int
    shown: int
    """Boxes of it that will be on show, with their probabilities."""


def region_of(project: Project, record: VolumeRecord) -> Box:
    """Return the part of a volume in which boxes are proposed."""
    return Box.parse(project.settings.volume(record.name).region, record.shape)


def predict_volume(
    project: Project,
    name: str,
    number: int,
    report: Report,
    *,
    probabilities: bool = False,
    region: Box | None = None,
    shown: int = 0,
    dask: "Dask | None" = None,
) -> dict:
    """Predict a volume, or a region of it, going on where an earlier run was stopped; by workers, if there are any.

    A map that was made for another box shape or other classes, or of tiles with less context than is set, is made anew.
    `shown` boxes of it will be on show.
    """
    record, loaded = project.volume_record(name), load(project, number)
    opened = _open_map(project, record, loaded)
    plan, place = loaded.predictor.plan, region or record.box
    halo = halos.chosen(plan, project.settings.predict)
    memory = dask.memory if dask else None
    write = tile_shape(project, record, loaded, opened.plan.chunks, place, halo, memory)
    planned = plan_tiles(opened, place, write, plan, halo)
    began = time.monotonic()
    keep = probabilities or _keeps(project, record, loaded, place.voxels, shown)
    due = _begin(project, opened, planned, keep, halo)
    blank = _predict(project, loaded, opened, planned, report, keep, dask=dask)
    if region is None:
        opened.finish(lambda done, total, unit: report(f"pyramid of {name}", done, total, unit))
    halo = opened.plan.halo or plan.halo
    found = {"model": number, "tiles": len(planned), "computed": due, "blank": blank}
    found |= {"seconds": time.monotonic() - began, "backend": loaded.predictor.backend.name, "halo": halo}
    if halo != plan.halo and region is None:
        report(f"compare with exact tiles of {name}", 0, 1, "samples")
        volume = project.open_volume(name)
        lost = halos.measure(volume, loaded.predictor, loaded.normalisation(record), write, halo)
        found |= {"changed": lost.changed, "difference": lost.difference, "lost": str(lost)}
    return found


def predict_pool(project: Project, name: str, number: int, report: Report, limit: Limit) -> None:
    """Predict cells spread over a volume's region up to a limit, one at least, and the boxes that wait.

    All of the region is predicted where that is no more.
    """
    record, loaded = project.volume_record(name), load(project, number)
    opened = _open_map(project, record, loaded)
    region, chunks = region_of(project, record), opened.plan.chunks
    cell = cell_shape(chunks, region, limit.voxels)
    drawn, voxels = [], 0
    for found in cells(region, cell, limit.seed):
        if voxels >= limit.voxels:
            break
        drawn.append(found)
        voxels += found.voxels
    rows = label_boxes.select(project.database, volume=name, state=(State.PROPOSED, State.OPEN))
    waiting = [row.box for row in rows if not any(place.contains(row.box) for place in drawn)]
    places = [drawn[0], *waiting, *drawn[1:]]
    if sum(place.voxels for place in places) >= region.voxels and math.isinf(limit.until):
        places = [region, *(box for box in waiting if not region.contains(box))]
    plan = loaded.predictor.plan
    halo = halos.chosen(plan, project.settings.predict)
    planned = []
    for place in places:  # each by itself: one that fits at a border, where less is read, is too large elsewhere
        write = tile_shape(project, record, loaded, chunks, place, halo)
        planned += plan_tiles(opened, place, write, plan, halo)
    keep = _keeps(project, record, loaded, voxels, limit.shown)
    _begin(project, opened, planned, keep, halo)
    _predict(project, loaded, opened, planned, report, keep, limit.until)


def _keeps(project: Project, record: VolumeRecord, loaded: Loaded, voxels: int, shown: int) -> bool:
    """Tell whether probabilities are kept: as set, or where boxes on show cost more to predict again, with context.

    What was predicted without them already is not predicted again for their sake.
    """
    if project.settings.predict.probabilities:
        return True
    halo = loaded.predictor.plan.halo
    again = shown * math.prod(n + 2 * context for n, context in zip(box_shape(project, record), halo))
    done, kept = (ledger.done_tiles(project.database, record.name, loaded.number, keep) for keep in (False, True))
    return voxels <= again and done == kept


def _begin(project: Project, opened: Maps, planned: list[Tile], keep: bool, halo: ZYX) -> int:
    """Note the context of the tiles that are not done yet; returns how many there are."""
    done = ledger.done_tiles(project.database, opened.plan.volume, opened.plan.model, keep)
    due = len(undone(planned, done, opened.plan.bin))
    if due:
        opened.note_halo(halo)
    return due


def _predict(
    project: Project,
    loaded: Loaded,
    opened: Maps,
    planned: list[Tile],
    report: Report,
    keep: bool,
    until: float = math.inf,
    dask: "Dask | None" = None,
) -> int:
    name, number = opened.plan.volume, loaded.number
    volume = project.open_volume(name)

    def progress(done: float, total: float, unit: str) -> None:
        by = f"{dask.workers} workers" if dask else loaded.predictor.backend.name
        report(f"predict {name}", done, total, unit, by)

    progress(0, sum(tile.write.voxels for tile in planned), "voxels")
    if keep:
        opened.make_probabilities()
    return predict(
        volume,
        opened,
        loaded.predictor,
        loaded.normalisation(volume.record),
        tiles=planned,
        done=ledger.done_tiles(project.database, name, number, keep),
        probabilities=keep,
        record=lambda tile: ledger.record_tile(project.database, name, number, tile.write, keep),
        progress=progress,
        cancelled=lambda: report.cancelled,
        engine=dask,
        plan=TilePlan.of(project, volume.record, loaded, opened, keep, dask.threads) if dask else None,
        until=until,
    )


def keep_probabilities(project: Project, number: int, boxes: list[LabelBox], report: Report) -> None:
    """Keep the probabilities of boxes that are on show, where the prediction of what is around has not kept them."""
    due = [box for box in boxes if not _kept(project, number, box)]
    if not due:
        return
    loaded = load(project, number)
    for n, box in enumerate(due):
        report("probabilities of the boxes", n, len(due), "boxes")
        volume = project.open_volume(box.volume)
        opened = _open_map(project, volume.record, loaded)
        write = tile_shape(project, volume.record, loaded, opened.plan.chunks, box.box)
        found = predict_box(volume, box.box, loaded.predictor, loaded.normalisation(volume.record), write)
        opened.write_probabilities(box.box, quantise(torch.from_numpy(found)).numpy())


def _kept(project: Project, number: int, box: LabelBox) -> bool:
    """Tell whether all of a box was predicted with its probabilities."""
    tiles = ledger.done_tiles(project.database, box.volume, number, probabilities=True)
    bins = maps.bin_shape(box_shape(project, project.volume_record(box.volume)))
    return not undone([Tile(box.box, box.box)], tiles, bins)


def _open_map(project: Project, record: VolumeRecord, loaded: Loaded) -> Maps:
    exact = loaded.predictor.plan.halo
    wanted = halos.chosen(loaded.predictor.plan, project.settings.predict)
    names = {c.value: (c.name, c.colour) for c in project.classes}
    classes = tuple((v, *names[v]) for v in loaded.labels)
    plan = MapPlan.of(record, loaded.number, box_shape(project, record), classes)
    folder = maps.map_folder(project.folder, record.name, loaded.number)
    if (folder / maps.CARD).exists():
        there = Maps.open(project.folder, record.name, loaded.number).plan
        enough = all(has >= asked for has, asked in zip(there.halo or exact, wanted))
        if enough and (there.shape, there.bin, there.labels) == (plan.shape, plan.bin, plan.labels):
            return Maps.create(project.folder, plan)
    ledger.forget_tiles(project.database, record.name, loaded.number)
    maps.remove(project.folder, record.name, loaded.number)
    return Maps.create(project.folder, plan)
