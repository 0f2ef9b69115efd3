"""Make the README's picture of the page: a box of the demo, painted in a browser.

rondel demo --auto
python docs/page.py rondel-demo

It works on a copy, so the demo stays as it is.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from rondel.store import importers, label_boxes
from rondel.store.project import open_project
from rondel.store.records import State

from tests.browser import CHROMIUM, FLAGS, Screen, Server
from tests.painted_project import Painted

PICTURE = Path(__file__).parent / "page.png"
MEMBRANE, ORGANELLE = 2, 3


def main(demo: Path) -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        shutil.copytree(demo, Path(place) / "demo")
        folder = Path(place) / "demo" / "project"
        id, truth = choose(folder)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        server = Server(Painted(folder, truth, (id,)))
        server.start()
        try:
            screen = Screen(browser, server, box=id).ready()
            paint(screen, truth)
            screen.page.screenshot(path=PICTURE)
        finally:
            server.stop()


def choose(folder: Path) -> tuple[int, np.ndarray]:
    """Return the waiting box that has most of every class, and the truth in it (Z, Y, X)."""
    with open_project(folder) as project:
        record = project.volumes()[0]
        labels = importers.open_labels(project.folder / str(record.truth), None, len(project.classes))
        waiting = label_boxes.select(project.database, state=[State.PROPOSED, State.OPEN])
        found = {box.id: labels.read(box.box) for box in waiting}
    id = max(found, key=lambda id: int(np.bincount(found[id].ravel(), minlength=4)[MEMBRANE:].min()))
    return id, found[id]


def paint(screen: Screen, truth: np.ndarray) -> None:
    """Accept what the model is sure of, then correct the middle slices as a person would, after the truth."""
    middle = [n // 2 for n in truth.shape]
    screen.go(middle)
    screen.press("p")
    screen.set(above=0.6)
    screen.press("Shift+A")
    screen.settle()
    for axis in (0, 1):
        for value in (ORGANELLE, MEMBRANE):
            correct(screen, truth, axis, middle[axis], value)
    screen.set(value=ORGANELLE, radius=4)
    screen.page.mouse.move(*screen.place(0, middle))
    screen.ask("rondel.say('')")  # a row that ends at the panel's edge may have missed the box
    screen.settle()
    screen.drawn()


def correct(screen: Screen, truth: np.ndarray, axis: int, index: int, value: int) -> None:
    """Paint along the rows of a slice where a class is missing."""
    screen.set(value=value, radius=0.5)
    missing = (np.take(truth, index, axis) == value) & (np.take(screen.view(), index, axis) != value)
    for row in np.flatnonzero(missing.any(1)):
        columns = np.flatnonzero(missing[row])
        for run in np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1):
            ends = [np.insert([row, column], axis, index).tolist() for column in (run[0], run[-1])]
            screen.drag(axis, *ends)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
