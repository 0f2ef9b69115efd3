"""The view of a whole volume: its boxes by state, and a click on an outline opens a box."""

import time

import pytest
from rondel.store import label_boxes
from rondel.store.project import open_project
from rondel.store.records import State
from rondel.tui.snapshot import Person
from rondel.tui.watcher import first_look

from .browser import DRAWN, PATIENCE, Screen, Server
from .painted_project import BOXES

PLACE = """([axis, point]) => {
  const { adapter } = window.rondel, { viewer } = adapter;
  const names = viewer.navigationState.coordinateSpace.value.names;
  const panel = adapter.panels().find((one) => adapter.axis(one) === axis);
  const m = panel.sliceView.projectionParameters.value.viewProjectionMat;
  const shown = [...panel.navigationState.pose.displayDimensions.value.displayDimensionIndices];
  const [a, b, c] = shown.map((i) => point["zyx".indexOf(names[i])]);
  const clip = [0, 1, 3].map((i) => m[i] * a + m[4 + i] * b + m[8 + i] * c + m[12 + i]);
  const place = panel.element.getBoundingClientRect();
  return [
    place.left + panel.element.clientLeft + ((clip[0] / clip[2] + 1) / 2) * panel.element.clientWidth,
    place.top + panel.element.clientTop + ((1 - clip[1] / clip[2]) / 2) * panel.element.clientHeight,
  ];
}"""
"""Where a voxel of the volume is drawn."""
GO = """(point) => {
  const { position, coordinateSpace } = window.rondel.adapter.viewer.navigationState;
  position.value = Float32Array.from(coordinateSpace.value.names.map((name) => point["zyx".indexOf(name)]));
}"""


@pytest.fixture
def screen(chromium, server: Server) -> Screen:
    with open_project(server.folder) as project:
        label_boxes.move(project.database, server.painted.ids[3], State.SKIPPED, "ann", why="for a test")
    screen = Screen(chromium, server, volume="scan")
    screen.wait(DRAWN)
    return screen


def go(screen: Screen, point: tuple[float, float, float]) -> None:
    screen.ask(GO, list(point))
    screen.drawn()


def test_boxes_are_listed_and_drawn_by_state(screen: Screen):
    names = screen.page.locator(".rondel-boxes button").all_inner_texts()
    assert names == ["◇ ⚑ test box 3 · proposed", "◇ box 1 · proposed", "◇ box 2 · proposed", "» box 4 · skipped"]
    layers = screen.ask("rondel.adapter.viewer.layerManager.managedLayers.map((l) => l.name)")
    assert {"image", "proposed", "skipped", "test"} <= set(layers)
    assert screen.page.locator(".rondel-tools").is_hidden()
    assert screen.page.get_by_text("Volume", exact=False).first.is_hidden()
    screen.said("Click a box's outline", ".rondel-reason")
    assert screen.faults == []


def test_the_screens_know_where_the_page_is(screen: Screen):
    go(screen, (25, 35, 50))
    deadline = time.monotonic() + PATIENCE / 1000
    while (people := look(screen)) and people[0].position != (25, 35, 50):
        assert time.monotonic() < deadline, people
        screen.page.wait_for_timeout(50)
    assert [(person.volume, person.box) for person in people] == [("scan", None)]


def look(screen: Screen) -> tuple[Person, ...]:
    """Return the pages that are open, as the screens at the terminal see them."""
    server = first_look(screen.server.folder).server
    assert server and server.people
    return server.people


def test_state_that_changes_elsewhere_is_seen(screen: Screen):
    with open_project(screen.server.folder) as project:
        label_boxes.move(project.database, screen.server.painted.ids[0], State.OPEN, "bob")
    screen.said("✎ box 1 · open", ".rondel-boxes")


def outlined(screen: Screen, layer: str) -> list[list[str]]:
    """Return the boxes that a layer outlines, and what it says of them."""
    find = "(name) => rondel.adapter.viewer.layerManager.managedLayers.find((one) => one.name === name).layer"
    return screen.ask(f"(name) => [...({find})(name).localAnnotations].map((a) => [a.id, a.description])", layer)


def test_outlines_follow_states_while_the_person_stays_where_they_look(screen: Screen):
    first, second = screen.server.painted.ids[:2]
    shown = outlined(screen, "proposed")
    go(screen, (25, 35, 50))
    with open_project(screen.server.folder) as project:
        label_boxes.move(project.database, first, State.OPEN, "bob")
        label_boxes.move(project.database, second, State.DROPPED, "bob")
    screen.said("✎ box 1 · open", ".rondel-boxes")
    screen.drawn()
    assert [id for id, _ in shown] == [str(first), str(second)] and outlined(screen, "proposed") == []
    assert [(id, says.split(":")[0]) for id, says in outlined(screen, "open")] == [(str(first), f"box {first}, open")]
    assert "box 2" not in screen.page.locator(".rondel-boxes").inner_text()
    assert screen.ask("[...rondel.adapter.viewer.navigationState.position.value]") == [25, 35, 50]
    assert screen.faults == []


def test_a_page_that_is_loaded_anew_outlines_states_as_they_are(screen: Screen):
    first = screen.server.painted.ids[0]
    place = screen.page.url
    screen.page.goto("about:blank")
    with open_project(screen.server.folder) as project:
        label_boxes.move(project.database, first, State.SKIPPED, "bob", why="blurred")
    screen.page.goto(place)
    screen.wait("window.rondel?.outlined")
    assert [f"box {first}, skipped: blurred" in says for _, says in outlined(screen, "skipped")] == [True, False]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_click_on_an_outline_opens_the_box(screen: Screen, axis: int):
    start, stop = BOXES[0].start, BOXES[0].stop
    middle = [(a + b) // 2 for a, b in zip(start, stop)]
    go(screen, (middle[0], middle[1], middle[2]))
    edge = [float(v) for v in middle]
    other = 2 if axis != 2 else 1
    edge[other] = stop[other] - 0.5
    screen.page.mouse.click(*screen.ask(PLACE, [axis, edge]))
    screen.wait("rondel.sync.head.type === 'box'")
    assert screen.shown == screen.server.painted.ids[0]
    screen.ready()
    screen.press("p")
    screen.go((20, 24, 32))
    screen.drag(0, (20, 24, 32), (20, 24, 40))
    assert screen.settle().any()


def test_click_beside_all_outlines_and_a_drag_open_nothing(screen: Screen):
    go(screen, (25, 35, 50))
    screen.page.mouse.click(*screen.ask(PLACE, [0, [25, 35, 55]]))
    place = screen.ask(PLACE, [0, [25, 35, BOXES[0].stop[2] - 0.5]])
    screen.page.mouse.move(*place)
    screen.page.mouse.down()
    screen.page.mouse.move(place[0] + 30, place[1] + 30, steps=3)
    screen.page.mouse.up()
    assert screen.ask("[rondel.sync.unsaved, rondel.sync.head.type, rondel.sync.next]") == [0, "view", 1]


def test_there_and_back(screen: Screen):
    screen.page.get_by_text("box 2 · proposed").click()
    screen.wait("rondel.sync.head.type === 'box'")
    screen.ready()
    assert screen.shown == screen.server.painted.ids[1]
    screen.page.get_by_text("Volume").click()
    screen.wait("rondel.sync.head.type === 'view'")
    assert screen.page.locator(".rondel-tools").is_hidden() and screen.ask("rondel.tools.tool") is None
