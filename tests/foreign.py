"""OME-Zarr images as other programs write them, by zarr-python and plain JSON."""

import functools
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr

TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def write_image(
    path: Path,
    levels: Sequence[np.ndarray],
    axes: str,
    *,
    version: str = "0.5",
    scales: Sequence[Sequence[float]] | None = None,
    unit: str | None = "micrometer",
    shards: tuple[int, ...] | None = None,
    omero: dict[str, Any] | None = None,
    outer: list[dict] | None = None,
) -> Path:
    """Write levels as an OME-Zarr image of zarr v2 (0.4) or v3 (0.5); without scales it says nothing of spacing."""
    zarr_format = 2 if version == "0.4" else 3
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    datasets: list[dict[str, Any]] = []
    for k, level in enumerate(levels):
        chunks = tuple(min(16, n) for n in level.shape)
        stored = group.create_array(str(k), shape=level.shape, dtype=level.dtype, chunks=chunks, shards=shards)
        stored[...] = level
        transforms = [] if scales is None else [{"type": "scale", "scale": list(scales[k])}]
        datasets.append({"path": str(k), "coordinateTransformations": transforms})
    listed = [{"name": a, "type": TYPES[a]} | ({"unit": unit} if unit and a in "zyx" else {}) for a in axes]
    multiscale: dict[str, Any] = {"name": path.name, "axes": listed, "datasets": datasets}
    if outer:
        multiscale["coordinateTransformations"] = outer
    ome: dict[str, Any] = {"multiscales": [multiscale]} | ({"omero": omero} if omero else {})
    if zarr_format == 2:
        multiscale["version"] = "0.4"
        group.attrs.update(ome)
    else:
        group.attrs["ome"] = {"version": "0.5"} | ome
    return path


def change_metadata(path: Path, change) -> None:
    """Apply a function to the `ome` block of a 0.5 image."""
    file = path / "zarr.json"
    document = json.loads(file.read_text())
    change(document["attributes"]["ome"])
    file.write_text(json.dumps(document))


def digest(path: Path) -> dict[str, str]:
    """Return a hash of every file below a folder."""
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(path.rglob("*")) if p.is_file()}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP; yields its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
