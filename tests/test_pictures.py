"""From voxels to pixels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rondel.tui.pictures import NARROW, arrange, averaged, fit, heat, nearest, shade, tint

COLOURS = {1: "#808080", 2: "#ff0000"}


@given(st.integers(8, 250), st.integers(2, 80), st.floats(1, 1e5), st.floats(1, 1e5))
def test_four_pictures_fit_into_the_panel(width: int, height: int, tall: float, wide: float) -> None:
    columns, cells, lines = arrange(width, height, (tall, wide))
    assert 4 % columns == 0 and cells >= 1 and lines >= 1
    if width >= NARROW and height >= 8:
        assert columns * cells + columns - 1 <= width
        assert 4 // columns * (lines + 1) <= height
    rows, places = fit((tall, wide), cells, lines)
    assert rows <= 2 * lines and places <= cells and rows % 2 == 0


def test_wide_panels_get_a_row_and_square_ones_a_square() -> None:
    assert arrange(116, 18, (320.0, 320.0))[0] == 4
    assert arrange(58, 36, (320.0, 320.0))[0] == 2
    assert arrange(20, 60, (320.0, 320.0))[0] == 1


def test_physical_proportions_are_kept() -> None:
    assert fit((100.0, 400.0), 40, 40) == (10, 40)
    assert fit((400.0, 100.0), 40, 20) == (40, 10)


def test_classes_are_sampled_and_never_mixed() -> None:
    plane = np.array([[1, 1, 3, 3], [1, 1, 3, 3]], np.uint8)
    assert nearest(plane, 2, 2).tolist() == [[1, 3], [1, 3]]
    assert nearest(plane, 4, 8).tolist() == [[1] * 4 + [3] * 4] * 4


def test_images_are_averaged_where_they_shrink() -> None:
    plane = np.random.default_rng(0).random((2, 31, 47))
    small = averaged(plane, 5, 7)
    assert small.shape == (2, 5, 7)
    edges = ([n * 31 // 5 for n in range(6)], [n * 47 // 7 for n in range(8)])
    weights = np.outer(np.diff(edges[0]), np.diff(edges[1]))
    assert np.allclose((small * weights).sum((1, 2)), plane.sum((1, 2)), rtol=1e-4)
    assert averaged(plane, 62, 94).shape == (2, 62, 94)


def test_contrast_narrows_the_range_around_its_middle() -> None:
    image = np.array([[[80.0, 100.0, 120.0]]])
    plain, strong = (shade(image, ((0.0, 200.0),), steps, 1, 3)[0, :, 0].tolist() for steps in (0, 3))
    assert plain == [102, 128, 153]
    assert strong[0] < plain[0] and strong[1] == plain[1] and strong[2] > plain[2]


def test_channels_are_red_green_and_blue_and_voxels_without_a_value_are_black() -> None:
    image = np.array([[[200.0]], [[0.0]], [[np.nan]]])
    assert shade(image, ((0.0, 200.0),) * 3, 0, 1, 1).tolist() == [[[255, 0, 0]]]


def test_classes_lie_on_the_image_and_what_has_none_is_dark() -> None:
    base = np.full((2, 4, 3), 200, np.uint8)
    picture = tint("labels", np.array([[0, 1, 2, 2]], np.uint8), base, COLOURS)
    assert picture.pixels[0].tolist() == [[70, 70, 70], [164, 164, 164], [228, 100, 100], [228, 100, 100]]
    assert picture.letters is not None and "".join(picture.letters[0]) == " .22"


def test_uncertainty_goes_from_dark_to_bright_and_is_not_told_where_nothing_was_predicted() -> None:
    base = np.full((2, 3, 3), 200, np.uint8)
    picture = heat("uncertainty", np.array([[0, 255, 255]]), np.array([[1, 1, 0]], bool), base)
    assert picture.pixels[0].tolist() == [[0, 0, 4], [252, 255, 164], [70, 70, 70]]
