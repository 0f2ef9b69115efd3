"""What becomes of strokes and boxes on the page: saved, kept through a lost connection, done, skipped, counted."""

import time

import numpy as np
from rondel.store.records import State

from .browser import Screen, Server


def test_lost_connection_is_said_once_and_by_us(screen: Screen):
    bar = screen.page.locator("#neuroglancer-status-container")
    screen.server.stop()
    screen.said("no connection", ".rondel-saved")
    screen.wait("document.body.textContent.includes('Disconnected from Python server')")
    assert bar.is_hidden()
    screen.server.start()
    screen.wait("rondel.sync.connected && !document.body.classList.contains('rondel-lost')")


def test_what_is_done_without_a_connection_waits_and_is_said_to(screen: Screen):
    screen.server.stop()
    screen.said("no connection", ".rondel-saved")
    screen.press("p", "u")
    screen.said("no connection: this waits")
    screen.said("1 not saved yet", ".rondel-saved")
    screen.server.start()
    screen.said("saved ✔", ".rondel-saved")
    assert (screen.settle() == 1).all()
    assert "no connection" not in screen.page.locator(".rondel-said").inner_text()


EMPTY = """() => [...rondel.adapter.viewer.chunkManager.rpc.objects.values()]
  .filter((one) => one.chunks && one.parameters?.url?.includes("/data/"))
  .filter((one) => [...one.chunks.values()].some(({ data }) => data === null))
  .map((one) => one.parameters.url.includes("/box/") ? "box" : "other")"""
"""Of which arrays there are chunks that Neuroglancer takes for empty."""


def test_what_could_not_be_fetched_is_drawn_once_there_is_a_connection_again(screen: Screen):
    screen.press("p", "3")
    screen.set(radius=6)
    screen.drag(0, (20, 8, 10), (20, 8, 16))
    painted = screen.settle()
    assert screen.ask(EMPTY) == []
    screen.server.stop()
    screen.said("no connection", ".rondel-saved")
    screen.ask("rondel.adapter.layers.setVisible('uncertainty', true)")
    screen.wait(f"({EMPTY})().includes('other')")
    screen.refetch()
    chunks = screen.chunks()  # the page knows the box without being told, and what is in view is all held
    assert (chunks[20] != 255).all() and (chunks[:, 24] != 255).all() and (chunks[:, :, 32] != 255).all()
    np.testing.assert_array_equal(chunks[chunks != 255], painted[chunks != 255])
    screen.drag(0, (20, 40, 10), (20, 40, 16))
    assert screen.chunks()[20, 40, 12] == 3
    screen.server.start()
    screen.wait(f"rondel.sync.connected && !rondel.adapter.layers.loading && !({EMPTY})().length")
    assert screen.settle()[20, 40, 12] == 3


def test_saved_is_said_only_after_the_answer_and_leaving_asks_before(screen: Screen):
    asked: list[str] = []

    def stay(dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    screen.page.on("dialog", stay)
    screen.said("saved ✔", ".rondel-saved")
    screen.press("p", "2")
    with screen.server.paused():
        screen.down(0, (20, 24, 32))
        screen.said("1 not saved yet", ".rondel-saved")
        screen.up()
        screen.drag(0, (20, 30, 32), (20, 30, 40))
        screen.said("2 not saved yet", ".rondel-saved")
        assert screen.chunks()[20, 30, 36] == 2
        screen.page.close(run_before_unload=True)
        screen.wait("1")
        screen.ask("new Promise(requestAnimationFrame)")
        assert asked == ["beforeunload"]
    screen.said("saved ✔", ".rondel-saved")
    assert screen.settle()[20, 30, 36] == 2
    screen.page.on("dialog", lambda dialog: asked.append("again"))
    with screen.page.expect_event("close"):
        screen.page.close(run_before_unload=True)
    assert asked == ["beforeunload"]


def test_strokes_that_were_not_saved_survive_a_reload(screen: Screen):
    screen.page.on("dialog", lambda dialog: dialog.accept())
    screen.press("p", "2")
    with screen.server.paused():
        screen.drag(0, (20, 24, 32), (20, 24, 40))
        screen.said("1 not saved yet", ".rondel-saved")
        screen.ask("location.reload(), 0")
    screen.wait("window.rondel?.sync.mirror?.ready && rondel.sync.unsaved === 0")
    screen.ready()
    assert screen.settle()[20, 24, 36] == 2


def test_done_leads_on_and_counts(screen: Screen):
    server, ids = screen.server, screen.server.painted.ids
    screen.said("0 of 4 done", ".rondel-round")
    screen.press("p", "2")
    screen.drag(0, (20, 24, 32), (20, 24, 40))
    screen.said("open", "#rondel-strip h1")
    serial = screen.ask("rondel.sync.head.serial")
    loaded = screen.ask("performance.timeOrigin")
    screen.press("Enter")
    screen.wait("(id) => rondel.sync.head.id !== id", ids[0])
    screen.ready()
    assert server.row(ids[0]).state == State.DONE and screen.ask("performance.timeOrigin") == loaded
    assert screen.ask("rondel.sync.head.serial") != serial and screen.shown == ids[1]
    screen.said("1 of 4 done", ".rondel-round")
    box = server.row(screen.shown).box
    outline = screen.ask("rondel.adapter.viewer.layerManager.getLayerByName('box').layer.toJSON().annotations[0]")
    assert np.allclose(outline["pointA"], np.array(box.start) - 0.5) and np.allclose(
        outline["pointB"], np.array(box.stop) - 0.5
    )
    centre = screen.ask("rondel.adapter.center()")
    assert all(a <= v < b for a, v, b in zip(box.start, centre, box.stop))
    middle = [n // 2 for n in box.shape]
    screen.go(middle)
    screen.drag(0, middle, [middle[0], middle[1] + 5, middle[2] + 5])
    assert screen.settle().any()
    for expected in (ids[0], ids[2]):  # the test box comes before all others
        screen.page.get_by_text("« Previous").click()
        screen.wait("(id) => rondel.sync.head.id === id", expected)
    screen.page.get_by_text("« Previous").click()
    screen.said("there is no box before this one")


def test_skipping_asks_why(screen: Screen):
    ids = screen.server.painted.ids
    screen.press("p", "n")
    screen.page.keyboard.type("out of focus")
    screen.press("Enter")
    screen.wait("(id) => rondel.sync.head.id !== id", ids[0])
    row = screen.server.row(ids[0])
    assert (row.state, row.why, row.person) == (State.SKIPPED, "out of focus", "ann")


def test_active_seconds_reach_the_box(screen: Screen):
    before = screen.server.row(screen.shown).seconds
    began = time.monotonic()
    screen.press("p")
    screen.drag(0, (20, 24, 32), (20, 24, 40))
    screen.wait("() => { window.dispatchEvent(new PointerEvent('pointermove')); return rondel.clock.seconds > 1.5; }")
    screen.press("Enter")
    screen.wait("(id) => rondel.sync.head.id !== id", screen.server.painted.ids[0])
    spent = screen.server.row(screen.server.painted.ids[0]).seconds - before
    assert 1.4 < spent <= time.monotonic() - began + 0.5


def test_name_is_asked_for_once(chromium, server: Server):
    screen = Screen(chromium, server, person=None, box=server.painted.ids[1]).ready()
    field = screen.page.get_by_placeholder("your name")
    field.fill("carla")
    screen.press("Enter")
    assert field.is_hidden()
    screen.said("here: carla", ".rondel-people")
    screen.go((15, 20, 20))
    screen.press("p")
    screen.drag(0, (15, 20, 20), (15, 22, 24))
    screen.settle()
    assert screen.server.row(screen.shown).person == "carla"
    screen.page.reload()
    screen.wait("window.rondel?.sync.mirror?.ready")
    assert field.is_hidden() and screen.ask("rondel.sync.head.person") == "carla"
