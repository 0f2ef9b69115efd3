"""A small volume of bright and dark slabs with labelled boxes, and a process that trains on it until done or killed."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy
from rondel.loop.device import Device
from rondel.loop.network import NetworkPlan, plan_network
from rondel.loop.normalise import Normalisation
from rondel.loop.samples import Samples, TrainBox
from rondel.loop.train import Trained, TrainPlan, plan_training, train
from rondel.store import ngff
from rondel.store.box import Box
from rondel.store.settings import Settings
from rondel.store.volume import Volume, describe, open_volume

CPU = Device("cpu", False, 1, "one thread")
CLASSES = [{"value": k + 1, "name": name, "colour": "#808080"} for k, name in enumerate(("dark", "bright", "brighter"))]


def make_volume(
    path: Path, image: np.ndarray, spacing: Sequence[float] = (10, 10, 10), percentiles=(0.5, 99.5)
) -> Volume:
    """Write an image (Z, Y, X) or (C, Z, Y, X) as OME-Zarr and open it as a volume."""
    axes, lead = ("czyx", len(image)) if image.ndim == 4 else ("zyx", 0)
    ngff.create_multiscale(
        path, name=path.stem, axes=axes, shape=image.shape, chunks=(16,) * image.ndim, dtype=str(image.dtype),
        spacing_nm=spacing, unit="nanometer", levels=1, kind="image",
        channels=[ngff.Channel(str(k), "#ffffff", None) for k in range(lead)],
    )  # fmt: skip
    ngff.open_array(path / "s0", write=True)[...].write(image).result()
    channels = list(range(lead)) or None
    return open_volume(describe(path.stem, str(path), channels=channels, percentiles=percentiles), path.parent)


def make_settings(classes: int = 2, network=None, augment=None, loss=None, **train) -> Settings:
    tables = {"network": {"filters": [4, 4, 4]} | (network or {}), "augment": augment or {}, "loss": loss or {}}
    tables["train"] = {"patch": [16, 16, 16], "steps": 12, "checkpoint": 3, "rate": 1e-2} | train
    return Settings.model_validate({"class": CLASSES[:classes], **tables})


def slabs(shape=(32, 32, 32)) -> tuple[np.ndarray, np.ndarray]:
    """Make a noisy image of slabs eight voxels thick along x, and its dense labels 1 and 2."""
    truth = np.broadcast_to(np.arange(shape[2]) // 8 % 2 + 1, shape).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 60, shape)
    return (truth * 80 + noise).astype(np.uint8), truth


def slab_boxes(folder: Path, count: int = 3, new: int = 1) -> list[TrainBox]:
    """Label boxes of 8 x 8 x 16 along the diagonal of a slab volume; the last `new` are new."""
    image, truth = slabs()
    path = folder / "slabs.ome.zarr"
    volume = open_volume(describe("slabs", str(path)), folder) if path.exists() else make_volume(path, image)
    boxes = [Box.at((8 * k, 8 * k, 8 * (k % 3)), (8, 8, 16)) for k in range(count)]
    scale = Normalisation.of(volume.record)
    return [TrainBox(k + 1, volume, scale, b, truth[b.slices], k >= count - new) for k, b in enumerate(boxes)]


def prepare(folder: Path, settings: Settings, parent: str | None = None, seed: int = 0) -> tuple[TrainPlan, Samples]:
    network = plan_slabs(settings)
    samples = Samples(slab_boxes(folder), settings.train, network, seed)
    return plan_training(settings, network, samples, edit=1, parent=parent), samples


def plan_slabs(settings: Settings) -> NetworkPlan:
    return plan_network(settings.network, (10, 10, 10), (32, 32, 32), 1, len(settings.classes))


def run(folder: Path, settings: Settings, checkpoint: Path, initial=None, parent=None, **calls) -> Trained:
    plan, samples = prepare(folder, settings, parent)
    calls = {"report": lambda *_: None, "cancelled": lambda: False} | calls
    return train(plan, samples, initial, checkpoint, calls["report"], calls["cancelled"], CPU)


def main(folder: Path, steps: int) -> None:
    """Print each step as it is done, and write the weights at the end."""
    found = run(
        folder, make_settings(steps=steps), folder / "checkpoint", report=lambda step, *_: print(step, flush=True)
    )
    (folder / "weights").write_bytes(safetensors.numpy.save(found.arrays))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
