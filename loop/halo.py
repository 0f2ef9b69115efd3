"""What context do tiles of a map read, and what does less than the network sees cost in truth?"""

from dataclasses import dataclass

import numpy as np

from ..store.box import ZYX, Box, tiles
from ..store.settings import PredictTable
from ..store.volume import Volume
from .network import NetworkPlan
from .normalise import Normalisation
from .predict import Predictor, predict_box

SAMPLE = 48
"""Voxels a side of the sample."""


@dataclass(frozen=True, slots=True)
class HaloError:
    """How far answers of tiles with less context lie from exact ones, on a sample where tiles meet."""

    changed: float
    """Share of voxels whose class differs."""
    difference: float
    """Mean absolute difference of probabilities."""

    def __str__(self) -> str:
        return f"{self.changed:.2%} of voxels where tiles meet change class, probabilities by {self.difference:.2g}"


def chosen(plan: NetworkPlan, settings: PredictTable) -> ZYX:
    """Return the context that is set, at most what makes tiles exact."""
    if settings.halo == "exact":
        return plan.halo
    z, y, x = (min(settings.halo, exact) for exact in plan.halo)
    return z, y, x


def measure(volume: Volume, predictor: Predictor, normalisation: Normalisation, write: ZYX, halo: ZYX) -> HaloError:
    """Predict a sample as tiles that write `write` with this context would, and exactly, and compare."""
    plan, shape = predictor.plan, volume.record.shape
    box = sample(shape, write)
    expected = predict_box(volume, box, predictor, normalisation, shape)
    found = np.empty_like(expected)
    for tile in tiles(shape, box.snap_outwards(write), write, halo, plan.stride):
        part = tile.write.intersect(box)
        read = part.grow(plan.halo).intersect(tile.read).snap_outwards(plan.stride)  # what of the tile the part sees
        answer = predictor.forward(volume.read_reflected(read), normalisation).probabilities
        inner = part.relative_to(read).slices
        found[(slice(None), *part.relative_to(box).slices)] = answer[(slice(None), *inner)].cpu()
    changed = found.argmax(0) != expected.argmax(0)
    return HaloError(float(changed.mean()), float(np.abs(found - expected).mean()))


def sample(shape: ZYX, write: ZYX) -> Box:
    """Return a box near the volume's middle, around a corner of tiles along the axes that are cut."""
    corner = [max(round(n / 2 / w), 1) * w if w < n else n // 2 for n, w in zip(shape, write)]
    sides = [min(SAMPLE, n) for n in shape]
    return Box.at([min(max(c - s // 2, 0), n - s) for c, s, n in zip(corner, sides, shape)], sides)
