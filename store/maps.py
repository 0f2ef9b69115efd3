"""Where is a model's output on a volume, and what are the statistics of a bin?

    maps/<volume>/<model>/map.json                what the map was made for
                          classes.ome.zarr        uint8 label values, 0 not predicted
                          uncertainty.ome.zarr    uint8 round(255·H/ln K)
                          probabilities.ome.zarr  uint8 round(255·p), c z y x; made when first written
                          bins.npy                float16 (statistic, z, y, x)

All cover the whole volume from the start and hold only what was written; which tiles are done is rows in the database.
An array of very many chunks is made of shards (shards.py); one that was made before goes on as it is.
A bin's statistics are means over its voxels, rounded to float16 (relative error at most 2^-11); 0 of "valid" is not
predicted. A map.json that does not say how many features they hold is of before there were any. The bins are written
row by row at their place in the file, so that a tile costs only its own bins, and a full disk is an error rather than a
crash, as it would be through a memory map.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from . import ngff, pyramid
from .atomic import write_bytes
from .beside import NO_SPACE, NO_SPACE_TEXTS, appear
from .box import ZYX, Box
from .errors import InvalidDataError, SpaceError, UsageError
from .labels import label_chunks
from .records import VolumeRecord

if TYPE_CHECKING:
    import tensorstore

BIN = 16
FEATURES = 8
CARD, BINS = "map.json", "bins.npy"
CLASSES, UNCERTAINTY, PROBABILITIES = "classes.ome.zarr", "uncertainty.ome.zarr", "probabilities.ome.zarr"


@dataclass(frozen=True, slots=True)
class MapPlan:
    """What a map is made for."""

    volume: str
    model: int
    shape: ZYX
    bin: ZYX
    classes: tuple[tuple[int, str, str], ...]
    """Label value, name and #rrggbb of each network channel, in the channels' order."""
    spacing_nm: tuple[float, float, float]
    translation_nm: tuple[float, float, float]
    unit: str
    features: int = 0
    """How many features of the network are kept of a bin."""
    halo: ZYX | None = None
    """The least context that tiles of it read; None is all that the network sees."""

    @classmethod
    def of(cls, record: VolumeRecord, model: int, box: Sequence[int], classes: Sequence[tuple[int, str, str]]) -> Self:
        """Plan the map of a volume whose label boxes have this shape."""
        place = (record.spacing_nm, record.translation_nm, record.unit)
        return cls(record.name, model, record.shape, bin_shape(box), tuple(classes), *place, FEATURES)

    @property
    def labels(self) -> tuple[int, ...]:
        return tuple(value for value, _, _ in self.classes)

    @property
    def statistics(self) -> tuple[str, ...]:
        return statistics(self.labels, self.features)

    @property
    def chunks(self) -> ZYX:
        return label_chunks(self.shape)


def bin_shape(box: Sequence[int]) -> ZYX:
    """Return the bin of which a label box is a whole number: 16 voxels along an axis where that divides it."""
    z, y, x = (math.gcd(n, BIN) for n in box)
    return z, y, x


def statistics(labels: Sequence[int], features: int = 0) -> tuple[str, ...]:
    """Name the statistics of a bin in their order.

    valid: share of its voxels that is predicted. entropy: mean of H/ln K. mean, deviation: of the normalised
    intensities of the first channel. entropy:L: mean of p·H/ln K of a class. fraction:L: share of voxels where it wins.
    feature:N: mean of what the network sees at its bottom, as `loop.network` projects it.
    """
    weighted, fractions = (tuple(f"{what}:{label}" for label in labels) for what in ("entropy", "fraction"))
    seen = (f"feature:{n}" for n in range(features))
    return ("valid", "entropy", "mean", "deviation", *weighted, *fractions, *seen)


@dataclass(frozen=True, slots=True)
class Bins:
    """The statistics (S, z, y, x) of a map, read part by part: `bins[1, 4:6]` is an array of its own.

    Nothing stays mapped, since the pages of a lasting map count as memory of the process that walks through it.
    """

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int

    @classmethod
    def of(cls, path: Path) -> Self:
        found = np.load(path, mmap_mode="r")
        return cls(path, found.dtype, found.shape, found.offset)

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.array(np.memmap(self.path, self.dtype, "r", self.offset, self.shape)[index])


def map_folder(root: Path, volume: str, model: int) -> Path:
    return root / "maps" / volume / f"{model:04d}"


class Maps:
    """An open map. Boxes are in voxels of the working level and lie inside the volume."""

    def __init__(self, folder: Path, plan: MapPlan) -> None:
        self.folder = folder
        self.plan = plan
        self._arrays: dict[tuple[str, bool], tensorstore.TensorStore] = {}

    @classmethod
    def open(cls, root: Path, volume: str, model: int) -> Self:
        """Open a map of a project folder; raises InvalidDataError when there is none."""
        folder = map_folder(root, volume, model)
        try:
            card = {"features": 0, "halo": None} | json.loads((folder / CARD).read_text("utf-8"))
            fields = {k: _tuples(card[k]) for k in MapPlan.__dataclass_fields__}
        except (OSError, ValueError, KeyError) as error:
            raise InvalidDataError(
                f"model {model} has no map of '{volume}': {type(error).__name__}", f"run 'rondel predict {volume}'"
            ) from None
        return cls(folder, MapPlan(**fields))

    @classmethod
    def create(cls, root: Path, plan: MapPlan) -> Self:
        """Make an empty map, or open the one that was made for the same shape, bins and label values.

        Raises InvalidDataError when there is one that was made for others. Only the compute job makes maps.
        """
        folder = map_folder(root, plan.volume, plan.model)
        if (folder / CARD).exists():
            maps = cls.open(root, plan.volume, plan.model)
            _check_same(maps.plan, plan)
            return maps
        for left in (folder, *folder.parent.glob(f".{folder.name}.*")):  # by a killed job
            shutil.rmtree(left, ignore_errors=True)
        with appear(folder) as beside:
            beside.mkdir()
            _create_arrays(beside, plan)
            write_bytes(beside / CARD, json.dumps(asdict(plan), indent=1).encode())
        return cls(folder, plan)

    def note_halo(self, halo: ZYX) -> None:
        """Note that tiles to come read so much context, where others read more."""
        z, y, x = (min(*axis) for axis in zip(self.plan.halo or halo, halo))
        if self.plan.halo != (z, y, x):
            for left in self.folder.glob(f".{CARD}.*.partial"):  # by a job that was killed as it noted this
                left.unlink(missing_ok=True)
            self.plan = replace(self.plan, halo=(z, y, x))
            write_bytes(self.folder / CARD, json.dumps(asdict(self.plan), indent=1).encode())

    def write_tile(
        self,
        box: Box,
        classes: np.ndarray,
        uncertainty: np.ndarray,
        bins: np.ndarray | None,
        probabilities: np.ndarray | None = None,
    ) -> None:
        """Write one tile: uint8 (Z, Y, X) twice, (S, bins z, y, x), uint8 (K, Z, Y, X). It is on disk on return.

        Without its bins these are left to `write_bins`: several processes may write the voxels of different tiles at
        once, but only one the bins. Raises UsageError unless the box lies on the bin grid, so that no bin belongs to
        two tiles.
        """
        _check_on_bins(box, self.plan)
        parts = {CLASSES: classes, UNCERTAINTY: uncertainty}
        if probabilities is not None:
            self.make_probabilities()
            parts[PROBABILITIES] = probabilities
        with _space(self.folder):
            writes = [self._array(name, write=True)[(..., *box.slices)].write(v) for name, v in parts.items()]
            for written in writes:
                written.result()
        if bins is not None:
            self.write_bins(box, bins)

    def write_bins(self, box: Box, bins: np.ndarray) -> None:
        """Write the bins of one tile, (S, bins z, y, x), to their place in the file; they are on disk on return."""
        counts = _bin_counts(self.plan)
        z0, y0, x0 = (a // b for a, b in zip(box.start, self.plan.bin))
        values = np.ascontiguousarray(bins, "<f2")
        with _space(self.folder), (self.folder / BINS).open("r+b", buffering=0) as file:
            for s, z, y in np.ndindex(values.shape[:3]):
                place = ((s * counts[0] + z0 + z) * counts[1] + y0 + y) * counts[2] + x0
                os.pwrite(file.fileno(), values[s, z, y].tobytes(), self._bins_offset + 2 * place)
            os.fsync(file.fileno())

    def write_probabilities(self, box: Box, probabilities: np.ndarray) -> None:
        """Keep the probabilities of one box, uint8 (K, Z, Y, X)."""
        self.make_probabilities()
        with _space(self.folder):
            self._array(PROBABILITIES, write=True)[(..., *box.slices)].write(probabilities).result()

    def read_classes(self, box: Box) -> np.ndarray:
        return self._read(CLASSES, box)

    def read_uncertainty(self, box: Box) -> np.ndarray:
        return self._read(UNCERTAINTY, box)

    def read_probabilities(self, box: Box) -> np.ndarray:
        """Return uint8 (K, Z, Y, X); raises InvalidDataError unless all of the box was kept."""
        # Probabilities of a voxel sum to about 255, so nothing but 0 can only be what was never written.
        found = self._read(PROBABILITIES, box) if self._has(PROBABILITIES) else np.zeros((1, 1, 1, 1), np.uint8)
        if not found.any(0).all():
            raise InvalidDataError(
                f"probabilities of {box} in '{self.plan.volume}' were not kept",
                f"run 'rondel predict {self.plan.volume} --probabilities'",
            )
        return found

    def bins(self) -> Bins:
        """Return the statistics (S, z, y, x) to be read; `plan.statistics` names the first axis."""
        return Bins.of(self.folder / BINS)

    def finish(self, progress: Callable[[float, float, str], None] | None = None) -> None:
        """Make the coarser levels; worth it once the whole volume is predicted."""
        for name in (CLASSES, UNCERTAINTY, PROBABILITIES):
            if self._has(name):
                pyramid.build(self.folder / name, progress)

    def _has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def _read(self, name: str, box: Box) -> np.ndarray:
        if not Box.of_shape(self.plan.shape).contains(box):
            raise UsageError(f"box {box} reaches outside '{self.plan.volume}' of shape {self.plan.shape}")
        return np.asarray(self._array(name)[(..., *box.slices)].read().result())

    def _array(self, name: str, *, write: bool = False) -> "tensorstore.TensorStore":
        if (name, write) not in self._arrays:
            self._arrays[name, write] = ngff.open_array(self.folder / name / "s0", write=write)
        return self._arrays[name, write]

    def make_probabilities(self) -> None:
        """Make the array of probabilities where there is none; before several processes write to it."""
        if not self._has(PROBABILITIES):
            channels = [ngff.Channel(name, colour, (0.0, 255.0)) for _, name, colour in self.plan.classes]
            plan = self.plan
            _create(self.folder / PROBABILITIES, plan, "mean", lead=(len(channels),), channels=channels)

    @cached_property
    def _bins_offset(self) -> int:
        return self.bins().offset


def remove(root: Path, volume: str, model: int) -> None:
    """Remove a map, so that it can be predicted anew; forget its tiles first."""
    folder = map_folder(root, volume, model)
    beside = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(beside, ignore_errors=True)
    if folder.exists():
        folder.rename(beside)
        shutil.rmtree(beside)


def _create_arrays(folder: Path, plan: MapPlan) -> None:
    _create(folder / CLASSES, plan, "mode", label=ngff.LabelMetadata(plan.classes, ""))
    _create(folder / UNCERTAINTY, plan, "mean")
    shape = (len(plan.statistics), *_bin_counts(plan))
    with (folder / BINS).open("xb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + 2 * math.prod(shape))  # sparse: bins that were never written read as 0
        file.flush()
        os.fsync(file.fileno())


def _create(path: Path, plan: MapPlan, kind: Any, lead: tuple[int, ...] = (), **more: Any) -> None:
    ngff.create_multiscale(
        path,
        name=f"{plan.volume}-model-{plan.model}",
        axes="czyx" if lead else "zyx",
        shape=(*lead, *plan.shape),
        chunks=(*(1 for _ in lead), *plan.chunks),
        dtype="uint8",
        spacing_nm=plan.spacing_nm,
        translation_nm=plan.translation_nm,
        unit=plan.unit,
        levels=len(ngff.level_factors(plan.shape, plan.spacing_nm)),
        kind=kind,
        written="tiles",
        **more,
    )


def _bin_counts(plan: MapPlan) -> ZYX:
    z, y, x = (-(-n // b) for n, b in zip(plan.shape, plan.bin))
    return z, y, x


def _check_same(found: MapPlan, wanted: MapPlan) -> None:
    for field in ("shape", "bin", "labels"):
        if getattr(found, field) != getattr(wanted, field):
            raise InvalidDataError(
                f"the map of model {found.model} on '{found.volume}' has {field} {getattr(found, field)}, "
                f"wanted is {getattr(wanted, field)}",
                "remove that map to predict it anew",
            )


def _check_on_bins(box: Box, plan: MapPlan) -> None:
    for a, b, step, n in zip(box.start, box.stop, plan.bin, plan.shape):
        if a % step or (b % step and b != n) or not 0 <= a < b <= n:
            raise UsageError(f"tile {box} does not lie on the bins {plan.bin} of '{plan.volume}'", "cut it by the bins")


@contextmanager
def _space(folder: Path) -> Iterator[None]:
    """Tell a full disk or a read-only place from other failures; tensorstore reports both as ValueError."""
    try:
        yield
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) in NO_SPACE or any(text in str(error) for text in NO_SPACE_TEXTS):
            raise SpaceError(f"{folder} could not be written", "free space, then run it again to go on") from error
        raise


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
