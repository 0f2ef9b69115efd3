"""A whole round by a person's hands: keys in a terminal, paint in a browser, from the first run to the second model."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rondel.store import edits, label_boxes, labels, ledger, models
from rondel.store.project import open_project
from rondel.store.records import Purpose, State
from rondel.viewer import launch

from .browser import Screen, Server
from .doors import blobs
from .painted_project import Painted
from .terminal import RONDEL, Terminal, terminal

SHAPE = (32, 128, 192)
QUICK = {"train.steps": "4", "network.filters": "4,8,8", "boxes.per_round": "2"}
"""Settings that are typed in, so that a training takes seconds."""


ARRIVED = """(id) => {
  const { adapter, sync } = window.rondel ?? {};
  if (sync?.head?.id !== id || !sync.mirror?.ready) return false;
  const { position, coordinateSpace } = adapter.viewer.navigationState, { origin, shape } = sync.head;
  return ["z", "y", "x"].every((name, i) => {
    const away = position.value[coordinateSpace.value.names.indexOf(name)] - origin[i];
    return away >= 0 && away < shape[i];
  });
}"""
"""Whether a page shows a box, and has moved there."""


class Linked(Server):
    """The server that the screens started; its link is the one that stands in the terminal."""

    def __init__(self, folder: Path, shown: Terminal) -> None:
        super().__init__(Painted(folder, np.zeros(0), ()))
        self.shown = shown

    def link(self, **wanted: object) -> str:
        found = re.search(r"http://127\.0\.0\.1:\d+/open/\S+", self.shown.shows("/open/"))
        assert found and not wanted
        return found[0]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder beside an image; the server that is started for it is stopped."""
    np.save(tmp_path / "scan.npy", blobs(SHAPE)[0])
    made = tmp_path / "cells"
    made.mkdir()
    yield made
    launch.stop(made)


def first_run(shown: Terminal) -> None:
    """Answer the four pages of the first run."""
    shown.shows("path or URL of the image")
    fill(shown, "../scan.npy")
    shown.press("Enter")
    shown.go("50,4,4", "Tab")
    fill(shown, "10,10,10")
    shown.press("Tab", "Enter")
    shown.shows("micrometer")
    shown.write("nanometer")
    shown.press("Enter")
    shown.until(lambda text: "nanometer" in text and "micrometer" not in text)
    shown.press("C-n")
    shown.go("name of the class", "Tab", "BTab")
    fill(shown, "blob")
    shown.shows("no further class")
    shown.press("C-n")
    shown.shows("Folder of the project", "as recommended: 3-D", "1 background, 2 blob")
    shown.press("C-n")


def fill(shown: Terminal, text: str) -> None:
    """Write into a field that was just come to: what stands there is selected, and goes."""
    shown.write(text)
    shown.shows(f" {text} ")


def change(shown: Terminal, key: str, value: str) -> None:
    """Change one setting in the screen of settings; letters are keys again when the line of keys says so."""
    shown.press("/")
    shown.until(lambda text: "words of the setting" in text and "J jobs" not in text)
    shown.write(key)
    shown.until(lambda text: text.count(key) == 3)  # the filter, the only row left, and its sentence
    shown.press("Enter")
    shown.shows("J jobs")
    shown.press("e")
    shown.shows(f"{key}: ")
    fill(shown, value)
    shown.press("Enter")
    shown.until(lambda text: re.search(rf"● +{key} +{value} ", text))
    shown.press("Escape")
    shown.until(lambda text: "boxes.shape" in text)


def paint(page: Screen, box: int) -> np.ndarray:
    """Paint both classes in the box that the page has come to; returns its labels on disk."""
    page.wait(ARRIVED, box)
    page.ready()
    page.go((16, 16, 16))
    page.press("p", "2")
    page.set(radius=4)
    page.drag(0, (16, 10, 8), (16, 10, 24))
    page.press("1")
    page.drag(0, (16, 22, 8), (16, 22, 24))
    page.press("Escape")
    disk = page.settle()
    assert (disk[16, 10, 8:25] == 2).all() and (disk[16, 22, 8:25] == 1).all()
    return disk


def box_of(text: str) -> int:
    """Return the box that is selected."""
    found = re.search(r"2 Box (\d+) ·", text)
    assert found, text
    return int(found[1])


def label(shown: Terminal, page: Screen, box: int, *keys: str) -> tuple[int, np.ndarray]:
    """Bring the page to the selected box by a key, paint there, and say at the terminal that it is done."""
    shown.shows(f"2 Box {box} ·")
    if keys:
        shown.press(*keys)
    painted = paint(page, box)
    shown.shows("2 edits, the last")
    shown.press("d")
    shown.until(lambda text: f"2 Box {box} ·" not in text, "the list never went on to another box")
    return box, painted


def test_a_round_from_the_first_run_to_the_second_model_with_keys_alone(chromium, folder: Path) -> None:
    painted: dict[int, np.ndarray] = {}
    with terminal(*RONDEL, folder=folder) as shown:
        first_run(shown)
        shown.shows("round 1 of 10, labelling", "label box 1 of 'scan', test", "Preview · box 1", "no page is open")

        shown.press("S")
        shown.shows("not at the default")
        for key, value in QUICK.items():
            change(shown, key, value)
        shown.press("Escape")
        shown.shows("Preview · box 1", "label box 1 of 'scan', test")

        shown.press("Space")
        shown.shows("box 1 opens with the link")
        page = Screen(chromium, Linked(folder, shown))
        shown.shows("1 page open: ann (box 1)")
        painted |= [label(shown, page, 1)]
        painted |= [label(shown, page, 2, "Space")]
        painted |= [label(shown, page, 3, "Space")]
        shown.press("s")
        shown.shows("Why is box 4 skipped?")
        shown.write("too dark")
        shown.press("Enter")
        shown.shows("3 of 11 boxes done", "label box 5 of 'scan', train")
        painted |= [label(shown, page, 5, "Space")]
        shown.shows("train model 1 on 1 new box; ")
        painted |= [label(shown, page, 6, "o")]
        shown.shows("train model 1 on 2 new boxes")
        shown.press("Space")
        shown.shows("Train now all the same?")
        shown.press("y")

        shown.shows("round 2 of 10, labelling", "model 1: Dice", "Boxes of round 2")
        text = shown.until(lambda text: f"label box {box_of(text)} of" in text)
        painted |= [label(shown, page, box_of(text), "Space")]
        shown.shows("train model 2 on 1 new box")
        shown.press("Space")
        shown.shows("Train now all the same?")
        shown.press("y")
        shown.shows("round 3 of 10, labelling")
        shown.press("M")
        shown.shows("2 models")
        shown.press("Escape")
        shown.shows("Learning curve")
        page.page.context.close()
        shown.press("q")
        assert shown.ended() == 0
    check(folder, painted)


def check(folder: Path, painted: dict[int, np.ndarray]) -> None:
    """Compare what the project holds with what was done."""
    with open_project(folder) as project:
        rows = {box.id: box for box in label_boxes.select(project.database)}
        assert {id for id, box in rows.items() if box.state == State.DONE} == painted.keys()
        assert [(box.id, box.why, box.person) for box in rows.values() if box.state == State.SKIPPED] == [
            (4, "too dark", "ann")
        ]
        for id, wanted in painted.items():
            assert rows[id].person == "ann"
            np.testing.assert_array_equal(labels.read(project, "scan", rows[id].box), wanted)
            np.testing.assert_array_equal(edits.replay(project.database, "scan", rows[id].box), wanted)
        trained = [id for id in painted if rows[id].purpose == Purpose.TRAIN]
        first, second = models.models(project.database)
        assert (set(first.boxes), set(second.boxes)) == (set(trained[:2]), set(trained))
        assert (first.parent, second.parent, first.steps) == (None, 1, 4)
        assert len(ledger.scores(project.database, 2)) == 2 and second.verdict
        assert [r.trained for r in ledger.rounds(project.database)] == [1, 2, None]
        assert [c.name for c in project.classes] == ["background", "blob"]
        assert edits.last_number(project.database) == 2 * len(painted)
