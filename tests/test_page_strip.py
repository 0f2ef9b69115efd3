"""The strip beside Neuroglancer: what it says is so, what it offers happens, and it is in nobody's way."""

import itertools

import pytest
from rondel.store.records import State

from .browser import Screen

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


def test_colours_never_speak_alone(screen: Screen):
    names = screen.page.locator(".rondel-classes button").all_inner_texts()
    assert [name.split() for name in names] == [["1", "background"], ["2", "membrane"], ["3", "organelle"]]
    assert screen.ask("getComputedStyle(document.querySelector('.rondel-saved')).borderLeftStyle") == "solid"
    with screen.server.paused():
        screen.press("p")
        screen.drag(0, (20, 24, 32), (20, 24, 40))
        screen.said("● 1 not saved yet", ".rondel-saved")
        assert screen.ask("getComputedStyle(document.querySelector('.rondel-saved')).borderLeftStyle") == "dashed"
