"""How fast is a training step, and what does a warm start spare? Against MONAI's network and dictionary transforms.

    python benchmarks/bench_train.py [--data ../shared/data] [--seeds 1] [--quick]

Steps of both are timed in turns on the same boxes, patches and batch: rondel's from drawing the patches to the moving
average, MONAI's with the same layers, instance norm, float32 and dictionary transforms from a CacheDataset (no workers:
they would take the cores that the network computes on). In 3-D boxes lie apart, as they do in a volume that is much
larger than they are, and once more side by side, where a patch holds parts of several. The warm start is measured in
steps: a parent is trained on 16 boxes of fib25_medulla, then 8 are added; Dice of membrane in the other half of the
volume is that of the averaged weights after trainings of so many steps each.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tifffile
import torch
from monai.data.dataloader import DataLoader
from monai.data.dataset import CacheDataset
from monai.losses.dice import DiceCELoss
from monai.networks.nets.dynunet import DynUNet
from monai.transforms import compose
from monai.transforms.croppad.dictionary import RandSpatialCropd
from monai.transforms.intensity.dictionary import (
    RandAdjustContrastd,
    RandGaussianNoised,
    RandScaleIntensityd,
    RandShiftIntensityd,
)
from monai.transforms.spatial.dictionary import RandAffined, RandFlipd, RandRotate90d
from rondel.loop import device as devices
from rondel.loop import network as networks
from rondel.loop.augment import augment
from rondel.loop.normalise import Normalisation
from rondel.loop.predict import Predictor, predict_box
from rondel.loop.samples import Samples, TrainBox
from rondel.loop.train import Trained, TrainPlan, plan_training, train
from rondel.store import exporters
from rondel.store.box import Box
from rondel.store.errors import Cancelled
from rondel.store.settings import PredictTable, Settings
from rondel.store.volume import Volume, describe, open_volume

CLASSES = [{"value": 1, "name": "interior", "colour": "#808080"}, {"value": 2, "name": "membrane", "colour": "#e63c3c"}]
BOXES = {3: (32, 32, 32), 2: (1, 128, 128)}
OLD, NEW = 16, 8
GAP = 36
"""Voxels between boxes that lie apart: no patch of 48 with its voxel in the middle half reaches from one to another."""
CONTEXT = {3: (16, 16, 16), 2: (0, 32, 32)}
"""What MONAI's cached crops hold around a box, so that its patches have room to lie in."""
UNTIMED = 10
"""Steps before those that are timed, of either."""
WARM, SCRATCH = (10, 20, 40), (40, 80, 120, 160)
"""Lengths of the trainings whose Dice is compared."""
PARENT = 80


@dataclass(frozen=True)
class Sizes:
    blocks: int
    steps: int
    """Timed steps of a block."""
    train: dict
    network: dict
    score: Box
    warm: tuple[int, ...]
    scratch: tuple[int, ...]
    parent: int


FULL = Sizes(3, 20, {}, {}, Box((140, 40, 40), (204, 200, 200)), WARM, SCRATCH, PARENT)
QUICK = Sizes(2, 2, {"batch": 1}, {"filters": [16, 32, 64]}, Box((140, 40, 40), (172, 104, 104)), (2, 4), (2, 4, 8), 8)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of the comparison of warm start and scratch")
    parser.add_argument("--threads", type=int, default=0, help="threads of the computation; 0: all cores")
    parser.add_argument("--quick", action="store_true", help="a small network and few steps, to see that it runs")
    options = parser.parse_args()
    device = devices.choose(PredictTable(threads=options.threads))
    sizes, data = QUICK if options.quick else FULL, options.data / "fib25_medulla"
    there = (data / "image.ome.tif").exists()
    image, truth = read(data) if there else make_up()
    with tempfile.TemporaryDirectory() as folder:
        for dims, gap in ((3, GAP), (3, 0), (2, 0)):
            case = Case.of(Path(folder), image, truth, dims, sizes, device, gap=gap)
            compare_steps(case, sizes, "apart" if gap else "side by side")
        if there:
            for seed in range(options.seeds):
                compare_starts(Case.of(Path(folder), image, truth, 3, sizes, device, seed), truth, sizes, seed)
        else:
            print(f"warm start against scratch: skipped, {data} is not there")


def read(data: Path) -> tuple[np.ndarray, np.ndarray]:
    image, truth = (tifffile.imread(data / f"{name}.ome.tif") for name in ("image", "labels"))
    return image, truth.astype(np.uint8)


def make_up() -> tuple[np.ndarray, np.ndarray]:
    from rondel.loop.tissue import MEMBRANE, tissue

    image, truth, _ = tissue((160, 160, 160), (10.0, 10.0, 10.0))
    return image, np.where(truth == MEMBRANE, 2, 1).astype(np.uint8)


@dataclass(frozen=True)
class Case:
    """Labelled boxes of one volume, and the network that is trained on them."""

    volume: Volume
    settings: Settings
    boxes: list[TrainBox]
    plan: networks.NetworkPlan
    device: devices.Device
    folder: Path

    @classmethod
    def of(
        cls,
        folder: Path,
        image: np.ndarray,
        truth: np.ndarray,
        dims: int,
        sizes: Sizes,
        device: devices.Device,
        seed: int = 0,
        gap: int = 0,
    ) -> "Case":
        """Label boxes drawn from the first half of the volume, so many voxels apart; the last ones are new."""
        volume = write(folder / "scan.ome.zarr", image)
        settings = Settings.model_validate(
            {"class": CLASSES, "train": sizes.train, "network": {"dims": dims} | sizes.network}
        )
        plan = networks.plan_network(settings.network, volume.record.spacing_nm, image.shape, 1, 2)
        shape, normalisation = BOXES[dims], Normalisation.of(volume.record)
        counts = [(n + gap) // (b + gap) for n, b in zip((image.shape[0] // 2, *image.shape[1:]), shape)]
        places = np.random.default_rng(seed).permutation(np.prod(counts))[: OLD + NEW]
        found = []
        for number, place in enumerate(places, 1):
            index = np.unravel_index(place, counts)
            box = Box.at([int(i) * (b + gap) for i, b in zip(index, shape)], shape)
            found.append(TrainBox(number, volume, normalisation, box, truth[box.slices].copy(), number > OLD))
        return cls(volume, settings, found, plan, device, folder)

    def prepare(self, boxes: list[TrainBox], seed: int, steps: int, parent: str | None) -> tuple[TrainPlan, Samples]:
        table = self.settings.train.model_copy(update={"steps": steps, "more_steps": 0, "checkpoint": 10**6})
        settings = self.settings.model_copy(update={"train": table})
        samples = Samples(boxes, table, self.plan, seed)
        return plan_training(settings, self.plan, samples, edit=0, parent=parent), samples


def write(path: Path, image: np.ndarray) -> Volume:
    if not path.exists():
        exporters.export_ome_zarr(
            path,
            lambda box: image[box.slices],
            name="scan",
            axes="zyx",
            shape=image.shape,
            dtype="uint8",
            spacing_nm=(10.0, 10.0, 10.0),
            translation_nm=(0.0, 0.0, 0.0),
            unit="nanometer",
            kind="image",
        )
    return open_volume(describe("scan", str(path)), path.parent)


@dataclass(frozen=True)
class Cost:
    """Medians of one block's steps."""

    seconds: float
    processor: float


def compare_steps(case: Case, sizes: Sizes, layout: str) -> None:
    """Time blocks of steps of both in turns, and rondel's loading and augmentation by themselves."""
    plan, samples = case.prepare(case.boxes, 0, 10**6, None)
    theirs = monai_steps(case, samples)
    numbers, ours, others, loads = itertools.count(), [], [], []
    for _ in range(sizes.blocks):
        ours.append(time_rondel(case, plan, samples, sizes.steps))
        loads.append(timed(lambda: load(plan, samples, next(numbers)), sizes.steps))
        others.append(timed(lambda: next(theirs), sizes.steps))
    ratios = [other.seconds / own.seconds for own, other in zip(ours, others)]
    spent = [other.processor / own.processor for own, other in zip(ours, others)]
    shares = [share.processor / own.processor for own, share in zip(ours, loads)]
    patches = f"{samples.size} patches of {'x'.join(map(str, samples.patch))}"
    print(f"{case.plan.dims}-D, {len(case.boxes)} boxes {layout}, {patches}, {case.device.name}:")
    for name, costs in (("rondel", ours), ("MONAI, instance norm, float32", others), ("loading, augmentation", loads)):
        wall = statistics.median(c.seconds for c in costs)
        processor = statistics.median(c.processor for c in costs)
        print(f"  {name:<30} {1 / wall:7.2f} steps/s  {1e3 * wall:7.1f} ms  {1e3 * processor:7.1f} CPU ms")
    print(f"  steps/s over MONAI's: {words(ratios)}; CPU seconds: {words(spent)}")
    print(f"  loading and augmentation are {100 * statistics.median(shares):.1f} % of a step's CPU seconds", flush=True)


def words(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})"


def time_rondel(case: Case, plan: TrainPlan, samples: Samples, steps: int) -> Cost:
    """Train as a round does; the first steps, which build the network and find their memory, are not timed."""
    marks: list[tuple[float, float]] = []

    def mark(*_: object) -> None:
        marks.append((time.perf_counter(), time.process_time()))

    checkpoint = case.folder / "checkpoint"
    try:
        train(plan, samples, None, checkpoint, mark, lambda: len(marks) >= UNTIMED + steps, case.device)
    except Cancelled:
        checkpoint.unlink()
    return Cost(*(statistics.median(np.diff([m[k] for m in marks[UNTIMED - 1 :]]).tolist()) for k in range(2)))


def timed(step: Callable[[], object], steps: int) -> Cost:
    """Time steps after as many that are not."""
    seconds, processor = [], []
    for _ in range(UNTIMED + steps):
        wall, spent = time.perf_counter(), time.process_time()
        step()
        seconds.append(time.perf_counter() - wall)
        processor.append(time.process_time() - spent)
    return Cost(statistics.median(seconds[UNTIMED:]), statistics.median(processor[UNTIMED:]))


def load(plan: TrainPlan, samples: Samples, step: int) -> None:
    batch = samples.batch(step)
    augment(
        torch.from_numpy(batch.images), torch.from_numpy(batch.labels), batch.spacing_nm, plan.augment, (0, step, 1)
    )


def monai_steps(case: Case, samples: Samples) -> Iterator[float]:
    """Train MONAI's network as its tutorials do, a step at each `next`."""
    plan, flat = case.plan, case.plan.dims == 2
    patch, axes = samples.patch[3 - plan.dims :], slice(3 - plan.dims, None)
    items = [crop(case, box) for box in case.boxes]
    # As many items as a step needs come from each box, so that no step waits for a new epoch's loader.
    cached = CacheDataset(items * samples.size * 8, transforms(plan.dims, patch), progress=False)
    network = DynUNet(
        spatial_dims=plan.dims,
        in_channels=1,
        out_channels=2,
        kernel_size=[k[axes] for k in plan.kernels],
        strides=[s[axes] for s in plan.strides],
        upsample_kernel_size=[s[axes] for s in plan.strides[1:]],
        filters=plan.filters,
        norm_name="instance",
        res_block=True,
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True)
    while True:
        for batch in DataLoader(cached, batch_size=samples.size, shuffle=True, num_workers=0, drop_last=True):
            images, labels = (batch[name].as_tensor() for name in ("image", "label"))
            assert images.shape[1:] == (1, *patch) and images.ndim == (4 if flat else 5)
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(network(images), labels)
            loss.backward()
            optimizer.step()
            yield float(loss.detach())


def crop(case: Case, box: TrainBox) -> dict[str, np.ndarray]:
    """Cut a box with context, moved into the volume; the labels are those of the box alone, 0 around it."""
    plan = case.plan
    shape = [n + 2 * c for n, c in zip(box.box.shape, CONTEXT[plan.dims])]
    limits = zip(box.box.start, CONTEXT[plan.dims], case.volume.record.shape, shape)
    around = Box.at([min(max(a - c, 0), n - s) for a, c, n, s in limits], shape)
    image = box.normalisation.apply(case.volume.read(around))
    label = np.zeros((1, *shape), np.float32)
    label[0][box.box.relative_to(around).slices] = box.labels == 2
    return {"image": image[:, 0], "label": label[:, 0]} if plan.dims == 2 else {"image": image, "label": label}


def transforms(dims: int, patch: tuple[int, ...]) -> compose.Compose:
    """Return MONAI's counterparts of [augment], with the same shares and ranges."""
    both, planes = ["image", "label"], [(0, 1), (0, 2), (1, 2)][: 1 if dims == 2 else 3]
    return compose.Compose(
        [
            RandSpatialCropd(both, patch, random_size=False),
            *(RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(dims)),
            *(RandRotate90d(both, prob=0.75, spatial_axes=plane) for plane in planes),
            RandAffined(
                both,
                prob=0.3,
                rotate_range=[np.radians(15)] * (1 if dims == 2 else 3),
                scale_range=[0.15] * dims,
                shear_range=[0.05] * (2 if dims == 2 else 6),
                mode=["bilinear", "nearest"],
                padding_mode=["reflection", "zeros"],
            ),
            RandAdjustContrastd(["image"], prob=1.0, gamma=(0.8, 1.25)),
            RandScaleIntensityd(["image"], factors=0.2, prob=1.0),
            RandShiftIntensityd(["image"], offsets=0.1, prob=1.0),
            RandGaussianNoised(["image"], prob=1.0, std=0.03),
        ]
    )


def compare_starts(case: Case, truth: np.ndarray, sizes: Sizes, seed: int) -> None:
    """Print Dice in the other half of the volume after trainings of several lengths, warm and from scratch."""
    old = [box for box in case.boxes if not box.new]
    parent = run(case, old, seed, sizes.parent, None).arrays
    begun = score(case, parent, truth, sizes)
    print(f"membrane Dice, seed {seed}: parent, {sizes.parent} steps on {OLD} boxes {begun:.3f}")
    warm = {n: score(case, run(case, case.boxes, seed, n, parent).arrays, truth, sizes) for n in sizes.warm}
    print("  warm start with 8 more boxes:", ", ".join(f"{n} steps {dice:.3f}" for n, dice in warm.items()), flush=True)
    boxes = [replace(box, new=True) for box in case.boxes]
    scratch = {n: score(case, run(case, boxes, seed, n, None).arrays, truth, sizes) for n in sizes.scratch}
    print("  from scratch on all boxes:", ", ".join(f"{n} steps {dice:.3f}" for n, dice in scratch.items()), flush=True)
    for n, dice in warm.items():
        reached = [steps for steps, other in scratch.items() if other >= dice]
        after = f"{reached[0]} steps ({reached[0] / n:.1f} x)" if reached else f"more than {max(scratch)} steps"
        print(f"  what {n} warm steps reach takes {after} from scratch", flush=True)


def run(case: Case, boxes: list[TrainBox], seed: int, steps: int, parent: dict | None) -> Trained:
    plan, samples = case.prepare(boxes, seed, steps, "parent" if parent else None)
    checkpoint = case.folder / "checkpoint"
    found = train(plan, samples, parent, checkpoint, lambda *_: None, lambda: False, case.device)
    checkpoint.unlink()
    return found


def score(case: Case, arrays: dict[str, np.ndarray], truth: np.ndarray, sizes: Sizes) -> float:
    """Return Dice of membrane where labels are known, in a part of the volume that no box was drawn from."""
    predictor = Predictor.load(case.plan, arrays, case.device)
    normalisation = Normalisation.of(case.volume.record)
    found = predict_box(case.volume, sizes.score, predictor, normalisation, (256, 256, 256)).argmax(0) + 1
    wanted = truth[sizes.score.slices]
    hits = 2 * ((found == 2) & (wanted == 2)).sum()
    return float(hits / (((found == 2) & (wanted > 0)).sum() + (wanted == 2).sum()))


if __name__ == "__main__":
    main()
