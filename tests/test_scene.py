"""What is chosen to be seen, and how it is put to the client."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rondel.store import label_boxes, ledger, models
from rondel.store import project as projects
from rondel.store import volume as volumes
from rondel.store.box import Box
from rondel.store.errors import InvalidDataError, UsageError
from rondel.store.maps import MapPlan, Maps
from rondel.store.project import Project
from rondel.store.records import LabelBox, Purpose, State, VolumeRecord
from rondel.viewer import scene, views

from .foreign import write_image

RNG = np.random.default_rng(0)


@pytest.fixture
def seen(tmp_path: Path):
    """A project with a small image."""
    with projects.create(tmp_path / "cells", ["background", "cell", "wall"]) as project:
        add(project, tmp_path / "i.zarr", RNG.integers(0, 255, (32, 64, 64)).astype(np.uint8))
        yield project


def add(project: Project, path: Path, image: np.ndarray, name: str = "scan", **options) -> VolumeRecord:
    write_image(path, [image], "zyx", scales=[options.pop("scale", (10, 10, 10))], unit="nanometer", **options)
    return projects.add_volume(project, volumes.describe(name, str(path)))


def add_box(project: Project, region: Box, **changes) -> int:
    box = replace(LabelBox(0, "scan", region, 1, Purpose.TRAIN, State.PROPOSED, 0.5, "why"), **changes)
    return label_boxes.add(project.database, [box])[0]


def add_model(project: Project, tiles: list[Box], *, use: bool = False) -> int:
    draft = models.Draft(None, 1, ("background", "cell", "wall"), 1, 1.0, 0, (), 0.5, {}, ())
    number = models.save(project, draft, {"w": np.zeros(1, np.float32)}).number
    Maps.create(project.folder, MapPlan.of(project.volume_record("scan"), number, (16, 16, 16), [(1, "a", "#ffffff")]))
    for tile in tiles:
        ledger.record_tile(project.database, "scan", number, tile, False)
    if use:
        models.use(project.database, number, "for a test")
    return number


def box_view(project: Project, id: int, model: int | None = None) -> views.BoxView:
    return views.box_view(project, id, origin="http://h", serial="abc", model=model)


def test_the_champion_is_shown_where_its_map_covers_the_box_else_the_newest_that_does(seen):
    left, right = Box((0, 0, 0), (32, 64, 32)), Box((0, 0, 32), (32, 64, 64))
    inside, across = add_box(seen, Box((0, 0, 0), (16, 16, 16))), add_box(seen, Box((0, 0, 16), (16, 16, 48)))
    assert box_view(seen, inside).model is None
    champion = add_model(seen, [left], use=True)
    newer, newest = add_model(seen, [left, right]), add_model(seen, [])
    assert box_view(seen, inside).model == champion
    assert (box_view(seen, across).model, box_view(seen, across).tiles) == (newer, 2)
    assert views.volume_view(seen, "scan", origin="").model == champion
    assert box_view(seen, across, newest).model == newest


def test_what_there_is_not_is_refused(seen):
    id = add_box(seen, Box((0, 0, 0), (16, 16, 16)))
    with pytest.raises(UsageError, match="no box"):
        box_view(seen, id + 1)
    with pytest.raises(UsageError, match="no volume"):
        views.volume_view(seen, "other", origin="")
    with pytest.raises(UsageError, match="model"):
        box_view(seen, id, 7)
    draft = models.Draft(None, 1, ("background", "cell", "wall"), 1, 1.0, 0, (), 0.5, {}, ())
    number = models.save(seen, draft, {"w": np.zeros(1, np.float32)}).number
    with pytest.raises(InvalidDataError, match="no map"):
        box_view(seen, id, number)


def test_without_a_model_there_is_nothing_to_show_of_one(seen):
    state = scene.box_scene(box_view(seen, add_box(seen, Box((0, 0, 0), (16, 16, 16)))))
    assert [layer.name for layer in state.layers] == ["image", "saved", "labels", "box"]


def test_a_box_fills_its_panel_and_is_looked_at_through_a_voxel(seen):
    state = scene.box_scene(box_view(seen, add_box(seen, Box((4, 8, 8), (20, 40, 24)))))
    assert list(state.position) == [11, 23, 15]
    assert 32 / state.cross_section_scale == pytest.approx(scene.PANEL * scene.FILLED)
    tall = scene.box_scene(box_view(seen, add_box(seen, Box((0, 8, 8), (20, 16, 24)))))
    z, _, x = tall.dimensions.scales
    assert 20 * z / x / tall.cross_section_scale == pytest.approx(scene.PANEL * scene.FILLED)
    flat = scene.box_scene(box_view(seen, add_box(seen, Box((7, 0, 0), (8, 64, 64)))))
    assert str(flat.layout.to_json()) == "xy"
    assert flat.position[0] == 7
    assert 64 / flat.cross_section_scale == pytest.approx(scene.WHOLE * scene.FILLED)


def test_uncertainty_is_there_but_off_and_the_first_class_is_not_painted_over_the_image(seen):
    id = add_box(seen, Box((0, 0, 0), (16, 16, 16)))
    add_model(seen, [Box((0, 0, 0), (32, 64, 64))])
    state = scene.box_scene(box_view(seen, id))
    assert [layer.name for layer in state.layers] == ["image", "prediction", "uncertainty", "saved", "labels", "box"]
    assert not state.layers["uncertainty"].visible
    assert "case 1:" not in state.layers["prediction"].shader and "case 3:" in state.layers["prediction"].shader


@pytest.mark.parametrize(
    ("window", "exact"),
    [((50, 200), True), ((0, 255), False), ((-5, 300), False), ((200, 50), False), ((7, 7), False), (None, False)],
)
def test_a_window_that_somebody_chose_is_kept(seen, tmp_path, window, exact: bool):
    image = np.concatenate([np.full(2000, 60), np.full(2000, 180)]).astype(np.uint8).reshape(10, 20, 20)
    bounds = {"window": {"min": 0, "max": 255, "start": window[0], "end": window[1]}} if window else {}
    add(seen, tmp_path / "w.zarr", image, "other", omero={"channels": [{"color": "FFFFFF", **bounds}]})
    (contrast,) = views.volume_view(seen, "other", origin="").contrasts
    assert contrast == views.Contrast(*(window if exact else (60, 180)), exact=exact)


def test_fine_levels_are_within_the_contrast_as_well_as_coarse_ones(seen, tmp_path):
    fine = RNG.normal(1000, 200, (32, 64, 64)).astype(np.float32)
    coarse = fine.reshape(16, 2, 32, 2, 32, 2).mean((1, 3, 5))
    scales = [(10, 10, 10), (20, 20, 20)]
    path = write_image(tmp_path / "w.zarr", [fine, coarse], "zyx", scales=scales, unit="nanometer")
    projects.add_volume(seen, volumes.describe("other", str(path)))
    (contrast,) = views.volume_view(seen, "other", origin="").contrasts
    assert (contrast.low, contrast.high) == pytest.approx(np.percentile(fine, views.PERCENTILES))
    assert contrast.low < coarse.min() and coarse.max() < contrast.high


@pytest.mark.parametrize("value", [0, 7, 255])
def test_an_image_of_one_intensity_has_a_contrast(seen, tmp_path, value: int):
    add(seen, tmp_path / "w.zarr", np.full((8, 8, 8), value, np.uint8), "other")
    (contrast,) = views.volume_view(seen, "other", origin="").contrasts
    assert 0 <= contrast.low < contrast.high <= 255 and contrast.low <= value <= contrast.high


def test_what_is_not_finite_does_not_count(seen, tmp_path):
    image = np.full((16, 16, 16), np.nan, np.float32)
    image[0, 0], image[1, 1] = 2.0, 5.0
    image[2] = np.inf
    projects.add_volume(
        seen, volumes.describe("other", str(write_image(tmp_path / "f.zarr", [image], "zyx", scales=[(1, 1, 1)])))
    )
    (contrast,) = views.volume_view(seen, "other", origin="").contrasts
    assert (contrast.low, contrast.high) == (2.0, 5.0)


def test_channels_of_the_same_name_or_of_a_layers_name_are_told_apart(seen):
    view = views.volume_view(seen, "scan", origin="")
    channel = view.channels[0]
    names = ["labels", "labels", "", "test"]
    view = replace(
        view,
        channels=tuple(replace(channel, name=name) for name in names),
        contrasts=view.contrasts * 4,
        record=replace(view.record, axes="czyx", channels=(0, 1, 2, 3)),
    )
    state = scene.volume_scene(view)
    found = [layer.name for layer in state.layers][:4]
    assert len(set(found)) == 4 and not set(found) & {"labels", "test", ""}
    assert [list(state.layers[name].local_position) for name in found] == [[0], [1], [2], [3]]
    assert len({state.layers[name].shader_controls["color"] for name in found}) == 4
