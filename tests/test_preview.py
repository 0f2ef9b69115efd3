"""What a preview shows of a box: the right slice, the newest prediction, the labels as they are now."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rondel.store import edits, label_boxes, ledger, models
from rondel.store import project as projects
from rondel.store.box import Box
from rondel.store.errors import UsageError, VolumeError
from rondel.store.maps import MapPlan, Maps
from rondel.store.models import Draft
from rondel.store.project import Project
from rondel.tui import preview as module
from rondel.tui.preview import Previews
from rondel.tui.views import Depth, Preview, Request, Tile

from .conftest import add_box, stroke
from .images import make_volume

SHAPE = (16, 32, 32)
REGION = Box((0, 8, 8), (16, 24, 24))
PLACE = (10, 12, 20)
"""A bright voxel of the volume."""


@pytest.fixture
def cells(tmp_path: Path) -> Iterator[Project]:
    image = np.full(SHAPE, 50, np.uint8)
    image[PLACE] = 250
    with projects.create(tmp_path / "cells", ["background", "membrane"]) as project:
        projects.add_volume(project, make_volume(project.folder, image, spacing_nm=(20.0, 10.0, 10.0)).record)
        add_box(project, REGION)
        yield project


def get(project: Project, previews: Previews | None = None, **changes) -> Preview:
    request = Request(**{"box": 1, "width": 140, "height": 40, "depth": Depth.PLAIN} | changes)
    return (previews or Previews()).get(project, request)


def tile(preview: Preview, title: str) -> Tile:
    return next(t for row in preview.rows for t in row if t.title.startswith(title))


def letters(tile: Tile) -> str:
    return "".join(strip.text for strip in tile.strips)


def bright(preview: Preview) -> bool:
    return len(set(letters(tile(preview, "image")))) > 1


def predict(project: Project, label: int) -> None:
    """Make a champion that predicts this class everywhere in the volume."""
    draft = Draft(None, 1, ("background", "membrane"), 1, 1.0, 0, (1,), 0.1, {}, ())
    number = models.save(project, draft, {"a": np.zeros(1, np.float32)}).number
    models.judge(project.database, number, "the best", True)
    plan = MapPlan.of(project.volume_record("scan"), number, (16, 16, 16), ((1, "a", "#808080"), (2, "b", "#ff0000")))
    full = np.full(SHAPE, label, np.uint8)
    bins = np.zeros((len(plan.statistics), 1, 2, 2))
    Maps.create(project.folder, plan).write_tile(Box.of_shape(SHAPE), full, full * 0 + 200, bins)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("whole", [True, False])
def test_a_slice_is_cut_where_it_lies_in_the_volume(cells: Project, axis: int, whole: bool, monkeypatch) -> None:
    if not whole:
        monkeypatch.setattr(module, "WHOLE_VOXELS", 100)
    index = PLACE[axis] - REGION.start[axis]
    shown = [k for k in range(REGION.shape[axis]) if bright(get(cells, axis=axis, index=k))]
    assert shown == [index]


def test_a_preview_says_where_it_lies(cells: Project) -> None:
    preview = get(cells, axis=0, index=10)
    assert (preview.index, preview.slices, preview.place) == (10, 16, "z 200 nm")
    assert get(cells, axis=1, index=999).index == 15
    assert get(cells, axis=2).index == 8


def test_pictures_have_the_box_s_proportions(cells: Project) -> None:
    across = get(cells, axis=1)
    assert all(len(t.strips) == across.height for row in across.rows for t in row if not t.note)
    strip = tile(across, "image").strips[0]
    assert abs(strip.cell_length - len(tile(across, "image").strips) * 2 / 2) <= 1  # 320 nm high, 160 nm wide


def test_what_is_not_there_yet_is_said(cells: Project) -> None:
    preview = get(cells)
    assert tile(preview, "labels").note == "nothing painted yet"
    assert "no model" in tile(preview, "prediction").note and preview.lacks_prediction
    assert not tile(preview, "image").note


def test_labels_are_shown_as_they_are_now(cells: Project) -> None:
    previews = Previews()
    assert tile(get(cells, previews), "labels").note
    with edits.open_journal(cells) as journal:
        journal.write(stroke(REGION, 2, 1, box=1))
        assert set(letters(tile(get(cells, previews), "labels"))) == {"2"}
        journal.write(stroke(Box(REGION.start, (16, 16, 24)), 1, 2, box=1))
        lines = ["".join(set(strip.text)) for strip in tile(get(cells, previews), "labels").strips]
        assert lines == sorted(lines) and abs(lines.count(".") - lines.count("2")) <= 1


def test_the_champion_s_prediction_is_shown_once_it_is_there(cells: Project) -> None:
    previews = Previews()
    assert get(cells, previews).lacks_prediction
    predict(cells, 1)
    assert set(letters(tile(get(cells, previews), "prediction 1"))) == {"."}
    predict(cells, 2)
    preview = get(cells, previews)
    assert set(letters(tile(preview, "prediction 2"))) == {"2"} and not preview.lacks_prediction


def test_a_champion_that_predicted_nothing_here_leaves_the_ranking_model_s_prediction(cells: Project) -> None:
    predict(cells, 2)
    ledger.open_round(cells.database, 1, "foreground", 0)
    draft = Draft(1, 1, ("background", "membrane"), 1, 1.0, 0, (1,), 0.1, {}, ())
    models.judge(cells.database, models.save(cells, draft, {"a": np.zeros(1, np.float32)}).number, "better", True)
    assert label_boxes.get(cells.database, 1).round == 1
    assert set(letters(tile(get(cells), "prediction 1"))) == {"2"}


def test_going_through_slices_reads_nothing_again(cells: Project) -> None:
    previews = Previews()
    get(cells, previews, index=0)
    (cells.folder / "scan.ome.zarr").rename(cells.folder / "gone")
    assert bright(get(cells, previews, index=10))
    with pytest.raises(VolumeError):
        get(cells, Previews(), index=10)


def test_a_box_that_is_gone_is_an_error_with_a_hint(cells: Project) -> None:
    with pytest.raises(UsageError, match="no box 7"):
        get(cells, box=7)


def test_what_was_read_is_not_kept_for_ever(cells: Project) -> None:
    previews = Previews()
    for k in range(30):
        id = label_boxes.add(cells.database, [add_box(cells, Box((0, 0, 0), (1, 1 + k % 30, 32)))])[0]
        get(cells, previews, box=id)
    assert len(previews._kept) <= module.KEPT
