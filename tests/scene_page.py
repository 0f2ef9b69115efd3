"""Scenes in a real Chromium: Neuroglancer's own client with a given state, over a plain server of arrays."""

import asyncio
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import neuroglancer
import numpy as np
import tornado.web
from neuroglancer import static
from PIL import Image
from playwright.sync_api import Browser, Page

from .data_server import DataServer, data_server

SIZE = {"width": 1000, "height": 700}
LOADED = """() => {
  const shown = window.viewer?.layerManager.managedLayers.filter((layer) => layer.visible) ?? [];
  return shown.length > 0 && shown.every((one) => {
    const counts = one.layer?.renderLayers.map((layer) => layer.layerChunkProgressInfo).filter((info) => info) ?? [];
    const whole = counts.every((info) => info.numVisibleChunksAvailable === info.numVisibleChunksNeeded);
    const asked = one.layer?.type === 'annotation' || counts.some((info) => info.numVisibleChunksNeeded > 0);
    return one.isReady() && whole && asked;
  });
}"""
PANELS = """() => [...viewer.display.panels].filter((panel) => panel.sliceView).map((panel) => {
  const {element} = panel, outer = element.getBoundingClientRect();
  const left = outer.left + element.clientLeft, top = outer.top + element.clientTop;
  const {clientWidth: width, clientHeight: height} = element;
  const {displayDimensionIndices} = panel.navigationState.pose.displayDimensions.value;
  const matrix = [...panel.sliceView.projectionParameters.value.viewProjectionMat];
  const position = [...viewer.navigationState.position.value];
  return {left, top, width, height, matrix, position, order: [...displayDimensionIndices]};
})"""


class Client(tornado.web.RequestHandler):
    """Neuroglancer's files."""

    def get(self, name: str) -> None:
        content, kind = static.get_default_static_content_source().get(name, "")
        self.set_header("Content-Type", kind)
        self.finish(content)


class Nothing(tornado.web.RequestHandler):
    """The icon that browsers ask for by themselves."""

    def get(self) -> None:
        self.set_status(204)


class Events(tornado.web.RequestHandler):
    """The stream by which the client is told its state: once, and then nothing more.

    A state in the address would do, but Neuroglancer then writes it back there while it still reads it, and on a slow
    machine loses a layer by that.
    """

    def initialize(self, scenes: dict[str, dict]) -> None:
        self.scenes = scenes
        self.closed = asyncio.Event()

    async def get(self, name: str) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.write(f"data: {json.dumps({'k': 's', 'g': '1', 's': self.scenes[name]})}\n\n")
        await self.flush()
        await self.closed.wait()

    def on_connection_close(self) -> None:
        self.closed.set()


class Changes(tornado.web.RequestHandler):
    """Where the client tells what changed of its state."""

    def post(self, _name: str) -> None:
        self.finish({"g": "1"})


@contextmanager
def scene_server(folder: Path) -> Iterator["SceneServer"]:
    scenes: dict[str, dict] = {}
    routes = [
        (r"/v/[a-z0-9]+/(.*)", Client),
        (r"/events/([a-z0-9]+)", Events, {"scenes": scenes}),
        (r"/state/([a-z0-9]+)", Changes),
        (r"/favicon.ico", Nothing),
    ]
    with data_server(folder, routes) as server:
        yield SceneServer(server.origin, server.canvases, scenes)


@dataclass
class SceneServer(DataServer):
    """What tests know of the running server."""

    scenes: dict[str, dict] = field(default_factory=dict)


@dataclass
class Panel:
    """A cross section: where it is in the window, and which voxel lies where."""

    matrix: np.ndarray
    order: list[int]
    position: list[float]
    left: float
    top: float
    width: float
    height: float

    @property
    def across(self) -> int:
        """The axis (0 is z) that this cross section is perpendicular to."""
        return self.order[int(np.abs(self.matrix[2, :3]).argmax())]

    def into(self, place: Sequence[float] | np.ndarray) -> list[float]:
        """Move a place (z, y, x) into this cross section."""
        moved = [float(v) for v in place]
        moved[self.across] = self.position[self.across]
        return moved

    def pixel(self, voxel: Sequence[float]) -> tuple[float, float]:
        """Return where in the window a position (z, y, x) of the scene is shown."""
        x, y, _, w = self.matrix @ [*(voxel[i] for i in self.order), 1.0]
        return self.left + self.width * (x / w + 1) / 2, self.top + self.height * (1 - y / w) / 2


@dataclass
class Shown:
    """A page that shows a scene."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def wait(self) -> None:
        """Wait until all that is in view was loaded and drawn."""
        self.page.wait_for_function(LOADED, timeout=60_000)
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def screenshot(self) -> np.ndarray:
        """Return what is seen, uint8 (Y, X, 3)."""
        return np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB"))

    def panels(self) -> list[Panel]:
        return [Panel(**{**p, "matrix": np.reshape(p["matrix"], (4, 4)).T}) for p in self.page.evaluate(PANELS)]

    def only(self, *layers: str) -> None:
        """Show these layers alone."""
        names = json.dumps(layers)
        self.page.evaluate(
            f"() => viewer.layerManager.managedLayers.forEach((l) => l.setVisible({names}.includes(l.name)))"
        )
        self.wait()


@contextmanager
def show(browser: Browser, server: SceneServer, state: neuroglancer.ViewerState) -> Iterator[Shown]:
    """Open a scene in a page of its own and wait for it."""
    page = browser.new_page(viewport=SIZE)  # pyright: ignore[reportArgumentType]
    shown = Shown(page)
    page.on("console", lambda m: shown.complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: shown.complaints.append(str(error)))
    page.on("response", lambda r: shown.complaints.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    page.on("request", lambda r: _check_origin(shown, r.url, server.origin))
    try:
        name = f"scene{len(server.scenes)}"
        server.scenes[name] = state.to_json()
        page.goto(f"{server.origin}/v/{name}/")
        shown.wait()
        yield shown
    finally:
        page.close()


def _check_origin(shown: Shown, url: str, origin: str) -> None:
    if not url.startswith((origin, "blob:", "data:")):
        shown.complaints.append(f"asked elsewhere: {url}")


def colour(pixels: np.ndarray, panel: Panel, voxel: Sequence[float]) -> list[int]:
    """Return the colour that a position (z, y, x) of the scene has in a screenshot."""
    x, y = panel.pixel(voxel)
    return pixels[int(y), int(x)].tolist()
