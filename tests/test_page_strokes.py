"""Strokes in a real Chromium: what the pointer passes over is what is on disk, in every cross section of every box."""

import numpy as np
import pytest
from rondel.store.box import Box

from .browser import Screen, Server
from .painted_project import BOXES, SHAPE


@pytest.fixture
def screen(chromium, server: Server) -> Screen:
    return Screen(chromium, server, box=server.painted.ids[0]).ready()


def along(axis: int, at: tuple[int, int, int], *offsets: tuple[int, int]) -> list[list[int]]:
    """Return voxels of the slice through `at` perpendicular to an axis."""
    found = []
    for offset in offsets:
        voxel = list(at)
        for i, by in zip([i for i in range(3) if i != axis], offset):
            voxel[i] += by
        found.append(voxel)
    return found


def test_page_asks_for_nothing_but_this_server_and_lacks_nothing(screen: Screen):
    screen.press("p")
    screen.go((20, 24, 32))
    screen.drag(0, (20, 24, 32), (20, 30, 40))
    screen.settle()
    assert screen.ask("rondel.missing") == []
    assert screen.faults == []
    origin = screen.ask("location.origin")
    assert all(url.startswith((origin, "blob:", "data:")) for url in screen.asked)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("flat", [True, False])
def test_stroke_is_seen_before_it_is_sent_and_saved_as_seen(screen: Screen, axis: int, flat: bool):
    at = (20, 24, 32)
    path = along(axis, at, (0, 0), (6, 8), (-5, 12))
    screen.go(at)
    screen.press("p", "2")
    screen.set(radius=4, flat=flat)
    screen.down(axis, path[0])
    screen.move(axis, *path[1:])
    before, resident = screen.chunks(), screen.view()
    assert screen.ask("rondel.sync.unsaved") == 0 and not screen.server.labels(screen.shown).any()
    for voxel in path:
        assert before[tuple(voxel)] == 2
    screen.up()
    disk = screen.settle()
    np.testing.assert_array_equal(disk, resident)
    slices = np.flatnonzero((disk == 2).any(axis=tuple(i for i in range(3) if i != axis)))
    assert (list(slices) == [at[axis]]) == flat
    screen.refetch()
    assert (screen.chunks()[disk == 2] == 2).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_clicked_voxel_is_the_written_voxel(screen: Screen, axis: int):
    screen.press("p", "3")
    screen.set(radius=0.5)
    wanted = [(9, 11, 13), (30, 40, 50), (0, 0, 0), (39, 47, 63)]
    for voxel in wanted:
        screen.go(voxel)
        screen.click(axis, voxel)
    disk = screen.settle()
    assert sorted(map(tuple, np.argwhere(disk == 3).tolist())) == sorted(wanted)


@pytest.mark.parametrize("corner", [(-0.45, -0.45), (0.45, 0.45), (-0.45, 0.45)])
def test_click_near_a_voxels_corner_paints_that_voxel(screen: Screen, corner: tuple[float, float]):
    screen.go((20, 24, 32))
    screen.press("p", "2")
    screen.set(radius=0.5)
    screen.click(0, (20, 24 + corner[0], 32 + corner[1]))
    assert np.argwhere(screen.settle() == 2).tolist() == [[20, 24, 32]]


def test_eraser_and_alt_make_voxels_unlabelled_again(screen: Screen):
    screen.server.write(screen.shown, 2)
    screen.wait("rondel.sync.mirror.view[0] === 2")
    screen.go((20, 24, 32))
    screen.press("p", "e")
    screen.set(radius=3)
    screen.drag(0, (20, 20, 20), (20, 20, 30))
    screen.press("b")
    screen.page.keyboard.down("Alt")
    screen.drag(0, (20, 30, 20), (20, 30, 30))
    screen.page.keyboard.up("Alt")
    disk = screen.settle()
    assert not disk[20, 20, 20:31].any() and not disk[20, 30, 20:31].any()
    assert (disk == 0).sum() > 100 and (disk[19] == 2).all()


def test_stroke_over_the_border_stays_in_the_box(screen: Screen):
    screen.go((20, 24, 32))
    screen.press("p", "2")
    screen.set(radius=6)
    screen.drag(0, (20, -10, -10), (20, 24, 66), (20, 60, 30))
    screen.set(flat=False)
    screen.drag(1, (38, 24, 2), (44, 24, 30))
    disk = screen.settle()
    assert disk.any()
    everything = screen.server.read(Box.of_shape(SHAPE))
    everything[BOXES[0].slices] = 0
    assert not everything.any()


@pytest.mark.parametrize("index, axis", [(1, 0), (1, 2), (2, 0), (3, 1)])
@pytest.mark.parametrize("flat", [True, False])
def test_boxes_of_odd_shapes_and_single_sections(chromium, server: Server, index: int, axis: int, flat: bool):
    screen = Screen(chromium, server, box=server.painted.ids[index]).ready()
    shape = BOXES[index].shape
    middle = [n // 2 for n in shape]
    screen.go(middle)
    screen.press("p", "2")
    screen.set(radius=5, flat=flat)
    last = [n - 1 if i != axis else middle[i] for i, n in enumerate(shape)]
    screen.drag(axis, middle, last)
    disk = screen.settle()
    assert disk[tuple(middle)] == 2 and disk[tuple(last)] == 2
    screen.refetch()
    chunks = screen.chunks()
    np.testing.assert_array_equal(chunks[chunks != 255], disk[chunks != 255])


def test_only_over_unlabelled_and_only_over_a_class(screen: Screen):
    screen.go((20, 24, 32))
    region = Box.at(BOXES[0].start, (40, 24, 64))
    screen.server.write(screen.shown, 3, region)
    screen.wait("rondel.sync.mirror.view[0] === 3")
    screen.press("p", "2", "o")
    assert screen.ask("rondel.tools.only") == 0
    screen.set(radius=4)
    screen.drag(0, (20, 12, 32), (20, 36, 32))
    disk = screen.settle()
    assert (disk[20, :24] == 3).all() and (disk[20, 24:37, 32] == 2).all()
    screen.set(only=3)
    screen.drag(0, (20, 12, 32), (20, 47, 32))
    disk = screen.settle()
    assert (disk[20, 12:24, 32] == 2).all() and not disk[20, 45:, 32].any()


def test_stroke_has_the_colour_of_its_class_on_the_screen(screen: Screen):
    screen.go((20, 10, 10))
    screen.press("p", "3")
    screen.set(radius=6)
    screen.drag(0, (20, 10, 10), (20, 10, 16))
    screen.settle()
    screen.press("Escape")
    screen.drawn()
    red, green, blue = pixel(screen, screen.place(0, (20, 12, 13)))
    assert red > 1.5 * blue and green > 1.4 * blue  # organelle is #f0e442
    grey = pixel(screen, screen.place(0, (20, 40, 13)))
    assert max(grey) - min(grey) < 30


def pixel(screen: Screen, place: tuple[float, float]) -> tuple[int, int, int]:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(screen.page.screenshot())) as image:
        found = image.convert("RGB").getpixel((round(place[0]), round(place[1])))
    assert isinstance(found, tuple)
    return found[0], found[1], found[2]
