"""A whole round on a real volume: a person paints three boxes in the page, and the next model learns those labels."""

import json
from pathlib import Path

import numpy as np
import pytest
from rondel.loop import learn
from rondel.store import edits, label_boxes, labels, models
from rondel.store.project import open_project
from rondel.store.records import Purpose, State

from .browser import Screen, Server
from .conftest import SHARED
from .doors import Rondel, configure, rondel  # noqa: F401
from .painted_project import Painted

IMAGE = SHARED / "fib25_medulla" / "image.ome.tif"
INTERIOR, MEMBRANE = "1", "2"


@pytest.fixture
def medulla(rondel: Rondel, tmp_path: Path) -> Path:  # noqa: F811
    """A project of the volume, with three proposed boxes and training that takes seconds."""
    if not IMAGE.exists():
        pytest.skip(f"no {IMAGE.parent.name} here")
    meta = json.loads((IMAGE.parent / "meta.json").read_text())
    folder = tmp_path / "medulla"
    rondel.ok("init", folder, "--classes", "interior,membrane")
    configure(rondel, folder, boxes__shape="24,24,24", boxes__per_round="3", boxes__reserve="0", test__boxes="0")
    spacing = ",".join(map(str, meta["voxel_zyx"]))
    rondel.ok("-p", folder, "add", IMAGE, "--name", "scan", "--spacing", spacing, "--unit", meta["unit"])
    rondel.ok("-p", folder, "round")
    return folder


def paint(screen: Screen) -> np.ndarray:
    """Paint as a person would: membrane along a line in some sections, interior beside it; returns what is on disk."""
    screen.ready()
    held = screen.ask("rondel.tools.tool")
    screen.press("p" if held is None else "b", MEMBRANE)
    screen.set(radius=1.5)
    for z in (4, 12, 20):
        screen.go((z, 12, 12))
        screen.drag(0, (z, 3, 4), (z, 8, 12), (z, 12, 20))
    screen.press("i")
    screen.press(INTERIOR)
    screen.set(radius=4)
    screen.go((12, 12, 12))
    screen.drag(0, (12, 18, 4), (12, 19, 18))
    screen.press("e")
    screen.set(radius=1)
    screen.click(0, (12, 19, 10))
    screen.press("Control+z")
    disk = screen.settle()
    assert set(np.unique(disk)) == {0, 1, 2} and (disk[8] == 2).any(), "a slice between painted ones is filled in"
    return disk


def test_round_trains_on_exactly_what_was_painted(chromium, rondel: Rondel, medulla: Path):  # noqa: F811
    with open_project(medulla) as project:
        boxes = label_boxes.select(project.database, state=[State.PROPOSED], purpose=Purpose.TRAIN)
    ids = [box.id for box in boxes]
    assert len(ids) == 3
    server = Server(Painted(medulla, np.empty(0), tuple(ids)))
    server.start()
    try:
        screen, seen = Screen(chromium, server), {}
        for _ in ids:
            here = screen.shown
            seen[here] = paint(screen)
            screen.press("Enter")
            if len(seen) < len(ids):
                screen.wait("(id) => rondel.sync.head.id !== id && rondel.sync.mirror?.ready", here)
        screen.said("3 of 3 done", ".rondel-round")
        assert screen.faults == []
        assert sorted(seen) == sorted(ids)
        rondel.ok("-p", medulla, "round")
    finally:
        for page in server.pages:
            page.page.context.close()
        server.stop()
    with open_project(medulla) as project:
        model = models.champion(project.database)
        assert model and sorted(model.boxes) == sorted(ids)
        assert model.edit == edits.last_number(project.database)
        done = label_boxes.select(project.database, state=[State.DONE], purpose=Purpose.TRAIN)
        taught = {box.id: box.labels for box in learn._train_boxes(project, done, model.edit, None)}
        for id, disk in seen.items():
            np.testing.assert_array_equal(taught[id], disk)
            np.testing.assert_array_equal(labels.read(project, "scan", label_boxes.get(project.database, id).box), disk)
