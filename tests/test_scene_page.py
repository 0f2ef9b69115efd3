"""Scenes as a real Chromium shows them: each voxel where it belongs, in the colours it should have."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rondel.store import edits, label_boxes, models, pyramid
from rondel.store import ledger as ledgers
from rondel.store import project as projects
from rondel.store import volume as volumes
from rondel.store.box import Box
from rondel.store.edits import Stroke
from rondel.store.maps import MapPlan, Maps
from rondel.store.project import Project
from rondel.store.records import EditKind, LabelBox, Purpose, State, VolumeRecord
from rondel.viewer import scene, views
from rondel.viewer.canvas import Canvas

from .foreign import write_image
from .scene_page import colour, scene_server, show

RNG = np.random.default_rng(0)
NAMES = ["background", "membrane", "organelle"]
CLASSES = {1: (86, 180, 233), 2: (213, 94, 0), 3: (240, 228, 66)}


@pytest.fixture(scope="module")
def browser(chromium):
    return chromium


@pytest.fixture
def empty(tmp_path: Path):
    with projects.create(tmp_path / "cells", NAMES) as made:
        yield made


def add_box(project: Project, region: Box, **changes) -> LabelBox:
    box = replace(LabelBox(0, "scan", region, 1, Purpose.TRAIN, State.PROPOSED, 0.5, "why"), **changes)
    return label_boxes.get(project.database, label_boxes.add(project.database, [box])[0])


def predicted(project: Project, record: VolumeRecord, classes: np.ndarray, uncertainty: np.ndarray) -> int:
    """Keep a map of a model that was never trained; returns its number."""
    draft = models.Draft(None, 1, tuple(NAMES), 1, 1.0, 0, (), 0.5, {}, ())
    model = models.save(project, draft, {"w": np.zeros(1, np.float32)}).number
    plan = MapPlan.of(record, model, (32, 32, 32), [(c.value, c.name, c.colour) for c in project.classes])
    maps = Maps.create(project.folder, plan)
    counts = [-(-n // b) for n, b in zip(record.shape, plan.bin)]
    maps.write_tile(record.box, classes, uncertainty, np.zeros((len(plan.statistics), *counts)))
    maps.finish()
    ledgers.record_tile(project.database, "scan", model, record.box, False)
    return model


def near(found, wanted, tolerance: int = 3) -> bool:
    return max(abs(a - b) for a, b in zip(found, wanted)) <= tolerance


def lit(value: int | np.ndarray) -> tuple[int, int, int]:
    """Return the colour of a label where its layer is the only one: the lowest layer is drawn opaque."""
    return CLASSES.get(int(value), (0, 0, 0))


def grey(value: float | np.ndarray, contrast: views.Contrast) -> list[int]:
    share = (float(value) - contrast.low) / (contrast.high - contrast.low)
    if not contrast.exact:
        share = scene.DARK + (scene.BRIGHT - scene.DARK) * share
    return [round(255 * min(1, max(0, share)))] * 3


def corners(random: np.random.Generator, box: Box, count: int):
    """Draw voxels of a box, each with a place inside it close to its border."""
    for voxel in random.integers(box.start, box.stop, (count, 3)):
        yield tuple(voxel), voxel + random.uniform(-0.42, 0.42, 3)


def test_a_box_shows_all_of_its_layers_each_voxel_in_its_place(empty, browser):
    image = RNG.integers(0, 255, (40, 70, 80)).astype(np.uint8)
    path = empty.folder.parent / "i.zarr"
    coarse = image.reshape(40, 35, 2, 40, 2).mean((2, 4)).astype(np.uint8)
    write_image(path, [image, coarse], "zyx", scales=[(10, 10, 10), (10, 20, 20)], unit="nanometer")
    record = projects.add_volume(empty, volumes.describe("scan", str(path)))
    box = add_box(empty, Box((4, 8, 8), (20, 40, 41)))
    labels = RNG.integers(1, 4, record.shape).astype(np.uint8)
    mask = np.ones(record.shape, bool)
    edits.submit(empty, Stroke(EditKind.PAINT, "scan", record.box, mask, labels, "ann", "test", 1))
    pyramid.refresh(empty.labels_path("scan"), record.box)
    model = predicted(empty, record, labels[::-1].copy(), np.full(record.shape, 255, np.uint8))
    painted = RNG.integers(0, 4, box.box.shape).astype(np.uint8)
    with scene_server(empty.folder) as server:
        server.canvases["abc"] = Canvas(box.id, box.box, "scan", painted)
        view = views.box_view(empty, box.id, origin=server.origin, serial="abc")
        assert (view.model, view.tiles, view.edit) == (model, 1, 1)
        with show(browser, server, scene.box_scene(view)) as page:
            assert page.complaints == []
            panels = page.panels()
            assert [panel.across for panel in panels] == [0, 1, 2]
            page.only("image")
            for panel, voxel, seen in samples(page, panels, box.box):
                assert near(seen, grey(image[voxel], view.contrasts[0])), (panel.across, voxel)
            page.only("labels")
            for panel, voxel, seen in samples(page, panels, record.box.intersect(box.box.grow((2, 2, 2)))):
                inside = box.box.contains(Box.at(voxel, (1, 1, 1)))
                value = painted[tuple(np.subtract(voxel, box.box.start))] if inside else 0
                assert near(seen, lit(value)), (panel.across, voxel)
            page.only("saved")
            for _, voxel, seen in samples(page, panels, record.box.intersect(box.box.grow((3, 3, 3)))):
                inside = box.box.contains(Box.at(voxel, (1, 1, 1)))
                assert near(seen, lit(0 if inside else labels[voxel])), voxel
            page.only("image", "prediction")
            strengths = [scene.STRIPES_OPACITY * scene.STRIPES["between"], scene.STRIPES_OPACITY]
            met = set()
            for _, voxel, seen in samples(page, panels, box.box):
                below, value = np.array(grey(image[voxel], view.contrasts[0])), labels[::-1][voxel]
                mixed = [below + (np.array(lit(value)) - below) * strength for strength in strengths]
                found = [strength for strength, wanted in zip(strengths, mixed) if near(seen, wanted)]
                assert near(seen, below) if value == 1 else found, voxel
                met.update(found if value > 1 else ())
            assert len(met) == 2  # stripes, and what is between them
            page.only("uncertainty")
            for _, _, seen in samples(page, panels, box.box, 3):
                assert seen[0] > 60 and max(seen[1:]) < 30  # the hot end of the scale
            page.only("box")
            pixels = page.screenshot()
            for panel in panels:
                for axis in {0, 1, 2} - {panel.across}:
                    for outside, edge in ((-1, box.box.start[axis] - 0.5), (1, box.box.stop[axis] - 0.5)):
                        place = np.add(box.box.centre, 1.3)
                        place[axis] = edge
                        assert is_drawn(pixels, panel, panel.into(place), (255, 255, 0))
                        place[axis] = edge - 0.6 * outside
                        assert not is_drawn(pixels, panel, panel.into(place), (255, 255, 0))
                        place[axis] = edge + 0.6 * outside
                        assert not is_drawn(pixels, panel, panel.into(place), (255, 255, 0))
            assert page.complaints == []


def samples(page, panels, box: Box, count: int = 25):
    """Yield panel, voxel and its colour, at places close to voxels' borders in each cross section."""
    pixels = page.screenshot()
    random = np.random.default_rng(1)
    for panel in panels:
        for _, place in corners(random, box, count):
            moved = panel.into(place)
            x, y = panel.pixel(moved)
            seen = panel.left < x < panel.left + panel.width and panel.top < y < panel.top + panel.height
            if seen and not near_controls(panel, x, y):
                yield panel, tuple(np.floor(np.add(moved, 0.5)).astype(int).tolist()), colour(pixels, panel, moved)


def is_drawn(pixels: np.ndarray, panel, place, wanted) -> bool:
    """Tell whether a line of this colour passes within two pixels of a place."""
    x, y = (int(v) for v in panel.pixel(place))
    around = pixels[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).astype(int)
    return bool((np.abs(around - wanted).max(1) < 60).any())


def near_controls(panel, x: float, y: float) -> bool:
    """Tell whether Neuroglancer draws something of its own there: buttons, axis lines, the scale bar."""
    middle = abs(x - panel.left - panel.width / 2) < 4 or abs(y - panel.top - panel.height / 2) < 4
    return middle or y < panel.top + 40 or y > panel.top + panel.height - 45


@pytest.mark.parametrize(("axes", "version"), [("zyx", "0.5"), ("xzcy", "0.4"), ("yxzt", "0.5")])
def test_a_working_level_in_the_middle_keeps_its_voxels_where_they_are(empty, browser, axes: str, version: str):
    """Finer and coarser levels are made of the same blocks, in a file that has an origin of its own.

    The coarse level is the negative of the others, so that it can be told which one is seen.
    """
    coarse = RNG.integers(0, 255, (6, 9, 10)).astype(np.uint8)
    working = coarse.repeat(2, 0).repeat(4, 1).repeat(4, 2)
    fine = working.repeat(2, 1).repeat(2, 2)
    levels = [stored_as(level, axes) for level in (fine, working, 255 - coarse)]
    sizes = [dict(z=30, y=4, x=5), dict(z=30, y=8, x=10), dict(z=60, y=32, x=40)]
    origin = dict(z=100, y=-50, x=7)
    path = empty.folder.parent / "i.zarr"
    write_image(
        path, levels, axes, version=version, scales=[[s.get(a, 1) for a in axes] for s in sizes], unit="nanometer"
    )
    shift(path, axes, sizes, origin, version)
    time, channels = 1 if "t" in axes else None, [1] if "c" in axes else None
    projects.add_volume(empty, volumes.describe("scan", str(path), level=1, time=time, channels=channels))
    box = add_box(empty, Box((2, 8, 12), (10, 24, 28)))
    painted = RNG.integers(0, 4, box.box.shape).astype(np.uint8)
    with scene_server(empty.folder) as server:
        server.canvases["abc"] = Canvas(box.id, box.box, "scan", painted)
        view = views.box_view(empty, box.id, origin=server.origin, serial="abc")
        state = scene.box_scene(view)
        with show(browser, server, state) as page:
            panels = page.panels()
            page.only("image")
            for panel, voxel, seen in samples(page, panels, box.box):
                assert near(seen, grey(working[voxel], view.contrasts[0])), (panel.across, voxel)
            page.only("labels")
            for panel, voxel, seen in samples(page, panels, box.box):
                value = painted[tuple(np.subtract(voxel, box.box.start))]
                assert near(seen, lit(value)), (panel.across, voxel)
            assert page.complaints == []
        state.layers["image"].cross_section_render_scale = 100
        with show(browser, server, state) as page:
            page.only("image")
            for panel, voxel, seen in samples(page, page.panels(), box.box):
                assert near(seen, grey(255 - working[voxel], view.contrasts[0])), (panel.across, voxel)
            assert page.complaints == []


def stored_as(level: np.ndarray, axes: str) -> np.ndarray:
    """Return a level (Z, Y, X) as it is stored; at time 0 or channel 0 it is something else."""
    more = [a for a in "tc" if a in axes]
    if more:
        level = np.stack([255 - level, level])
    return level.transpose([[*more, *"zyx"].index(a) for a in axes])


def shift(path: Path, axes: str, sizes: list[dict], origin: dict, version: str) -> None:
    """Put the image where its first voxel's corner is at an origin."""
    import json

    file = path / ("zarr.json" if version == "0.5" else ".zattrs")
    document = json.loads(file.read_text())
    ome = document["attributes"]["ome"] if version == "0.5" else document
    for dataset, size in zip(ome["multiscales"][0]["datasets"], sizes):
        moved = [origin[a] + size[a] / 2 if a in size else 0 for a in axes]
        dataset["coordinateTransformations"].append({"type": "translation", "translation": moved})
    file.write_text(json.dumps(document))


@pytest.mark.parametrize("dtype", ["uint16", "float32", "uint8"])
def test_nearly_all_intensities_are_neither_black_nor_white(empty, browser, dtype: str):
    image = RNG.gamma(2.0, 900.0, (64, 160, 200))
    image = np.clip(image / (1 if dtype != "uint8" else 60), 0, 255 if dtype == "uint8" else 65535)
    path = empty.folder.parent / "i.zarr"
    omero = {"channels": [{"color": "FFFFFF", "window": {"min": 0, "max": 65535, "start": 0, "end": 65535}}]}
    write_image(
        path, [image.astype(dtype)], "zyx", scales=[(8, 8, 8)], unit="nanometer",
        omero=omero if dtype == "uint16" else None,
    )  # fmt: skip
    projects.add_volume(empty, volumes.describe("scan", str(path)))
    with scene_server(empty.folder) as server:
        view = views.volume_view(empty, "scan", origin=server.origin)
        assert not view.contrasts[0].exact
        state = scene.volume_scene(view)
        state.show_axis_lines = state.show_scale_bar = False
        with show(browser, server, state) as page:
            page.only("image")
            panel, pixels = page.panels()[0], page.screenshot()
            (x0, y0), (x1, y1) = panel.pixel((32, 10, 10)), panel.pixel((32, 150, 190))
            part = pixels[int(max(y0, panel.top + 40)) : int(y1), int(x0) : int(x1)]
            low, high = np.percentile(part, (0.1, 99.9))
            assert 10 <= low < high <= 245 and high - low > 150
            assert page.complaints == []


def test_channels_have_their_colours_and_windows(empty, browser):
    image = RNG.integers(0, 4000, (3, 16, 40, 40)).astype(np.uint16)
    window = {"min": 0, "max": 65535, "start": 500, "end": 3500}
    listed = [
        {"label": n, "color": c, "window": window}
        for n, c in (("DAPI", "0000FF"), ("GFP", "00FF00"), ("box", "FF0000"))
    ]
    path = empty.folder.parent / "i.zarr"
    write_image(path, [image], "czyx", scales=[(1, 8, 8, 8)], unit="nanometer", omero={"channels": listed})
    projects.add_volume(empty, volumes.describe("scan", str(path), channels=["box", "GFP"]))
    with scene_server(empty.folder) as server:
        view = views.volume_view(empty, "scan", origin=server.origin)
        state = scene.volume_scene(view)
        assert [layer.name for layer in state.layers][:2] == ["box 2", "GFP"]
        with show(browser, server, state) as page:
            panels = page.panels()
            for names, colours in ((["box 2"], {2: 0}), (["GFP"], {1: 1}), (["box 2", "GFP"], {2: 0, 1: 1})):
                page.only(*names)
                for _, voxel, seen in samples(page, panels, Box((0, 0, 0), (16, 40, 40)), 10):
                    wanted = [0, 0, 0]
                    for channel, place in colours.items():
                        wanted[place] = grey(image[channel][voxel], views.Contrast(500, 3500, True))[0]
                    assert near(seen, wanted), (names, voxel)
            assert page.complaints == []


def test_a_flat_image_is_shown_in_one_panel(empty, browser):
    image = RNG.integers(0, 255, (90, 100)).astype(np.uint8)
    path = empty.folder.parent / "i.zarr"
    write_image(path, [image], "yx", scales=[(8, 8)], unit="nanometer")
    projects.add_volume(empty, volumes.describe("scan", str(path)))
    box = add_box(empty, Box((0, 10, 20), (1, 74, 84)))
    painted = RNG.integers(1, 4, box.box.shape).astype(np.uint8)
    with scene_server(empty.folder) as server:
        server.canvases["abc"] = Canvas(box.id, box.box, "scan", painted)
        view = views.box_view(empty, box.id, origin=server.origin, serial="abc")
        with show(browser, server, scene.box_scene(view)) as page:
            panels = page.panels()
            assert len(panels) == 1
            page.only("image")
            for _, voxel, seen in samples(page, panels, box.box, 60):
                assert near(seen, grey(image[voxel[1:]], view.contrasts[0])), voxel
            page.only("labels")
            for _, voxel, seen in samples(page, panels, box.box, 60):
                value = painted[tuple(np.subtract(voxel, box.box.start))]
                assert near(seen, lit(value)), voxel
            assert page.complaints == []


def test_a_volume_shows_its_boxes_by_state_and_tells_which_is_under_the_mouse(empty, browser):
    image = np.zeros((40, 200, 240), np.uint8)
    path = empty.folder.parent / "i.zarr"
    write_image(path, [image], "zyx", scales=[(10, 10, 10)], unit="nanometer")
    projects.add_volume(empty, volumes.describe("scan", str(path)))
    kinds = ["proposed", "open", "done", "skipped", "test"]
    boxes = {}
    for k, kind in enumerate(kinds):
        region = Box.at((10, 20 + 30 * k, 30 + 35 * k), (20, 30, 35))
        state = State.DONE if kind == "test" else State(kind)
        boxes[kind] = add_box(empty, region, state=state, purpose=Purpose.TEST if kind == "test" else Purpose.TRAIN)
    add_box(empty, Box((0, 0, 0), (8, 8, 8)), state=State.DROPPED)
    with scene_server(empty.folder) as server:
        view = views.volume_view(empty, "scan", origin=server.origin)
        assert [box.id for box in view.boxes] == [box.id for box in view.boxes if box.state != State.DROPPED]
        with show(browser, server, scene.volume_scene(view)) as page:
            panel = page.panels()[0]
            page.only(*kinds)
            pixels = page.screenshot()
            for kind, box in boxes.items():
                wanted = [int(scene.STATE_COLOURS[kind][i : i + 2], 16) for i in (1, 3, 5)]
                _, y, x = box.box.centre
                edge = (panel.position[0], box.box.start[1] - 0.5, x + 3)
                assert is_drawn(pixels, panel, edge, wanted), kind
                page.page.mouse.move(*panel.pixel((panel.position[0], y + 3, x + 3)))
                page.page.wait_for_function(
                    f"() => viewer.mouseState.active && viewer.mouseState.pickedAnnotationId === '{box.id}'",
                    timeout=20_000,
                )
            assert page.complaints == []
