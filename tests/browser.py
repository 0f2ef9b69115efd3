"""A real Chromium before a real server: what tests of the page share."""

import base64
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rondel.store import label_boxes, labels, serving
from rondel.store.box import Box
from rondel.store.edits import Stroke
from rondel.store.project import Project, open_project
from rondel.store.records import EditKind, LabelBox
from rondel.store.writer import open_writer
from rondel.viewer import link

from . import painted_project
from .painted_project import Painted

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--use-gl=angle",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-gpu-rasterization",  # where the processor is the graphics card, drawing the page by it only costs more
]
SIZE = {"width": 1280, "height": 720}
PATIENCE = 40_000
"""Milliseconds to wait for what must happen: software drawing on a busy machine is slow."""
PROJECT = """([axis, point]) => {
  const { adapter, sync } = window.rondel, { viewer } = adapter;
  const names = viewer.navigationState.coordinateSpace.value.names;
  const at = {}; ["z", "y", "x"].forEach((n, i) => (at[names.indexOf(n)] = point[i] + sync.head.origin[i]));
  for (const panel of adapter.panels()) {
    const p = panel.sliceView.projectionParameters.value, m = p.viewProjectionMat;
    const shown = panel.navigationState.pose.displayDimensions.value.displayDimensionIndices;
    const [a, b, c] = [...shown].map((i) => at[i]);
    const clip = [0, 1, 2, 3].map((i) => m[i] * a + m[4 + i] * b + m[8 + i] * c + m[12 + i]);
    const normal = [m[2], m[6], m[10]].map(Math.abs);
    if (names[shown[normal.indexOf(Math.max(...normal))]] !== "zyx"[axis]) continue;
    const place = panel.element.getBoundingClientRect();
    return {
      x: place.left + panel.element.clientLeft + ((clip[0] / clip[3] + 1) / 2) * panel.element.clientWidth,
      y: place.top + panel.element.clientTop + ((1 - clip[1] / clip[3]) / 2) * panel.element.clientHeight,
      depth: clip[2] / clip[3],
    };
  }
}"""
"""Where a voxel of the box is drawn in the cross section perpendicular to an axis, by Neuroglancer's own matrix."""
MEET = f"""(point) => {{
  const {{ adapter }} = window.rondel;
  const axes = adapter.panels().map((panel) => adapter.axis(panel));
  return axes.length > 0 && axes.every((axis) => Math.abs(({PROJECT})([axis, point]).depth) < 1e-3);
}}"""
"""Whether all cross sections lie in a voxel's middle."""
GO = """(point) => {
  const { adapter, sync } = window.rondel, { position, coordinateSpace } = adapter.viewer.navigationState;
  const moved = Float32Array.from(position.value);
  ["z", "y", "x"].forEach((n, i) => (moved[coordinateSpace.value.names.indexOf(n)] = point[i] + sync.head.origin[i]));
  position.value = moved;
}"""
CHUNKS = """() => {
  const { adapter, sync } = window.rondel, [nz, ny, nx] = sync.head.shape;
  const found = new Uint8Array(nz * ny * nx).fill(255);
  for (const source of adapter.viewer.chunkManager.rpc.objects.values()) {
    if (!source.chunks || !source.parameters?.url?.includes(`/box/${sync.head.serial}/`)) continue;
    const [cx, cy, cz] = source.spec.chunkDataSize;
    for (const [key, { data }] of source.chunks) {
      const [kx, ky, kz] = key.split(",").map(Number);
      for (let z = kz * cz; z < Math.min(nz, (kz + 1) * cz); z++)
        for (let y = ky * cy; y < Math.min(ny, (ky + 1) * cy); y++)
          for (let x = kx * cx; x < Math.min(nx, (kx + 1) * cx); x++)
            found[(z * ny + y) * nx + x] = data[((z - kz * cz) * cy + (y - ky * cy)) * cx + (x - kx * cx)];
    }
  }
  let text = ""; for (const v of found) text += String.fromCharCode(v); return btoa(text);
}"""
"""All that Neuroglancer holds of the box, 255 where it holds nothing."""
VIEW = """() => {
  let text = "";
  for (const v of window.rondel.sync.mirror.view) text += String.fromCharCode(v);
  return btoa(text);
}"""
REFETCH = """() => {
  const { adapter, sync } = window.rondel;
  const sources = [...adapter.viewer.chunkManager.rpc.objects.values()].filter(
    (source) => source.chunks && source.parameters?.url?.includes(`/box/${sync.head.serial}/`));
  window.stale = sources.map((source) => [source, new Set(source.chunks.values())]);
  for (const source of sources) source.invalidateCache();
}"""
FRESH = "() => window.stale.every(([source, old]) => [...source.chunks.values()].every((chunk) => !old.has(chunk)))"
LEFT = "!window.rondel?.sync?.connected || window.rondel.sync.unsaved === 0"
DRAWN = """() => {
  const { viewer } = window.rondel.adapter ?? window;
  return viewer.isReady() && viewer.layerManager.managedLayers.every((l) => l.layer);
}"""


@dataclass
class Server:
    """`python -m rondel.viewer.server`, in a process of its own."""

    painted: Painted
    process: subprocess.Popen | None = None
    pages: list["Screen"] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.painted.folder

    def start(self) -> None:
        words = [sys.executable, "-m", "rondel.viewer.server", str(self.folder)]
        environment = os.environ | {"RONDEL_PERSON": "host"}
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout and "serving" in self.process.stdout.readline()

    def send(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        assert self.process and self.process.stdout
        self.process.send_signal(number)
        self.process.wait(30)
        self.process.stdout.close()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let nothing be answered for a while."""
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)

    def link(self, **wanted: Any) -> str:
        found = serving.load(self.folder)
        assert found
        return link.link(found, **wanted)

    def row(self, id: int) -> LabelBox:
        with open_project(self.folder) as project:
            return label_boxes.get(project.database, id)

    def read(self, region: Box, volume: str = "scan") -> np.ndarray:
        """Return labels as they are on disk."""
        with open_project(self.folder) as project:
            return labels.read(project, volume, region)

    def labels(self, id: int) -> np.ndarray:
        row = self.row(id)
        return self.read(row.box, row.volume)

    def write(self, id: int, values: np.ndarray | int, region: Box | None = None, person: str = "verb") -> None:
        """Change labels of a box as a verb does, through the running server."""
        box = self.row(id)
        region = region or box.box
        filled = np.broadcast_to(np.asarray(values, np.uint8), region.shape)
        with open_project(self.folder) as project, open_writer(project) as writer:
            number = len(_edits(project)) + 1
            sender = ("tests-of-pages", number)
            writer.write(
                Stroke(EditKind.IMPORT, "scan", region, np.ones(region.shape, bool), filled, person, *sender, id)
            )


def _edits(project: Project) -> Sequence[Any]:
    return project.database.rows("SELECT number FROM edit")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("no chromium here")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
    gc.collect()  # playwright's greenlets end here, and not while something is parsed: CPython 3.11 stumbles over that


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(painted_project.make(tmp_path_factory.mktemp("painted") / "cells"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """The server that all tests of the page share; afterwards its boxes are as they were and its pages closed."""
    yield shared_server
    if shared_server.process is None or shared_server.process.poll() is not None:
        shared_server.start()  # a test that failed while there was none fails alone
    for screen in shared_server.pages:
        screen.leave()
    shared_server.pages.clear()
    for id in shared_server.painted.ids:
        if shared_server.labels(id).any():
            shared_server.write(id, 0)
    with open_project(shared_server.folder) as project, project.database.transaction() as connection:
        connection.execute("UPDATE box SET state = 'proposed', seconds = 0, why = '', done_at = NULL")


class Screen:
    """A page, driven as a person drives it."""

    def __init__(
        self,
        browser: Any,
        server: Server,
        *,
        person: str | None = "ann",
        origin: str | None = None,
        before: str = "",
        **wanted: Any,
    ) -> None:
        self.server = server
        self.faults: list[str] = []
        self.asked: list[str] = []
        context = browser.new_context(viewport=SIZE)
        context.set_default_timeout(PATIENCE)
        if person:
            context.add_init_script(f"localStorage.setItem('rondel-person', {json.dumps(person)})")
        if before:
            context.add_init_script(before)
        self.page = context.new_page()
        server.pages.append(self)
        self.page.on("console", lambda told: told.type == "error" and self.faults.append(told.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        address = server.link(**wanted)
        if origin:
            address = origin + address[address.index("/open/") :]
        self.page.goto(address)
        self.wait("window.rondel?.sync.head")

    # Looking.

    def wait(self, condition: str, argument: Any = None) -> None:
        self.page.wait_for_function(condition, arg=argument, polling=50)

    def leave(self) -> None:
        """Close the page once all is saved, if it can be: what comes later would lie in a box that was cleared."""
        from playwright.sync_api import Error

        with suppress(Error):
            self.page.wait_for_function(LEFT, timeout=5000)
        self.page.context.close()

    def ask(self, expression: str, *arguments: Any) -> Any:
        return self.page.evaluate(expression, *arguments)

    def ready(self) -> "Screen":
        """Wait until the box has arrived and is drawn."""
        self.wait("window.rondel.sync.mirror?.ready")
        self.wait(DRAWN)
        return self

    def drawn(self) -> None:
        """Wait until what changed last is on the screen."""
        self.wait(DRAWN)
        self.ask("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    @property
    def shown(self) -> int:
        """The box on show."""
        return self.ask("rondel.sync.head.id")

    def said(self, text: str, place: str = ".rondel-said") -> None:
        """Wait until the strip says something."""
        self.wait("([place, text]) => document.querySelector(place).textContent.includes(text)", [place, text])

    def voxels(self, source: str) -> np.ndarray:
        shape = self.ask("rondel.sync.head.shape")
        return np.frombuffer(base64.b64decode(self.ask(source)), np.uint8).reshape(shape)

    def chunks(self) -> np.ndarray:
        """Return the box as Neuroglancer holds it, 255 where it holds nothing."""
        return self.voxels(CHUNKS)

    def view(self) -> np.ndarray:
        """Return the box as the page believes it to be."""
        return self.voxels(VIEW)

    def settle(self) -> np.ndarray:
        """Wait until all is saved; returns the labels on disk, which page and chunks must equal."""
        self.wait("rondel.sync.unsaved === 0 && rondel.sync.connected && rondel.sync.mirror.ready")
        disk = self.server.labels(self.shown)
        view, chunks = self.view(), self.chunks()
        np.testing.assert_array_equal(view, disk)
        held = chunks != 255
        assert held.any()
        np.testing.assert_array_equal(chunks[held], disk[held])
        return disk

    def refetch(self) -> None:
        """Have Neuroglancer read all chunks of the box again, and wait for them."""
        self.ask(REFETCH)
        self.wait(FRESH)  # the old ones stay until a thread of Neuroglancer's has heard of it
        self.wait(f"() => !atob(({CHUNKS})()).includes('\\xff') || ({DRAWN})()")
        self.drawn()

    # Doing.

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def go(self, voxel: Sequence[float]) -> None:
        """Let the cross sections meet in a voxel of the box."""
        self.ask(GO, list(map(float, voxel)))
        self.wait(MEET, list(map(float, voxel)))

    def place(self, axis: int, voxel: Sequence[float]) -> tuple[float, float]:
        """Return where on the screen a voxel of the box is, in the cross section perpendicular to an axis."""
        found = self.ask(PROJECT, [axis, list(map(float, voxel))])
        return found["x"], found["y"]

    def down(self, axis: int, voxel: Sequence[float]) -> None:
        self.page.mouse.move(*self.place(axis, voxel))
        self.page.mouse.down()

    def move(self, axis: int, *voxels: Sequence[float]) -> None:
        for voxel in voxels:
            self.page.mouse.move(*self.place(axis, voxel), steps=4)

    def up(self) -> None:
        self.page.mouse.up()

    def drag(self, axis: int, *voxels: Sequence[float]) -> None:
        self.down(axis, voxels[0])
        self.move(axis, *voxels[1:])
        self.up()

    def click(self, axis: int, voxel: Sequence[float]) -> None:
        self.page.mouse.click(*self.place(axis, voxel))

    def set(self, **settings: Any) -> None:
        """Set the tool up: radius, value, flat, only, unlabelled, above."""
        self.ask("(given) => { Object.assign(rondel.tools, given); rondel.refresh(); }", settings)


@pytest.fixture
def screen(chromium, server: Server) -> Screen:
    """A page that shows the first box, with the middle of it in view."""
    screen = Screen(chromium, server, box=server.painted.ids[0]).ready()
    screen.go((20, 24, 32))
    return screen
