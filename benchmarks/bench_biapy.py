"""What does prediction from zarr to zarr cost in BiaPy, by chunks? Against rondel, on the same volume.

    python benchmarks/bench_biapy.py --biapy PYTHON [--size 128] [--repeats 1] [--quick]

BiaPy wants an environment of its own; PYTHON is the one that has it. Its networks are its own too, so that weights
cannot be the same and answers are not compared: it runs its residual U-Net, as near to rondel's default network as its
settings allow (feature maps, poolings, two convolutions a level, batch normalisation), with random weights that it
loads from a checkpoint. Parameters and operations a voxel of both are printed. It predicts cubes of 96 voxels and
drops 16 at each side, in batches and with threads and workers as it chooses, and writes the classes of each cube as it
has them. rondel's context is exact, and it writes uncertainty and bins beside the classes.

BiaPy also runs its network twice at the start, for a summary and for a sample that could be exported, which weighs on
small volumes only. What its cubes take from the first read to the last write is therefore printed too.

Systems take turns, each in a fresh process. CPU seconds are user and system time of that process and its children less
those of one that only imports the same, wall likewise; memory is the peak of the largest process. Ratios are of one
turn, and what is printed are medians over the turns. rondel and the volume are bench_predict.py's.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import bench_predict

PADDING = 16
"""Voxels at each side of a cube that BiaPy predicts and drops."""
SYSTEMS = {
    "rondel": "rondel",
    "rondel torch": "rondel, torch",
    "rondel float32": "rondel, float32",
    "biapy": "BiaPy by chunks, float32",
}
ROWS = SYSTEMS | {"cubes": "BiaPy, its cubes alone"}
IMPORTS = {"rondel": "imports", "biapy": "biapy imports"}
"""By the first word of a system: what loads its libraries and nothing else."""
LIBRARIES = ("torch", "zarr", "biapy", "biapy.engine.semantic_seg", "biapy.models.resunet")
HAS_BIAPY = "import importlib.util, sys; sys.exit(importlib.util.find_spec('biapy') is None)"


def main() -> None:
    options = _options()
    if options.child:
        print(json.dumps(CHILDREN[options.child](options)))
        return
    if not shutil.which(options.biapy or "") or subprocess.run([options.biapy, "-c", HAS_BIAPY]).returncode:
        print("no BiaPy here; pass --biapy PYTHON, a Python that has it (pip install biapy)", file=sys.stderr)
        sys.exit(2)
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        bench_predict.fresh("prepare", _of_rondel(options))
        own, other = (fresh(name, options)["answer"] for name in ("parameters", "biapy checkpoint"))
        print(f"{options.size}^3 uint8; the networks differ, and BiaPy's weights are random")
        for counted in (own, other):
            print("{name}: {parameters:,} parameters, {operations:.0f} kFLOP a voxel".format(**counted), flush=True)
        for name in IMPORTS.values():
            run(name, options)  # reads the libraries from the disk, once for all
        show([turn(options) for _ in range(options.repeats)])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--biapy", metavar="PYTHON", help="a Python that has BiaPy")
    parser.add_argument("--size", type=int, help="voxels a side of the volume; 128")
    parser.add_argument("--repeats", type=int, help="turns; 1")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--patch", type=int, help="voxels a side of BiaPy's cubes; 96")
    parser.add_argument("--steps", type=int, help="training steps of rondel's network; 60")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    usual = {"size": 128, "patch": 96, "steps": 60, "repeats": 1}
    tiny = {"size": 64, "patch": 64, "steps": 5, "repeats": 1}
    for name, value in (tiny if options.quick else usual).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def _of_rondel(options: argparse.Namespace) -> argparse.Namespace:
    """Return what bench_predict.py is told."""
    return argparse.Namespace(size=options.size, agree=0, dims=3, steps=options.steps, folder=options.folder)


def turn(options: argparse.Namespace) -> dict[str, dict]:
    """Run every system once."""
    ran = {name: run(name, options) for name in (*IMPORTS.values(), *SYSTEMS)}
    return ran | {"cubes": ran["biapy"] | ran["biapy"]["answer"]["cubes"]}


def run(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one system and say what it took, for whoever waits; see `fresh`."""
    if not name.startswith("biapy"):
        return bench_predict.told(name, _of_rondel(options))
    ran = fresh(name, options)
    print(f"  {SYSTEMS.get(name, name)}: {ran['cpu']:.1f} CPU s, {ran['wall']:.1f} s", file=sys.stderr, flush=True)
    return ran


def fresh(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one child of this file, with BiaPy's Python if it is BiaPy's; answers as bench_predict.py's does."""
    python = options.biapy if name.startswith("biapy") else sys.executable
    words = [f"--{key}={getattr(options, key)}" for key in ("size", "patch", "folder")]
    with tempfile.TemporaryFile("w+") as out:
        began = time.monotonic()
        process = subprocess.Popen([python, __file__, "--child", name, *words], stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)  # counts the children that it waited for
        wall = time.monotonic() - began
        out.seek(0)
        lines = out.read().splitlines()
    if status:
        sys.exit("\n".join([*lines[-20:], f"{name} failed"]))
    cpu = usage.ru_utime + usage.ru_stime
    return {"answer": json.loads(lines[-1]), "cpu": cpu, "wall": wall, "gigabytes": usage.ru_maxrss / 1e6}


def show(turns: list[dict[str, dict]]) -> None:
    print(f"\n{'':<28}{'CPU s':>8}{'wall s':>8}{'peak GB':>9}{'CPU / rondel':>14}{'wall / rondel':>15}")
    for name, words in ROWS.items():
        cpu, wall = (statistics.median(_net(turn, name, of) for turn in turns) for of in bench_predict.COSTS)
        peak = statistics.median(turn[name]["gigabytes"] for turn in turns)
        ratios = [
            statistics.median(_net(turn, name, of) / _net(turn, "rondel", of) for turn in turns)
            for of in bench_predict.COSTS
        ]
        print(f"{words:<28}{cpu:>8.1f}{wall:>8.1f}{peak:>9.2f}{ratios[0]:>14.2f}{ratios[1]:>15.2f}")
    own, other = (turns[0][name]["answer"] for name in ("rondel", "biapy"))
    print(f"{len(turns)} turns; rondel ({own['by']}): {own['tiles']} tiles that write {own['tile']};", end=" ")
    print(f"BiaPy: {other['patches']} cubes of {other['patch']}, {other['threads']} threads")


def _net(turn: dict[str, dict], name: str, of: str) -> float:
    """Return what a system cost in one turn, less what its imports cost."""
    loads = IMPORTS.get(name.split()[0])
    return turn[name][of] - (turn[loads][of] if loads else 0)


def parameters(options: argparse.Namespace) -> dict[str, Any]:
    """Count what rondel's network is made of."""
    from rondel.loop import network

    plan = network.NetworkPlan.from_dict(json.loads((options.folder / "plan.json").read_text()))
    return {"name": "rondel", **_counted(network.build(plan, 0), options.patch)}


def _counted(network, side: int) -> dict[str, Any]:
    """Return the parameters of a network and its thousands of operations a voxel, two for a multiplication and sum."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network = network.eval().to("meta")
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 1, side, side, side, device="meta"))
    operations = counter.get_total_flops() / side**3 / 1e3
    return {"parameters": sum(p.numel() for p in network.parameters()), "operations": operations}


def biapy_imports(options: argparse.Namespace) -> dict[str, Any]:
    """Load what BiaPy loads."""
    return {name: 0 for name in LIBRARIES if import_module(name)}


def biapy_checkpoint(options: argparse.Namespace) -> dict[str, Any]:
    """Build BiaPy's network and keep its random weights."""
    import torch

    torch.save({"model": {}, "cfg": {}}, _checkpoint(options))  # without one it makes no job that only predicts
    job = _job(options, partly=True)
    job.workflow.prepare_model()
    made = job.workflow.model_without_ddp
    torch.save({"model": made.state_dict(), "cfg": {}}, _checkpoint(options))
    return {"name": f"BiaPy {import_module('biapy').__version__}", **_counted(made, options.patch)}


def biapy(options: argparse.Namespace) -> dict[str, Any]:
    """Predict as BiaPy does, into a zarr."""
    import torch
    import zarr

    biapy_imports(options)
    job, seen = _job(options), []
    predict = job.workflow.process_test_sample_by_chunks

    def timed() -> None:
        seen.append(os.times())
        predict()
        seen.append(os.times())

    job.workflow.process_test_sample_by_chunks = timed
    job.run_job()
    written = zarr.open_array(job.workflow.chunked_output_info["zarr_path"], mode="r")
    if max(written.shape) != options.size or not job.workflow.checkpoint_path:
        sys.exit(f"BiaPy wrote {written.shape} with weights of {job.workflow.checkpoint_path}")
    *cpu, wall = (after - before for before, after in zip(*seen))
    return {
        "cubes": {"cpu": sum(cpu), "wall": wall},
        "patches": job.workflow.chunked_tiles.processed_tiles,
        "patch": options.patch,
        "threads": torch.get_num_threads(),
    }


def _checkpoint(options: argparse.Namespace) -> Path:
    return options.folder / "biapy.pth"


def _job(options: argparse.Namespace, *, partly: bool = False):
    """Return a BiaPy job that predicts the volume; what is not said is as BiaPy has it.

    `partly` lets weights be missing from the checkpoint.
    """
    images = options.folder / "images"
    images.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (images / "image.zarr").symlink_to(options.folder / f"{options.size}.ome.zarr/s0")
    filters = [16, 32, 64, 128]
    model = {
        "ARCHITECTURE": "resunet",
        "FEATURE_MAPS": filters,
        "DROPOUT_VALUES": [0.0] * len(filters),
        "CONV_LAYERS": [2] * len(filters),
        "ISOTROPY": [True] * len(filters),
        "Z_DOWN": [2] * (len(filters) - 1),
        "YX_DOWN": [2] * (len(filters) - 1),
        "NORMALIZATION": "bn",
        "ACTIVATION": "leaky_relu",
        "LOAD_CHECKPOINT": True,
        "ITEMS_TO_LOAD_FROM_CHECKPOINT": ["weights"],
        "SKIP_UNMATCHED_LAYERS": partly,
    }
    test = {"PATH": str(images), "INPUT_IMG_AXES_ORDER": "ZYX", "LOAD_GT": False, "PADDING": (PADDING,) * 3}
    settings = {
        "PROBLEM": {"TYPE": "SEMANTIC_SEG", "NDIM": "3D"},
        "DATA": {
            "PATCH_SIZE": (*(options.patch,) * 3, 1),
            "N_CLASSES": len(bench_predict.CLASSES),
            "TEST": test,
        },
        "MODEL": model,
        "PATHS": {"CHECKPOINT_FILE": str(_checkpoint(options))},
        "TRAIN": {"ENABLE": False},
        "TEST": {"ENABLE": True, "BY_CHUNKS": {"ENABLE": True}},
    }
    folder = tempfile.mkdtemp(dir=options.folder)
    return import_module("biapy").BiaPy(settings, result_dir=folder, verbose=True)  # quiet, it hides errors


CHILDREN = {
    "parameters": parameters,
    "biapy imports": biapy_imports,
    "biapy checkpoint": biapy_checkpoint,
    "biapy": biapy,
}


if __name__ == "__main__":
    main()
