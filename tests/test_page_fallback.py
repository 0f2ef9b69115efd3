"""Where Neuroglancer lacks a name that the brush needs, the page says so, and keys at the pointer change labels."""

import numpy as np
import pytest

from .browser import Screen, Server
from .painted_project import BOXES

LACKING = """
let real;
Object.defineProperty(window, "viewer", {
  set(viewer) { real = window.whole = viewer; },
  get() { return real && new Proxy(real, { get: (all, name) => (name === "chunkManager" ? undefined : all[name]) }); },
});
"""
"""Shows our script a Neuroglancer without one of the names; Neuroglancer itself keeps it."""
POINT = """(point) => {
  for (const panel of window.whole.display.panels) {
    if (!panel.sliceView) continue;
    const m = panel.sliceView.projectionParameters.value.viewProjectionMat;
    const names = window.whole.navigationState.coordinateSpace.value.names;
    const shown = [...panel.navigationState.pose.displayDimensions.value.displayDimensionIndices].map((i) => names[i]);
    if (shown.join("") !== "xyz" || Math.abs(m[10]) < Math.abs(m[2]) || Math.abs(m[10]) < Math.abs(m[6])) continue;
    const [a, b, c] = shown.map((name) => point["zyx".indexOf(name)]);
    const clip = [0, 1, 3].map((i) => m[i] * a + m[4 + i] * b + m[8 + i] * c + m[12 + i]);
    const place = panel.element.getBoundingClientRect();
    return [
      place.left + panel.element.clientLeft + ((clip[0] / clip[2] + 1) / 2) * panel.element.clientWidth,
      place.top + panel.element.clientTop + ((1 - clip[1] / clip[2]) / 2) * panel.element.clientHeight,
    ];
  }
}"""


POINTED = "(x) => window.whole.mouseState.active && Math.abs(window.whole.mouseState.position[2] - x) < 1"
SOURCE = "JSON.stringify(window.whole.layerManager.getLayerByName('labels')?.layer?.toJSON().source)"


@pytest.fixture
def screen(chromium, server: Server) -> Screen:
    screen = Screen(chromium, server, before=LACKING, box=server.painted.ids[0])
    screen.wait("window.whole.isReady()")
    return screen


def key(screen: Screen, key: str, voxel: tuple[float, float, float]) -> None:
    """Press a key over a voxel of the box's middle slice, and wait until it is done."""
    screen.page.mouse.move(*screen.ask(POINT, [v + o for v, o in zip(voxel, BOXES[0].start)]))
    screen.wait(POINTED, BOXES[0].start[2] + voxel[2])
    before = screen.ask(SOURCE)
    screen.press(key)
    screen.wait(f"(before) => {SOURCE} !== before", before)
    screen.wait("window.whole.isReady()")


def test_page_says_what_is_missing_and_keys_do_the_work(screen: Screen):
    z = BOXES[0].shape[0] // 2 - 1
    screen.said("lacks viewer.chunkManager.rpc.objects", ".rondel-said")
    screen.said("P stamps the class", ".rondel-said")
    assert screen.page.locator(".rondel-tools").is_hidden()
    key(screen, "p", (z, 20, 20))
    disk = screen.server.labels(screen.shown)
    assert disk[z, 20, 20] == 2 and (disk == 2).sum() > 100 and disk[z, 20, 27] == 0
    key(screen, "d", (z, 20, 22))
    assert screen.server.labels(screen.shown)[z, 20, 22] == 0
    key(screen, "u", (z, 20, 22))
    np.testing.assert_array_equal(screen.server.labels(screen.shown), disk)
    key(screen, "g", (z, 24, 32))
    accepted = screen.server.labels(screen.shown)
    predicted = screen.server.painted.classes[BOXES[0].slices]
    assert accepted[z, 24, 32] == 2 and (accepted[z] == predicted[z])[18:30, 26:38].mean() > 0.5
    screen.press("c")
    screen.wait("document.body.textContent.includes('class 3')")
    key(screen, "f", (z, 20, 20))
    assert screen.server.labels(screen.shown)[z, 20, 20] == 3
    assert screen.ask("window.whole.showAxisLines.value")
    screen.press("a")
    assert not screen.ask("window.whole.showAxisLines.value")  # Neuroglancer's own keys stay its own
