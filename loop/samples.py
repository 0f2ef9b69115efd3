"""What does training see? Patches around labelled voxels, drawn live from label boxes, with the image around them.

    volume  ┌──────────────────────┐
    patch   │   ┌───────────┐      │   image of the whole patch, real context where the volume has it
    box     │   │  ┌────────┼─┐    │   labels only where train boxes lie, all of them that the patch meets
            │   └──┼────────┘ │    │
            └──────┴──────────┴────┘

Each step draws from its own random state, made of seed and step, so that a resumed run sees the same patches.
"""

import hashlib
import itertools
import threading
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ..store import voxels
from ..store.box import ZYX, Box
from ..store.errors import LabelError, SettingsError
from ..store.settings import TrainTable
from ..store.volume import Volume
from .network import NetworkPlan
from .normalise import Normalisation

PIECE: ZYX = (64, 64, 64)
"""Boxes are kept in pieces of at most this, so that a patch from a large box costs no more than one from a small."""
BATCH = {2: 8, 3: 2}
SIDES: dict[int, ZYX] = {2: (1, 128, 128), 3: (48, 48, 48)}


@dataclass(frozen=True, slots=True)
class TrainBox:
    """A label box as training takes it: its labels were read once, at the job's start."""

    id: int
    volume: Volume
    normalisation: Normalisation
    box: Box
    labels: np.ndarray
    """uint8 (Z, Y, X) of the box's shape, 0 unlabelled."""
    new: bool
    """Done since the parent model was trained."""

    def __post_init__(self) -> None:
        if self.labels.shape != self.box.shape or self.labels.dtype != np.uint8:
            raise LabelError(
                f"box {self.id} is {self.box.shape}, its labels are {self.labels.dtype} {self.labels.shape}",
                "pass uint8 labels of the box's shape",
            )


class Batch(NamedTuple):
    images: np.ndarray
    """float32 (B, C, Z, Y, X), normalised."""
    labels: np.ndarray
    """uint8 (B, Z, Y, X), 0 unknown."""
    spacing_nm: np.ndarray
    """float64 (B, 3)."""


@dataclass(frozen=True, slots=True)
class Patch:
    """Where a patch lies, and the labelled voxel it was drawn for."""

    volume: Volume
    normalisation: Normalisation
    new: bool
    box: Box
    voxel: ZYX
    label: int


@dataclass(frozen=True, slots=True)
class _Piece:
    volume: Volume
    normalisation: Normalisation
    new: bool
    box: Box
    packed: bytes
    counts: tuple[int, ...]
    """Voxels of each label value 0 to 255."""

    def labels(self) -> np.ndarray:
        return voxels.unpack(self.packed).reshape(self.box.shape)


class Samples:
    """The patches of one training; `batch(step)` is the same however often, and in whatever order, it is asked."""

    def __init__(self, boxes: Sequence[TrainBox], settings: TrainTable, plan: NetworkPlan, seed: int) -> None:
        if not any(b.labels.any() for b in boxes):
            raise LabelError("no train box holds a labelled voxel", "label a box, then train")
        self.boxes = tuple(sorted(b.id for b in boxes))
        self.seed = seed
        self.size = settings.batch or BATCH[plan.dims]
        self.patch = patch_shape(settings, plan, [b.volume.record.shape for b in boxes])
        self._settings = settings
        self._pieces = [p for b in sorted(boxes, key=lambda b: b.id) for p in _pieces(b)]
        counts = np.array([p.counts for p in self._pieces])
        if counts[:, plan.classes + 1 :].any():
            raise LabelError(f"a train box holds labels above {plan.classes}", "declare their [[class]] first")
        self._counts = counts[:, 1 : plan.classes + 1]  # (pieces, classes)
        self._new = np.array([p.new for p in self._pieces])
        self._names = np.array([p.volume.record.name for p in self._pieces])
        self._starts = np.array([p.box.start for p in self._pieces])
        self._stops = np.array([p.box.stop for p in self._pieces])
        self._images = _Images(self.patch, int(settings.cache_gb * 1e9))
        self._lock = threading.Lock()

    @property
    def counts(self) -> tuple[int, ...]:
        """Return the known voxels of each class."""
        return tuple(int(n) for n in self._counts.sum(0))

    def ahead(self, steps: range) -> Generator[Batch, None, None]:
        """Yield the batches of these steps; a thread makes each of them while the one before it is in use.

        The thread ends with the iterator: close one that is left before its end.
        """
        # Alone: threads of its own beside those that compute, waiting for work, took a fifth of a step's time.
        with ThreadPoolExecutor(1, "batches", torch.set_num_threads, (1,)) as thread:
            coming = None
            for step in steps:
                batch = (coming or thread.submit(self.batch, step)).result()
                coming = thread.submit(self.batch, step + 1) if step + 1 in steps else None
                yield batch

    def batch(self, step: int) -> Batch:
        patches = self.draw(step)
        with self._lock:  # the bricks that are kept are not for two threads at once
            read = [self._images.read(p.volume, p.box) for p in patches]
        images = np.stack([p.normalisation.apply(image) for p, image in zip(patches, read)])
        labels = np.stack([self._labels(p) for p in patches])
        return Batch(images, labels, np.array([p.volume.record.spacing_nm for p in patches]))

    def draw(self, step: int) -> list[Patch]:
        """Choose the patches of a step: first new or old, then a class or any, then a voxel, then where it lies."""
        rng = np.random.default_rng([self.seed, step])
        return [self._draw(rng) for _ in range(self.size)]

    def _draw(self, rng: np.random.Generator) -> Patch:
        new, rare = rng.random(2) < (self._settings.new_share, self._settings.rare_share)
        counts = self._counts * (self._new == new)[:, None]
        if not counts.any():
            counts = self._counts
        if rare:
            chosen = rng.choice(np.flatnonzero(counts.any(0)))
            counts = counts * (np.arange(counts.shape[1]) == chosen)
        row, column, rank = _pick(counts, rng)
        piece, label = self._pieces[row], column + 1
        place = np.unravel_index(np.flatnonzero(piece.labels() == label)[rank], piece.box.shape)
        voxel = Box.at([int(v) for v in place], (1, 1, 1)).shift(piece.box.start).start
        box = self._around(voxel, piece.volume.record.shape, rng)
        return Patch(piece.volume, piece.normalisation, piece.new, box, voxel, label)

    def _around(self, voxel: ZYX, shape: ZYX, rng: np.random.Generator) -> Box:
        """Place a patch with the voxel in its middle half, moved inside the volume where that is large enough."""
        start = []
        for v, side, length in zip(voxel, self.patch, shape):
            jitter = int(rng.integers(-(side // 4), side // 4 + 1))
            start.append(min(max(v - side // 2 + jitter, 0), max(length - side, 0)))
        return Box.at(start, self.patch)

    def _labels(self, patch: Patch) -> np.ndarray:
        """Gather the labels of every train box that the patch meets."""
        meets = (self._starts < patch.box.stop).all(1) & (self._stops > patch.box.start).all(1)
        labels = np.zeros(self.patch, np.uint8)
        for index in np.flatnonzero(meets & (self._names == patch.volume.record.name)):
            piece = self._pieces[index]
            common = piece.box.intersect(patch.box)
            values = piece.labels()[common.relative_to(piece.box).slices]
            np.copyto(labels[common.relative_to(patch.box).slices], values, where=values > 0)
        return labels


def patch_shape(settings: TrainTable, plan: NetworkPlan, shapes: Sequence[ZYX]) -> ZYX:
    """Fit the patch to the network's strides and to volumes of these shapes; raises SettingsError when too small."""
    sides = SIDES[plan.dims] if settings.patch == "auto" else settings.patch
    longest = [max(shape[axis] for shape in shapes) for axis in range(3)]
    z, y, x = (-(-min(side, n) // stride) * stride for side, n, stride in zip(sides, longest, plan.stride))
    if (z, y, x) == plan.stride:
        raise SettingsError(
            f"[train] patch {sides} leaves one voxel at the bottom of the network",
            f"double it: {[2 * v for v in sides]}",
        )
    return z, y, x


def hold_out(boxes: Sequence[TrainBox], count: int, seed: int) -> tuple[tuple[TrainBox, ...], tuple[TrainBox, ...]]:
    """Part train boxes into those trained on and `count` that only watch the loss.

    Their order is that of a hash, so a box that was trained on in an earlier round is not held out later.
    """
    if count >= len(boxes):
        raise SettingsError(
            f"[train] hold_out is {count}, but {len(boxes)} train boxes are labelled", "lower it, or label more boxes"
        )
    ordered = sorted(boxes, key=lambda b: hashlib.sha256(f"{seed}/{b.id}".encode()).digest())
    return tuple(ordered[count:]), tuple(ordered[:count])


def _pieces(source: TrainBox) -> list[_Piece]:
    """Cut a box into pieces and keep those that hold a label."""
    corners = itertools.product(*(range(a, b, n) for a, b, n in zip(source.box.start, source.box.stop, PIECE)))
    found = []
    for corner in corners:
        box = Box.at(corner, PIECE).intersect(source.box)
        labels = np.ascontiguousarray(source.labels[box.relative_to(source.box).slices])
        if labels.any():
            counts = np.bincount(labels.ravel(), minlength=256)
            packed = voxels.pack(labels.ravel())
            found.append(_Piece(source.volume, source.normalisation, source.new, box, packed, tuple(counts.tolist())))
    return found


def _pick(counts: np.ndarray, rng: np.random.Generator) -> tuple[int, int, int]:
    """Draw one of all counted voxels evenly; return its row, its column and its rank there."""
    ends = counts.ravel().cumsum()
    drawn = int(rng.integers(ends[-1]))
    cell = int(np.searchsorted(ends, drawn, "right"))
    row, column = divmod(cell, counts.shape[1])
    return row, column, drawn - int(ends[cell] - counts[row, column])


class _Images:
    """Bricks of the volumes in their own dtype, the least recently used leaving when memory is full."""

    def __init__(self, brick: ZYX, limit: int) -> None:
        self._brick = brick
        self._limit = limit
        self._held = 0
        self._bricks: OrderedDict[tuple[str, Box], np.ndarray] = OrderedDict()

    def read(self, volume: Volume, box: Box) -> np.ndarray:
        """Return the image (C, Z, Y, X) of a box, continued by reflection past the volume's end."""
        parts = [range(a // n, -(-b // n)) for a, b, n in zip(box.start, box.stop, self._brick)]
        places = [
            Box.at([i * n for i, n in zip(index, self._brick)], self._brick) for index in itertools.product(*parts)
        ]
        image: np.ndarray | None = None
        for place, brick in zip(places, self._fetch(volume, places)):
            if image is None:
                image = np.empty((len(brick), *box.shape), brick.dtype)
            common = place.intersect(box)
            image[:, *common.relative_to(box).slices] = brick[:, *common.relative_to(place).slices]
        assert image is not None, "a patch is never empty"
        return image

    def _fetch(self, volume: Volume, places: Sequence[Box]) -> Iterator[np.ndarray]:
        """Yield the bricks at these places; those that are not in memory are read a few at a time."""
        name = volume.record.name
        held = {place: self._bricks[name, place] for place in places if (name, place) in self._bricks}
        coming = volume.read_many(place for place in places if place not in held)
        for place in places:
            brick = held[place] if place in held else next(coming)
            self._keep((name, place), brick)
            yield brick

    def _keep(self, key: tuple[str, Box], brick: np.ndarray) -> None:
        self._held += 0 if key in self._bricks else brick.nbytes
        self._bricks[key] = brick
        self._bricks.move_to_end(key)
        while self._held > self._limit and len(self._bricks) > 1:
            self._held -= self._bricks.popitem(last=False)[1].nbytes
