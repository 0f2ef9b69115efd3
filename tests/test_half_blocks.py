"""Pictures in terminal cells."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.color import Color, ColorSystem
from rich.console import Console
from rondel.tui import half_blocks
from rondel.tui.half_blocks import FRAME_BYTES, count_bytes, draw, reduce, to_palette
from rondel.tui.pictures import Picture
from rondel.tui.views import Depth, depth_of
from textual.strip import Strip

SYSTEMS = {Depth.TRUE: "truecolor", Depth.PALETTE: "256"}


def encoded(strips: tuple[Strip, ...], depth: Depth) -> bytes:
    console = Console(color_system=SYSTEMS[depth], force_terminal=True, _environ={})  # type: ignore[arg-type]  # any of its names
    return "".join(strip.render(console) for strip in strips).encode()


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("depth", list(SYSTEMS))
@given(
    sizes=st.lists(st.tuples(st.integers(1, 90), st.integers(1, 120)), min_size=1, max_size=4),
    limit=st.integers(30_000, FRAME_BYTES),
    flat=st.booleans(),
    seed=st.integers(0, 9),
)
@settings(max_examples=40, deadline=None)
def test_pictures_never_take_more_bytes_than_allowed(depth, sizes, limit, flat, seed) -> None:
    pictures = [Picture("", noise(h, w, seed) // (64 if flat else 1) * (64 if flat else 1)) for h, w in sizes]
    drawn = draw(pictures, depth, limit)
    assert sum(len(encoded(strips, depth)) for strips in drawn) <= limit
    for picture, strips in zip(pictures, drawn):
        height, width = picture.pixels.shape[:2]
        assert len(strips) == -(-height // 2)
        assert all(strip.cell_length == width == len(strip.text) for strip in strips)


@pytest.mark.parametrize("depth", list(SYSTEMS))
def test_the_bound_is_close_to_the_bytes_that_are_written(depth: Depth) -> None:
    shown = reduce([noise(30, 29)], depth, FRAME_BYTES)[0]
    written = len(encoded(draw([Picture("", shown)], depth)[0], depth))
    assert written <= count_bytes(shown, depth) <= 1.3 * written


def test_a_picture_that_fits_keeps_its_colours() -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, 1], pixels[1, 1] = (248, 0, 0), (0, 0, 248)
    (strip,) = draw([Picture("", pixels)], Depth.TRUE)[0]
    assert strip.text == " ▀ "
    style = list(strip)[1].style
    assert style and style.color and style.bgcolor
    assert style.color.triplet == (248, 0, 0) and style.bgcolor.triplet == (0, 0, 248)


def test_white_and_black_stay_what_they_are() -> None:
    pixels = np.array([[[0, 0, 0], [255, 255, 255]]] * 2, np.uint8)
    assert np.array_equal(reduce([pixels], Depth.TRUE, FRAME_BYTES)[0], pixels)
    assert np.array_equal(reduce([pixels], Depth.PALETTE, FRAME_BYTES)[0], pixels)


def test_colours_of_the_palette_are_written_as_that_palette() -> None:
    """rich picks the palette's colour for what is written; it must be the one that was meant."""
    greys = np.arange(256, dtype=np.uint8).repeat(3).reshape(-1, 1, 3)
    meant = np.unique(to_palette(np.concatenate([noise(40, 40).reshape(-1, 1, 3), greys])).reshape(-1, 3), axis=0)
    written = [Color.from_rgb(*colour).downgrade(ColorSystem.EIGHT_BIT) for colour in meant.tolist()]
    assert len({colour.number for colour in written}) == len(meant) > 100
    assert np.abs(np.array([colour.get_truecolor() for colour in written]) - meant).max() <= 8


def test_where_too_much_is_shown_resolution_goes_before_the_picture_does() -> None:
    shown = reduce([noise(80, 120)], Depth.TRUE, 20_000)[0]
    assert shown.any() and count_bytes(shown, Depth.TRUE) <= 20_000
    assert np.array_equal(shown[::2, ::2], shown[1::2, 1::2])


def test_without_colours_brightness_is_a_character() -> None:
    pixels = np.repeat(np.linspace(0, 255, 10).astype(np.uint8)[None, :, None], 2, 0).repeat(3, 2)
    (strip,) = draw([Picture("", pixels)], Depth.PLAIN)[0]
    assert strip.text == half_blocks.RAMP
    assert all(segment.style is None for segment in strip)


def test_without_colours_classes_are_letters() -> None:
    letters = np.array([list(" .23")] * 3)
    strips = draw([Picture("", noise(3, 4), letters)], Depth.PLAIN)[0]
    assert [strip.text for strip in strips] == [" .23", " .23"]


@pytest.mark.parametrize(
    ("system", "no_colour", "depth"),
    [
        ("truecolor", False, Depth.TRUE),
        ("256", False, Depth.PALETTE),
        ("standard", False, Depth.PLAIN),
        (None, False, Depth.TRUE),
        ("truecolor", True, Depth.PLAIN),
    ],
)
def test_the_terminal_decides_how_many_colours_are_used(system, no_colour, depth) -> None:
    assert depth_of(system, no_colour) == depth
