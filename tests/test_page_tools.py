"""Every tool of the page in a real Chromium, proven by the labels on disk."""

import numpy as np
import pytest
from rondel.store.box import Box
from rondel.viewer.brush import rasterise

from .browser import Screen, Server
from .painted_project import BOXES, SPACING_NM

START, SHAPE = np.array(BOXES[0].start), BOXES[0].shape
BLOB = tuple(np.array((28, 40, 48)) - START)
"""Centre of the blob that the model predicts as class 2, in voxels of the box."""


@pytest.fixture
def screen(chromium, server: Server) -> Screen:
    screen = Screen(chromium, server, box=server.painted.ids[0]).ready()
    screen.go(BLOB)
    return screen


@pytest.fixture
def predicted(screen: Screen) -> np.ndarray:
    return screen.server.painted.classes[BOXES[0].slices]


def part(start: tuple[int, int, int], stop: tuple[int, int, int]) -> Box:
    """Return a part of the box in voxels of the volume."""
    return Box(start, stop).shift(BOXES[0].start)


def given(screen: Screen, *parts: tuple[Box, int]) -> None:
    """Label parts of the box as a verb does, and wait until the page shows them."""
    for region, value in parts:
        screen.server.write(screen.shown, value, region)
    screen.wait("(n) => rondel.sync.mirror.revision >= n", screen.ask("rondel.sync.head.revision") + len(parts))


def test_fill_in_the_slice_and_in_space(screen: Screen):
    wall = [(part((0, 0, 30), (40, 48, 32)), 1), (part((18, 10, 32), (26, 20, 50)), 3)]
    given(screen, *wall)
    screen.press("p", "f", "2")
    screen.click(0, (20, 30, 10))
    disk = screen.settle()
    assert (
        (disk[20, :, :30] == 2).all() and not (np.delete(disk, 20, 0) == 2).any() and not (disk == 2)[:, :, 30:].any()
    )
    screen.press("t")
    screen.click(0, (20, 14, 40))
    assert (screen.settle()[18:26, 10:20, 32:50] == 2).all()
    screen.click(0, (20, 40, 60))
    disk = screen.settle()
    assert (disk[:, :, 30:32] == 1).all() and (disk[:, :, 32:] == 2).all() and not disk[19, :, :30].any()


def test_range_brush_paints_only_what_is_as_bright_as_where_it_began(screen: Screen, predicted: np.ndarray):
    screen.press("p", "r", "2")
    screen.set(radius=8)
    at = list(BLOB)
    screen.drag(0, at, (at[0], at[1], at[2] + 20))
    disk = screen.settle()[at[0]]
    assert (disk == 2).sum() > 60
    inside = predicted[at[0]][disk == 2] == 2
    assert inside.mean() > 0.99


def test_range_brush_goes_as_far_as_its_slider_says(screen: Screen):
    slider = screen.page.get_by_label("how much brighter or darker the range goes")
    screen.press("p", "2")
    assert slider.is_hidden()
    screen.press("r")
    slider.fill("0.5")
    screen.said("± 50 %", ".rondel-toolbox")
    screen.set(radius=8, tolerance=1)
    screen.drag(0, BLOB, (BLOB[0], BLOB[1], BLOB[2] + 20))
    _, covered = rasterise(SHAPE, SPACING_NM, [BLOB, (BLOB[0], BLOB[1], BLOB[2] + 20)], 8, 0)
    painted = screen.settle()[BLOB[0]] == 2
    assert painted.sum() > 0.95 * covered.sum()  # the background too, but for its darkest voxels


def test_interpolation_fills_in_between_painted_slices(screen: Screen):
    given(screen, (part((10, 10, 10), (11, 30, 30)), 2), (part((16, 20, 20), (17, 40, 40)), 2))
    screen.page.mouse.move(*screen.place(0, (20, 24, 32)))
    screen.press("p", "2", "i")
    disk = screen.settle()
    assert (disk[11:16] == 2).any(axis=(1, 2)).all() and not disk[:10].any() and not disk[17:].any()
    assert disk[13, 25, 25] == 2 and disk[13, 11, 11] == 0


def test_copy_carries_a_slice_on_and_goes_there(screen: Screen):
    given(screen, (part((20, 10, 10), (21, 30, 30)), 2), (part((21, 10, 10), (22, 12, 12)), 3))
    screen.page.mouse.move(*screen.place(0, (20, 24, 32)))
    screen.press("p")
    screen.set(only=0)
    screen.press("c")
    disk = screen.settle()
    assert (disk[21, 10:12, 10:12] == 3).all() and (disk[21] == 2).sum() == 400 - 4 and not disk[22].any()
    assert screen.ask("rondel.adapter.center()[0] - rondel.sync.head.origin[0]") == 21
    screen.press("Shift+C")
    assert (screen.settle()[20] == disk[20]).all()
    screen.press("Shift+C")
    assert (screen.settle()[19] > 0).sum() == 400


def test_copy_along_another_axis_follows_the_pointer(screen: Screen):
    given(screen, (part((5, 24, 10), (15, 25, 20)), 3))
    screen.page.mouse.move(*screen.place(1, BLOB))
    screen.press("p", "c")
    disk = screen.settle()
    assert (disk[5:15, 25, 10:20] == 3).all() and (disk > 0).sum() == 200


def test_accept_the_predicted_piece_under_the_pointer(screen: Screen, predicted: np.ndarray):
    given(screen, (part((20, 20, 30), (21, 28, 34)), 1))
    screen.press("p", "a")
    screen.click(0, BLOB)
    disk = screen.settle()
    assert (disk[20, 20:28, 30:34] == 1).all()
    blob = (predicted == 2) & (np.indices(SHAPE)[0] < 26) & (np.indices(SHAPE)[2] < 45)
    expected = np.where(blob, 2, 0)
    expected[20, 20:28, 30:34] = 1
    other = (disk == 2) & ~blob
    assert (disk[blob] == expected[blob]).all() and (predicted[other] == 2).all()
    screen.set(unlabelled=False)
    screen.click(0, BLOB)
    assert (screen.settle()[20, 22:26, 30:34] == 2).all()


def test_accept_all_where_nothing_is_labelled_and_where_the_model_is_sure(screen: Screen, predicted: np.ndarray):
    given(screen, (part((0, 0, 0), (4, 48, 64)), 3))
    screen.press("p")
    screen.set(above=0.8)
    screen.press("Shift+A")
    disk = screen.settle()
    expected = np.where(predicted > 1, predicted, 0)
    expected[:4] = 3
    np.testing.assert_array_equal(disk, expected)
    screen.set(above=0, unlabelled=False)
    screen.press("Shift+A")
    np.testing.assert_array_equal(screen.settle(), predicted)


def test_the_rest_is_the_first_class(screen: Screen):
    given(screen, (part((0, 0, 0), (4, 48, 64)), 3))
    screen.press("p", "u")
    disk = screen.settle()
    assert (disk[:4] == 3).all() and (disk[4:] == 1).all()


def test_picking_goes_on_with_the_class_under_the_pointer(screen: Screen):
    given(screen, (part((15, 10, 10), (25, 20, 20)), 3))
    screen.press("p", "k")
    screen.click(0, (20, 15, 15))
    assert screen.ask("[rondel.tools.value, rondel.tools.tool]") == [3, "brush"]
    screen.press("k")
    screen.click(0, (20, 40, 40))
    assert screen.ask("rondel.tools.value") == 3
    screen.said("nothing is labelled there")


def test_digits_choose_the_class_and_zero_the_eraser(screen: Screen):
    screen.press("p", "3")
    assert screen.ask("rondel.tools.value") == 3
    screen.press("0")
    assert screen.ask("rondel.tools.tool") == "eraser"
    screen.press("1")
    assert screen.ask("[rondel.tools.value, rondel.tools.tool]") == [1, "brush"]
    screen.press("9")
    screen.said("there is no class 9")


def test_radius_follows_brackets_and_the_outline_follows_the_radius(screen: Screen):
    screen.press("p")
    sizes = []
    for keys in ((), ("]",), ("]", "]"), ("[", "[", "[")):
        screen.press(*keys)
        screen.page.mouse.move(*screen.place(0, (20, 24, 32)))
        screen.drawn()
        radius = screen.ask("rondel.tools.radius")
        width = screen.page.locator(".rondel-cursor").bounding_box()["width"]
        left, right = screen.place(0, (20, 24, 32 - radius)), screen.place(0, (20, 24, 32 + radius))
        assert abs(width - (right[0] - left[0])) < 1.5
        sizes.append(width)
    assert sizes[0] == sizes[3] < sizes[1] < sizes[2]


RING = """() => {
  const { adapter, pointer, sync, tools } = rondel, ring = document.querySelector(".rondel-cursor");
  const [across] = adapter.pixels(pointer.panel), w = sync.mirror.weights;
  const wanted = (2 * tools.radius) / Math.hypot(...across.map((v, i) => v * w[i]));
  return !ring.hidden && wanted > 5 && Math.abs(parseFloat(ring.style.width) - wanted) < 0.1;
}"""
"""Whether the ring around the pointer is as large as the brush is in the cross section under it."""


def test_ring_keeps_its_size_through_picking_zooming_and_another_box(screen: Screen):
    given(screen, (part((15, 10, 10), (25, 20, 20)), 3))
    screen.press("p")
    screen.page.mouse.move(*screen.place(0, (20, 15, 15)))
    screen.wait(RING)
    screen.press("k")
    screen.wait("document.querySelector('.rondel-cursor').style.width === '0px'")
    screen.click(0, (20, 15, 15))
    screen.wait(RING)
    screen.press("Escape")
    screen.wait("document.querySelector('.rondel-cursor').hidden")
    screen.press("p")
    screen.wait(RING)
    screen.ask("rondel.adapter.viewer.navigationState.zoomFactor.value *= 0.5, 0")
    screen.wait(RING)
    here = screen.shown
    screen.press("Enter")
    screen.wait("(id) => rondel.sync.head.id !== id && rondel.sync.mirror?.ready", here)
    screen.ready()
    screen.wait(RING)


@pytest.mark.parametrize("tool", ["b", "e", "r"])
def test_stroke_outside_the_box_is_said_to_be_so(screen: Screen, tool: str):
    screen.press("p", tool)
    screen.drag(0, (28, -8, -4), (28, -5, 20))
    screen.said("outside the box")
    assert screen.ask("[rondel.sync.next, rondel.sync.mirror.live]") == [1, None]
    screen.drag(0, (28, 4, 4), (28, 5, 20))
    screen.wait("rondel.sync.next > 1 && document.querySelector('.rondel-said').textContent === ''")
    screen.settle()


@pytest.mark.parametrize("hidden", [False, True])
def test_undo_and_redo_also_while_the_labels_are_hidden(screen: Screen, hidden: bool):
    screen.press("p", "2")
    screen.drag(0, (20, 24, 20), (20, 24, 40))
    first = screen.settle()
    screen.press("3")
    screen.drag(0, (20, 20, 30), (20, 30, 30))
    second = screen.settle()
    if hidden:
        screen.press("l")
        assert screen.ask("rondel.adapter.layers.visible('labels')") is False
    screen.press("Control+z")
    np.testing.assert_array_equal(screen.settle(), first)
    screen.press("Escape", "Control+z")
    assert not screen.settle().any()
    screen.press("Control+y", "Control+Shift+Z")
    np.testing.assert_array_equal(screen.settle(), second)
    if hidden:
        screen.ask("rondel.adapter.layers.setVisible('labels', true)")
        screen.drawn()
        screen.settle()
    screen.refetch()
    screen.settle()
