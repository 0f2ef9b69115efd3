"""The strip beside Neuroglancer: what it says is so, what it offers happens, and it is in nobody's way."""

import itertools
import time

import numpy as np
import pytest
from rondel.store.records import State

from .browser import CHUNKS, REFETCH, VIEW, Screen, Server

KINDS = ("viewer-top-row", "layer-panel", "data-panel-layout-controls", "panel", "side-panel")
CONTROLS = ", ".join(f".neuroglancer-{kind}" for kind in KINDS)
LAYERS = ("labels", "prediction")
OURS = "#rondel-strip, #rondel-help"
PLACES = """(selector) => [...document.querySelectorAll(selector)].map((one) => {
  const a = one.getBoundingClientRect(), b = one.closest("#neuroglancer-container")?.getBoundingClientRect() ?? a;
  return [Math.max(a.left, b.left), Math.max(a.top, b.top), Math.min(a.right, b.right), Math.min(a.bottom, b.bottom)];
}).filter(([a, b, c, d]) => c > a && d > b)"""
"""What of the elements is seen: Neuroglancer's container cuts off what reaches beyond it."""

FITS = """(s => s.scrollHeight <= s.clientHeight && s.scrollWidth <= s.clientWidth)(
  document.querySelector("#rondel-strip"))"""
CUT = """[...document.querySelectorAll("#rondel-strip button")]
  .filter((b) => b.offsetParent && b.scrollWidth > b.clientWidth).map((b) => b.textContent)"""
ENTRIES = """import("./keys.js").then(({ ACTIONS, FREE, TOOLS, shown }) =>
  [...TOOLS, ...ACTIONS, ...FREE].map((entry) => [entry.says, shown(entry.key)]))"""


@pytest.fixture
def screen(chromium, server: Server) -> Screen:
    screen = Screen(chromium, server, box=server.painted.ids[0]).ready()
    screen.go((20, 24, 32))
    return screen


def overlapping(screen: Screen) -> list:
    ours, theirs = screen.ask(PLACES, OURS), screen.ask(PLACES, CONTROLS)
    assert ours and len(theirs) > 5
    return [
        (a, b)
        for a, b in itertools.product(ours, theirs)
        if min(a[2], b[2]) - max(a[0], b[0]) > 0.5 and min(a[3], b[3]) - max(a[1], b[1]) > 0.5
    ]


def test_nothing_overlaps_neuroglancers_controls(screen: Screen):
    assert screen.page.viewport_size == {"width": 1280, "height": 720}
    assert overlapping(screen) == []
    screen.page.locator("#rondel-strip").get_by_text("Help").click()
    screen.wait("document.querySelector('#rondel-help').getBoundingClientRect().width > 200")
    assert overlapping(screen) == []
    screen.ask("rondel.adapter.viewer.helpPanelState.location.visible = true")
    screen.wait("document.querySelector('.neuroglancer-side-panel')")
    assert overlapping(screen) == []


def test_all_of_the_strip_is_on_the_screen_without_scrolling(screen: Screen):
    assert screen.ask(FITS)
    assert screen.ask(CUT) == []
    screen.press("p", "r")
    screen.said("as bright as there", ".rondel-toolbox")
    screen.drawn()
    assert screen.ask(FITS)


def test_help_lists_every_tool_and_key(screen: Screen):
    screen.press("p", "h")
    text = screen.page.locator("#rondel-help").inner_text()
    entries = screen.ask(ENTRIES)
    assert len(entries) > 20
    assert all(says in text and key in text for says, key in entries)
    screen.press("h")
    assert screen.page.locator("#rondel-help").is_hidden()


def test_keys_are_neuroglancers_until_a_tool_is_on(screen: Screen):
    lines = "rondel.adapter.viewer.showAxisLines.value"
    scale = "rondel.adapter.viewer.showScaleBar.value"
    screen.said("keys and mouse are Neuroglancer's", ".rondel-mode")
    assert screen.ask(lines) and screen.ask(scale)
    screen.press("a", "b", "5")
    assert not screen.ask(lines) and not screen.ask(scale)
    assert screen.ask("rondel.tools.tool") is None and not screen.ask("rondel.adapter.layers.visible('labels')")
    screen.press("a", "b", "5", "p")
    screen.said("Brush is on and has the keys", ".rondel-mode")
    screen.press("a", "b", "5", "t", "u")
    assert screen.ask(lines) and screen.ask(scale) and screen.ask("rondel.adapter.layers.visible('labels')")
    before = screen.ask("rondel.adapter.center()")
    screen.page.mouse.move(*screen.place(0, (20, 24, 32)))
    screen.wait("document.activeElement.closest('.neuroglancer-panel')")
    screen.press("Period")
    assert screen.ask("rondel.adapter.center()") != before  # not one of ours: it stays Neuroglancer's
    screen.press("Escape", "a")
    assert not screen.ask(lines)
    screen.settle()


@pytest.mark.parametrize("tool", [None, "brush"])
def test_h_opens_our_help_alone_and_escape_closes_it(screen: Screen, tool: str | None):
    theirs, ours = "rondel.adapter.viewer.helpPanelState.location.visible", screen.page.locator("#rondel-help")
    screen.press(*("p" if tool else ""), "h")
    assert ours.is_visible() and not screen.ask(theirs)
    screen.press("Escape")
    assert ours.is_hidden() and screen.ask("rondel.tools.tool") == tool
    screen.press("h", "h")
    assert ours.is_hidden() and not screen.ask(theirs)
    screen.page.locator("[title^='Show help']").click()
    screen.wait(theirs)


def test_strip_tells_labels_from_prediction_and_names_what_is_predicted_under_the_pointer(screen: Screen):
    looks = [screen.ask(f"getComputedStyle(document.querySelector('.rondel-{n} i')).backgroundImage") for n in LAYERS]
    assert looks[0] == "none" and "repeating" in looks[1]
    screen.page.mouse.move(*screen.place(0, (20, 24, 32)))
    screen.said("model 1: membrane", ".rondel-prediction")
    screen.page.mouse.move(*screen.place(0, (20, 4, 4)))
    screen.said("model 1: background", ".rondel-prediction")
    screen.page.locator(".rondel-prediction input").click()
    screen.page.mouse.move(*screen.place(0, (20, 24, 32)))
    screen.wait("document.querySelector('.rondel-prediction').textContent === 'model 1'")


def test_what_is_still_on_its_way_is_said(screen: Screen):
    said = "document.querySelector('.rondel-said').textContent"
    screen.wait(f"{said} === ''")
    with screen.server.paused():
        screen.ask("rondel.adapter.layers.setVisible('uncertainty', true)")
        screen.said("loading the image")
    screen.wait(f"{said} === ''")


FAINT = """(key) => [...document.querySelectorAll("#rondel-strip kbd")]
  .filter((cap) => cap.textContent === key).every((cap) => Number(getComputedStyle(cap).opacity) < 0.5)"""


def test_keys_that_do_nothing_are_greyed_and_say_how_to_get_them(screen: Screen):
    for key in "BERFAK1TIU":
        assert screen.ask(FAINT, key), key
    for key in ("Ctrl+Z", "Enter"):
        assert not screen.ask(FAINT, key)
    bar = "rondel.adapter.viewer.showScaleBar.value"
    for key in "berfak":
        screen.ask("rondel.say('')")
        before = screen.ask(bar)
        screen.press(key)
        screen.said("press P first, or click a tool")
        assert screen.ask(bar) == (before != (key == "b"))  # Neuroglancer has it
    screen.press("p")
    screen.wait("document.querySelector('.rondel-said').textContent === ''")
    assert not any(screen.ask(FAINT, key) for key in "BERFAK1TIU")


def test_flat_or_round_is_told_by_word_and_by_the_pressed_button(screen: Screen):
    flat = screen.page.locator(".rondel-toolbox button[title^='flat disc']")
    screen.press("p")
    screen.said("▱ flat", ".rondel-toolbox")
    assert flat.get_attribute("aria-pressed") == "true"
    flat.click()
    screen.said("● round", ".rondel-toolbox")
    assert flat.get_attribute("aria-pressed") == "false" and not screen.ask("rondel.tools.flat")
    screen.said("radius 2", ".rondel-toolbox")


def reported(screen: Screen, what: str):
    """Wait until Neuroglancer has told the server of a change."""
    return screen.page.expect_response(
        lambda answer: "/state/" in answer.url and what in (answer.request.post_data or "")
    )


def test_labels_stay_as_opaque_as_they_were_made(screen: Screen):
    opacity = "rondel.adapter.layers.opacity('labels')"
    assert screen.ask(opacity) == 0.5
    with reported(screen, '"selectedAlpha":0.9'):
        screen.page.get_by_label("how opaque the labels are").fill("0.9")
        screen.wait(f"{opacity} === 0.9")
    here = screen.shown
    screen.press("Enter", "Enter")
    screen.wait("(id) => rondel.sync.head.id !== id", here)
    screen.ready()
    screen.wait(f"{opacity} === 0.9")


CONTRAST = """rondel.adapter.viewer.layerManager.getLayerByName("image").layer.shaderControlState.value
  .get("normalized").trackable.value.range"""


def test_contrast_and_hidden_layers_stay_as_they_were_set_in_the_next_box_and_in_the_volume(screen: Screen):
    before = screen.ask(CONTRAST)
    with reported(screen, "[3,77]"):
        screen.ask("""() => {
          const image = rondel.adapter.viewer.layerManager.getLayerByName("image").layer;
          const { trackable } = image.shaderControlState.value.get("normalized");
          trackable.value = { ...trackable.value, range: [3, 77], window: [0, 99] };
          rondel.adapter.layers.setVisible("prediction", false);
          rondel.adapter.layers.setVisible("uncertainty", true);
        }""")
    assert before != [3, 77]
    here = screen.shown
    screen.press("Enter", "Enter")
    screen.wait("(id) => rondel.sync.head.id !== id && rondel.sync.mirror?.ready", here)
    screen.ready()
    shown = "['prediction', 'uncertainty', 'labels'].map((name) => rondel.adapter.layers.visible(name))"
    assert screen.ask(CONTRAST) == [3, 77] and screen.ask(shown) == [False, True, True]
    screen.page.get_by_text("Volume").click()
    screen.wait("rondel.sync.head.type === 'view'")
    screen.drawn()
    assert screen.ask(CONTRAST) == [3, 77] and screen.ask(shown)[:2] == [False, True]


def test_a_box_fits_every_panel_with_a_margin(screen: Screen):
    middle = (19, 23, 31)
    place = screen.ask(PLACES, ".neuroglancer-panel")[0]
    low = screen.place(0, (middle[0], -0.5, -0.5))
    high = screen.place(0, (middle[0], 47.5, 63.5))
    assert place[0] < low[0] and place[1] < low[1] and high[0] < place[2] and high[1] < place[3]
    spacing = screen.ask("rondel.sync.head.spacing")
    z, y, x = (n * s for n, s in zip(screen.ask("rondel.sync.head.shape"), spacing))
    assert high[0] - low[0] == pytest.approx(0.8 * (place[3] - place[1]) * x / max(z, y, x), rel=0.05)


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
    screen.ask(REFETCH)
    screen.wait(f"({CHUNKS})() === ({VIEW})()")  # the page knows the box without being told
    np.testing.assert_array_equal(screen.chunks(), painted)
    screen.drag(0, (20, 40, 10), (20, 40, 16))
    assert screen.chunks()[20, 40, 12] == 3
    screen.server.start()
    screen.wait(f"rondel.sync.connected && !rondel.adapter.layers.loading && !({EMPTY})().length")
    assert screen.settle()[20, 40, 12] == 3


def test_dragging_moves_the_view_until_a_tool_is_on(screen: Screen):
    before = screen.ask("rondel.adapter.center()")
    screen.drag(0, (20, 24, 32), (20, 30, 40))
    assert screen.ask("rondel.adapter.center()") != before and not screen.settle().any()
    screen.go((20, 24, 32))
    screen.press("p")
    before = screen.ask("rondel.adapter.center()")
    screen.drag(0, (20, 24, 32), (20, 30, 40))
    assert screen.ask("rondel.adapter.center()") == before and screen.settle().any()


def test_letters_typed_into_a_field_are_letters(screen: Screen):
    screen.press("p", "n")
    screen.page.keyboard.type("too bright, e3")
    assert screen.page.locator("#rondel-strip input[placeholder='why?']").input_value() == "too bright, e3"
    screen.press("Escape")
    assert screen.ask("[rondel.tools.tool, rondel.tools.value]") == ["brush", 2]
    assert screen.server.row(screen.shown).state == State.PROPOSED


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


def test_colours_never_speak_alone(screen: Screen):
    names = screen.page.locator(".rondel-classes button").all_inner_texts()
    assert [name.split() for name in names] == [["1", "background"], ["2", "membrane"], ["3", "organelle"]]
    assert screen.ask("getComputedStyle(document.querySelector('.rondel-saved')).borderLeftStyle") == "solid"
    with screen.server.paused():
        screen.press("p")
        screen.drag(0, (20, 24, 32), (20, 24, 40))
        screen.said("● 1 not saved yet", ".rondel-saved")
        assert screen.ask("getComputedStyle(document.querySelector('.rondel-saved')).borderLeftStyle") == "dashed"
