"""What does ranking cost from bins, against entropy of every voxel and an integral image?

    python benchmarks/bench_rank.py [--size 256] [--turns 5] [--fields 5] [--table 1e13] [--folder PLACE] [--quick]

Three things. The 50 boxes of the highest mean entropy that do not overlap, among the same candidates (32 cubed, half a
box apart): by `rondel` from a map's bins, by numpy from the probabilities of every voxel with a float64 integral image,
and the same with scikit-image's. Then what the bins add to a forward pass of the default network. Then a ranking
of the bins of an imagined table of 1e13 voxels, bins of 32 cubed, boxes of 64 cubed.

Each figure is of a fresh process, the ways in turns; CPU seconds leave out imports and the making of the input. The
numpy ways find their probabilities in memory. Bins are float16, so means that differ by less than that rounding may
trade places: how many of the 50 agree is printed for several fields, and how far apart the means of those are that do.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.ma  # numpy loads it, and numpy.random, when first used: that is no part of a ranking
import numpy.random

if TYPE_CHECKING:
    from rondel.loop.rank import Wanted

BOX, TOP = (32, 32, 32), 50
CLASSES = ((1, "background", "#808080"), (2, "membrane", "#e63c3c"))
TABLE_BIN, TABLE_BOX = (32, 32, 32), (64, 64, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--fields", type=int, default=5, help="random fields whose 50 boxes are compared")
    parser.add_argument("--table", type=float, default=1e13, help="voxels of the imagined table")
    parser.add_argument("--folder", type=Path, help="where files are made (3 GB for 1e13 voxels); a temporary folder")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.size, options.turns, options.fields, options.table = 128, 2, 2, 1e10
    if options.part:
        print(json.dumps(PARTS[options.part](options)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        options.folder = Path(folder)
        compare(options)
        share(options)
        imagine(options)


def fresh(part: str, options: argparse.Namespace, seed: int = 0) -> dict[str, Any]:
    """Run one part in a process of its own."""
    words = ["--part", part, "--folder", str(options.folder), "--seed", str(seed)]
    words += ["--size", str(options.size), "--turns", str(options.turns), "--table", str(options.table)]
    done = subprocess.run([sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def compare(options: argparse.Namespace) -> None:
    ways = ("rondel", "numpy", "skimage")
    for seed in range(options.fields):
        fresh("make", options, seed)
        found = {way: fresh(way, options, seed) for way in ways[:2]}
        print(f"field {seed}: {agreement(found['rondel']['top'], found['numpy']['top'], found['numpy']['means'])}")
    fresh("make", options)
    turns = [{way: fresh(way, options) for way in ways} for _ in range(options.turns)]
    middle = {way: statistics.median(turn[way]["cpu"] for turn in turns) for way in ways}
    for way in ways:
        wall, peak = (statistics.median(turn[way][what] for turn in turns) for what in ("wall", "peak"))
        print(f"{way:8} {middle[way]:8.4f} CPU-s, {wall:8.4f} s, peak {peak / 1e9:.2f} GB")
    for way in ways[1:]:
        ratio = statistics.median(turn[way]["cpu"] / turn["rondel"]["cpu"] for turn in turns)
        print(f"{way} takes {ratio:.0f} times the CPU seconds of rondel ({options.size} cubed)")


def agreement(ours: list, theirs: list, means: list[float]) -> str:
    """Say how far two lists of boxes agree; `means` are those of `theirs`, in its order."""
    places = sum(a == b for a, b in zip(ours, theirs))
    true = {tuple(box): mean for box, mean in zip(theirs, means)}
    apart = [abs(true[tuple(box)] - mean) for box, mean in zip(ours, means) if tuple(box) in true]
    words = f"{len(apart)} of {len(theirs)} boxes the same, {places} in the same place"
    return f"{words}, means at most {max(apart, default=0):.1e} apart"


def share(options: argparse.Namespace) -> None:
    for backend in ("torch", "openvino") if find_spec("openvino") else ("torch",):
        found = fresh(f"share-{backend}", options)
        print(f"{backend}: forward {found['forward']:.3f} CPU-s, ", end="")
        print(f"bins {found['bins']:.4f} ({found['share']:.2%}), classes and entropy for the maps {found['maps']:.4f}")


def imagine(options: argparse.Namespace) -> None:
    made = fresh("make-table", options)
    print(f"table of {options.table:.0e} voxels: bins {made['shape']}, {made['bytes'] / 1e9:.2f} GB")
    for way in ("table-entropy", "table-foreground", "table-diverse"):
        found = fresh(way, options)
        print(f"{way}: {found['count']} boxes of {found['candidates']} candidates, {found['cpu']:.0f} CPU-s, ", end="")
        print(f"{found['wall']:.0f} s, peak {found['peak'] / 1e6:.0f} MB ({found['start'] / 1e6:.0f} MB of imports)")


def make(options: argparse.Namespace) -> dict:
    """Make probabilities of two classes with uncertain bands of many widths, and their map's bins by rondel's means."""
    import torch
    from rondel.loop.uncertainty import summarise
    from rondel.store.box import Box, tiles
    from rondel.store.maps import MapPlan, Maps, map_folder
    from scipy import ndimage

    rng = np.random.default_rng(options.seed)
    coarse = rng.normal(0, 3, (options.size // 16,) * 3).astype(np.float32)
    foreground = 1 / (1 + np.exp(-np.asarray(ndimage.zoom(coarse, 16, order=1))))
    probabilities = np.stack([1 - foreground, foreground])
    np.save(options.folder / "probabilities.npy", probabilities)
    shape = probabilities.shape[1:]
    for old in map_folder(options.folder, "scan", 1).glob("map.json"):
        old.unlink()  # so that the map is made anew
    plan = MapPlan("scan", 1, shape, (16, 16, 16), CLASSES, (10.0, 10.0, 10.0), (0.0, 0.0, 0.0), "nanometer")
    maps = Maps.create(options.folder, plan)
    for tile in tiles(shape, Box.of_shape(shape), (64, 64, 64), (0, 0, 0), (1, 1, 1)):
        part = torch.from_numpy(probabilities[(slice(None), *tile.write.slices)])
        image = torch.from_numpy(rng.random(tile.write.shape, np.float32))
        maps.write_bins(tile.write, summarise(part.log(), image, plan.bin).bins.numpy())
    return {}


@contextmanager
def measured() -> Iterator[dict[str, Any]]:
    """Fill in CPU seconds, seconds and the process's largest memory."""
    found: dict[str, Any] = {"start": memory()}
    cpu, wall = time.process_time(), time.perf_counter()
    yield found
    found |= {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "peak": memory()}


def memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def wanted(strategy: str, box: tuple[int, int, int]) -> "Wanted":
    from rondel.loop.rank import Wanted

    return Wanted(TOP, box, strategy, 0.01, 1, tuple((value, name) for value, name, _ in CLASSES))


def rank_bins(options: argparse.Namespace) -> dict:
    from rondel.loop.candidates import BinTable
    from rondel.loop.rank import propose
    from rondel.store.box import Box
    from rondel.store.maps import Maps

    question = wanted("entropy", BOX)
    with measured() as found:
        maps = Maps.open(options.folder, "scan", 1)
        plan = maps.plan
        table = BinTable("scan", plan.shape, plan.bin, plan.statistics, maps.bins(), Box.of_shape(plan.shape), ())
        proposals = propose([table], question)
    return found | {"top": [p.box.start for p in proposals]}


def rank_voxels(options: argparse.Namespace, integral: Callable[[np.ndarray], np.ndarray]) -> dict:
    probabilities = np.load(options.folder / "probabilities.npy")
    with measured() as found:
        entropy = -(probabilities * np.log(np.maximum(probabilities, 1e-30))).sum(0) / np.log(len(probabilities))
        top, means = highest(integral(entropy))
    return found | {"top": top, "means": means}


def highest(sums: np.ndarray) -> tuple[list, list[float]]:
    """Choose boxes from an integral image (one longer than the volume each way), the highest mean first."""
    starts = np.arange(0, sums.shape[0] - BOX[0], BOX[0] // 2)
    low, high = np.ix_(starts, starts, starts), np.ix_(starts + BOX[0], starts + BOX[0], starts + BOX[0])
    total = np.zeros((len(starts),) * 3)
    for corner in np.ndindex(2, 2, 2):
        index = tuple(high[axis] if corner[axis] else low[axis] for axis in range(3))
        total += (1 if sum(corner) % 2 else -1) * sums[index]
    total /= np.prod(BOX)
    top, means = [], []
    for row in np.argsort(-total, axis=None):
        place = np.array(np.unravel_index(row, total.shape)) * (BOX[0] // 2)
        if all(np.abs(place - other).max() >= BOX[0] for other in top):
            top.append(place)
            means.append(float(total.ravel()[row]))
        if len(top) == TOP:
            break
    return [place.tolist() for place in top], means


def by_numpy(options: argparse.Namespace) -> dict:
    def integral(entropy: np.ndarray) -> np.ndarray:
        sums = np.zeros([n + 1 for n in entropy.shape])
        inner = sums[1:, 1:, 1:]
        np.cumsum(entropy, 0, np.float64, inner)
        np.cumsum(inner, 1, out=inner)
        np.cumsum(inner, 2, out=inner)
        return sums

    return rank_voxels(options, integral)


def by_skimage(options: argparse.Namespace) -> dict:
    from skimage.transform import integral_image

    return rank_voxels(options, lambda entropy: np.pad(integral_image(entropy), ((1, 0), (1, 0), (1, 0))))


def statistics_share(options: argparse.Namespace, backend: Literal["torch", "openvino"]) -> dict:
    """Time a forward of the default network and the statistics of what it answers, in turns, by one thread.

    Classes and entropy are what the maps hold, with or without bins; their part is found by leaving the bins out. That
    the network also answers with what is at its bottom is in the forward: less than 1 multiplication in 10,000.
    """
    import torch
    from rondel.loop import device, network, uncertainty
    from rondel.loop.normalise import Normalisation
    from rondel.loop.predict import Predictor
    from rondel.store.box import Box
    from rondel.store.settings import NetworkTable, PredictTable

    side = min(144, options.size)
    plan = network.plan_network(NetworkTable(), (10.0, 10.0, 10.0), (side,) * 3, 1, len(CLASSES))
    chosen = device.choose(PredictTable(device="cpu", threads=1))
    device.prepare(chosen)
    predictor = Predictor.load(plan, network.state(network.build(plan, 0)), chosen, backend, options.folder)
    image = np.random.default_rng(0).integers(0, 256, (1, side, side, side), np.uint8)
    scaling, bins = Normalisation((0.0,), (255.0,)), (16, 16, 16)
    times: list[list[float]] = []
    for _ in range(options.turns + 1):
        clock = [time.process_time()]
        logits, scaled, features = predictor.forward(image, scaling)
        clock.append(time.process_time())
        with torch.inference_mode():
            uncertainty.summarise(logits, scaled[0], bins)
            uncertainty.pooled(features, plan.stride, Box.of_shape(scaled[0].shape), bins)
            clock.append(time.process_time())
            for part in logits.split(bins[0], 1):
                probabilities = part.float().softmax(0)
                uncertainty.winners(probabilities)
                uncertainty.quantise(uncertainty.entropy(probabilities[None]))
        clock.append(time.process_time())
        times.append(np.diff(clock).tolist())
    forward, whole, maps = (statistics.median(column) for column in zip(*times[1:]))
    return {"forward": forward, "maps": maps, "bins": whole - maps, "share": (whole - maps) / forward}


def make_table(options: argparse.Namespace) -> dict:
    from rondel.store.maps import FEATURES
    from rondel.store.maps import statistics as names_of

    names = names_of([value for value, _, _ in CLASSES], FEATURES)
    side = round((options.table / np.prod(TABLE_BIN)) ** (1 / 3))
    shape = (len(names), side, side, side)
    values = np.lib.format.open_memmap(options.folder / "bins.npy", "w+", np.dtype("<f2"), shape)
    rng = np.random.default_rng(0)
    for z in range(side):  # what ranking does not read stays a hole in the file
        values[names.index("valid"), z] = 1
        values[names.index("deviation"), z] = 0.2
        values[names.index("entropy"), z] = rng.random((side, side), np.float32)
        values[names.index("fraction:2"), z] = rng.random((side, side), np.float32) ** 8
    values.flush()
    return {"shape": shape, "bytes": values.nbytes}


def rank_table(options: argparse.Namespace, strategy: str) -> dict:
    from rondel.loop.candidates import BinTable, grid
    from rondel.loop.rank import propose
    from rondel.store.box import Box
    from rondel.store.maps import FEATURES, Bins
    from rondel.store.maps import statistics as names_of

    bins, names = Bins.of(options.folder / "bins.npy"), names_of([value for value, _, _ in CLASSES], FEATURES)
    z, y, x = (n * b for n, b in zip(bins.shape[1:], TABLE_BIN))
    whole = Box.of_shape((z, y, x))
    table, question = BinTable("scan", (z, y, x), TABLE_BIN, names, bins, whole, ()), wanted(strategy, TABLE_BOX)
    with measured() as found:
        proposals = propose([table], question)
    count = grid(table.shape, whole, TABLE_BOX, TABLE_BIN).count
    return found | {"count": len(proposals), "candidates": count}


PARTS: dict[str, Callable[[argparse.Namespace], dict]] = {
    "make": make,
    "rondel": rank_bins,
    "numpy": by_numpy,
    "skimage": by_skimage,
    "share-torch": lambda options: statistics_share(options, "torch"),
    "share-openvino": lambda options: statistics_share(options, "openvino"),
    "make-table": make_table,
    "table-entropy": lambda options: rank_table(options, "entropy"),
    "table-foreground": lambda options: rank_table(options, "foreground"),
    "table-diverse": lambda options: rank_table(options, "diverse"),
}


if __name__ == "__main__":
    main()
