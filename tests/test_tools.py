"""Each tool changes the voxels it names, and no others."""

import numpy as np
import pytest
from rondel.viewer import tools


@pytest.fixture
def labels() -> np.ndarray:
    """Two blocks of class 2 that touch only along an edge, in a box of what is unlabelled."""
    labels = np.zeros((4, 8, 8), np.uint8)
    labels[0:3, 1:4, 1:4] = 2
    labels[0:3, 4:7, 4:7] = 2
    return labels


def test_fill_takes_what_hangs_together_by_faces(labels):
    found = tools.fill(labels, (1, 2, 2), None)
    assert found.sum() == 27 and found[0:3, 1:4, 1:4].all()


def test_fill_in_a_plane_stays_in_the_slice(labels):
    found = tools.fill(labels, (1, 2, 2), 0)
    assert found.sum() == 9 and found[1, 1:4, 1:4].all()
    assert tools.fill(labels, (1, 2, 2), 2).sum() == 9


def test_fill_in_a_plane_does_not_go_round_through_other_slices():
    labels = np.zeros((2, 1, 3), np.uint8)
    labels[0, 0, 1] = 2
    assert tools.fill(labels, (0, 0, 0), None).sum() == 5
    assert tools.fill(labels, (0, 0, 0), 0).sum() == 1


def test_fill_of_what_is_unlabelled_leaves_the_labels(labels):
    found = tools.fill(labels, (3, 0, 0), None)
    np.testing.assert_array_equal(found, labels == 0)


def test_the_threshold_brush_paints_only_as_bright_as_it_started():
    image = np.zeros((1, 8, 8), np.float32)
    image[0, :, 4:] = 100
    image[0, 0, 0], image[0, 7, 7] = 50, np.nan
    covered, start = np.ones(image.shape, bool), np.zeros(image.shape, bool)
    start[0, 2:4, 5:7] = True
    found = tools.within_range(image, covered, start)
    assert found.sum() == 31 and not found[0, :, :4].any() and not found[0, 7, 7]
    assert tools.within_range(image, covered, start, margin=50)[0, 0, 0]
    assert not tools.within_range(image, covered, start, margin=99)[0, 5, 0]
    assert tools.within_range(image, covered, start, margin=100).sum() == 63
    start[:] = False
    assert not tools.within_range(image, covered, start).any()


def test_contrast_leaves_out_rare_intensities_and_what_is_no_number():
    image = np.tile(np.array([10, 30], np.float32), 500)
    image[:4] = np.nan, np.inf, -1e6, 1e6
    assert tools.contrast(image) == 20
    assert tools.contrast(np.full(4, np.nan)) == 0


def test_interpolation_fills_between_painted_slices_and_nowhere_else():
    labels = np.zeros((9, 16, 16), np.uint8)
    labels[2, 4:12, 4:12] = 2
    labels[6, 6:10, 6:10] = 2
    found = tools.interpolate(labels, 0, 2, (1.0, 1.0, 1.0))
    assert found.any(axis=(1, 2)).tolist() == [False, False, False, True, True, True, False, False, False]
    assert found[4, 5:11, 5:11].all() and found[4].sum() == 36
    sizes = found.sum(axis=(1, 2))
    assert 64 >= sizes[3] >= sizes[4] >= sizes[5] >= 16


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_interpolation_of_equal_slices_is_a_prism_along_any_axis(axis):
    labels = np.zeros((7, 7, 7), np.uint8)
    np.moveaxis(labels, axis, 0)[[1, 5], 0:4, 2:5] = 3
    found = np.moveaxis(tools.interpolate(labels, axis, 3, (5.0, 1.0, 2.0)), axis, 0)
    assert found.sum() == 3 * 12 and found[2:5, 0:4, 2:5].all()


def test_interpolation_without_a_gap_or_a_second_slice_changes_nothing(labels):
    assert not tools.interpolate(labels, 0, 2, (1, 1, 1)).any()
    assert not tools.interpolate(labels, 0, 3, (1, 1, 1)).any()


def test_a_slice_that_is_all_of_a_class_can_be_interpolated():
    labels = np.zeros((3, 4, 4), np.uint8)
    labels[[0, 2]] = 2
    assert tools.interpolate(labels, 0, 2, (1, 1, 1))[1].all()


def test_copy_carries_labels_but_not_holes(labels):
    mask, values = tools.copy(labels, 0, 0, 3)
    assert mask.sum() == 18 and (values[mask] == 2).all() and mask[3].sum() == 18
    mask, values = tools.copy(labels, 2, 2, 7)
    np.testing.assert_array_equal(values[:, :, 7], labels[:, :, 2])


def test_accept_takes_the_prediction_or_an_object_of_it_or_what_is_sure(labels):
    probabilities = np.zeros((2, *labels.shape), np.uint8)
    probabilities[1] = 200
    probabilities[1, 0] = 255
    assert tools.accept(labels, None).sum() == 54
    assert tools.accept(labels, (1, 2, 2)).sum() == 27
    assert not tools.accept(labels, (3, 0, 0)).any()
    assert tools.accept(labels, None, probabilities, 0.9).sum() == 18
    assert tools.accept(labels, None, probabilities, 200 / 255).sum() == 54


def test_empty_selects_what_is_unlabelled(labels):
    np.testing.assert_array_equal(tools.empty(labels), labels == 0)
