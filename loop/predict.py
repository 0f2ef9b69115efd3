"""How do tiles become maps and bins, in one pass?

A tile is read with its context, normalised, run through the network and cut to what it writes; from the probabilities
come label values, uncertainty and bins while they are still on the device. Tiles whose read boxes lie on the network's
strides and reach as far as it sees give what one pass over the whole volume gives, to rounding.
"""

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
import torch

from ..store.box import ZYX, Box, Tile
from ..store.box import tiles as cut
from ..store.errors import ModelError
from ..store.maps import Maps
from ..store.volume import Volume
from . import compiled
from . import device as devices
from .compiled import Backend
from .device import Device
from .engine import Answer, Engine, Plan, Serial, Write, undone
from .network import NetworkPlan, build, fold, load_state, seeing
from .normalise import Normalisation
from .uncertainty import pooled, summarise

HINT = "lower [predict] memory_gb"
BLANKS = 3
"""Answers to blank tiles that are kept: in a row of tiles the first, those between and the last differ in context."""


class Seen(NamedTuple):
    """What a network makes of an image, on its device."""

    logits: torch.Tensor  # (K, Z, Y, X), float32 or bfloat16
    image: torch.Tensor  # (C, Z, Y, X) float32, normalised
    features: torch.Tensor  # (F, z, y, x) float32, one a stride

    @property
    def probabilities(self) -> torch.Tensor:
        """Compute float32 (K, Z, Y, X)."""
        return self.logits.float().softmax(0)


@dataclass(frozen=True, slots=True)
class Predictor:
    """A network with its weights, on its device, ready to predict."""

    plan: NetworkPlan
    network: torch.nn.Module
    device: Device
    backend: Backend

    @classmethod
    def load(
        cls,
        plan: NetworkPlan,
        arrays: Mapping[str, np.ndarray],
        device: Device,
        backend: Literal["auto", "torch", "openvino"] = "torch",
        cache: Path | None = None,
    ) -> Self:
        """Build the network for prediction, by way of the `cache` folder if there is one.

        Raises ModelError when the weights do not fit, SettingsError when the backend is not to be had.
        """
        network = build(plan, seed=0)
        load_state(network, arrays)
        with devices.memory_guard(HINT):
            placed = devices.place(seeing(fold(network)), device)
        network, chosen = compiled.choose(placed, plan, device, backend, cache)
        return cls(plan, network, device, chosen)

    @torch.inference_mode()
    def forward(self, image: np.ndarray, normalisation: Normalisation) -> Seen:
        """Normalise an image (C, Z, Y, X) and run the network on it."""
        stored = torch.from_numpy(image).to(self.device.type, non_blocking=True)  # as it is: a quarter of the bytes
        scaled = normalisation.apply_(stored.to(torch.float32, copy=True))
        with devices.autocast(self.device):
            logits, features = self.network(devices.arrange(scaled[None], self.network))
        if not logits.sum(dtype=torch.float32).isfinite():
            raise ModelError("the model answers with values that are no numbers", "use another model, or train again")
        return Seen(logits[0], scaled, features.float()[0])


@dataclass(frozen=True, slots=True)
class Output:
    """What a tile's maps and bins are made of."""

    winner: np.ndarray  # (Z, Y, X) uint8 channels
    uncertainty: np.ndarray  # (Z, Y, X) uint8
    bins: np.ndarray  # (S, z, y, x) float32
    probabilities: np.ndarray | None  # (K, Z, Y, X) uint8


@dataclass(frozen=True, slots=True)
class Opened:
    """All that computing tiles takes, open in this process."""

    volume: Volume
    maps: Maps
    predictor: Predictor
    normalisation: Normalisation
    probabilities: bool
    _blanks: dict[tuple, Output] = field(default_factory=dict, repr=False, compare=False)
    """Answers to the last blank tiles, by value, shape of what is read and place of what is written in it."""

    def open(self) -> Self:
        return self

    def read(self, tile: Tile) -> np.ndarray:
        return devices.pinned(self.volume.read_reflected(tile.read), self.predictor.device)

    def compute(self, tile: Tile, image: np.ndarray) -> Write:
        blank = _blank(image)
        key = (blank, image.shape, tile.inner)
        known = self._blanks.pop(key, None) if blank else None
        found = known or self._compute(tile, image)
        if blank:  # a tile like another has its answer, bit by bit
            self._blanks[key] = found
            for oldest in list(self._blanks)[:-BLANKS]:
                del self._blanks[oldest]
        return functools.partial(self._write, tile, found, bool(blank))

    def _write(self, tile: Tile, found: Output, blank: bool) -> Answer:
        classes = np.array(self.maps.plan.labels, np.uint8)[found.winner]
        self.maps.write_tile(tile.write, classes, found.uncertainty, None, found.probabilities)
        return Answer(found.bins, blank)

    def _compute(self, tile: Tile, image: np.ndarray) -> Output:
        devices.prepare(self.predictor.device)  # torch counts the threads of each thread that computes
        with devices.memory_guard(HINT):
            return _compute(self.predictor, image, self.normalisation, tile.inner, self.maps, self.probabilities)


def plan_tiles(maps: Maps, region: Box, write: ZYX, plan: NetworkPlan, halo: ZYX | None = None) -> list[Tile]:
    """Cut a region into tiles of a map that read `halo` around them, by default so much that they are exact.

    The region is grown to whole bins first, so that no bin is ever left half done.
    """
    shape = maps.plan.shape
    return list(cut(shape, region.snap_outwards(maps.plan.bin), write, halo or plan.halo, plan.stride))


def predict(
    volume: Volume,
    maps: Maps,
    predictor: Predictor,
    normalisation: Normalisation,
    *,
    tiles: Sequence[Tile],
    done: set[Box],
    record: Callable[[Tile], None],
    probabilities: bool = False,
    progress: Callable[[float, float, str], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    engine: Engine | None = None,
    plan: Plan | None = None,
    until: float = math.inf,
) -> int:
    """Predict tiles and write them to the maps; those whose write box lies in `done` ones are passed over.

    Returns how many were blank: in context and all of one value, so that the network runs but once for equal ones.
    Tiles after the first are begun no later than `until`, a time of time.monotonic. An engine of other processes needs
    the `plan` by which these open the same. `record` is called with each tile once all of it is on disk. Raises
    Cancelled between tiles when asked to stop, OutOfMemoryError when a tile does not fit the accelerator, SpaceError
    when the disk is full.
    """
    due = undone(tiles, done, maps.plan.bin)
    total = sum(tile.write.voxels for tile in tiles)
    finished, blank = total - sum(tile.write.voxels for tile in due), 0

    def finish(tile: Tile, answer: Answer) -> None:
        nonlocal finished, blank
        maps.write_bins(tile.write, answer.bins)
        record(tile)
        finished += tile.write.voxels
        blank += answer.blank
        if progress:
            progress(finished, total, "voxels")

    in_time = (tile for n, tile in enumerate(due) if n == 0 or time.monotonic() < until)
    plan = plan or Opened(volume, maps, predictor, normalisation, probabilities)
    (engine or Serial()).run(in_time, plan, finish, cancelled)
    return blank


def predict_box(volume: Volume, box: Box, predictor: Predictor, normalisation: Normalisation, write: ZYX) -> np.ndarray:
    """Return the probabilities of one box, float32 (K, Z, Y, X), as a pass over the whole volume gives them.

    `write` is the pitch of the tiles that larger boxes are cut into.
    """
    plan = predictor.plan
    answer = np.empty((plan.classes, *box.shape), np.float32)
    for tile in cut(volume.record.shape, box, write, plan.halo, plan.stride):
        with devices.memory_guard(HINT):
            found = predictor.forward(volume.read_reflected(tile.read), normalisation).probabilities
            answer[(slice(None), *tile.write.relative_to(box).slices)] = found[(slice(None), *tile.inner.slices)].cpu()
    return answer


def _blank(image: np.ndarray) -> tuple[float, ...]:
    """Return the value of each channel of a (C, Z, Y, X) image if each is one value throughout, () otherwise."""
    values = image[:, 0, 0, 0]
    if (image[:, -1, -1, -1] != values).any():  # spares most images the look at all of them
        return ()
    return tuple(values.tolist()) if (image == values[:, None, None, None]).all() else ()


@torch.inference_mode()
def _compute(
    predictor: Predictor, image: np.ndarray, normalisation: Normalisation, inner: Box, maps: Maps, keep: bool
) -> Output:
    seen = predictor.forward(image, normalisation)
    logits, scaled = (part[(slice(None), *inner.slices)] for part in seen[:2])
    found, bins = summarise(logits, scaled[0], maps.plan.bin, keep), []
    if maps.plan.features:
        bins = [pooled(seen.features, predictor.plan.stride, inner, maps.plan.bin)]
    return Output(
        winner=devices.fetch(found.winner),
        uncertainty=devices.fetch(found.unsure),
        bins=devices.fetch(torch.cat([found.bins, *bins])),
        probabilities=None if found.probabilities is None else devices.fetch(found.probabilities),
    )
