"""How fast are chunks served, at what cost, and in how much memory?

    python benchmarks/serve.py [--gigabytes 3] [--folder PLACE]

Three servers, each in a process of its own: the project's routes, tornado's own StaticFileHandler over the same files,
and Neuroglancer's LocalVolume over the same array. Six connections that are kept open ask for all chunks of 64 cubed
voxels, in turns, so that a busy moment hits all of them. Then a sharded image of several gigabytes is read by
byte ranges, and one shard whole, while the server's largest memory is watched.
"""

import argparse
import asyncio
import http.client
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

CONNECTIONS, TURNS, REQUESTS = 6, 25, 192
SIDE, CHUNK = 256, 64
SHARD, INNER = 512, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=3.0)
    parser.add_argument("--folder", type=Path, help="where the images are made; a temporary folder")
    parser.add_argument("--serve", choices=SERVERS, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.serve:
        SERVERS[words.serve](words.folder)
        return
    with tempfile.TemporaryDirectory(dir=words.folder) as place:
        folder = Path(place)
        image, large = make_project(folder, words.gigabytes)
        compare(folder, image)
        measure_memory(folder, large)


def make_project(folder: Path, gigabytes: float) -> tuple[str, str]:
    """Make a project with a small image and a large sharded one; returns the addresses of their finest levels."""
    from rondel.store import project as projects
    from rondel.store import volume as volumes
    from rondel.viewer import addresses

    write(folder / "small.zarr", (SIDE,) * 3, None, lambda array: array.write(tissue((SIDE,) * 3)).result())
    shards = max(1, round(gigabytes * 1e9 / SHARD**3))
    block = np.random.default_rng(0).integers(0, 255, (SHARD,) * 3).astype(np.uint8)
    write(
        folder / "large.zarr",
        (SHARD, SHARD, shards * SHARD),
        SHARD,
        lambda array: [array[:, :, k * SHARD : (k + 1) * SHARD].write(block).result() for k in range(shards)],
    )
    with projects.create(folder / "cells", ["background", "cell"]) as project:
        records = [
            projects.add_volume(project, volumes.describe(name, str(folder / f"{name}.zarr")))
            for name in ("small", "large")
        ]
    small, large = (f"{addresses.image('', record)}s0/" for record in records)
    return small, large


def tissue(shape: tuple[int, ...]) -> np.ndarray:
    """Return something as smooth and as noisy as an image from an electron microscope, uint8."""
    from scipy import ndimage

    noise = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    smooth = ndimage.gaussian_filter(noise, 2.0)
    return np.clip(128 + 35 * smooth / smooth.std() + 8 * noise, 0, 255).astype(np.uint8)


def write(path: Path, shape: tuple[int, ...], shard: int | None, fill: Callable) -> None:
    """Write an OME-Zarr image of one level: sharded with the chunks as they are, or compressed as imports are."""
    import tensorstore

    plain, checked = [{"name": "bytes", "configuration": {"endian": "little"}}], {"name": "crc32c"}
    packed = [*plain, {"name": "zstd", "configuration": {"level": 1}}, checked]
    sharding = {"chunk_shape": [INNER] * 3, "codecs": plain, "index_codecs": [*plain, checked], "index_location": "end"}
    metadata = {
        "shape": shape,
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [shard or CHUNK] * 3}},
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}] if shard else packed,
    }
    kvstore = {"driver": "file", "path": f"{path}/s0/"}
    fill(tensorstore.open({"driver": "zarr3", "kvstore": kvstore, "metadata": metadata}, create=True).result())
    scale = {"type": "scale", "scale": [8, 8, 8]}
    multiscale = {
        "axes": [{"name": a, "type": "space", "unit": "nanometer"} for a in "zyx"],
        "datasets": [{"path": "s0", "coordinateTransformations": [scale]}],
    }
    group = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"ome": {"version": "0.5", "multiscales": [multiscale]}},
    }
    (path / "zarr.json").write_text(json.dumps(group))


class Server:
    """A server in a process of its own, while in its `with` block."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.command = [sys.executable, __file__, "--serve", kind, "--folder", str(folder)]

    def __enter__(self) -> "Server":
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        said = json.loads(self.process.stdout.readline())
        self.port, self.prefix = said["port"], said["prefix"]
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def used(self) -> dict[str, float]:
        """Return the seconds of CPU that it used so far, and its largest memory in megabytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", "/used")
        return json.loads(connection.getresponse().read())


def compare(folder: Path, image: str) -> None:
    """Print requests a second and CPU a request, and how they compare."""
    cells = [(z, y, x) for z in range(SIDE // CHUNK) for y in range(SIDE // CHUNK) for x in range(SIDE // CHUNK)]
    paths = {
        "rondel": [f"{image}c/{z}/{y}/{x}" for z, y, x in cells],
        "static": [f"/c/{z}/{y}/{x}" for z, y, x in cells],
        "local": [f"/{_span(z, y, x)}" for z, y, x in cells],
    }
    rates: dict[str, list[float]] = {kind: [] for kind in paths}
    costs: dict[str, list[float]] = {kind: [] for kind in paths}
    with Server("rondel", folder) as a, Server("static", folder) as b, Server("local", folder) as c:
        servers = {"rondel": a, "static": b, "local": c}
        for turn in range(TURNS + 1):
            for kind, server in servers.items():
                count = REQUESTS if kind != "local" else REQUESTS // 4
                before, start = server.used()["cpu"], time.perf_counter()
                ask_all(server, [server.prefix + path for path in paths[kind]], count)
                seconds = time.perf_counter() - start
                if turn:  # the first warms the file cache
                    rates[kind].append(count / seconds)
                    costs[kind].append((server.used()["cpu"] - before) / count * 1000)
    for kind in paths:
        low, rate, high = statistics.quantiles(rates[kind], n=4)
        cost = statistics.median(costs[kind])
        print(f"{kind:7} {rate:6.0f} chunks/s (quartiles {low:.0f} to {high:.0f}), {cost:.3f} ms of CPU a chunk")
    of_static = statistics.median(r / s for r, s in zip(rates["rondel"], rates["static"]))
    print(f"rate against StaticFileHandler: {of_static:.2f}")
    print(
        f"CPU of LocalVolume against ours: {statistics.median(costs['local']) / statistics.median(costs['rondel']):.0f}"
    )


def _span(z: int, y: int, x: int) -> str:
    starts = [i * CHUNK for i in (z, y, x)]
    return f"{','.join(map(str, starts))}/{','.join(str(s + CHUNK) for s in starts)}"


def ask_all(server: Server, paths: list[str], count: int, headers: Callable[[], dict] = dict) -> int:
    """Ask for so many paths over several connections; returns the bytes received."""
    wanted = iter([paths[k % len(paths)] for k in range(count)])
    lock, received = threading.Lock(), [0]

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        while True:
            with lock:
                path = next(wanted, None)
            if path is None:
                return
            connection.request("GET", path, headers=headers())
            answer = connection.getresponse()
            size = 0
            while piece := answer.read(1 << 20):
                size += len(piece)
            assert answer.status in (200, 206), (answer.status, path)
            with lock:
                received[0] += size

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return received[0]


def measure_memory(folder: Path, image: str) -> None:
    """Print the server's largest memory before, and while it serves ranges of shards and whole shards."""
    files = sorted((folder / "large.zarr/s0/c").rglob("*"))
    sizes = [f.stat().st_size for f in files if f.is_file()]
    chooser = random.Random(0)

    def part() -> dict[str, str]:
        start = chooser.randrange(sizes[0] - INNER**3)
        return {"Range": f"bytes={start}-{start + INNER**3 - 1}"}

    with Server("rondel", folder) as server:
        paths = [f"{image}c/0/0/{k}" for k in range(len(sizes))]
        ask_all(server, paths[:1], CONNECTIONS, part)
        first = server.used()["peak"]
        read = ask_all(server, paths, 4000, part)
        ranges = server.used()["peak"]
        whole = ask_all(server, paths, len(paths))
        print(
            f"{sum(sizes) / 1e9:.1f} GB in {len(sizes)} shards: largest memory {first:.0f} MB after the first ranges, "
            f"{ranges:.0f} MB after {read / 1e9:.1f} GB of ranges, {server.used()['peak']:.0f} MB after "
            f"{whole / 1e9:.1f} GB of whole shards"
        )


def serve_rondel(folder: Path) -> None:
    from rondel.viewer.arrays import Arrays

    asyncio.run(_listen(lambda: Arrays(folder / "cells", {}.get).routes()))


def serve_static(folder: Path) -> None:
    import tornado.web

    routes = [(r"/(.*)", tornado.web.StaticFileHandler, {"path": str(folder / "small.zarr/s0")})]
    asyncio.run(_listen(lambda: routes))


async def _listen(routes: Callable[[], list]) -> None:
    import tornado.httpserver
    import tornado.netutil
    import tornado.web

    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    application = tornado.web.Application([_used(), *routes()], log_function=lambda handler: None)
    tornado.httpserver.HTTPServer(application).add_sockets(sockets)
    print(json.dumps({"port": sockets[0].getsockname()[1], "prefix": ""}), flush=True)
    await asyncio.Event().wait()


def serve_local(folder: Path) -> None:
    import neuroglancer
    import neuroglancer.server
    import zarr

    viewer = neuroglancer.Viewer()
    array = zarr.open_array(folder / "small.zarr/s0", mode="r")
    dimensions = neuroglancer.CoordinateSpace(names=["z", "y", "x"], units="nm", scales=[8, 8, 8])
    volume = neuroglancer.LocalVolume(array, dimensions=dimensions)
    with viewer.txn() as state:
        state.layers["image"] = neuroglancer.ImageLayer(source=volume)
    server = neuroglancer.server.global_server
    server.loop.call_soon_threadsafe(server.app.add_handlers, r".*", [_used()])
    prefix = f"/neuroglancer/npz/{viewer.token}.{volume.token}/1,1,1"
    print(json.dumps({"port": server.port, "prefix": prefix}), flush=True)
    threading.Event().wait()


def peak_mb() -> float:
    """Return the largest memory of this process so far; getrusage would tell its parent's, had that been larger."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024


def _used() -> tuple:
    import tornado.web

    class Used(tornado.web.RequestHandler):
        def get(self) -> None:
            found = resource.getrusage(resource.RUSAGE_SELF)
            self.finish({"cpu": found.ru_utime + found.ru_stime, "peak": peak_mb()})

    return (r"/used", Used)


SERVERS: dict[str, Callable[[Path], None]] = {"rondel": serve_rondel, "static": serve_static, "local": serve_local}

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
