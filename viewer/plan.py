"""What would an op change in its box? Tools meet the box's labels, its image and its prediction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import singledispatch

import numpy as np

from ..store.box import ZYX, Box
from ..store.errors import UsageError
from ..store.records import EditKind
from . import brush, messages, tools

MOST_WORK = 1_500_000_000
"""Voxels that one stroke may have looked at: some seconds, during which nobody else's stroke is answered."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is in view where somebody paints: arrays of the box's shape, read when a tool asks for them."""

    labels: np.ndarray
    """uint8 (Z, Y, X)"""
    spacing: Sequence[float]
    image: Callable[[], np.ndarray]
    """The first channel that the model sees, (Z, Y, X)."""
    classes: Callable[[], np.ndarray]
    """The model's prediction, uint8 (Z, Y, X), 0 where there is none; raises UsageError without a model."""
    probabilities: Callable[[], np.ndarray]
    """uint8 (K, Z, Y, X)"""

    @property
    def shape(self) -> ZYX:
        z, y, x = self.labels.shape
        return z, y, x


@dataclass(frozen=True, slots=True)
class Plan:
    """`values` where `mask` is true, both of the region's shape; the region is in voxels of the box, maybe empty."""

    kind: EditKind
    region: Box
    mask: np.ndarray
    values: np.ndarray

    def changes(self, labels: np.ndarray) -> bool:
        """Tell whether any voxel would become another; what changes nothing is no edit."""
        return bool((labels[self.region.slices] != self.values)[self.mask].any())


@singledispatch
def plan(op: messages.Op, sight: Sight) -> Plan:
    """Work out what an op changes; raises UsageError when it cannot be done here."""
    raise UsageError(f"{type(op).__name__.lower()} is no tool", "reload the page")


@plan.register
def _paint(op: messages.Paint, sight: Sight) -> Plan:
    region, mask = _stroke(op, sight)
    return Plan(EditKind.PAINT if op.value else EditKind.ERASE, region, mask, np.full(mask.shape, op.value, np.uint8))


@plan.register
def _threshold(op: messages.Threshold, sight: Sight) -> Plan:
    region, mask = _stroke(op, sight)
    under, start = brush.rasterise(sight.shape, sight.spacing, op.points[:1], op.radius, op.plane)
    touched = np.zeros(sight.shape, bool)
    touched[under.slices] = start
    image = sight.image()
    margin = op.tolerance * tools.contrast(image) if op.tolerance else 0.0
    mask = tools.within_range(image[region.slices], mask, touched[region.slices], margin)
    return Plan(EditKind.THRESHOLD, region, mask, np.full(mask.shape, op.value, np.uint8))


@plan.register
def _fill(op: messages.Fill, sight: Sight) -> Plan:
    return _whole(EditKind.FILL, sight, tools.fill(sight.labels, _inside(op.at, sight), op.plane), op.value, None)


@plan.register
def _interpolate(op: messages.Interpolate, sight: Sight) -> Plan:
    mask = tools.interpolate(sight.labels, op.axis, op.value, sight.spacing)
    return _whole(EditKind.INTERPOLATE, sight, mask, op.value, op.only or tools.UNLABELLED)


@plan.register
def _copy(op: messages.Copy, sight: Sight) -> Plan:
    if max(op.source, op.to) >= sight.shape[op.axis]:
        raise UsageError(f"slice {max(op.source, op.to)} lies outside the box", "copy between slices of the box")
    mask, values = tools.copy(sight.labels, op.axis, op.source, op.to)
    return _whole(EditKind.COPY, sight, mask, values, op.only)


@plan.register
def _accept(op: messages.Accept, sight: Sight) -> Plan:
    classes = sight.classes()
    at = None if op.at is None else _inside(op.at, sight)
    if op.above is None:
        mask = tools.accept(classes, at)
    else:
        mask = tools.accept(classes, at, sight.probabilities(), op.above)
    return _whole(EditKind.ACCEPT, sight, mask, classes, op.only)


@plan.register
def _empty(op: messages.Empty, sight: Sight) -> Plan:
    return _whole(EditKind.EMPTY, sight, tools.empty(sight.labels), tools.BACKGROUND, None)


def _stroke(op: messages.Paint, sight: Sight) -> tuple[Box, np.ndarray]:
    """Return what the brush covers: with what is repainted in the value it has, since that is said of it too."""
    if brush.work(sight.shape, sight.spacing, op.points, op.radius, op.plane) > MOST_WORK:
        raise UsageError("the stroke is too long for a brush of this size", "lift the pointer now and then")
    region, mask = brush.rasterise(sight.shape, sight.spacing, op.points, op.radius, op.plane)
    if op.only is not None:
        mask &= sight.labels[region.slices] == op.only
    return region, mask


def _whole(kind: EditKind, sight: Sight, mask: np.ndarray, values: np.ndarray | int, only: int | None) -> Plan:
    """Plan a change anywhere in the box, of the voxels that become another."""
    values = np.broadcast_to(np.asarray(values, np.uint8), mask.shape)
    mask = mask & (sight.labels != values)
    if only is not None:
        mask &= sight.labels == only
    return Plan(kind, Box.of_shape(sight.shape), mask, values)


def _inside(at: ZYX, sight: Sight) -> ZYX:
    if any(i >= n for i, n in zip(at, sight.shape)):
        raise UsageError(f"voxel {at} lies outside the box", "point at a voxel of the box")
    return at
