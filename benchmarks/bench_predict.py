"""How fast is prediction from zarr to zarr, and how true? Against MONAI's sliding window and the bare forward pass.

    python benchmarks/bench_predict.py [--size 512] [--dims 2] [--repeats 3] [--quick]

Every system has the same weights, trained for a few steps on made-up tissue, and runs in a fresh process: CPU seconds
are user and system time of that process less that of one that only imports, wall likewise, memory is its peak. The
systems take turns; ratios are of one turn, and what is printed are medians over the turns. MONAI reads the whole
image, slides its window and writes the classes; rondel writes uncertainty and bins beside them. The limit is the
network's forward pass over tiles of the same shapes, on data in memory, with the same backend and threads.

Where OpenVINO is installed rondel runs on it. A version is converted once, which takes seconds, and kept; here that is
done before anything is timed.

Agreement is with one pass over a smaller volume in float32, nothing folded, at a size where that fits; rondel's tiles
there are as small as they come. How memory grows with the volume is predict_memory.py's to say, and what BiaPy takes,
whose networks are its own, bench_biapy.py's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = ((1, "background", "#808080"), (2, "membrane", "#e63c3c"), (3, "organelle", "#3c8ce6"))
SPACING = (8.0, 8.0, 8.0)
MADE = 128
"""Voxels a side of the tissue that is made; larger volumes mirror it."""
OVERLAP = 0.25
NARROW = 16
"""Voxels of context that [predict] halo is set to, for a prediction that is not exact."""
SYSTEMS = {
    "imports": "imports and nothing else",
    "forward": "forward pass alone, data in memory",
    "rondel": "rondel",
    "rondel narrow": f"rondel, context of {NARROW}",
    "forward torch": "forward pass alone, torch",
    "rondel torch": "rondel, torch",
    "rondel float32": "rondel, float32",
    "monai gaussian float32": "MONAI, gaussian, float32",
    "monai gaussian bfloat16": "MONAI, gaussian, bfloat16",
    "monai constant float32": "MONAI, constant, float32",
    "monai constant bfloat16": "MONAI, constant, bfloat16",
}
ONCE = ("rondel narrow", "rondel float32", "monai constant float32", "monai constant bfloat16")
"""Systems that run in the first turn only; MONAI's constant has the forward passes of gaussian."""


MAY_BE_LEFT_OUT = SYSTEMS.keys() - {"imports", "rondel", "rondel torch", "forward", "forward torch"}


def main() -> None:
    options = _options()
    if options.child:
        print(json.dumps(CHILDREN[options.child.split()[0]](options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        made = fresh("prepare", options)["answer"]
        print(f"{options.size}^3 uint8, {options.dims}-D network, shares of classes {made['shares']}", flush=True)
        fresh("imports", options)  # reads the libraries from the disk, once for all
        turns = []
        for turn in range(options.repeats):
            skipped = [*options.leave_out, *(ONCE if turn else ())]
            turns.append({name: told(name, options) for name in SYSTEMS if name not in skipped})
        show_cost(turns)
        if options.agree:
            show_agreement(fresh("agreement", options)["answer"], options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, help="voxels a side of the volume; 256")
    parser.add_argument("--agree", type=int, help="voxels a side where one pass fits; 160; 0: answers are not compared")
    parser.add_argument("--dims", type=int, choices=(2, 3), default=3)
    parser.add_argument("--repeats", type=int, help="turns; 3, from 512 voxels a side on 1")
    parser.add_argument("--steps", type=int, help="training steps; 60")
    parser.add_argument("--leave-out", nargs="*", default=[], choices=sorted(MAY_BE_LEFT_OUT), help="systems not run")
    parser.add_argument("--memory-gb", type=float, help="as [predict] memory_gb; a quarter of the machine's")
    parser.add_argument("--roi", type=int, help="voxels a side of MONAI's window; 96, 256 in 2-D")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    usual = {"size": 256, "agree": 160, "steps": 60, "roi": 96 if options.dims == 3 else 256}
    tiny = {"size": 96, "agree": 64, "steps": 5, "roi": 64, "repeats": 1}
    for name, value in (tiny if options.quick else usual).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    options.repeats = options.repeats or (3 if options.size < 512 else 1)
    return options


def told(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one system and say what it took, for whoever waits; see `fresh`."""
    ran = fresh(name, options)
    print(f"  {SYSTEMS[name]}: {ran['cpu']:.1f} CPU s, {ran['wall']:.1f} s", file=sys.stderr, flush=True)
    return ran


def fresh(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one system in a process of its own; returns its answer, CPU and wall seconds and peak gigabytes."""
    given = {k: v for k, v in vars(options).items() if k not in ("child", "quick", "leave_out") and v is not None}
    words = [word for k, v in given.items() for word in (f"--{k.replace('_', '-')}", str(v))]
    with tempfile.TemporaryFile("w+") as out:
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, __file__, "--child", name, *words], stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        if status:
            sys.exit(f"{name} failed")
        out.seek(0)
        answer = json.loads(out.read().splitlines()[-1])
    cpu = usage.ru_utime + usage.ru_stime
    return {"answer": answer, "cpu": cpu, "wall": wall, "gigabytes": usage.ru_maxrss / 1e6}


def show_cost(turns: list[dict[str, dict]]) -> None:
    print(f"\n{'':<36}{'CPU s':>8}{'wall s':>8}{'peak GB':>9}{'CPU / rondel':>14}{'wall / rondel':>15}")
    for name, words in SYSTEMS.items():
        ran = [turn for turn in turns if name in turn]
        if not ran:
            continue
        cpu, wall = (statistics.median(_net(turn, name, of) for turn in ran) for of in COSTS)
        peak = statistics.median(turn[name]["gigabytes"] for turn in ran)
        ratios = [statistics.median(_net(turn, name, of) / _net(turn, "rondel", of) for turn in ran) for of in COSTS]
        print(f"{words:<36}{cpu:>8.1f}{wall:>8.1f}{peak:>9.2f}{ratios[0]:>14.2f}{ratios[1]:>15.2f}")
    for limit, name in (("forward", "rondel"), ("forward torch", "rondel torch")):
        shares = [statistics.median(_net(turn, limit, of) / _net(turn, name, of) for turn in turns) for of in COSTS]
        ran = turns[0][name]["answer"]
        print(f"{ran['by']} is at {shares[0]:.0%} (CPU) and {shares[1]:.0%} (wall) of its forward pass alone")
    print(f"{len(turns)} turns; {ran['tiles']} tiles that write {ran['tile']}", flush=True)


COSTS = ("cpu", "wall")


def _net(turn: dict[str, dict], name: str, of: str) -> float:
    """Return what a system cost in one turn, less what imports cost."""
    return turn[name][of] - (name != "imports") * turn["imports"][of]


def show_agreement(rows: dict[str, tuple[float, float]], options: argparse.Namespace) -> None:
    print(f"\nagainst one pass in float32, {options.agree}^3: share of voxels of another class, mean |dp|")
    for name, (share, difference) in rows.items():
        print(f"{SYSTEMS[name]:<36}{share:>12.4%}{difference:>12.6f}")


def prepare(options: argparse.Namespace) -> dict[str, Any]:
    """Make tissue, write it as zarr in both sizes, and train a network on it for a few steps."""
    from rondel.loop import network, tissue
    from rondel.loop.normalise import Normalisation
    from rondel.store.settings import NetworkTable
    from safetensors.numpy import save_file

    image, truth, _ = tissue.tissue((MADE,) * 3, SPACING)
    for size in {options.size, options.agree or options.size}:
        _write(options.folder / f"{size}.ome.zarr", image, size)
    record = _record(options, options.size)
    plan = network.plan_network(NetworkTable(dims=options.dims), SPACING, record.shape, 1, len(CLASSES))
    trained = _train(plan, Normalisation.of(record).apply(image[None]), truth - 1, options.steps)
    save_file(network.state(trained), options.folder / "weights.safetensors")
    (options.folder / "plan.json").write_text(json.dumps(plan.to_dict()))
    for options.child in ("rondel", "rondel float32"):
        _opened(options, options.size)  # converts the network
    return {"shares": [round(float(np.mean(truth == value)), 2) for value, _, _ in CLASSES]}


def _write(path: Path, image: np.ndarray, size: int) -> None:
    from rondel.store import exporters

    mirrored = np.pad(image, [(0, max(size - MADE, 0))] * 3, mode="symmetric")
    exporters.export_ome_zarr(
        path,
        lambda box: mirrored[box.slices],
        name="image",
        axes="zyx",
        shape=(size,) * 3,
        dtype="uint8",
        spacing_nm=SPACING,
        translation_nm=(0.0, 0.0, 0.0),
        unit="nanometer",
        kind="image",
    )


def _train(plan, image: np.ndarray, truth: np.ndarray, steps: int):
    """Train on random patches; enough for answers that vary and have edges."""
    import torch
    from rondel.loop import device, network
    from rondel.store.settings import PredictTable

    chosen = device.choose(PredictTable(device="cpu"))
    device.prepare(chosen)
    net = device.place(network.build(plan, 0), chosen).train()
    optimiser, rng = torch.optim.AdamW(net.parameters(), 2e-3), np.random.default_rng(0)
    patch = (64, 64, 64) if plan.dims == 3 else (8, 96, 96)
    for _ in range(steps):
        corners = [[rng.integers(0, n - p + 1) for n, p in zip(truth.shape, patch)] for _ in range(2)]
        cuts = [tuple(slice(a, a + p) for a, p in zip(corner, patch)) for corner in corners]
        images = torch.from_numpy(np.stack([image[(slice(None), *cut)] for cut in cuts]))
        wanted = torch.from_numpy(np.stack([truth[cut] for cut in cuts])).long()
        with device.autocast(chosen):
            loss = torch.nn.functional.cross_entropy(net(images).float(), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval()


def imports(options: argparse.Namespace) -> dict[str, Any]:
    """Load what any of the systems loads."""
    import monai.inferers
    import rondel.loop.predict
    import rondel.store.volume
    import tensorstore
    import zarr

    return {module.__name__: 0 for module in (monai.inferers, rondel.loop.predict, tensorstore, zarr)}


def rondel(options: argparse.Namespace) -> dict[str, Any]:
    """Predict as the program does, into a map."""
    from rondel.loop.predict import predict

    imports(options)
    predictor, record, volume, normalisation = _opened(options, options.size)
    maps, tiles = _planned(options, predictor, record)
    predict(volume, maps, predictor, normalisation, tiles=tiles, done=set(), record=lambda tile: None)
    by = f"{predictor.backend.name}, {predictor.device.precision}, {predictor.device.name}"
    return {"by": by, "tiles": len(tiles), "tile": tiles[0].write.shape}


def forward(options: argparse.Namespace) -> dict[str, Any]:
    """Run the network alone over as many inputs of the tiles' shapes, made before."""
    import torch
    from rondel.loop import device

    imports(options)
    predictor, record, _, _ = _opened(options, options.size)
    _, tiles = _planned(options, predictor, record)
    shapes = {tile.read.shape for tile in tiles}
    inputs = {s: device.arrange(torch.rand(1, 1, *s), predictor.network) for s in shapes}
    with torch.inference_mode(), device.autocast(predictor.device):
        for tile in tiles:
            predictor.network(inputs[tile.read.shape])
    return {}


def monai(options: argparse.Namespace) -> dict[str, Any]:
    """Read the whole image, slide a window over it and write the classes."""
    import zarr

    imports(options)
    net, record, _, normalisation = _plain(options, options.size)
    _, mode, precision = options.child.split()
    stored = zarr.open_array(options.folder / f"{options.size}.ome.zarr/s0", mode="r")
    found = _slide(net, normalisation.apply(np.asarray(stored)[None]), options, mode, precision)
    found = found.argmax(0).numpy().astype(np.uint8) + 1
    target = options.folder / f"{options.child}.zarr"
    zarr.create_array(target, shape=found.shape, chunks=record.chunks, dtype="uint8", overwrite=True)[:] = found
    return {}


def agreement(options: argparse.Namespace) -> dict[str, Any]:
    """Compare every system with one pass over the whole of a smaller volume."""
    import torch
    from rondel.loop import halo as halos
    from rondel.store.box import tiles
    from rondel.store.settings import PredictTable

    net, record, volume, normalisation = _plain(options, options.agree)
    image = torch.from_numpy(normalisation.apply(volume.read(record.box)))
    with torch.inference_mode():
        expected = net(image[None]).softmax(1)[0].numpy()
    found = {}
    for name in SYSTEMS:
        system, *words = name.split()
        if system == "rondel":
            options.child = name
            predictor, *_ = _opened(options, options.agree)
            halo = halos.chosen(predictor.plan, PredictTable(halo=_halo(options)))
            answer = np.empty_like(expected)
            for tile in tiles(record.shape, record.box, (64, 64, 64), halo, predictor.plan.stride):
                part = predictor.forward(volume.read_reflected(tile.read), normalisation).probabilities.numpy()
                answer[:, *tile.write.slices] = part[:, *tile.inner.slices]
        elif system == "monai":
            answer = _slide(net, image.numpy(), options, *words).softmax(0).numpy()
        else:
            continue
        other = float(np.mean(answer.argmax(0) != expected.argmax(0)))
        found[name] = (other, float(np.abs(answer - expected).mean()))
    return found


def _slide(net, image: np.ndarray, options: argparse.Namespace, mode: str, precision: str):
    """Return MONAI's blended logits, float32 (K, Z, Y, X)."""
    import torch
    from monai.inferers.utils import sliding_window_inference
    from rondel.loop.device import cores

    torch.set_num_threads(cores())
    sections = options.dims == 2
    side = min(options.roi, *image.shape[-2:])  # a larger window would be filled up with zeros
    given, roi = torch.from_numpy(image), (side,) * options.dims
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        found: Any = sliding_window_inference(
            given.transpose(0, 1) if sections else given[None],
            roi,
            8 if sections else 1,
            net.network if sections else net,
            overlap=OVERLAP,
            mode=mode,
        )
    return (found.transpose(0, 1) if sections else found[0]).float()


def _record(options: argparse.Namespace, size: int):
    from rondel.store import volume

    return volume.describe("image", str(options.folder / f"{size}.ome.zarr"))


def _plain(options: argparse.Namespace, size: int) -> tuple:
    """Return the network as anybody would build it, the record, the volume and the scaling."""
    from rondel.loop import network
    from rondel.loop.normalise import Normalisation
    from rondel.store.volume import open_volume
    from safetensors.numpy import load_file

    plan = network.NetworkPlan.from_dict(json.loads((options.folder / "plan.json").read_text()))
    net = network.build(plan, 0)
    network.load_state(net, load_file(options.folder / "weights.safetensors"))
    record = _record(options, size)
    return net.eval(), record, open_volume(record, options.folder), Normalisation.of(record)


def _opened(options: argparse.Namespace, size: int) -> tuple:
    """Return the network as rondel runs it, the record, the volume and the scaling."""
    from rondel.loop import device, network
    from rondel.loop.normalise import Normalisation
    from rondel.loop.predict import Predictor
    from rondel.store.settings import PredictTable
    from rondel.store.volume import open_volume
    from safetensors.numpy import load_file

    word = options.child.rpartition(" ")[2]
    chosen = device.choose(PredictTable(device="cpu", precision="float32" if word == "float32" else "auto"))
    device.prepare(chosen)
    backend = "torch" if word == "torch" else "auto"
    plan = network.NetworkPlan.from_dict(json.loads((options.folder / "plan.json").read_text()))
    predictor = Predictor.load(
        plan, load_file(options.folder / "weights.safetensors"), chosen, backend, options.folder / "cache"
    )
    record = _record(options, size)
    return predictor, record, open_volume(record, options.folder), Normalisation.of(record)


def _planned(options: argparse.Namespace, predictor, record) -> tuple:
    """Make an empty map and cut it into tiles as large as the memory allows."""
    from rondel.loop import device
    from rondel.loop import halo as halos
    from rondel.loop.predict import plan_tiles
    from rondel.store.maps import MapPlan, Maps
    from rondel.store.settings import PredictTable

    box = (32, 32, 32) if options.dims == 3 else (1, 128, 128)
    maps = Maps.create(Path(tempfile.mkdtemp(dir=options.folder)), MapPlan.of(record, 1, box, CLASSES))
    settings = PredictTable(memory_gb=options.memory_gb or "auto", halo=_halo(options))
    memory, halo = device.tile_memory(settings, predictor.device), halos.chosen(predictor.plan, settings)
    place = (record.shape, maps.plan.chunks, memory, predictor.device, record.box)
    return maps, plan_tiles(maps, record.box, device.choose_tile(predictor.plan, *place, halo), predictor.plan, halo)


def _halo(options: argparse.Namespace) -> Any:
    return NARROW if options.child.endswith("narrow") else "exact"


CHILDREN = {
    "prepare": prepare,
    "imports": imports,
    "forward": forward,
    "rondel": rondel,
    "monai": monai,
    "agreement": agreement,
}


if __name__ == "__main__":
    main()
