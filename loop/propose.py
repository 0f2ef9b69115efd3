"""Which boxes does a round propose? Without a model typical ones, then what the champion's predictions say."""

import math
import time

from ..store import label_boxes
from ..store.box import ZYX
from ..store.maps import Maps
from ..store.project import Project
from ..store.records import LabelBox, Purpose, Round, State, VolumeRecord
from . import first, rank
from .candidates import BinTable
from .mapping import Limit, box_shape, keep_probabilities, predict_pool, predict_volume, region_of
from .normalise import Normalisation
from .report import Report


def propose_boxes(project: Project, current: Round, count: int, reserve: int, report: Report) -> list[int]:
    """Propose train boxes for a round, `reserve` of them extra; returns their ids, fewer when no more fit."""
    wanted = count + reserve
    asked = len(label_boxes.select(project.database, round=current.number))  # so that a second call draws others
    seed = current.seed + 1_000_003 * asked
    if current.model is None:
        found = _typical(project, wanted, seed, report)
    else:
        found = _ranked(project, current, current.model, wanted, seed, report)
    boxes = [_label_box(p, current, Purpose.TRAIN, n >= count) for n, p in enumerate(found)]
    if current.model is not None:
        keep_probabilities(project, current.model, boxes, report)  # first, so that no box is on show without them
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


def _ranked(
    project: Project, current: Round, number: int, wanted: int, seed: int, report: Report
) -> list[rank.Proposal]:
    table = project.settings.rank
    classes = tuple((c.value, c.name) for c in project.classes)
    groups = _by_shape(project)
    found: list[rank.Proposal] = []
    for n, (shape, records) in enumerate(groups):
        share = wanted * (n + 1) // len(groups) - wanted * n // len(groups)
        asked = rank.Wanted(share, shape, table.strategy, table.blank, seed, classes)
        _predict_candidates(project, records, number, asked, current.seed, report)
        bins = [_bins(project, record, number) for record in records]
        report("rank boxes", 0, 1, "boxes")
        found += rank.propose(bins, asked)
    return sorted(found, key=lambda proposal: -proposal.priority)


def _predict_candidates(
    project: Project, records: list[VolumeRecord], number: int, asked: rank.Wanted, seed: int, report: Report
) -> None:
    """Predict what boxes are chosen from: volumes that are no larger than their share of the pool as a whole.

    The pool of a round is the same whenever it is asked for, so that proposing more boxes predicts nothing anew.
    """
    table, began = project.settings.rank, time.monotonic()
    regions = [region_of(project, record) for record in records]
    total = sum(region.voxels for region in regions)
    pool = table.candidates * math.prod(asked.box) or total
    for n, (record, region) in enumerate(zip(records, regions), 1):
        voxels = math.ceil(pool * region.voxels / total)
        until = began + table.within * n / len(records) if table.within else math.inf
        if voxels >= region.voxels and not table.within:
            part = None if region == record.box else region
            predict_volume(project, record.name, number, report, region=part, shown=asked.boxes)
        else:
            limit = Limit(min(voxels, region.voxels), until, seed, asked.boxes)
            predict_pool(project, record.name, number, report, limit)


def _bins(project: Project, record: VolumeRecord, number: int) -> BinTable:
    opened = Maps.open(project.folder, record.name, number)
    there = [box for box in label_boxes.select(project.database, volume=record.name) if box.state != State.DROPPED]
    known = [box.box for box in there if box.purpose == Purpose.TRAIN and box.state != State.SKIPPED]
    plan = opened.plan
    return BinTable(
        volume=record.name,
        shape=record.shape,
        bin=plan.bin,
        names=plan.statistics,
        values=opened.bins(),
        region=region_of(project, record),
        taken=tuple(box.box for box in there),
        known=tuple(known),
    )


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
            region_of(project, record),
            tuple(label_boxes.taken(project.database, record.name)),
        )
        for record in records
    ]


def _draw(project: Project, boxes: int, shape: ZYX, seed: int, clusters: int = 0) -> first.Draw:
    return first.Draw(boxes, shape, project.settings.rank.blank, seed, clusters)


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
