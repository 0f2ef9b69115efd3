"""Pages that share a box, and lines that break: everybody sees what is saved, and nothing is lost or done twice."""

import random
import signal

import numpy as np
import pytest
from rondel.store import edits, serving
from rondel.store.box import Box
from rondel.store.project import open_project

from .browser import Screen, Server
from .forwarder import forwarded
from .painted_project import BOXES

CUTS = 30


def port(server: Server) -> int:
    found = serving.load(server.folder)
    assert found
    return found.port


def numbers(server: Server, client: str) -> list[int]:
    """Return the numbers under which a page's edits are in the journal, in the journal's order."""
    with open_project(server.folder) as project:
        rows = project.database.rows("SELECT client_number AS n FROM edit WHERE client = ? ORDER BY number", client)
    return [row["n"] for row in rows]


def replayed(server: Server, id: int) -> np.ndarray:
    """Return the labels of a box as the journal alone tells them."""
    with open_project(server.folder) as project:
        return edits.replay(project.database, "scan", server.row(id).box)


def test_what_a_verb_changes_appears_without_reading_again(screen: Screen):
    region = Box((10, 20, 20), (14, 30, 40))
    screen.server.write(screen.shown, 3, region)
    screen.wait("rondel.sync.mirror.view.includes(3)")
    disk = screen.settle()
    assert (disk == 3).sum() == region.voxels
    chunks = [url for url in screen.asked if "/box/" in url]
    assert chunks and len(chunks) == len(set(chunks))


def test_two_pages_on_one_box_see_each_other(chromium, server: Server, screen: Screen):
    other = Screen(chromium, server, person="bob", box=screen.shown).ready()
    for one in (screen, other):
        one.said("ann", ".rondel-people")
        one.said("bob", ".rondel-people")
    other.go((20, 24, 32))
    camera = screen.ask("rondel.adapter.center()")
    for one, value, row in ((screen, "2", 20), (other, "3", 30)):
        one.press("p", value)
        one.drag(0, (20, row, 20), (20, row, 40))
    for one in (screen, other):
        one.wait("[2, 3].every((value) => rondel.sync.mirror.view.includes(value))")
    disk = screen.settle()
    np.testing.assert_array_equal(other.settle(), disk)
    screen.press("Control+z")
    other.wait("!rondel.sync.mirror.view.includes(2)")
    assert (other.settle() == 3).any()
    other.press("Control+z")
    screen.wait("!rondel.sync.mirror.view.includes(3)")
    screen.press("Control+y")
    other.wait("rondel.sync.mirror.view.includes(2)")
    np.testing.assert_array_equal(other.settle(), screen.settle())
    other.go((10, 10, 10))
    assert screen.ask("rondel.adapter.center()") == camera
    other.page.context.close()
    server.pages.remove(other)
    screen.wait("!document.querySelector('.rondel-people').textContent.includes('bob')")


def test_an_answer_never_undoes_the_stroke_under_the_pointer(chromium, server: Server, screen: Screen):
    screen.press("p", "2")
    screen.set(radius=3)
    screen.down(0, (20, 24, 20))
    screen.move(0, (20, 24, 30))
    server.write(screen.shown, 3)
    screen.wait("rondel.sync.mirror.base[0] === 3")
    screen.move(0, (20, 24, 40))
    assert (screen.chunks()[20, 24, 20:41] == 2).all() and screen.chunks()[0, 0, 0] in (3, 255)
    screen.up()
    disk = screen.settle()
    assert (disk[20, 24, 20:41] == 2).all() and (disk[19] == 3).all()


def test_through_a_slow_port_with_another_number(chromium, server: Server):
    with forwarded(port(server), 0.05) as tunnel:
        screen = Screen(chromium, server, origin=tunnel.origin, box=server.painted.ids[0]).ready()
        assert screen.ask("location.origin") == tunnel.origin
        screen.go((20, 24, 32))
        screen.press("p", "2")
        screen.down(0, (20, 24, 20))
        screen.move(0, (20, 24, 40))
        assert (screen.chunks()[20, 24, 20:41] == 2).all()
        screen.up()
        screen.drag(0, (20, 30, 20), (20, 30, 40))
        assert (screen.settle()[20, 30, 20:41] == 2).all()
        assert all(url.startswith((tunnel.origin, "blob:", "data:")) for url in screen.asked[1:])


def test_strokes_in_the_middle_of_which_the_line_is_cut_arrive_once(chromium, server: Server):
    dice = random.Random(1)
    with forwarded(port(server)) as tunnel:
        screen = Screen(chromium, server, origin=tunnel.origin, box=server.painted.ids[0]).ready()
        screen.go((20, 24, 32))
        screen.press("p")
        screen.set(radius=0.5)
        client, first = screen.ask("rondel.sync.client"), screen.ask("rondel.sync.next")
        places = dice.sample([(row, column) for row in range(48) for column in range(4, 58, 12)], CUTS)
        for k, (row, column) in enumerate(places):
            screen.press("123"[k % 3])
            screen.wait("rondel.sync.connected")
            place, end = screen.place(0, (20, row, column)), screen.place(0, (20, row, column + 4))
            screen.page.mouse.move(*place)
            screen.page.mouse.down()
            tunnel.cut()
            screen.page.mouse.move(*end)
            screen.page.mouse.up()
            if k % 2:
                tunnel.cut()
        disk = screen.settle()
        np.testing.assert_array_equal(disk, replayed(server, screen.shown))
        assert numbers(server, client) == list(range(first, first + CUTS))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_page_goes_on_after_the_server_was_started_again(screen: Screen, end: signal.Signals):
    loaded = screen.ask("performance.timeOrigin")
    screen.press("p", "2")
    screen.drag(0, (20, 20, 20), (20, 20, 40))
    before = screen.settle()
    screen.server.stop(end)
    screen.said("no connection", ".rondel-saved")
    screen.press("3")
    screen.drag(0, (20, 30, 20), (20, 30, 40))
    screen.said("1 not saved yet", ".rondel-saved")
    assert (screen.chunks()[20, 30, 20:41] == 3).all()
    screen.server.start()
    disk = screen.settle()
    assert (disk[before == 2] == 2).all() and (disk[20, 30, 20:41] == 3).all()
    screen.said("saved ✔", ".rondel-saved")
    assert screen.ask("performance.timeOrigin") == loaded
    screen.refetch()
    screen.settle()
    screen.press("Control+z")
    np.testing.assert_array_equal(screen.settle(), before)
    np.testing.assert_array_equal(replayed(screen.server, screen.shown), before)


def test_duplicated_tab_is_a_client_of_its_own(chromium, server: Server, screen: Screen):
    with screen.page.context.expect_page() as opened:
        screen.ask("window.open(location.href), 0")  # carries sessionStorage along, as duplicating a tab does
    twin = opened.value
    twin.wait_for_function("window.rondel?.sync.mirror?.ready")
    assert twin.evaluate("rondel.sync.client") != screen.ask("rondel.sync.client")
    twin.close()


def test_boxes_beside_it_are_left_alone(screen: Screen):
    ids = screen.server.painted.ids
    screen.server.write(ids[3], 1)
    kept = screen.server.read(BOXES[3])
    screen.press("p", "2")
    screen.drag(0, (20, 47, 60), (20, 60, 80))
    screen.settle()
    everywhere = screen.server.read(BOXES[3])
    shared = BOXES[3].intersect(BOXES[0])
    everywhere[shared.relative_to(BOXES[3]).slices] = kept[shared.relative_to(BOXES[3]).slices]
    np.testing.assert_array_equal(everywhere, kept)
