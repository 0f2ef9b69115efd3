"""Does the memory of a prediction grow with the volume? Predicts 512x512x512 and 1024x512x512 with the same tile.

    python benchmarks/predict_memory.py [--filters 8,8,8,8] [--tile 128,256,256]

Each prediction runs in a fresh process, whose peak resident memory is printed. Narrow filters keep it short; the
tile, its context and all that is read and written are as ever. Tiles are cut so that both volumes have one with
context on both sides in z: with fewer than three along an axis, all would end at the border and read less.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SHAPES = ((512, 512, 512), (1024, 512, 512))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--filters", default="8,8,8,8")
    parser.add_argument("--tile", default="128,256,256")
    parser.add_argument("--shape", help="predict this one shape in this process, and print JSON")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.shape:
        print(json.dumps(predict(options.folder, _zyx(options.shape), options.filters, _zyx(options.tile))))
        return
    found = [fresh(shape, options.filters, options.tile) for shape in SHAPES]
    for shape, result in zip(SHAPES, found):
        size = "x".join(map(str, shape))
        print(f"{size}: peak {result['gigabytes']:.2f} GB, {result['seconds']:.0f} s, {result['tiles']} tiles")
    print(f"ratio of peaks: {found[1]['gigabytes'] / found[0]['gigabytes']:.3f}")


def fresh(shape: tuple[int, int, int], filters: str, tile: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        words = ["--shape", ",".join(map(str, shape)), "--filters", filters, "--tile", tile, "--folder", folder]
        done = subprocess.run([sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def predict(folder: Path, shape: tuple[int, int, int], filters: str, tile: tuple[int, int, int]) -> dict:
    """Write a volume block by block, predict it, and return peak memory and time."""
    from rondel.loop import device, network
    from rondel.loop.normalise import Normalisation
    from rondel.loop.predict import Predictor, plan_tiles
    from rondel.loop.predict import predict as run
    from rondel.store import exporters, volume
    from rondel.store.maps import MapPlan, Maps
    from rondel.store.settings import NetworkTable, PredictTable

    block = np.random.default_rng(0).integers(0, 256, (64, 64, 64), np.uint8)
    exporters.export_ome_zarr(
        folder / "image.ome.zarr",
        lambda box: np.resize(block, box.shape),
        name="image",
        axes="zyx",
        shape=shape,
        dtype="uint8",
        spacing_nm=(10.0, 10.0, 10.0),
        translation_nm=(0.0, 0.0, 0.0),
        unit="nanometer",
        kind="image",
    )
    record = volume.describe("image", str(folder / "image.ome.zarr"))
    table = NetworkTable.model_validate({"filters": [int(v) for v in filters.split(",")]})
    plan = network.plan_network(table, record.spacing_nm, record.shape, 1, 2)
    chosen = device.choose(PredictTable.model_validate({}))
    device.prepare(chosen)
    predictor = Predictor.load(plan, network.state(network.build(plan, 0)), chosen)
    classes = ((1, "background", "#808080"), (2, "membrane", "#e63c3c"))
    maps = Maps.create(folder, MapPlan.of(record, 1, (32, 32, 32), classes))
    planned = plan_tiles(maps, record.box, tile, plan)
    began = time.monotonic()
    opened = volume.open_volume(record, folder)
    run(opened, maps, predictor, Normalisation.of(record), tiles=planned, done=set(), record=lambda tile: None)
    seconds = time.monotonic() - began
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"gigabytes": kilobytes / 1e6, "seconds": seconds, "tiles": len(planned)}


def _zyx(text: str) -> tuple[int, int, int]:
    z, y, x = (int(v) for v in text.split(","))
    return z, y, x


if __name__ == "__main__":
    main()
