"""Which boxes does a round propose? Without a model typical ones, then what the champion's predictions say."""

import time

from ..store import label_boxes, ledger, maps
from ..store.box import ZYX, Box
from ..store.maps import MapPlan, Maps
from ..store.project import Project
from ..store.records import LabelBox, Purpose, Round, State, VolumeRecord
from . import first, rank
from .candidates import BinTable
from .loaded import Loaded, load, tile_shape
from .normalise import Normalisation
from .predict import plan_tiles, predict, predict_box, quantise
from .report import Report

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


def propose_boxes(project: Project, current: Round, count: int, reserve: int, report: Report) -> list[int]:
    """Propose train boxes for a round, `reserve` of them extra; returns their ids, fewer when no more fit."""
    wanted = count + reserve
    asked = len(label_boxes.select(project.database, round=current.number))  # so that a second call draws others
    seed = current.seed + 1_000_003 * asked
    if current.model is None:
        found = _typical(project, wanted, seed, report)
    else:
        found = _ranked(project, current.model, wanted, seed, report)
    boxes = [_label_box(p, current, Purpose.TRAIN, n >= count) for n, p in enumerate(found)]
    if current.model is not None:
        _keep_probabilities(project, current.model, boxes, report)  # first, so that no box is on show without them
    return label_boxes.add(project.database, boxes)


def propose_test_boxes(project: Project, current: Round, count: int, report: Report) -> list[int]:
    """Propose boxes that will never be trained on, at random but spread over volumes and space."""
    report("draw test boxes", 0, 1, "boxes")
    groups = _by_shape(project)
    found: list[rank.Proposal] = []
    for n, (shape, records) in enumerate(groups):
        share = count * (n + 1) // len(groups) - count * n // len(groups)
        found += first.propose_test(_sources(project, records), _draw(project, share, shape, current.seed))
    return label_boxes.add(project.database, [_label_box(p, current, Purpose.TEST, False) for p in found])


def predict_volume(
    project: Project,
    name: str,
    number: int,
    report: Report,
    *,
    probabilities: bool = False,
    region: Box | None = None,
) -> dict:
    """Predict a volume, or a region of it, going on where an earlier run was stopped.

    A map that was made for another box shape or other classes is made anew.
    """
    record, loaded = project.volume_record(name), load(project, number)
    opened = _open_map(project, record, loaded)
    keep = probabilities or project.settings.predict.probabilities
    write = tile_shape(project, record, loaded, opened.plan.chunks, region or record.box)
    planned = plan_tiles(opened, region or record.box, write, loaded.predictor.plan)
    began = time.monotonic()
    predict(
        project.open_volume(name),
        opened,
        loaded.predictor,
        loaded.normalisation(record),
        tiles=planned,
        done=ledger.done_tiles(project.database, name, number, keep),
        probabilities=keep,
        record=lambda tile: ledger.record_tile(project.database, name, number, tile.write, keep),
        progress=lambda done, total, unit: report(f"predict {name}", done, total, unit),
        cancelled=lambda: report.cancelled,
    )
    if region is None:
        opened.finish(lambda done, total, unit: report(f"pyramid of {name}", done, total, unit))
    return {"model": number, "tiles": len(planned), "seconds": time.monotonic() - began}


def _typical(project: Project, wanted: int, seed: int, report: Report) -> list[rank.Proposal]:
    def progress(done: float, total: float, unit: str) -> None:
        report("look for typical boxes", done, total, unit)

    groups = _by_shape(project)
    found: list[rank.Proposal] = []
    for n, (shape, records) in enumerate(groups):
        share = wanted * (n + 1) // len(groups) - wanted * n // len(groups)
        draw = _draw(project, share, shape, seed, project.settings.rank.clusters)
        found += first.propose_typical(_sources(project, records), draw, progress)
    return sorted(found, key=lambda proposal: -proposal.priority)


def _ranked(project: Project, number: int, wanted: int, seed: int, report: Report) -> list[rank.Proposal]:
    table = project.settings.rank
    classes = tuple((c.value, c.name) for c in project.classes)
    groups = _by_shape(project)
    found: list[rank.Proposal] = []
    for n, (shape, records) in enumerate(groups):
        share = wanted * (n + 1) // len(groups) - wanted * n // len(groups)
        bins = []
        for record in records:
            region = _region(project, record)
            predict_volume(project, record.name, number, report, region=None if region == record.box else region)
            bins.append(_bins(project, record, number, region))
        report("rank boxes", 0, 1, "boxes")
        found += rank.propose(bins, rank.Wanted(share, shape, table.strategy, table.blank, seed, classes))
    return sorted(found, key=lambda proposal: -proposal.priority)


def _keep_probabilities(project: Project, number: int, boxes: list[LabelBox], report: Report) -> None:
    """Keep the probabilities of boxes that are on show."""
    loaded = load(project, number)
    for n, box in enumerate(boxes):
        report("probabilities of the boxes", n, len(boxes), "boxes")
        volume = project.open_volume(box.volume)
        opened = _open_map(project, volume.record, loaded)
        write = tile_shape(project, volume.record, loaded, opened.plan.chunks, box.box)
        found = predict_box(volume, box.box, loaded.predictor, loaded.normalisation(volume.record), write)
        opened.write_probabilities(box.box, quantise(found))


def _open_map(project: Project, record: VolumeRecord, loaded: Loaded) -> Maps:
    names = {c.value: (c.name, c.colour) for c in project.classes}
    classes = tuple((v, *names[v]) for v in loaded.labels)
    plan = MapPlan.of(record, loaded.number, box_shape(project, record), classes)
    folder = maps.map_folder(project.folder, record.name, loaded.number)
    if (folder / maps.CARD).exists():
        there = Maps.open(project.folder, record.name, loaded.number).plan
        if (there.shape, there.bin, there.labels) == (plan.shape, plan.bin, plan.labels):
            return Maps.create(project.folder, plan)
    ledger.forget_tiles(project.database, record.name, loaded.number)
    maps.remove(project.folder, record.name, loaded.number)
    return Maps.create(project.folder, plan)


def _bins(project: Project, record: VolumeRecord, number: int, region: Box) -> BinTable:
    opened = Maps.open(project.folder, record.name, number)
    taken = tuple(label_boxes.taken(project.database, record.name))
    plan = opened.plan
    return BinTable(record.name, record.shape, plan.bin, plan.statistics, opened.bins(), region, taken)


def _by_shape(project: Project) -> list[tuple[ZYX, list[VolumeRecord]]]:
    """Group the volumes in which boxes are proposed by the shape that their boxes have."""
    groups: dict[ZYX, list[VolumeRecord]] = {}
    for record in project.volumes():
        if project.settings.volume(record.name).propose:
            groups.setdefault(box_shape(project, record), []).append(record)
    return list(groups.items())


def _sources(project: Project, records: list[VolumeRecord]) -> list[first.Source]:
    return [
        first.Source(
            project.open_volume(record.name),
            Normalisation.of(record),
            _region(project, record),
            tuple(label_boxes.taken(project.database, record.name)),
        )
        for record in records
    ]


def _draw(project: Project, boxes: int, shape: ZYX, seed: int, clusters: int = 0) -> first.Draw:
    return first.Draw(boxes, shape, project.settings.rank.blank, seed, clusters)


def _region(project: Project, record: VolumeRecord) -> Box:
    return Box.parse(project.settings.volume(record.name).region, record.shape)


def _label_box(proposal: rank.Proposal, current: Round, purpose: Purpose, reserve: bool) -> LabelBox:
    return LabelBox(
        0,
        proposal.volume,
        proposal.box,
        current.number,
        purpose,
        State.PROPOSED,
        proposal.priority,
        proposal.reason,
        proposal.strategy,
        reserve,
    )
