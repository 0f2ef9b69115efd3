"""What do boxes cost to read, against zarr-python; labels that lie across chunks to write; and a map in few files?

    python benchmarks/bench_io.py [--size 512] [--boxes 1000] [--turns 3] [--folder PLACE] [--quick]

1,000 random boxes of 64 cubed from one image (uint8, chunks of 64 cubed, zstd): by rondel's Volume.read_many, the boxes
sorted by place as a round's first boxes are looked at; by Volume.read, one after the other, in random order; by
zarr-python, one after the other, in random order and sorted. Then 64 label boxes of 64 cubed are written through
tensorstore on the chunk grid, and as many that are moved by half a chunk along each axis. Last, a map as large as the
image is written by tiles of 128 x 256 x 256: a file a chunk as small maps are, and in shards as the largest ones are.

Each figure is of a fresh process, the ways in turns; CPU seconds leave out imports and the making of the image, which
is in the page cache.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rondel.store.box import Box

SIDE, CHUNK, WRITES = 64, 64, 64
SPACING = (10.0, 10.0, 10.0)
TILE = (128, 256, 256)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--boxes", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where images are made; a temporary folder")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.size, options.boxes, options.turns = 192, 30, 1
    if options.part:
        print(json.dumps(PARTS[options.part](options)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        options.folder = Path(folder)
        fresh("make", options)
        compare(options, READS)
        compare(options, WRITES_OF)
        compare(options, MAPS)


def fresh(part: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one part in a process of its own."""
    words = [
        "--part",
        part,
        "--folder",
        str(options.folder),
        "--size",
        str(options.size),
        "--boxes",
        str(options.boxes),
    ]
    done = subprocess.run([sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def compare(options: argparse.Namespace, ways: tuple[str, ...]) -> None:
    """Run the ways in turns, and set each beside the first."""
    turns = [{way: fresh(way, options) for way in ways} for _ in range(options.turns)]
    for way in ways:
        cpu, wall, peak = (statistics.median(turn[way][what] for turn in turns) for what in ("cpu", "wall", "peak"))
        ratio = statistics.median(turn[way]["cpu"] / turn[ways[0]]["cpu"] for turn in turns)
        last = turns[-1][way]
        made = f", {last['files']} files, {last['bytes'] / 1e6:.0f} MB written" if "files" in last else ""
        figures = f"{cpu:7.2f} CPU-s, {wall:7.2f} s, peak {peak / 1e6:5.0f} MB{made}"
        print(f"{way:18} {figures}, {ratio:5.2f} x {ways[0]} in CPU")
    if len({turn[way]["sum"] for turn in turns for way in ways}) > 1:
        raise SystemExit("the ways disagree on what the voxels are")


def make(options: argparse.Namespace) -> dict:
    """Write an image of smooth structure and noise, as `add` writes what it imports."""
    from rondel.store import exporters
    from rondel.store.box import Box
    from scipy import ndimage

    rng = np.random.default_rng(0)
    noise = np.asarray(ndimage.gaussian_filter(rng.normal(size=(CHUNK * 2,) * 3), 2))
    block = np.clip(128 + 40 * noise / noise.std() + rng.normal(0, 8, noise.shape), 0, 255).astype(np.uint8)

    def part(box: Box) -> np.ndarray:
        moved = np.roll(block, sum(box.start) // 7, (0, 1, 2))
        return np.resize(moved, box.shape)

    exporters.export_ome_zarr(
        options.folder / "image.ome.zarr",
        part,
        name="image",
        axes="zyx",
        shape=(options.size,) * 3,
        dtype="uint8",
        spacing_nm=SPACING,
        translation_nm=(0.0, 0.0, 0.0),
        unit="nanometer",
        kind="image",
    )
    return {}


def random_boxes(options: argparse.Namespace) -> "list[Box]":
    from rondel.store.box import Box

    starts = np.random.default_rng(1).integers(0, options.size - SIDE + 1, (options.boxes, 3))
    return [Box.at(start.tolist(), (SIDE,) * 3) for start in starts]


def measured(work: Callable[[], int]) -> dict:
    cpu, wall = time.process_time(), time.perf_counter()
    found = work()
    times = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "sum": found}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return times | {"peak": peak}


def by_rondel(options: argparse.Namespace, many: bool) -> dict:
    from rondel.store import volume

    record = volume.describe("image", str(options.folder / "image.ome.zarr"))
    opened, boxes = volume.open_volume(record, options.folder), random_boxes(options)
    opened.read(boxes[0])

    def work() -> int:
        images = opened.read_many(sorted(boxes)) if many else (opened.read(box) for box in boxes)
        return sum(int(image[0, 0, 0, 0]) for image in images)

    return measured(work)


def by_zarr(options: argparse.Namespace, ordered: bool) -> dict:
    import zarr

    stored, boxes = zarr.open_array(options.folder / "image.ome.zarr" / "s0", mode="r"), random_boxes(options)
    np.asarray(stored[boxes[0].slices])

    def work() -> int:
        images = (np.asarray(stored[box.slices]) for box in (sorted(boxes) if ordered else boxes))
        return sum(int(image[0, 0, 0]) for image in images)

    return measured(work)


def write_labels(options: argparse.Namespace, offset: int) -> dict:
    """Paint boxes one after the other, each on disk before the next, as edits are applied."""
    from rondel.store import ngff

    side = 5 * CHUNK
    path = options.folder / f"labels-{offset}-{time.time_ns()}.ome.zarr"
    chunks, shape = (CHUNK,) * 3, (side,) * 3
    ngff.create_multiscale(
        path, name="labels", shape=shape, chunks=chunks, dtype="uint8", spacing_nm=SPACING, unit="nanometer",
        levels=1, kind="mode",
    )  # fmt: skip
    stored = ngff.open_array(path / "s0", write=True)
    labels = np.where(np.indices((SIDE,) * 3).sum(0) // 16 % 2, 2, 1).astype(np.uint8)
    stored[...].write(np.ones(shape, np.uint8)).result()
    places = list(np.ndindex(4, 4, 4))[:WRITES]

    def work() -> int:
        for place in places:
            index = tuple(slice(i * CHUNK + offset, i * CHUNK + offset + SIDE) for i in place)
            stored[index].write(labels).result()
        return len(places)

    return measured(work)


def write_map(options: argparse.Namespace, many: int) -> dict:
    """Write the classes and the uncertainty of a map whose arrays have chunks in shards above so many files."""
    from rondel.store import shards
    from rondel.store.box import Box, tiles
    from rondel.store.maps import MapPlan, Maps
    from scipy import ndimage

    shards.MANY = many
    rng, borders = np.random.default_rng(0), (-0.7, 0.5, 1.2)
    noise = np.asarray(ndimage.gaussian_filter(rng.standard_normal(TILE, np.float32), 4, mode="wrap"))
    noise /= noise.std()
    classes, uncertainty = np.ones(TILE, np.uint8), np.zeros(TILE, np.uint8)
    for border in borders:
        classes += noise > border
        near = 255 * np.exp(-(((noise - border) / 0.15) ** 2))
        np.maximum(uncertainty, near.astype(np.uint8), out=uncertainty)
    shape = (options.size,) * 3
    names = tuple((value, str(value), "#808080") for value in (1, 2, 3, 4))
    plan = MapPlan("image", 1, shape, (16, 16, 16), names, SPACING, (0.0, 0.0, 0.0), "nanometer")
    maps = Maps.create(options.folder / f"maps-{many}-{time.time_ns()}", plan)
    due = [tile.write for tile in tiles(shape, Box.of_shape(shape), TILE, (0, 0, 0), (1, 1, 1))]
    before = bytes_written()

    def work() -> int:
        for box in due:
            part = tuple(slice(n) for n in box.shape)
            maps.write_tile(box, classes[part], uncertainty[part], None)
        return len(due)

    found = measured(work)
    files = sum(1 for path in maps.folder.rglob("s0/c/**/*") if path.is_file())
    return found | {"files": files, "bytes": bytes_written() - before}


def bytes_written() -> int:
    """Count the bytes that this process wrote until now; 0 where the system does not tell."""
    told = Path("/proc/self/io")
    return int(told.read_text().split("wchar: ")[1].split()[0]) if told.exists() else 0


READS = ("rondel many", "rondel one by one", "zarr-python", "zarr-python sorted")
WRITES_OF = ("aligned", "unaligned")
MAPS = ("a file a chunk", "shards")
PARTS: dict[str, Callable[[argparse.Namespace], dict]] = {
    "make": make,
    "rondel many": lambda options: by_rondel(options, many=True),
    "rondel one by one": lambda options: by_rondel(options, many=False),
    "zarr-python": lambda options: by_zarr(options, ordered=False),
    "zarr-python sorted": lambda options: by_zarr(options, ordered=True),
    "aligned": lambda options: write_labels(options, 0),
    "unaligned": lambda options: write_labels(options, CHUNK // 2),
    "a file a chunk": lambda options: write_map(options, 1 << 40),
    "shards": lambda options: write_map(options, 4),
}


if __name__ == "__main__":
    main()
