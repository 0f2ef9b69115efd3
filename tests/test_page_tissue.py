"""The demo's tissue on its own page: nothing of the image is lost in black or white."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rondel.loop.tissue import tissue
from rondel.store import exporters, label_boxes
from rondel.store import project as projects
from rondel.store import volume as volumes
from rondel.store.box import Box
from rondel.store.records import LabelBox, Purpose, State
from rondel.store.volume import Volume
from rondel.tui.demo import SPACING_NM

from .browser import Screen, Server
from .painted_project import Painted

SHAPE = (48, 144, 144)
PLACE = """() => {
  const place = rondel.adapter.panels()[0].element.getBoundingClientRect();
  return { x: place.x, y: place.y, width: place.width, height: place.height };
}"""
BARE = """() => {
  const { viewer, layers } = rondel.adapter;
  for (const { name } of viewer.layerManager.managedLayers) layers.setVisible(name, name === "image");
  viewer.showAxisLines.value = viewer.showScaleBar.value = false;
}"""
"""Hides all but the image."""


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Server]:
    """A server of a small piece of what `rondel demo` generates, written as the demo writes it."""
    image, truth, classes = tissue(SHAPE, SPACING_NM, 0)
    path = tmp_path / "tissue.ome.zarr"
    exporters.export_ome_zarr(
        path,
        lambda box: image[box.slices],
        name="tissue",
        axes="zyx",
        shape=SHAPE,
        dtype="uint8",
        spacing_nm=SPACING_NM,
        translation_nm=(0.0, 0.0, 0.0),
        unit="nanometer",
        kind="image",
        label=None,
    )
    with projects.create(tmp_path / "project", list(classes)) as project:
        projects.add_volume(project, volumes.describe("tissue", str(path)))
        box = LabelBox(0, "tissue", Box.of_shape(SHAPE), 1, Purpose.TRAIN, State.PROPOSED, 0.5, "a test")
        ids = label_boxes.add(project.database, [box])
    server = Server(Painted(tmp_path / "project", truth, tuple(ids)))
    server.start()
    yield server
    server.stop()


def test_nearly_all_of_the_coarsest_level_is_neither_black_nor_white(chromium, demo: Server):
    with projects.open_project(demo.folder) as project:
        volume = Volume(project.volume_record("tissue"), project.folder)
        levels = volume.metadata.levels
        coarsest = volume.read(Box.of_shape(SHAPE), len(levels) - 1)[0]
    assert len(levels) > 1
    screen = Screen(chromium, demo, box=demo.painted.ids[0]).ready()
    screen.ask(BARE)
    screen.drawn()
    screen.wait("!rondel.adapter.layers.loading")
    screen.drawn()
    place = screen.ask(PLACE)
    inner = {
        "x": place["x"] + 140,
        "y": place["y"] + 50,
        "width": place["width"] - 280,
        "height": place["height"] - 100,
    }
    seen = np.asarray(Image.open(io.BytesIO(screen.page.screenshot(clip=inner))).convert("RGB")).astype(int)
    assert np.ptp(seen, axis=2).max() <= 2  # greys
    low, high = np.percentile(seen, (0.1, 99.9))
    assert 10 <= low < high <= 245 and high - low > 0.5 * (245 - 10), (low, high)
    dark, bright = np.percentile(coarsest, (0.1, 99.9))
    contrast = screen.ask(
        "rondel.adapter.viewer.layerManager.getLayerByName('image').layer.shaderControlState.value"
        ".get('normalized').trackable.value.range"
    )
    assert contrast[0] <= dark < bright <= contrast[1]  # so the coarsest level lies within what was seen
