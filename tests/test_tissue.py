import numpy as np
import pytest
from rondel.loop.tissue import CLASSES, tissue
from rondel.store.errors import UsageError
from scipy.ndimage import distance_transform_edt

SHAPE = (48, 96, 96)


@pytest.fixture(scope="module")
def made() -> tuple[np.ndarray, np.ndarray]:
    image, truth, _ = tissue(SHAPE, seed=3)
    return image, truth


def test_image_and_truth_are_uint8_of_the_shape_asked_for(made):
    image, truth = made
    assert image.shape == truth.shape == SHAPE
    assert image.dtype == truth.dtype == np.uint8


def test_truth_is_dense_and_holds_every_class(made):
    shares = np.bincount(made[1].ravel(), minlength=len(CLASSES) + 1) / made[1].size
    assert shares[0] == 0
    assert shares.argmax() == 1
    assert 0.12 < shares[2] < 0.35
    assert 0.01 < shares[3] < 0.2


def test_the_same_seed_gives_the_same_volume_and_another_seed_another():
    first, again, other = (tissue((6, 24, 24), seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


def test_membranes_and_organelles_are_darker_than_the_rest(made):
    image, truth = made
    background, membrane, organelle = (image[truth == k].mean() for k in (1, 2, 3))
    assert membrane < background - 20
    assert organelle < background - 20


def test_no_threshold_finds_the_membranes(made):
    image, truth = made
    membrane = truth == 2
    dice = [2 * (dark & membrane).sum() / (dark.sum() + membrane.sum()) for dark in (image < t for t in range(255))]
    assert max(dice) < 0.65


def test_membranes_are_as_thick_in_nm_whatever_the_voxels():
    thickness = []
    for shape, spacing in (((48, 48, 48), (8.0, 8.0, 8.0)), ((24, 48, 48), (16.0, 8.0, 8.0))):
        truth = tissue(shape, spacing, seed=1)[1]
        depth = np.asarray(distance_transform_edt(truth == 2, sampling=spacing))
        thickness.append(2 * np.median(depth[(depth > 0) & (truth == 2)]))
    assert all(14 <= t <= 40 for t in thickness)
    assert thickness[0] == pytest.approx(thickness[1], rel=0.4)


def test_organelles_do_not_touch_membranes(made):
    far = np.asarray(distance_transform_edt(made[1] != 2, sampling=(16, 8, 8)))
    assert far[made[1] == 3].min() > 8


def test_light_is_uneven_and_sections_differ_in_brightness(made):
    image, truth = made
    cytoplasm = np.where(truth == 1, image.astype(float), np.nan)
    assert np.nanstd(np.nanmean(cytoplasm, axis=(1, 2))) > 1
    corners = [np.nanmean(cytoplasm[:, y : y + 32, x : x + 32]) for y in (0, 64) for x in (0, 64)]
    assert max(corners) - min(corners) > 5


def test_one_section_is_a_volume_too():
    image, truth, _ = tissue((1, 64, 64), (40.0, 8.0, 8.0))
    assert image.shape == (1, 64, 64)
    assert {1, 2} <= set(np.unique(truth))


@pytest.mark.parametrize(("shape", "spacing"), [((4, 4), (1, 1, 1)), ((4, 0, 4), (1, 1, 1)), ((4, 4, 4), (1, 0, 1))])
def test_a_shape_or_spacing_that_is_none_is_refused(shape, spacing):
    with pytest.raises(UsageError):
        tissue(shape, spacing)
