"""The voxel that is seen is the voxel that is written: however an image is stored, a click on it labels it."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rondel.store import label_boxes
from rondel.store import project as projects
from rondel.store.box import Box
from rondel.store.records import LabelBox, Purpose, State
from rondel.store.volume import describe

from .browser import Screen, Server
from .foreign import change_metadata, write_image
from .painted_project import Painted

SPACING = {"z": 20.0, "y": 8.0, "x": 8.0, "c": 1.0, "t": 1.0}
SHAPE, BOX = (24, 40, 48), Box((4, 8, 8), (20, 36, 44))
BRIGHT = ((9, 17, 23), (15, 30, 12), (12, 21, 37))
"""Voxels of the working level that alone are bright in the box."""

PANEL = """(axis) => {
  const panel = rondel.adapter.panels().find((one) => rondel.adapter.axis(one) === axis);
  const { left, top, right, bottom } = panel.element.getBoundingClientRect();
  return [left, top, right, bottom];
}"""
NOTHING_ELSE = ".neuroglancer-data-panel-layout-controls { visibility: hidden; }"


def write(folder: Path, axes: str, level: int) -> None:
    """Write an image whose levels lie as OME-Zarr says: a coarse voxel's centre is the mean of its fine ones'."""
    working = np.full(SHAPE, 40, np.uint8)
    working[BOX.stop[0] :] = 250  # else three bright voxels would not count for the contrast
    for voxel in BRIGHT:
        working[voxel] = 250
    fine = [working.repeat(2**k, 0).repeat(2**k, 1).repeat(2**k, 2) for k in range(level, -1, -1)]
    levels = [_ordered(array, axes) for array in fine]
    scales = [[SPACING[a] * (2**k if a in "zyx" else 1) for a in axes] for k in range(level + 1)]
    path = write_image(folder / "scan.zarr", levels, axes, scales=scales, unit="nanometer")

    def translate(ome) -> None:
        for k, dataset in enumerate(ome["multiscales"][0]["datasets"]):
            offset = [(SPACING[a] * (2**k - 1) / 2 + 1000 if a in "zyx" else 0) for a in axes]
            dataset["coordinateTransformations"].append({"type": "translation", "translation": offset})

    change_metadata(path, translate)


def _ordered(array: np.ndarray, axes: str) -> np.ndarray:
    """Return a (Z, Y, X) array with its axes in another order, and new ones of length 2 that hold it twice."""
    spatial = [a for a in axes if a in "zyx"]
    array = array.transpose(["zyx".index(a) for a in spatial])
    for i, a in enumerate(axes):
        if a not in "zyx":
            array = np.stack([array, array], i)
    return array


@pytest.fixture(params=[("zyx", 0), ("zyx", 1), ("xzy", 0), ("tczyx", 1)], ids=lambda p: f"{p[0]}-{p[1]}")
def foreign(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    axes, level = request.param
    folder = tmp_path / "cells"
    with projects.create(folder, ["background", "membrane"]) as project:
        write(folder, axes, level)
        time = 1 if "t" in axes else None
        record = describe(
            "scan", "scan.zarr", root=folder, level=level, time=time, channels=[1] if "c" in axes else None
        )
        projects.add_volume(project, record)
        assert record.shape == SHAPE
        box = LabelBox(0, "scan", BOX, 1, Purpose.TRAIN, State.PROPOSED, 1, "a test")
        ids = label_boxes.add(project.database, [box])
    server = Server(Painted(folder, np.zeros(SHAPE, np.uint8), tuple(ids)))
    server.start()
    yield server
    for screen in server.pages:
        screen.page.context.close()
    server.stop()


def brightest(screen: Screen, axis: int) -> tuple[float, float]:
    """Return the middle of the bright spot in a cross section, as it is on the screen."""
    left, top = screen.place(axis, [-0.5] * 3)
    right, bottom = screen.place(axis, [n - 0.5 for n in BOX.shape])
    with Image.open(io.BytesIO(screen.page.screenshot())) as image:
        grey = np.asarray(image.convert("RGB")).min(2).astype(int)
    edge = screen.ask(PANEL, axis)
    x0, x1 = max(min(left, right), edge[0]), min(max(left, right), edge[2])
    y0, y1 = max(min(top, bottom), edge[1]), min(max(top, bottom), edge[3])
    x0, x1, y0, y1 = (round(v) + by for v, by in zip((x0, x1, y0, y1), (4, -4, 4, -4)))
    part = grey[y0:y1, x0:x1]
    rows, columns = np.nonzero(part > 150)
    assert rows.size > 4
    return x0 + columns.mean() + 0.5, y0 + rows.mean() + 0.5


def test_click_on_what_is_seen_labels_it(chromium, foreign: Server):
    screen = Screen(chromium, foreign, box=1).ready()
    screen.page.add_style_tag(content=NOTHING_ELSE)
    screen.ask("rondel.adapter.viewer.showAxisLines.value = false")
    screen.ask("rondel.adapter.viewer.showScaleBar.value = false")
    screen.press("p", "2")
    screen.set(radius=0.5)
    wanted = []
    for axis, voxel in enumerate(BRIGHT):
        local = [v - o for v, o in zip(voxel, BOX.start)]
        screen.go(local)
        screen.page.mouse.move(5, 5)
        screen.drawn()
        screen.page.mouse.click(*brightest(screen, axis))
        wanted.append(tuple(local))
    assert sorted(map(tuple, np.argwhere(screen.settle() == 2).tolist())) == sorted(wanted)
    everything = foreign.read(Box.of_shape(SHAPE))
    assert sorted(map(tuple, np.argwhere(everything).tolist())) == sorted(BRIGHT)
